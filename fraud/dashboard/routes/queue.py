"""The queue: rows, live rows, export, the next case, saved views, many alerts at once."""

from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import parse_qsl

import msgspec
from fastapi import Form, Header, Query, Request
from fastapi.sse import EventSourceResponse
from starlette.responses import RedirectResponse, Response, StreamingResponse

from fraud.dashboard.addresses import case_address, queue_address, queue_of
from fraud.dashboard.answers import as_json, done, shown, wants_json
from fraud.dashboard.console import At, Console, Who
from fraud.dashboard.routes.parameters import LARGEST, Action, Alerts, Id, Key, Number, Verdict, Word, Yes
from fraud.dashboard.security import SESSION
from fraud.review.errors import TooManyError
from fraud.review.views import Decided, QueueQuery, Shelf, Work

RETRY_SECONDS = 30
TAKEN_FROM = ("second", "disputes")
"""Queues besides kinds of work that a next case is taken from."""
EventId = Annotated[int | None, Header(ge=0, le=LARGEST)]
Change = Annotated[int | None, Query(ge=0, le=LARGEST)]


class Next(msgspec.Struct, frozen=True):
    """The case that is now locked for who asked; None when nothing waits."""

    case: int | None


class Assigned(msgspec.Struct, frozen=True):
    """Whom alerts were given to."""

    alerts: tuple[int, ...]
    colleague: int


class Deleted(msgspec.Struct, frozen=True):
    """A saved view that is gone."""

    view: int


def home() -> Response:
    """Go to the queue."""
    return RedirectResponse("/queue", 303)


def queue(request: Request, at: At, who: Who, undo: Key = "") -> Response:
    """Show a queue: its rows, how much waits in each queue, the key of the next page."""
    page = at.desk.queue(queue_of(request.query_params), who.person, at.now())
    return shown(request, "queue", page, undo=undo)


async def live(request: Request, at: At, since: Change = None, last_event_id: EventId = None) -> Response:
    """Tell what changes in a queue, as server-sent events: added, changed, gone, counts, reset.

    `since` is the change that a page was made at, its `newest`; an event's id in `Last-Event-ID` stands above it.
    """
    query = queue_of(request.query_params)
    token = at.cookies.read(request.cookies, SESSION)
    if not at.live.has_room(token):
        msg = "As many pages are told of changes as may be; this one shows what is there when it is loaded."
        raise TooManyError(msg, RETRY_SECONDS)
    headers = {"X-Accel-Buffering": "no"}
    after = since if last_event_id is None else last_event_id
    return EventSourceResponse(_events(at, query, after, token), headers=headers)


async def _events(at: Console, query: QueueQuery, after: int | None, token: str) -> AsyncIterator[bytes]:
    def stays() -> bool:
        return at.accounts.session(token, at.now(), active=False) is not None

    async for text in at.live.watch(query, after, stays, token):
        yield text


def export(request: Request, at: At, who: Who) -> Response:
    """Return a queue as CSV: cards masked, a limited number of rows, noted in the audit log."""
    lines = at.desk.csv(queue_of(request.query_params), who.person, at.now())
    headers = {"Content-Disposition": 'attachment; filename="queue.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def take_next(
    request: Request, at: At, who: Who, kind: Annotated[Work, Form()] = "held", shelf: Annotated[Shelf, Form()] = "kind"
) -> Response:
    """Lock the most important case of a queue that nobody works on, and go there."""
    case = at.desk.next(who.person, shelf if shelf in TAKEN_FROM else kind, at.now())
    stays = queue_address(QueueQuery(kind=kind, shelf=shelf))
    return done(request, Next(case), stays if case is None else case_address(case))


def save_view(
    request: Request, at: At, who: Who, name: Word, query: Annotated[str, Form(max_length=2_000)] = "",
    team: Yes = False,
) -> Response:  # fmt: skip
    """Give a queue a name; `query` is what stands behind `?` in its address."""
    wanted = queue_of(dict(parse_qsl(query.removeprefix("?"))))
    saved = at.desk.save_view(who.person, name, wanted, team, at.now())
    return done(request, saved, queue_address(wanted, view=saved.id))


def delete_view(request: Request, at: At, who: Who, view: Number) -> Response:
    """Take the name of a queue away."""
    at.desk.delete_view(who.person, view, at.now())
    return done(request, Deleted(view), "/queue")


def assign(request: Request, at: At, who: Who, alert: Alerts, colleague: Id) -> Response:
    """Give alerts to somebody."""
    at.desk.assign(who.person, tuple(alert), colleague, at.now())
    return done(request, Assigned(tuple(alert), colleague), "/queue")


def bulk(
    request: Request, at: At, who: Who, alert: Alerts, verdict: Verdict, action: Action = "", preview: Yes = False
) -> Response:
    """Decide many alerts at once; with `preview` say what that would do, and do nothing."""
    if preview:
        return shown(request, "bulk", at.desk.bulk_preview(who.person, tuple(alert), verdict, action, at.now()))
    decided: Decided = at.desk.bulk(who.person, tuple(alert), verdict, action, at.now())
    return as_json(decided) if wants_json(request) else RedirectResponse(f"/queue?undo={decided.undo}", 303)
