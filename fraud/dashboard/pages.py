"""Pages from views: each template shows exactly one struct, and whoever reads it decides how times and colours look.

Templates escape everything by themselves, and a name that a view does not have is an error, never an empty place.
"""

import hashlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from fraud.dashboard import addresses, charts, formats, words
from fraud.dashboard.graph import drawn
from fraud.dashboard.qr import qr
from fraud.review.people import Role

FOLDER = Path(__file__).parent
PAPER = "print"
"""The page that is read later and elsewhere: moments stand there whole, in UTC, and nothing is folded."""
Theme = Literal["system", "light", "dark"]


class Reader(msgspec.Struct, frozen=True):
    """Who reads a page, and how: colours, lines a row, keys of one letter or none, time zone, columns of the queue."""

    name: str
    role: Role
    csrf: str
    theme: Theme = "system"
    compact: bool = False
    keys: bool = True
    zone: str = "UTC"
    columns: tuple[str, ...] = ()
    id: int = 0


class Scene(msgspec.Struct, frozen=True):
    """What surrounds a view: who reads it, when (wall clock), at which path.

    `heard_at` is when the newest decision was taken in, None where none was. `undo` is the token of what was just done;
    `flash` a sentence, and `secret` an address, that are told once.
    """

    reader: Reader | None
    now: int
    path: str
    currency: str = "EUR"
    heard_at: int | None = None
    undo: str = ""
    flash: str = ""
    secret: str = ""

    @property
    def after_sign_in(self) -> str:
        """Return the part of an address that says where somebody goes on who signs in; empty for the first page."""
        return self.path[self.path.find("?") :] if self.path.startswith("/sign-in?next=") else ""


class SignInView(msgspec.Struct, frozen=True):
    """The sign-in page: why the last try failed, and what was typed."""

    message: str = ""
    email: str = ""
    csrf: str = ""
    provider: str = ""
    """What the provider of identities is called, empty without one."""
    out: bool = False
    """Somebody has just signed out."""


class CodeView(msgspec.Struct, frozen=True):
    """The page where a code goes with the password. `secret` and `address` are what an app is told to make codes.

    They are empty where it was told already.
    """

    next: str
    message: str = ""
    secret: str = ""
    address: str = ""
    csrf: str = ""


class SecondFactorView(msgspec.Struct, frozen=True):
    """One's second factor.

    `state`: it is `set`, there is `none`, the account signs in by a `provider`, or codes are `off` in this console.
    """

    state: Literal["set", "none", "provider", "off"]
    needed: bool
    secret: str = ""
    address: str = ""
    message: str = ""


class InviteView(msgspec.Struct, frozen=True):
    """The page behind an invite: somebody chooses name and password."""

    token: str
    role: str
    email: str = ""
    message: str = ""
    csrf: str = ""
    provider: str = ""


class ProblemView(msgspec.Struct, frozen=True):
    """What went wrong, in one sentence with its repair; `doing` says what works all the same."""

    status: int
    title: str
    detail: str
    doing: str = ""


class Pages:
    """Render views as pages; `static` is the folder of what they load."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read templates from `folder/templates`; static files from `folder/static`."""
        self.static = folder / "static"
        self.environment = Environment(
            loader=FileSystemLoader(folder / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.environment.filters |= _filters()
        self.environment.globals |= _globals(self.asset)

    def render(self, name: str, view: msgspec.Struct | None, scene: Scene) -> str:
        """Return page or partial `name` of a view."""
        template = self.environment.get_template(f"{name}.html")
        return template.render(view=view, scene=scene, reader=scene.reader, exact=name == PAPER)

    def asset(self, name: str) -> str:
        """Return the address of a static file; it changes with the file, so a browser may keep it for ever."""
        return f"/static/{name}?v={_hash(self.static / name)}"


@cache
def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


# --- what templates may call -----------------------------------------------------------------------------------------


def _filters() -> dict[str, Callable[..., Any]]:
    plain = ("number", "count", "gain", "probability", "share", "points", "odds", "span", "seconds", "milliseconds")
    named = {name: getattr(formats, name) for name in (*plain, "version", "band", "utc")}
    return named | {
        "money": _money,
        "clock": pass_context(partial(_time, formats.clock)),
        "day": pass_context(partial(_time, formats.day)),
        "age": _age,
        "sign": words.sign,
        "said": words.said,
        "interval": _interval,
        "entity": addresses.entity_address,
        "json": _json,
    }


def _globals(asset: Callable[[str], str]) -> dict[str, Any]:
    return {
        "asset": asset,
        "queue_address": addresses.queue_address,
        "live_address": addresses.live_address,
        "queue_text": addresses.queue_text,
        "case_address": addresses.case_address,
        "parameters": addresses.parameters,
        "graph_address": addresses.graph_address,
        "place_of": addresses.place_of,
        "places": formats.places,
        "risk": formats.risk,
        "left": formats.left,
        "drawn": drawn,
        "qr": qr,
        "charts": charts,
        "words": words,
        "Role": Role,
    }


def zone_of(scene: Scene) -> ZoneInfo:
    """Return the time zone of whoever reads, UTC where this machine does not know it."""
    try:
        return ZoneInfo(scene.reader.zone if scene.reader else "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


@pass_context
def _money(context: Context, minor: int | None, currency: str | None = None) -> str:
    """Write an amount, of the base currency unless another is named."""
    return formats.money(minor, currency or context["scene"].currency)


def _time(write: Callable[..., str], context: Context, at: int | None) -> Markup:
    """Write a moment in the reader's zone, UTC behind it for whoever hovers; on paper in UTC."""
    if not at:
        return Markup("{}").format(formats.UNKNOWN)
    scene: Scene = context["scene"]
    shown = formats.utc(at) if context["exact"] else write(at, scene.now, zone_of(scene))
    return Markup('<time datetime="{}" title="{}">{}</time>').format(formats.machine(at), formats.utc(at), shown)


@pass_context
def _age(context: Context, at: int | None) -> str:
    return formats.age(at or None, context["scene"].now)


def _interval(found: Any) -> str:
    """Write a share with its interval, from a view's `Share`."""
    return formats.between(found.value, found.low, found.high)


def _json(found: msgspec.Struct) -> Markup:
    """Write a struct as JSON that may stand in a `<script>` of data: nothing in it can end that element."""
    text = msgspec.json.encode(found).decode()
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704 - what could end the element was written otherwise just above
