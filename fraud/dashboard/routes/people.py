"""Signing in and out, invites, accounts, and how somebody wants pages to look."""

import secrets
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import anyio.to_thread
import msgspec
from fastapi import Form, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from fraud.dashboard.answers import STATUS, as_json, done, shown, wants_json
from fraud.dashboard.console import At, Console, Who
from fraud.dashboard.pages import InviteView, SignInView
from fraud.dashboard.routes.parameters import MOST_WORD, Number, Token
from fraud.dashboard.security import FORM, SESSION, local_path, origin_of
from fraud.review.errors import InvalidError, ReviewError, TooManyError
from fraud.review.people import Role

MOST_PASSWORD = 1_000
Given = Annotated[str, Form(max_length=MOST_PASSWORD)]
Email = Annotated[str, Form(max_length=MOST_WORD)]
RoleWord = Literal["viewer", "analyst", "lead", "admin"]
Theme = Annotated[Literal["system", "light", "dark"] | None, Form()]
Switch = Annotated[bool | None, Form()]


class SignedIn(msgspec.Struct, frozen=True):
    """Who is signed in now; `csrf` goes with everything that is sent."""

    name: str
    role: str
    csrf: str


class SignedOut(msgspec.Struct, frozen=True):
    """Nobody is signed in any more."""

    signed_in: bool = False


class Shown(msgspec.Struct, frozen=True):
    """How pages are shown from now on: what was changed."""

    changed: tuple[str, ...]


class Link(msgspec.Struct, frozen=True):
    """The address of an invite, told once."""

    address: str
    role: str


class Account(msgspec.Struct, frozen=True):
    """An account that was changed; its sessions have ended."""

    id: int


def sign_in(request: Request, at: At) -> Response:
    """Show the page where one signs in."""
    csrf = _form_token(request, at)
    answer = shown(request, "sign_in", SignInView(csrf=csrf))
    at.cookies.put(answer, FORM, csrf)
    return answer


async def enter(
    request: Request, at: At, email: Email, password: Given, next: Annotated[str, Query(max_length=2_000)] = "/queue"
) -> Response:
    """Sign somebody in, with a new session in place of any that came along."""
    address = request.client.host if request.client else ""
    old = at.cookies.read(request.cookies, SESSION)
    step = partial(at.accounts.sign_in, email, password, address, at.now(), old)
    try:
        token = await anyio.to_thread.run_sync(step, limiter=at.hashing)
    except ReviewError as error:
        if wants_json(request):
            raise
        return await run_in_threadpool(_refused, request, at, error, email)
    return await run_in_threadpool(_entered, request, at, token, local_path(next))


def _refused(request: Request, at: Console, error: ReviewError, email: str) -> Response:
    csrf = at.cookies.read(request.cookies, FORM)
    answer = shown(request, "sign_in", SignInView(message=str(error), email=email, csrf=csrf), STATUS[type(error)])
    if isinstance(error, TooManyError):
        answer.headers["Retry-After"] = str(max(error.seconds, 1))
    return answer


def _entered(request: Request, at: Console, token: str, go_on: str) -> Response:
    """Return the answer that brings a new session along."""
    session = at.accounts.session(token, at.now())
    if session is None:  # switched off in the very moment
        msg = "This account is switched off."
        raise InvalidError(msg)
    answer = done(request, SignedIn(session.person.name, session.person.role.word, session.csrf), go_on)
    at.cookies.put(answer, SESSION, token)
    at.cookies.drop(answer, FORM)
    return answer


def leave(request: Request, at: At) -> Response:
    """Sign out: the session ends here, whoever else has its cookie."""
    at.accounts.sign_out(at.cookies.read(request.cookies, SESSION), at.now())
    answer = done(request, SignedOut(), "/sign-in")
    at.cookies.drop(answer, SESSION)
    return answer


def invited(request: Request, at: At, token: Token) -> Response:
    """Show the page behind an invite, where somebody chooses a name and a password."""
    found, csrf = at.accounts.invited(token, at.now()), _form_token(request, at)
    answer = shown(request, "invite", InviteView(token, found.role.word, found.email, csrf=csrf))
    at.cookies.put(answer, FORM, csrf)
    return answer


async def accept(
    request: Request, at: At, token: Token, password: Given, name: Email = "", email: Email = ""
) -> Response:
    """Make the account of an invite, or set a new password, and sign in."""
    step = partial(at.accounts.accept, token, name, email, password, at.now())
    try:
        session = await anyio.to_thread.run_sync(step, limiter=at.hashing)
    except InvalidError as error:
        if wants_json(request):
            raise
        return await run_in_threadpool(_again, request, at, token, error, email)
    return await run_in_threadpool(_entered, request, at, session, "/queue")


def _again(request: Request, at: Console, token: str, error: InvalidError, email: str) -> Response:
    found, csrf = at.accounts.invited(token, at.now()), at.cookies.read(request.cookies, FORM)
    view = InviteView(token, found.role.word, found.email or email, message=str(error), csrf=csrf)
    return shown(request, "invite", view, STATUS[InvalidError])


def show_as(
    request: Request, at: At, who: Who, theme: Theme = None, compact: Switch = None, keys: Switch = None,
    zone: Annotated[str | None, Form(max_length=MOST_WORD)] = None,
) -> Response:  # fmt: skip
    """Keep how whoever asks wants pages to look; what is not named stays."""
    if zone is not None and zone not in available_timezones():
        msg = f"{zone!r} is no time zone; expected one such as Europe/Berlin or UTC"
        raise InvalidError(msg)
    keys_off = None if keys is None else not keys
    wanted: dict[str, Any] = {"theme": theme, "compact": compact, "keys_off": keys_off, "zone": zone}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    at.accounts.show_as(who.person, **wanted)
    return done(request, Shown(tuple(wanted)), _back(request))


def users(request: Request, at: At) -> Response:
    """Show the accounts, and invites that are still good."""
    return shown(request, "users", at.accounts.users(at.now()))


def invite(request: Request, at: At, who: Who, role: Annotated[RoleWord, Form()], email: Email = "") -> Response:
    """Make an invite; its address is told once."""
    token = at.accounts.invite(Role.of(role), at.now(), who.person, email)
    settings = at.settings.console
    address = f"{origin_of(request, settings.public_url, settings.tls)}/invite/{token}"
    if wants_json(request):
        return as_json(Link(address, role))
    return HTMLResponse(
        at.pages.render("users", at.accounts.users(at.now()), at.scene(request, secret=address)), 200
    )  # fmt: skip


def change(
    request: Request, at: At, who: Who, user: Number, role: Annotated[RoleWord | None, Form()] = None,
    on: Switch = None,
) -> Response:  # fmt: skip
    """Give an account another role, or switch it on or off; its sessions end."""
    at.accounts.change(who.person, user, at.now(), role=Role.of(role) if role else None, on=on)
    return done(request, Account(user), "/settings/users")


def _form_token(request: Request, at: Console) -> str:
    """Return what a form of these pages has to send along; one that a cookie has already stays."""
    session = getattr(request.state, "session", None)
    if session is not None:
        return str(session.csrf)
    return at.cookies.read(request.cookies, FORM) or secrets.token_urlsafe(32)


def _back(request: Request) -> str:
    """Return the page that a form was on, as the browser says; never one of another host."""
    parts = urlsplit(request.headers.get("referer", ""))
    return local_path(f"{parts.path}?{parts.query}" if parts.query else parts.path)
