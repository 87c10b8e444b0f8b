"""The one dependency that lets requests in: who asks, whether a form is ours, whether the role is enough."""

import hmac

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from fraud.dashboard.console import Console, console
from fraud.dashboard.security import FORM, SESSION, origin_of
from fraud.review.errors import ForbiddenError, InvalidError
from fraud.review.people import Role
from fraud.review.sessions import Session

FIELD, HEADER = "csrf", "x-csrf-token"
MOST_FIELDS = 4_100
"""A form names the alerts of a bulk step one by one."""
FOREIGN = "This was not sent by a page of this console, so nothing was done: open the page anew and try again."


class SignInNeeded(Exception):
    """Nobody is signed in."""


class Guard:
    """Lets a request of one route in. Roles of routes stand in `routes.table`, and nowhere else."""

    def __init__(self, role: Role | None, *, active: bool) -> None:
        """Take the least role, None for everybody; `active`: somebody does something, and stays signed in by it."""
        self.role, self._active = role, active

    async def __call__(self, request: Request) -> None:
        """Look at a request; what comes after may rely on `request.state.session`.

        Raises:
            SignInNeeded: the route needs a role, and nobody is signed in.
            ForbiddenError: the role is too low, or something was sent from elsewhere.
        """
        at = console(request)
        readable(request.url.path, *request.path_params.values(), *request.query_params.values())
        session = await self._session(request, at)
        request.state.session = session
        if request.method == "POST":
            await _ours(request, at, session)
        if self.role is None:
            return
        if session is None:
            raise SignInNeeded
        if session.person.role < self.role:
            msg = f"This takes the role {self.role.word}; yours is {session.person.role.word}."
            raise ForbiddenError(msg)

    async def _session(self, request: Request, at: Console) -> Session | None:
        token = at.cookies.read(request.cookies, SESSION)
        if not token:
            return None
        return await run_in_threadpool(at.doors.accounts.session, token, at.now(), active=self._active)


async def _ours(request: Request, at: Console, session: Session | None) -> None:
    """Raise ForbiddenError unless one of our own pages has sent this: by its origin and by the token in its form."""
    settings = at.settings.console
    if request.headers.get("origin", "") != origin_of(request, settings.public_url, settings.tls):
        raise ForbiddenError(FOREIGN)
    wanted = session.csrf if session is not None else at.cookies.read(request.cookies, FORM)
    form = await request.form(max_files=0, max_fields=MOST_FIELDS)
    field = form.get(FIELD)
    given = request.headers.get(HEADER) or (field if isinstance(field, str) else "")
    if not wanted or not hmac.compare_digest(wanted.encode(), given.encode("utf-8", "surrogatepass")):
        raise ForbiddenError(FOREIGN)
    readable(*(value for value in form.values() if isinstance(value, str)))


def readable(*texts: str) -> None:
    """Raise InvalidError for a text that no database keeps."""
    if any("\0" in text for text in texts):
        msg = "A text has the character with number 0 in it, which cannot be kept: take it out."
        raise InvalidError(msg)
