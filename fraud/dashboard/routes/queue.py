"""The queue: rows, live rows, export, the next case, saved views, many alerts at once."""

from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import parse_qsl

import msgspec
from fastapi import Form, Header, Query, Request
from fastapi.sse import EventSourceResponse
from starlette.responses import RedirectResponse, Response, StreamingResponse

from fraud.dashboard.addresses import case_address, queue_address, queue_in, queue_of, queue_text
from fraud.dashboard.answers import as_json, came_from, done, shown, wants_json
from fraud.dashboard.console import At, Console, Who
from fraud.dashboard.routes.parameters import LARGEST, Action, Alerts, Columns, Key, Number, Taken, Verdict, Word, Yes
from fraud.dashboard.security import SESSION
from fraud.review.errors import TooManyError
from fraud.review.views import Decided, QueueQuery, Shelf, Work

RETRY_SECONDS = 30
TAKEN_FROM = ("mine", "second", "disputes")
"""Queues besides kinds of work that a next case is taken from."""
Whom = Annotated[int, Form(ge=0, le=LARGEST)]
EventId = Annotated[int | None, Header(ge=0, le=LARGEST)]
Change = Annotated[int | None, Query(ge=0, le=LARGEST)]


class Next(msgspec.Struct, frozen=True):
    """The case that is now locked for who asked; None when nothing waits."""

    case: int | None


class Assigned(msgspec.Struct, frozen=True):
    """Whom alerts were given to, 0 for nobody, and in how many cases."""

    alerts: tuple[int, ...]
    colleague: int
    cases: int


class Tagged(msgspec.Struct, frozen=True):
    """The tag that alerts have now, and in how many cases."""

    alerts: tuple[int, ...]
    tag: str
    cases: int


class Deleted(msgspec.Struct, frozen=True):
    """A saved view that is gone."""

    view: int


def home(at: At, who: Who) -> Response:
    """Go to the queue that somebody begins with."""
    first = at.desk.first_view(who.person)
    return RedirectResponse("/queue" if first is None else queue_address(first.query, view=first.id), 303)


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
        return at.doors.accounts.session(token, at.now(), active=False) is not None

    async for text in at.live.watch(query, after, stays, token):
        yield text


def export(request: Request, at: At, who: Who) -> Response:
    """Return a queue as CSV: cards masked, a limited number of rows, noted in the audit log."""
    lines = at.desk.csv(queue_of(request.query_params), who.person, at.now())
    headers = {"Content-Disposition": 'attachment; filename="queue.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def take_next(
    request: Request, at: At, who: Who, kind: Annotated[Work, Form()] = "held",
    shelf: Annotated[Shelf, Form()] = "kind", taken: Taken = "",
) -> Response:  # fmt: skip
    """Lock the first case of a queue that nobody works on, and go there.

    `queue` is one as it stands behind `?` in its address, with its order and filter; without it `kind` and `shelf` say
    which.
    """
    queue = queue_in(taken.removeprefix("?")) or QueueQuery(kind=kind, shelf=shelf)
    stays = queue_address(queue)
    if queue.shelf not in TAKEN_FROM:
        queue = msgspec.structs.replace(queue, shelf="kind")
    case = at.desk.next(who.person, queue, at.now())
    return done(request, Next(case), stays if case is None else case_address(case, None, queue_text(queue)))


def save_view(
    request: Request, at: At, who: Who, name: Word, query: Annotated[str, Form(max_length=2_000)] = "",
    team: Yes = False, columns: Columns = None,
) -> Response:  # fmt: skip
    """Give a queue a name; `query` is what stands behind `?` in its address."""
    wanted = queue_of(dict(parse_qsl(query.removeprefix("?"))))
    saved = at.desk.save_view(who.person, name, wanted, team, at.now(), columns or ())
    return done(request, saved, queue_address(wanted, view=saved.id))


def change_view(
    request: Request, at: At, who: Who, view: Number, columns: Columns = None,
    default: Annotated[bool | None, Form()] = None,
) -> Response:  # fmt: skip
    """Change which columns a view has, or whether the queue begins with it."""
    changed = at.desk.change_view(who.person, view, at.now(), columns=columns or (), default=default)
    return done(request, changed, queue_address(changed.query, view=changed.id))


def delete_view(request: Request, at: At, who: Who, view: Number) -> Response:
    """Take the name of a queue away."""
    at.desk.delete_view(who.person, view, at.now())
    return done(request, Deleted(view), "/")


def assign(request: Request, at: At, who: Who, alert: Alerts, colleague: Whom) -> Response:
    """Give alerts to somebody, or with 0 to nobody; an analyst to themselves."""
    cases = at.desk.assign(who.person, tuple(alert), colleague or None, at.now())
    return done(request, Assigned(tuple(alert), colleague, cases), came_from(request))


def tag(request: Request, at: At, who: Who, alert: Alerts, tag: Word) -> Response:
    """Put a tag on the cases of alerts."""
    cases = at.desk.tag_all(who.person, tuple(alert), tag, at.now())
    return done(request, Tagged(tuple(alert), tag, cases), came_from(request))


def bulk(
    request: Request, at: At, who: Who, alert: Alerts, verdict: Verdict, action: Action = "", preview: Yes = False,
    taken: Taken = "",
) -> Response:  # fmt: skip
    """Decide many alerts at once; with `preview` say what that would do, and do nothing."""
    queue = queue_in(taken.removeprefix("?")) or QueueQuery()
    if preview:
        view = at.desk.bulk_preview(who.person, tuple(alert), verdict, action, at.now())
        return shown(request, "bulk", msgspec.structs.replace(view, queue=queue))
    decided: Decided = at.desk.bulk(who.person, tuple(alert), verdict, action, at.now())
    rest = queue_address(queue)
    go_on = f"{rest}{'&' if '?' in rest else '?'}undo={decided.undo}"
    return as_json(decided) if wants_json(request) else RedirectResponse(go_on, 303)
