"""What a request needs: the desk, accounts, pages and live updates of this process, and its clock."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple, Protocol, cast

from anyio import CapacityLimiter
from fastapi import Depends, Request

from fraud.dashboard.live import Live
from fraud.dashboard.pages import Pages, Reader, Scene, Theme
from fraud.dashboard.security import Cookies
from fraud.review.accounts import Accounts
from fraud.review.codes import Codes
from fraud.review.desk import Desk
from fraud.review.federation import Federation
from fraud.review.sessions import Session
from streaming.settings import ServiceSettings

if TYPE_CHECKING:
    from fraud.dashboard.oidc import Provider  # what it needs is loaded where a site has one


class Health(Protocol):
    """What the process says of itself."""

    def waits_for(self) -> Sequence[str]:
        """Return what is missing before the console is ready; nothing when it is."""

    def metrics(self) -> bytes:
        """Return figures in Prometheus's text format."""

    def heard_at(self) -> int | None:
        """Return when the newest decision was taken in, wall clock; None before the first."""


class Doors(NamedTuple):
    """The ways in. `hashing` lets few passwords be compared at once; `provider` is None where nobody else vouches."""

    accounts: Accounts
    codes: Codes
    federation: Federation
    provider: "Provider | None"
    hashing: CapacityLimiter


class Console(NamedTuple):
    """One console; `now` reads the wall clock, UTC ns."""

    desk: Desk
    doors: Doors
    pages: Pages
    live: Live
    health: Health
    settings: ServiceSettings
    cookies: Cookies
    now: Callable[[], int]

    def scene(self, request: Request, *, undo: str = "", flash: str = "", secret: str = "") -> Scene:
        """Return what surrounds a page: who reads it, when, and what is told once."""
        session: Session | None = getattr(request.state, "session", None)
        reader = None
        if session is not None:
            who = session.person
            reader = Reader(
                who.name,
                who.role,
                session.csrf,
                cast(Theme, session.theme),
                session.compact,
                session.keys,
                session.zone,
                session.columns,
                who.id,
            )
        query = f"?{request.url.query}" if request.url.query else ""
        return Scene(
            reader, self.now(), request.url.path + query, self.settings.money.base, self.health.heard_at(), undo,
            flash, secret,
        )  # fmt: skip


def console(request: Request) -> Console:
    """Return the console that a request came to."""
    found: Console = request.app.state.console
    return found


async def _at(request: Request) -> Console:
    return console(request)


async def signed_in(request: Request) -> Session:
    """Return who asks; only for routes that need a role, whose guard has looked already."""
    found: Session = request.state.session
    return found


At = Annotated[Console, Depends(_at)]
Who = Annotated[Session, Depends(signed_in)]
