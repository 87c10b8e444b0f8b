"""Signing in and out: by password, by a code beside it, by a provider of identities, by an invite."""

import secrets
from functools import partial
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, unquote, urlencode

import anyio.to_thread
import msgspec
from fastapi import Form, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from fraud.dashboard.answers import STATUS, done, shown, wants_json
from fraud.dashboard.console import At, Console, Who
from fraud.dashboard.pages import CodeView, InviteView, SecondFactorView, SignInView
from fraud.dashboard.routes.parameters import MOST_WORD, Token, Yes
from fraud.dashboard.security import FORM, SESSION, TICKET, local_path, origin_of
from fraud.review.codes import TOO_LATE
from fraud.review.errors import GoneError, InvalidError, ReviewError, TooManyError
from fraud.review.sessions import Entered
from fraud.review.words import Waits

if TYPE_CHECKING:
    from fraud.dashboard.oidc import Provider

MOST_PASSWORD, MOST_PATH = 1_000, 2_000
BACK = "/oidc/back"
Given = Annotated[str, Form(max_length=MOST_PASSWORD)]
Email = Annotated[str, Form(max_length=MOST_WORD)]
Code = Annotated[str, Form(max_length=MOST_WORD)]
Next = Annotated[str, Query(max_length=MOST_PATH)]
Out = Annotated[bool, Query()]


class SignedIn(msgspec.Struct, frozen=True):
    """Who is signed in now; `csrf` goes with everything that is sent."""

    name: str
    role: str
    csrf: str


class WaitsFor(msgspec.Struct, frozen=True):
    """The password was right, and that is not enough: `code`, or `set_up` where one has to be made possible first.

    `csrf` goes with what is sent to `/sign-in/code`.
    """

    waits_for: str
    csrf: str


class SignedOut(msgspec.Struct, frozen=True):
    """Nobody is signed in any more."""

    signed_in: bool = False


def sign_in(request: Request, at: At, out: Out = False) -> Response:
    """Show the page where one signs in; `out`: somebody has just signed out."""
    csrf = _form_token(request, at)
    answer = shown(request, "sign_in", SignInView(csrf=csrf, provider=_name_of(at), out=out))
    at.cookies.put(answer, FORM, csrf)
    return answer


async def enter(request: Request, at: At, email: Email, password: Given, next: Next = "/") -> Response:
    """Sign somebody in, with a new session in place of any that came along."""
    old = at.cookies.read(request.cookies, SESSION)
    step = partial(at.doors.accounts.sign_in, email, password, _address(request), at.now(), old)
    try:
        entered = await anyio.to_thread.run_sync(step, limiter=at.doors.hashing)
    except ReviewError as error:
        return await run_in_threadpool(_refused, request, at, error, email)
    return await run_in_threadpool(_entered, request, at, entered, local_path(next))


def code_page(request: Request, at: At, next: Next = "/") -> Response:
    """Show the page where somebody whose password was right types a code, or makes an app show them."""
    return _code_page(request, at, next)


def confirm(request: Request, at: At, code: Code, next: Next = "/") -> Response:
    """Sign somebody in by the code that goes with their password."""
    token = at.cookies.read(request.cookies, SESSION)
    try:
        entered = at.doors.codes.confirm(token, code, _address(request), at.now())
    except ReviewError as error:
        if wants_json(request):
            raise
        answer = _code_page(request, at, next, str(error))
        return _with_status(answer, error) if answer.status_code == 200 else answer
    return _entered(request, at, entered, local_path(next))


def leave(request: Request, at: At) -> Response:
    """Sign out: the session ends here, whoever else has its cookie."""
    at.doors.accounts.sign_out(at.cookies.read(request.cookies, SESSION), at.now())
    answer = done(request, SignedOut(), "/sign-in?out=1")
    at.cookies.drop(answer, SESSION)
    return answer


# --- a provider of identities


def begin(request: Request, at: At, next: Next = "/") -> Response:
    """Go to the provider of identities, which sends people back."""
    provider = _provider(at)
    ticket = provider.ticket()
    try:
        answer = RedirectResponse(provider.address(ticket, _back(request, at)), 303)
    except ReviewError as error:
        return _refused(request, at, error, "")
    at.cookies.put(answer, TICKET, f"{ticket}.{quote(local_path(next), safe='')}")
    return answer


def back(request: Request, at: At) -> Response:
    """Sign somebody in who comes back from the provider, with what it says of them."""
    provider = _provider(at)
    ticket, _, go_on = at.cookies.read(request.cookies, TICKET).partition(".")
    old, now = at.cookies.read(request.cookies, SESSION), at.now()
    try:
        who = provider.identity(ticket, request.query_params, _back(request, at), now)
        answer = _entered(request, at, at.doors.federation.enter(who, ticket, now, old), local_path(unquote(go_on)))
    except ReviewError as error:
        answer = _refused(request, at, error, "")
    at.cookies.drop(answer, TICKET)
    return answer


def way_out(request: Request, at: At) -> Response:
    """Sign out at the provider too, of everything that goes by it."""
    try:
        return RedirectResponse(_provider(at).way_out(f"{_origin(request, at)}/sign-in"), 303)
    except ReviewError as error:
        return _refused(request, at, error, "")


# --- invites


def invited(request: Request, at: At, token: Token) -> Response:
    """Show the page behind an invite, where somebody chooses a name and a password."""
    found, csrf = at.doors.accounts.invited(token, at.now()), _form_token(request, at)
    view = InviteView(token, found.role.word, found.email, csrf=csrf, provider=_name_of(at) if found.email else "")
    answer = shown(request, "invite", view)
    at.cookies.put(answer, FORM, csrf)
    return answer


async def accept(
    request: Request, at: At, token: Token, password: Given, name: Email = "", email: Email = ""
) -> Response:
    """Make the account of an invite, or set a new password, and sign in."""
    step = partial(at.doors.accounts.accept, token, name, email, password, at.now())
    try:
        entered = await anyio.to_thread.run_sync(step, limiter=at.doors.hashing)
    except InvalidError as error:
        if wants_json(request):
            raise
        return await run_in_threadpool(_again, request, at, token, error, email)
    return await run_in_threadpool(_entered, request, at, entered, "/")


# --- one's own second factor


def second_factor(request: Request, at: At, who: Who) -> Response:
    """Show whether somebody has a second factor, and how to set one up."""
    return shown(request, "second_factor", _second_view(request, at, who))


def change_second_factor(request: Request, at: At, who: Who, code: Code, remove: Yes = False) -> Response:
    """Set one's second factor up, or take it away, by a code of it."""
    token, step = at.cookies.read(request.cookies, SESSION), at.doors.codes.remove if remove else at.doors.codes.set_up
    try:
        step(token, code, _address(request), at.now())
    except ReviewError as error:
        if wants_json(request):
            raise
        return _with_status(shown(request, "second_factor", _second_view(request, at, who, str(error))), error)
    return done(request, _second_view(request, at, who), "/settings/second-factor")


# --- parts


def _entered(request: Request, at: Console, entered: Entered, go_on: str) -> Response:
    """Return the answer that brings a new session along, or half of one with the way to its code."""
    if entered.waits is not Waits.NOTHING:
        csrf = at.cookies.read(request.cookies, FORM)
        answer = done(request, WaitsFor(entered.waits.word, csrf), f"/sign-in/code?{urlencode({'next': go_on})}")
        at.cookies.put(answer, SESSION, entered.token)
        return answer
    session = at.doors.accounts.session(entered.token, at.now())
    if session is None:  # switched off in the very moment
        msg = "This account is switched off."
        raise InvalidError(msg)
    answer = done(request, SignedIn(session.person.name, session.person.role.word, session.csrf), go_on)
    at.cookies.put(answer, SESSION, entered.token)
    at.cookies.drop(answer, FORM)
    return answer


def _refused(request: Request, at: Console, error: ReviewError, email: str) -> Response:
    """Return the sign-in page with why it did not work; a program is told as of any refusal."""
    if wants_json(request):
        raise error
    csrf = _form_token(request, at)
    view = SignInView(message=str(error), email=email, csrf=csrf, provider=_name_of(at))
    answer = shown(request, "sign_in", view)
    at.cookies.put(answer, FORM, csrf)
    return _with_status(answer, error)


def _with_status(answer: Response, error: ReviewError) -> Response:
    answer.status_code = STATUS[type(error)]
    if isinstance(error, TooManyError):
        answer.headers["Retry-After"] = str(max(error.seconds, 1))
    return answer


def _code_page(request: Request, at: Console, go_on: str, message: str = "") -> Response:
    token, now = at.cookies.read(request.cookies, SESSION), at.now()
    waits = at.doors.codes.waits(token, now)
    if waits is Waits.NOTHING:
        return _refused(request, at, GoneError(TOO_LATE), "")
    csrf = _form_token(request, at)
    offer = at.doors.codes.offered(token, now) if waits is Waits.SET_UP else None
    view = CodeView(local_path(go_on), message, *(offer or ("", "")), csrf=csrf)
    answer = shown(request, "code", view)
    at.cookies.put(answer, FORM, csrf)
    return answer


def _second_view(request: Request, at: Console, who: Who, message: str = "") -> SecondFactorView:
    state, offer = at.doors.codes.state(who.person), None
    if state == "none":
        offer = at.doors.codes.offered(at.cookies.read(request.cookies, SESSION), at.now())
    return SecondFactorView(state, at.doors.codes.needed(who.person), *(offer or ("", "")), message=message)


def _again(request: Request, at: Console, token: str, error: InvalidError, email: str) -> Response:
    found, csrf = at.doors.accounts.invited(token, at.now()), at.cookies.read(request.cookies, FORM)
    view = InviteView(token, found.role.word, found.email or email, message=str(error), csrf=csrf)
    return shown(request, "invite", view, STATUS[InvalidError])


def _form_token(request: Request, at: Console) -> str:
    """Return what a form of these pages has to send along; one that a cookie has already stays."""
    session = getattr(request.state, "session", None)
    if session is not None:
        return str(session.csrf)
    return at.cookies.read(request.cookies, FORM) or secrets.token_urlsafe(32)


def _provider(at: Console) -> "Provider":
    if at.doors.provider is None:
        raise HTTPException(404)
    return at.doors.provider


def _name_of(at: Console) -> str:
    return "" if at.doors.provider is None else at.doors.provider.name


def _origin(request: Request, at: Console) -> str:
    return origin_of(request, at.settings.console.public_url, at.settings.console.tls)


def _back(request: Request, at: Console) -> str:
    return f"{_origin(request, at)}{BACK}"


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
