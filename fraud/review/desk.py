"""The desk: everything that an analyst or a lead does and sees. One call is one transaction.

`who` asks and is checked here, whatever page asked; `now` is the wall clock, UTC ns. Errors are those of `errors`: each
is a sentence for the person who asked.
"""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import select

from fraud.review import cases, picking, queue, releasing, remarks, reopening, rules_page, saved, selection
from fraud.review.case_views import CaseView, Dossier, GraphView, NoteView
from fraud.review.entities import entity_of
from fraud.review.errors import InvalidError
from fraud.review.finding import find
from fraud.review.model_page import model_of
from fraud.review.page_views import (
    Activated,
    AuditView,
    Checked,
    ModelView,
    RulesDiff,
    RulesView,
    RuleVersion,
    TeamView,
)
from fraud.review.people import Person, Role
from fraud.review.rights import need
from fraud.review.steps import undo
from fraud.review.tables import audit
from fraud.review.team import team_of
from fraud.review.tools import Tools
from fraud.review.verdicts import decide
from fraud.review.views import (
    ActionWord,
    Badge,
    BulkPreview,
    Decided,
    EntityView,
    Given,
    Owner,
    QueuePage,
    QueueQuery,
    QueueRow,
    SavedView,
    SearchView,
    Timeline,
    Undone,
    VerdictWord,
)

AUDIT_PAGE = 100


class Desk:
    """See the functions that it calls for what they raise."""

    def __init__(self, tools: Tools) -> None:
        """Take database, audit log, settings and library."""
        self.tools = tools

    # --- the queue

    def queue(self, query: QueueQuery, who: Person, now: int) -> QueuePage:
        """Return a page of a queue."""
        return queue.page_of(self.tools, query, who, now)

    def row(self, alerts: Sequence[int], who: Person, now: int) -> tuple[QueueRow, ...]:
        """Return rows of alerts by number."""
        return queue.shown_rows(self.tools, alerts, who, now)

    def badges(self, who: Person, now: int) -> tuple[Badge, ...]:
        """Return what waits in each queue."""
        return queue.waiting_badges(self.tools, who, now)

    def csv(self, query: QueueQuery, who: Person, now: int) -> Iterator[str]:
        """Return a queue as lines of CSV."""
        return queue.exported(self.tools, query, who, now)

    def first_view(self, who: Person) -> SavedView | None:
        """Return the view that the queue begins with."""
        return saved.first_view(self.tools, who)

    def save_view(
        self, who: Person, name: str, query: QueueQuery, team: bool, now: int, columns: Sequence[str] = ()
    ) -> SavedView:
        """Keep a queue under a name."""
        return saved.save(self.tools, who, name, query, team, now, columns)

    def change_view(
        self, who: Person, number: int, now: int, *, columns: Sequence[str] = (), default: bool | None = None
    ) -> SavedView:
        """Change a queue that was kept: its columns, or whether one begins with it."""
        return saved.change(self.tools, who, number, now, columns=columns, default=default)

    def delete_view(self, who: Person, number: int, now: int) -> None:
        """Remove a queue that was kept."""
        saved.remove(self.tools, who, number, now)

    # --- who works on what

    def next(self, who: Person, work: str | QueueQuery, now: int) -> int | None:
        """Lock the case that comes next."""
        return picking.take_next(self.tools, who, work, now)

    def lock(self, who: Person, case: int, now: int) -> Owner:
        """Lock a case, or renew the lock."""
        return picking.lock(self.tools, who, case, now)

    def renew(self, who: Person, case: int, now: int) -> Owner:
        """Renew one's lock on a case."""
        return picking.lock(self.tools, who, case, now)

    def let_go(self, who: Person, case: int, now: int) -> None:
        """End one's lock on a case."""
        picking.let_go(self.tools, who, case, now)

    def skip(self, who: Person, case: int, reason: str, now: int, queue: QueueQuery | None = None) -> int | None:
        """Put a case back for others, and lock the next one."""
        return picking.skip(self.tools, who, case, reason, now, queue)

    def assign(self, who: Person, alerts: Sequence[int], colleague: int | None, now: int) -> int:
        """Give the cases of alerts to somebody."""
        return picking.assign(self.tools, who, alerts, colleague, now)

    # --- a case

    def case(
        self, number: int, who: Person, now: int, alert: int | None = None, queue: QueueQuery | None = None
    ) -> CaseView:
        """Return a case on one screen."""
        return cases.case_of(self.tools, who, number, now, alert, queue)

    def graph(
        self, number: int, who: Person, now: int, *, at: str = "alert", hops: int = 2, alert: int | None = None
    ) -> GraphView:
        """Return the graph of a case: of its `alert`, or as of `now`."""
        return cases.graph_of(self.tools, who, number, at, hops, now, alert)

    def timeline(self, number: int, who: Person, now: int, after: str) -> Timeline:
        """Return more payments of a case's card."""
        del who, now
        return cases.timeline_of(self.tools, number, after)

    def dossier(self, number: int, who: Person, now: int) -> Dossier:
        """Return a case for print."""
        return cases.dossier_of(self.tools, who, number, now)

    def decide(self, who: Person, case: int, given: Given, now: int, queue: QueueQuery | None = None) -> Decided:
        """Give a verdict."""
        return decide(self.tools, who, case, given, now, queue)

    def escalate(self, who: Person, case: int, reason: str, now: int, queue: QueueQuery | None = None) -> Decided:
        """Pass a case on to a lead, with a reason."""
        given = Given(verdict="escalated", action="none", note=picking.reason_of(reason))
        return decide(self.tools, who, case, given, now, queue)

    def undo(self, who: Person, token: str, now: int) -> Undone:
        """Take one's verdict back while nothing of it has left."""
        return undo(self.tools, who, token, now)

    def reopen(self, who: Person, case: int, reason: str, now: int) -> None:
        """Open a decided case again."""
        reopening.reopen(self.tools, who, case, reason, now)

    def worth(self, who: Person, case: int, value: int, now: int) -> None:
        """Say whether the look was worth it."""
        remarks.set_worth(self.tools, who, case, value, now)

    def note(self, who: Person, case: int, text: str, now: int) -> NoteView:
        """Write a note."""
        return remarks.add_note(self.tools, who, case, text, now)

    def tag(self, who: Person, case: int, name: str, now: int, *, remove: bool = False) -> None:
        """Tag a case, or take a tag away."""
        remarks.set_tag(self.tools, who, case, name, now, remove=remove)

    def reveal(self, who: Person, case: int, now: int) -> str:
        """Return the whole number of a case's card."""
        return remarks.reveal(self.tools, who, case, now)

    def reveal_entity(self, who: Person, card: int, now: int) -> str:
        """Return the whole number of a card."""
        return remarks.reveal_entity(self.tools, who, card, now)

    # --- many at once

    def bulk_preview(
        self, who: Person, alerts: Sequence[int], verdict: VerdictWord, action: ActionWord | str, now: int
    ) -> BulkPreview:
        """Return what one verdict on many alerts would do."""
        return selection.preview(self.tools, who, alerts, _given(verdict, action), now)

    def bulk(
        self, who: Person, alerts: Sequence[int], verdict: VerdictWord, action: ActionWord | str, now: int
    ) -> Decided:
        """Give one verdict on many alerts."""
        return selection.decide_all(self.tools, who, alerts, _given(verdict, action), now)

    def tag_all(self, who: Person, alerts: Sequence[int], name: str, now: int) -> int:
        """Tag the cases of alerts."""
        return remarks.tag_all(self.tools, who, alerts, name, now)

    # --- pages

    def search(self, who: Person, text: str, now: int) -> SearchView:
        """Return what a text names or stands in."""
        return find(self.tools, who, text, now)

    def entity(self, who: Person, kind: str, key: str, now: int, after: str = "") -> EntityView:
        """Return the history of a card, merchant or device."""
        return entity_of(self.tools, who, kind, key, now, after)

    def team(self, who: Person, now: int) -> TeamView:
        """Return the team's day."""
        return team_of(self.tools, who, now)

    def model(self, who: Person, now: int) -> ModelView:
        """Return the model's page."""
        return model_of(self.tools, who, now)

    def rules(self, who: Person, now: int, version: str = "") -> RulesView:
        """Return the rules' page."""
        return rules_page.rules_page(self.tools, who, now, version)

    def check(self, who: Person, text: str, lists: Mapping[str, str]) -> Checked:
        """Return what the compiler says of rules."""
        return rules_page.check(self.tools, who, text, lists)

    def save_rules(self, who: Person, text: str, lists: Mapping[str, str], note: str, now: int) -> RuleVersion:
        """Keep a rule text as a version."""
        return rules_page.save(self.tools, who, text, lists, note, now)

    def keep_live_rules(self, text: str, lists: Mapping[str, str], now: int) -> str:
        """Keep the rules that are in use as a version; called when the console starts."""
        return rules_page.keep_live(self.tools, text, lists, now)

    def difference(self, who: Person, before: str, after: str) -> RulesDiff:
        """Return the difference of two versions of the rules."""
        del who
        return rules_page.difference(self.tools, before, after)

    def activate(self, who: Person, version: str, note: str, now: int) -> Activated:
        """Make rules part of the release that decides, or ask a second lead to."""
        return releasing.activate(self.tools, who, version, note, now)

    def confirm_activation(self, who: Person, pending: str, now: int) -> Activated:
        """Agree to what another lead has asked for."""
        return releasing.confirm(self.tools, who, pending, now)

    def withdraw_activation(self, who: Person, pending: str, now: int) -> None:
        """Take back what waits for a second lead."""
        releasing.withdraw(self.tools, who, pending, now)

    def rollback(self, who: Person, release: str, note: str, now: int) -> Activated:
        """Make an earlier release decide again, or ask a second lead to."""
        return releasing.rollback(self.tools, who, release, note, now)

    def settle_releases(self, now: int) -> None:
        """Settle orders for a release that a process was giving when it ended; called when the console starts."""
        releasing.settle(self.tools, now)

    def audit(self, who: Person, now: int, after: str = "") -> AuditView:
        """Return a page of the audit log, newest first.

        Raises:
            ForbiddenError: for anybody but an administrator.
            InvalidError: for a key that no page gave.
        """
        del now
        need(who, Role.ADMIN, "read the audit log")
        if after and not after.isdecimal():
            msg = f"{after!r} is no key of a page: expected what an earlier page gave"
            raise InvalidError(msg)
        with self.tools.database.read() as connection:
            asked = select(audit).order_by(audit.c.seq.desc()).limit(AUDIT_PAGE + 1)
            rows = connection.execute(asked.where(audit.c.seq < int(after)) if after else asked).all()
            head = self.tools.audit.head(connection)
        shown = rows[:AUDIT_PAGE]
        key = str(shown[-1].seq) if len(rows) > AUDIT_PAGE else ""
        return AuditView(tuple(cases.step_of(row) for row in shown), key, head.seq)


def _given(verdict: VerdictWord, action: str) -> Given:
    return Given(verdict=verdict, action=action)  # type: ignore[arg-type]
