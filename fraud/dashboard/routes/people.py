"""Accounts, invites to the console, and how somebody wants pages to look."""

from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

import msgspec
from fastapi import Form, Request
from starlette.responses import HTMLResponse, Response

from fraud.dashboard.answers import as_json, came_from, done, shown, wants_json
from fraud.dashboard.console import At, Who
from fraud.dashboard.routes.parameters import MOST_WORD, Columns, Number
from fraud.dashboard.security import origin_of
from fraud.review.errors import InvalidError
from fraud.review.people import Role
from fraud.review.saved import columns_of

Email = Annotated[str, Form(max_length=MOST_WORD)]
RoleWord = Literal["viewer", "analyst", "lead", "admin"]
Theme = Annotated[Literal["system", "light", "dark"] | None, Form()]
Switch = Annotated[bool | None, Form()]


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


def show_as(
    request: Request, at: At, who: Who, theme: Theme = None, compact: Switch = None, keys: Switch = None,
    zone: Annotated[str | None, Form(max_length=MOST_WORD)] = None, columns: Columns = None,
) -> Response:  # fmt: skip
    """Keep how whoever asks wants pages to look; what is not named stays."""
    if zone is not None and zone not in available_timezones():
        msg = f"{zone!r} is no time zone; expected one such as Europe/Berlin or UTC"
        raise InvalidError(msg)
    keys_off = None if keys is None else not keys
    shown = None if columns is None else " ".join(columns_of(columns))
    wanted: dict[str, Any] = {
        "theme": theme, "compact": compact, "keys_off": keys_off, "zone": zone, "columns": shown,
    }  # fmt: skip
    wanted = {name: value for name, value in wanted.items() if value is not None}
    at.doors.accounts.show_as(who.person, **wanted)
    return done(request, Shown(tuple(wanted)), came_from(request))


def users(request: Request, at: At) -> Response:
    """Show the accounts, and invites that are still good."""
    return shown(request, "users", at.doors.accounts.users(at.now()))


def invite(request: Request, at: At, who: Who, role: Annotated[RoleWord, Form()], email: Email = "") -> Response:
    """Make an invite; its address is told once."""
    token = at.doors.accounts.invite(Role.of(role), at.now(), who.person, email)
    settings = at.settings.console
    address = f"{origin_of(request, settings.public_url, settings.tls)}/invite/{token}"
    if wants_json(request):
        return as_json(Link(address, role))
    return HTMLResponse(
        at.pages.render("users", at.doors.accounts.users(at.now()), at.scene(request, secret=address)), 200
    )  # fmt: skip


def change(
    request: Request, at: At, who: Who, user: Number, role: Annotated[RoleWord | None, Form()] = None,
    on: Switch = None,
) -> Response:  # fmt: skip
    """Give an account another role, or switch it on or off; its sessions end."""
    at.doors.accounts.change(who.person, user, at.now(), role=Role.of(role) if role else None, on=on)
    return done(request, Account(user), "/settings/users")
