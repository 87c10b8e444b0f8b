"""The intake: one batch, one transaction, with everything that follows from it; and what time alone brings about."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from fraud.core.identity import name_of
from fraud.review import counters, lapsing
from fraud.review.changes import noted
from fraud.review.counters import Sums
from fraud.review.database import Database
from fraud.review.intake import alerts, labels, learner, marks, payments, peers, stages, tidying, timeouts
from fraud.review.intake.entities import Entities
from fraud.review.intake.marks import Held
from fraud.review.intake.seen import AppliedSeen, Changes, DecisionSeen, KnownSeen, LiveSeen, Marks, Seen
from fraud.review.intake.standing import standing
from fraud.review.intake.terms import Terms
from fraud.review.intake.timeouts import Journal
from fraud.review.words import Changed

APPROVED = "approved"
"""The sum of approved payments: the number that the next peer has."""


class Intake:
    """Takes in what the projector has read. One at a time may work on a database (`fraud.dashboard.projector`)."""

    def __init__(self, database: Database, terms: Terms, journal: Journal) -> None:
        """Take a database that has its tables, and the log of who has ordered what."""
        self._database, self._terms, self._journal = database, terms, journal
        self._parts: set[int] = set()
        self._named: Mapping[str, str] = {}

    def offsets(self, topics: Sequence[str], named: Mapping[str, str] | None = None) -> Marks:
        """Return where to go on reading topics of the feed, by partition; `named` has them with their ids.

        What is taken in from here on is of those.
        """
        self._named = named or {}
        with self._database.read() as connection:
            return marks.offsets(connection, topics, named)

    def take(self, batch: Sequence[Seen], read: Mapping[tuple[str, int], int], now: int) -> Changes:
        """Write a batch and how far it reaches, `read`, in one transaction; return the alerts that it changes.

        What is at or below what was taken in before is dropped. `now` is the wall clock, UTC ns.
        """
        parts = set(self._parts)
        with self._database.write() as connection:
            changes = self._take(connection, batch, read, now, parts)
        self._parts = parts
        return changes

    def expire(self, now: int) -> Changes:
        """Close what nobody has looked at by `now`, wall clock, UTC ns; a held payment gets its order, once."""
        with self._database.write() as connection:
            return timeouts.expire(connection, self._terms, now, self._journal)

    def lapse(self, now: int) -> int:
        """Let verdicts hold whose second look nobody has taken by `now`; return in how many cases."""
        return lapsing.lapse(self._database, self._terms.blind_lapse, self._journal, now)

    def tidy(self, now: int) -> bool:
        """Let go what is kept long enough, a piece of it; tell whether there is more. `now` is the wall clock."""
        return tidying.tidy(self._database, self._terms, now)

    def _take(
        self, connection: Connection, batch: Sequence[Seen], read: Mapping[tuple[str, int], int], now: int,
        parts: set[int],
    ) -> Changes:  # fmt: skip
        held = Held(connection, self._named)
        new = held.new(batch)
        decisions = [seen for seen in new if isinstance(seen, DecisionSeen)]
        sums: Sums = defaultdict(int)
        added = self._decide(connection, [seen for seen in decisions if not seen.repeat], held, now, parts, sums)
        changed = self._learn(connection, new, sums)
        held.hear(decisions)
        held.move(read)
        counters.add_all(connection, sums, counters.PROJECTOR)
        held.write(connection)
        noted(connection, added, Changed.ADDED, now)
        noted(connection, changed, Changed.CHANGED, now)
        return Changes(tuple(added), tuple(changed))

    def _decide(
        self, connection: Connection, decisions: Sequence[DecisionSeen], held: Held, now: int, parts: set[int],
        sums: Sums,
    ) -> list[int]:  # fmt: skip
        """Write decisions with their payments, entities, peers and alerts; return the new alerts' numbers."""
        if not decisions:
            return []
        entities = Entities()
        told = payments.see(decisions, entities)
        known = standing(connection, [name_of(seen.decision) for seen in decisions])
        payments.write(connection, told, held.stream - self._terms.keep_payments, known, parts)
        before = counters.read(connection, APPROVED).get((APPROVED, counters.ALL), 0)
        _add(sums, {(APPROVED, counters.ALL): peers.take(connection, decisions, before)})
        _add(sums, payments.count(told, known, entities))
        _add(sums, stages.count(decisions))
        found = alerts.raised(told, self._terms, now)
        # The graph of an alert names its parties, so they are written before it is drawn; what alerts add, after.
        entities.write(connection)
        numbers, more = alerts.write(connection, found, now)
        _add(sums, more)
        return numbers

    def _learn(self, connection: Connection, new: Sequence[Seen], sums: Sums) -> list[int]:
        """Write labels and what was learned; return the alerts whose label trail has changed."""
        known = [seen for seen in new if isinstance(seen, KnownSeen)]
        applied = [seen for seen in new if isinstance(seen, AppliedSeen)]
        learner.take(connection, new)
        if known or applied:
            _add(sums, labels.take(connection, known, applied))
        told = {seen.label.tx_id for seen in known} | {seen.label.tx_id for seen in applied}
        if known or any(isinstance(seen, LiveSeen) for seen in new):
            told.update(learner.go_live(connection))
        return labels.alerts_of(connection, told)


def _add(sums: Sums, more: Mapping[tuple[str, int], int]) -> None:
    for key, value in more.items():
        sums[key] += value
