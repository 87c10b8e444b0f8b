"""Answers: a view as page or as JSON, whichever is asked for, and what went wrong as a problem (RFC 9457)."""

from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from fraud.dashboard.console import console
from fraud.dashboard.guard import SignInNeeded
from fraud.dashboard.pages import ProblemView
from fraud.dashboard.security import HEADERS, local_path
from fraud.review import errors
from fraud.review.database import DatabaseError

JSON, PROBLEM, HTMX = "application/json", "application/problem+json", "hx-request"
STATUS: dict[type[Exception], int] = {
    errors.UnknownError: 404, errors.ForbiddenError: 403, errors.ConflictError: 409, errors.GoneError: 410,
    errors.InvalidError: 422, errors.TooManyError: 429, errors.UnavailableError: 503,
}  # fmt: skip
"""What each refusal of the desk is in HTTP."""
SIGN_IN = "Nobody is signed in here, or nothing was done for too long: sign in and try again."
BROKEN = "Something went wrong here; what was sent was not done. It is noted in the console's log."
DATABASE = "The console's database does not answer, so nothing was done: try again in a moment."
WORKS = "Payments are decided all the same: the console is not on their path."


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem as RFC 9457 has it: `title` is the status in words, `detail` the sentence that the page shows too."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


def wants_json(request: Request) -> bool:
    """Tell whether whoever asks wants the twin: by its path, or by naming JSON and no page."""
    accepted = request.headers.get("accept", "")
    return getattr(request.state, "twin", False) or ("json" in accepted and "text/html" not in accepted)


def as_json(view: object, status: int = 200) -> Response:
    """Return a view as JSON."""
    return Response(msgspec.json.encode(view), status, media_type=JSON)


def shown(
    request: Request, name: str, view: msgspec.Struct, status: int = 200, *, undo: str = "", flash: str = "",
    secret: str = "",
) -> Response:  # fmt: skip
    """Return a view as page `name`, or its twin."""
    if wants_json(request):
        return as_json(view, status)
    at = console(request)
    return HTMLResponse(at.pages.render(name, view, at.scene(request, undo=undo, flash=flash, secret=secret)), status)


def done(request: Request, view: msgspec.Struct, go_on: str) -> Response:
    """Return what a step came to: as JSON, or the page where one goes on."""
    return as_json(view) if wants_json(request) else RedirectResponse(go_on, 303)


def came_from(request: Request) -> str:
    """Return the page that a form was on, as the browser says; never one of another host."""
    try:
        parts = urlsplit(request.headers.get("referer", ""))
    except ValueError:  # no address at all
        return "/"
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name != "undo"])
    return local_path(f"{parts.path}?{query}" if query else parts.path)


# --- what went wrong


def problem(request: Request, status: int, detail: str, doing: str = "") -> Response:
    """Return a problem, as page or as JSON."""
    title = HTTPStatus(status).phrase
    if not wants_json(request):
        at = console(request)
        view = ProblemView(status, title, detail, doing)
        return HTMLResponse(at.pages.render("error", view, at.scene(request)), status)
    return Response(msgspec.json.encode(Problem(title, status, detail)), status, media_type=PROBLEM)


def refused(request: Request, error: Exception) -> Response:
    """Answer a refusal of the desk."""
    status = next((found for kind, found in STATUS.items() if isinstance(error, kind)), 422)
    answer = problem(request, status, str(error))
    if isinstance(error, errors.TooManyError):
        answer.headers["Retry-After"] = str(max(error.seconds, 1))
    return answer


def sign_in_needed(request: Request, _: Exception) -> Response:
    """Send a browser to the sign-in page; others are told."""
    if wants_json(request):
        return problem(request, 401, SIGN_IN)
    if request.headers.get(HTMX):  # the sign-in page must not become a part of another: the whole page goes there
        return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
    # As it was sent: a name with # or ? in it is still one name after it was signed in.
    sent = (request.scope.get("raw_path") or request.url.path.encode()).decode("latin-1")
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = sent + query if request.method == "GET" else "/queue"
    return RedirectResponse(f"/sign-in?{urlencode({'next': wanted})}", 303)


def malformed(request: Request, error: Exception) -> Response:
    """Answer a request whose parameters do not fit, with the first of them."""
    found = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": ""}
    place = ".".join(str(part) for part in found["loc"][1:]) or "the request"
    return problem(request, 422, f"{place}: {found['msg']}.")


def http_problem(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses: no such page, another method, too large a body."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    said = {404: "There is no such page.", 405: "That cannot be done with this page.", 413: "That is too large."}
    answer = problem(request, status, said.get(status, f"{HTTPStatus(status).phrase}."))
    answer.headers.update(headers or {})
    return answer


def database_gone(request: Request, _: Exception) -> Response:
    """Answer while the database does not."""
    answer = problem(request, 503, DATABASE, WORKS)
    answer.headers["Retry-After"] = "5"
    return answer


def broken(request: Request, _: Exception) -> Response:
    """Answer what nobody foresaw: nothing of it leaves but this sentence."""
    answer = problem(request, 500, BROKEN, WORKS)
    answer.headers.update({**HEADERS, "Cache-Control": "no-store"})  # this one does not go through `SafeHeaders`
    return answer


HANDLERS = {
    SignInNeeded: sign_in_needed, RequestValidationError: malformed, HTTPException: http_problem,
    errors.ReviewError: refused, DatabaseError: database_gone, OperationalError: database_gone,
    InterfaceError: database_gone, NoConnectionError: database_gone, Exception: broken,
}  # fmt: skip
"""Other errors of this project may name files and addresses: they are told in the log alone."""
