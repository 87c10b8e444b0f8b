"""A case: one screen, its parts, and everything that is done to it."""

from typing import Annotated

import msgspec
from fastapi import Form, Query, Request
from starlette.responses import RedirectResponse, Response

from fraud.dashboard.addresses import case_address, queue_address, queue_in, queue_text
from fraud.dashboard.answers import as_json, came_from, done, shown, wants_json
from fraud.dashboard.console import At, Who
from fraud.dashboard.routes.parameters import (
    Action,
    Alert,
    Key,
    Moment,
    Number,
    SomeAlerts,
    Taken,
    TakenKey,
    Text,
    Token,
    Verdict,
    Word,
    Yes,
)  # fmt: skip
from fraud.review.views import Given, QueueQuery

Keys = Annotated[int, Form(ge=0, le=100_000)]
Seconds = Annotated[float, Form(ge=0, le=86_400)]
Worth = Annotated[int | None, Form(ge=-1, le=1)]


class Revealed(msgspec.Struct, frozen=True):
    """A card's number, whole; that it was shown is noted in the audit log."""

    text: str


class Changed(msgspec.Struct, frozen=True):
    """The case in which something was done."""

    case: int


class Skipped(msgspec.Struct, frozen=True):
    """The case that somebody else may take, and the one that is locked now; None where nothing else waits."""

    case: int
    next_case: int | None


def mine() -> Response:
    """Go to the cases of whoever asks."""
    return RedirectResponse("/queue?shelf=mine", 303)


def case(
    request: Request, at: At, who: Who, case: Number, alert: Alert = None, undo: Key = "", taken: TakenKey = ""
) -> Response:
    """Show a case on one screen, with one of its alerts in focus."""
    return shown(request, "case", at.desk.case(case, who.person, at.now(), alert, queue_in(taken)), undo=undo)


def graph(
    request: Request, at: At, who: Who, case: Number, until: Moment = None,
    hops: Annotated[int, Query(ge=1, le=2)] = 2, alert: Alert = None,
) -> Response:  # fmt: skip
    """Show the neighbourhood of the case's card: as it was at the alert, or as of now where `until` is given."""
    as_of = "alert" if until is None else "now"
    found = at.desk.graph(case, who.person, at.now(), at=as_of, hops=hops, alert=alert)
    return shown(request, "graph", found)


def timeline(request: Request, at: At, who: Who, case: Number, after: Key = "") -> Response:
    """Show older payments of the case's card."""
    return shown(request, "timeline", at.desk.timeline(case, who.person, at.now(), after))


def trail(request: Request, at: At, who: Who, case: Number) -> Response:
    """Show how far the labels of a case have come; a page asks by itself until they are live."""
    return shown(request, "trail", at.desk.case(case, who.person, at.now()))


def dossier(request: Request, at: At, who: Who, case: Number) -> Response:
    """Show a case for print: stored reasons, trail, what was done, hashes."""
    return shown(request, "print", at.desk.dossier(case, who.person, at.now()))


def verdict(
    request: Request, at: At, who: Who, case: Number, verdict: Verdict, action: Action = "",
    alert: SomeAlerts = None, note: Text = "", worth: Worth = None, keys: Keys = 0, seconds: Seconds = 0.0,
    taken: Taken = "",
) -> Response:  # fmt: skip
    """Give a verdict on all alerts of a case, or on those named, and go to the next case."""
    given, queue = Given(verdict, action, tuple(alert or ()), note, worth, keys, seconds), queue_in(taken)
    decided = at.desk.decide(who.person, case, given, at.now(), queue)
    if wants_json(request):
        return as_json(decided)
    return RedirectResponse(_onward(decided.next_case, queue, decided.undo), 303)


def undo(request: Request, at: At, who: Who, token: Token) -> Response:
    """Take back what was done a moment ago, before it has left."""
    undone = at.desk.undo(who.person, token, at.now())
    return done(request, undone, case_address(undone.cases[0]) if len(undone.cases) == 1 else came_from(request))


def reopen(request: Request, at: At, who: Who, case: Number, reason: Text = "") -> Response:
    """Open a decided case again; another verdict then corrects the first."""
    at.desk.reopen(who.person, case, reason, at.now())
    return done(request, Changed(case), case_address(case))


def lock(request: Request, at: At, who: Who, case: Number, renew: Yes = False) -> Response:
    """Keep a case for oneself for a while, or for a while longer."""
    step = at.desk.renew if renew else at.desk.lock
    return done(request, step(who.person, case, at.now()), case_address(case))


def release(request: Request, at: At, who: Who, case: Number) -> Response:
    """Let a case go, so that somebody else may take it."""
    at.desk.let_go(who.person, case, at.now())
    return done(request, Changed(case), "/queue")


def skip(request: Request, at: At, who: Who, case: Number, reason: Text = "", taken: Taken = "") -> Response:
    """Let a case go with a reason, and go to the next one."""
    queue = queue_in(taken)
    following = at.desk.skip(who.person, case, reason, at.now(), queue)
    return done(request, Skipped(case, following), _onward(following, queue))


def escalate(request: Request, at: At, who: Who, case: Number, reason: Text = "", taken: Taken = "") -> Response:
    """Hand a case to a lead, and go to the next one."""
    queue = queue_in(taken)
    decided = at.desk.escalate(who.person, case, reason, at.now(), queue)
    return done(request, decided, _onward(decided.next_case, queue, decided.undo))


def worth(request: Request, at: At, who: Who, case: Number, value: Annotated[int, Form(ge=-1, le=1)]) -> Response:
    """Say whether the case was worth a review."""
    at.desk.worth(who.person, case, value, at.now())
    return done(request, Changed(case), case_address(case))


def note(request: Request, at: At, who: Who, case: Number, note: Text) -> Response:
    """Write a note on a case."""
    at.desk.note(who.person, case, note, at.now())
    return done(request, Changed(case), case_address(case))


def tag(request: Request, at: At, who: Who, case: Number, tag: Word = "", remove: Word = "") -> Response:
    """Put a tag on a case, or take one away."""
    if tag:
        at.desk.tag(who.person, case, tag, at.now())
    if remove:
        at.desk.tag(who.person, case, remove, at.now(), remove=True)
    return done(request, Changed(case), case_address(case))


def reveal(request: Request, at: At, who: Who, case: Number) -> Response:
    """Return the whole number of the case's card; that is noted in the audit log."""
    return as_json(Revealed(at.desk.reveal(who.person, case, at.now())))


def _onward(case: int | None, queue: QueueQuery | None, undo: str = "") -> str:
    """Return where one goes on: the next case, or the queue that is empty now."""
    if case is not None:
        return case_address(case, None, queue_text(queue), undo=undo)
    rest = queue_address(queue or QueueQuery())
    return f"{rest}{'&' if '?' in rest else '?'}undo={undo}" if undo else rest
