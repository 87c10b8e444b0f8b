"""The label book: a decision's vector is kept for its late labels; silence past a deadline means genuine.

The book decides joins, deadlines and who is believed. Where the pending items lie is behind a port (`PendingStore`):
memory in `pending.py`, disk in `streaming`. What holds of a payment depends on what was said of it, never on the order
in which it came.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from fraud.core.identity import name_of
from fraud.core.pending import THROWN_AWAY, Claim, Pending, PendingStore
from fraud.core.records import DAY, Decision, FeatureVector, KnownLabel, Label, LabelSource, Mark, Transaction, Verdict

PRECEDENCE = LabelSource.CHARGEBACK, LabelSource.ANALYST, LabelSource.SILENCE
# Of two verdicts of one source, version and time, which cannot both be meant, the one that costs less when it is wrong.
TIE = {Verdict.WITHDRAWN: 0, Verdict.GENUINE: 1, Verdict.FRAUD: 2}


class Deadlines(msgspec.Struct, frozen=True):
    """When something falls due after a payment, in nanoseconds; deadlines of silence may differ by channel.

    `keep` is how long a payment is remembered, so that a late label finds it; `keep_vectors` how long its vector is, to
    be learned from. Both last to the deadline at least, the vector to `maturity` too: the age at which a payment is
    learned, 0 where nobody learns.
    """

    default: int = 45 * DAY
    by_channel: dict[str, int] = {}
    keep: int = 180 * DAY
    keep_vectors: int = 45 * DAY
    maturity: int = 0

    def of(self, payment: Transaction | Decision) -> int:
        """Return the time at which silence about a payment becomes a verdict."""
        return payment.happened_at + self.by_channel.get(payment.channel, self.default)

    def vector_until(self, item: Pending) -> int:
        """Return when an item's vector goes."""
        return max(item.deadline, item.mature_at, item.paid_at + self.keep_vectors)

    def until(self, item: Pending) -> int:
        """Return when an item goes."""
        return max(item.deadline, item.mature_at, item.paid_at + self.keep)


class Standing(NamedTuple):
    """What holds of a payment: the verdict of whoever is believed most, since when it has been told, and by whom."""

    verdict: Verdict
    source: LabelSource
    at: int


class Match(msgspec.Struct, frozen=True, gc=False):
    """What a label, or a correction of its payment, changes: what is to be learned, and what the state takes in.

    `item` is the pending item as it stood before, with its vector (where one is kept). `label` says something new: its
    source has not given this verdict, or has given another one since; None when nobody has spoken. `known` is what
    entity state takes in, in order: empty when what holds of the payment is as before.
    """

    item: Pending
    label: Label | None = None
    known: tuple[KnownLabel, ...] = ()


class Due(NamedTuple):
    """What has come due: what silence says, what is old enough to be learned, and of whom the deadline has passed.

    `ripe` and `settled` are items as they stood before; `settled` are those of which somebody has spoken.
    """

    silent: list[Match]
    ripe: list[Pending]
    settled: list[Pending]


class BookState(msgspec.Struct, frozen=True):
    """A book's content, as written to a snapshot."""

    pending: bytes
    matched: int
    unmatched: int
    stale: int
    reused: int = 0


class LabelBook:
    """Join labels with the payments they speak of: each source's verdict once, corrections as such.

    Of what one source says the highest (version, happened_at) counts; the rest is stale. Across sources `precedence`
    tells who is believed; the book's own silence counts only where nobody has ever spoken. Counters are for metrics.
    """

    def __init__(
        self,
        pending: PendingStore,
        deadlines: Deadlines | None = None,
        precedence: Sequence[LabelSource] = PRECEDENCE,
        *,
        keep_vectors: bool = True,
    ) -> None:
        """Keep items in `pending`; without `keep_vectors` only what a join needs is kept."""
        self._pending = pending
        self._deadlines = deadlines or Deadlines()
        self._ranks = {source: rank for rank, source in enumerate(precedence)}
        self._keep_vectors = keep_vectors
        self.matched = self.unmatched = self.stale = self.reused = 0

    def counts(self) -> dict[str, int]:
        """Return what became of labels: those that joined, came without a payment, wait, were let go, were stale.

        `reused` counts payments under an id that another one had before: a label that names the id is of that one.
        """
        return {
            "matched": self.matched,
            "unmatched": self.unmatched,
            "early": self._pending.early_held(),
            "dropped": self._pending.early_dropped,
            "stale": self.stale,
            "reused": self.reused,
        }

    def hold(
        self,
        decision: Decision,
        vector: FeatureVector | None = None,
        said: tuple[float, ...] = (),
        partition: int = -1,
    ) -> list[Match]:
        """Keep a scored transaction, unless this or a newer version of it is in; return what its labels change.

        `said` is what the learning loop said of it: without it there is nothing to learn from it later. Changed are
        those by labels that came first, and verdicts on the version before: they hold for its correction too.
        `partition` is where what is known of it goes.
        """
        before = self._pending.get(name_of(decision))
        self.reused += bool(decision.known_as) or (before is not None and is_other(before, decision))
        if Mark.SUPERSEDED in decision.marks or (before is not None and before.version >= decision.version):
            return []
        item = self._item(decision, vector, said, partition)
        matches = []
        if before is not None:
            item = corrected(before, item)
            if before.due > before.deadline and not is_silent(item):  # settled once, and silence has nothing to say
                item = msgspec.structs.replace(item, due_at=item.deadline + 1)
            matches = [Match(before, None, self._moved(before, item, decision.seen_at))]
        self._pending.put(item)
        early = self._pending.take_early(item.tx_id)
        matches += [match for label in early if (match := self.match(label)) is not None]
        return [match for match in matches if match.label or match.known]

    def item(self, tx_id: str) -> Pending | None:
        """Return what is kept of a payment, None when nothing is (any more)."""
        return self._pending.get(tx_id)

    def label_due_at(self, tx: Transaction) -> int:
        """Return when `tx`, once held, falls due or has a label: at once (0) when one is here already."""
        if self._pending.early(tx.id):
            return 0
        deadline, maturity = self._deadlines.of(tx), self._deadlines.maturity
        return min(deadline, tx.happened_at + maturity) if maturity else deadline

    def match(self, label: Label) -> Match | None:
        """Join a label with its payment; None when the payment is not here (yet) or the label changes nothing."""
        item = self._pending.get(label.tx_id)
        if item is None:
            self._wait(label)
            return None
        before = next((claim for claim in item.claims if claim.source is label.source), None)
        if before is not None and not is_newer(label, before):
            self.stale += 1
            return None
        after = msgspec.structs.replace(item, claims=with_claim(item.claims, label), silent_at=0)
        self._pending.put(after)
        self.matched += 1
        said = Verdict.WITHDRAWN if before is None else before.verdict
        return self._match(item, after, label, new=label.verdict is not said)

    def release(self, tx_id: str, at: int) -> Match | None:
        """Note that a payment that was held went through at `at`; return what silence about it says by then."""
        item = self._pending.get(tx_id)
        if item is None or item.went_through:
            return None
        after = released = msgspec.structs.replace(item, released_at=at)
        passed = item.due > item.deadline and not item.claims and not item.reused
        if passed:
            after = msgspec.structs.replace(released, silent_at=silence(released).happened_at)
        self._pending.put(after)
        return self._match(released, after, silence(released), new=True) if passed else None

    def expire(self, now: int) -> Due:
        """Return, as genuine, what stayed silent past its deadline, and who else is of an age; let go what is too old.

        `now` is the stream's watermark. Who calls this has taken in every label that was given until then.
        """
        due, first = Due([], [], []), self._pending.next_due()
        if first is not None and first <= now:
            for item in self._pending.due(now):
                self._fall_due(item, now, due)
        return due

    def forget(self, before: Pending, said: Mapping[LabelSource, Pending], at: int) -> Match | None:
        """Take back what sources have said of a payment; return what state, which knows `before`, is to take in.

        `said` names each of the sources with the item as it stood before: that is what it has said again. Where that
        was nothing, it is no silence either, which would say that nobody has spoken.
        """
        item = self._pending.get(before.tx_id)
        if item is None:
            return None
        claims = {claim.source: claim for claim in item.claims if claim.source not in said}
        for source, then in said.items():
            claims |= {claim.source: claim for claim in then.claims if claim.source is source}
        for source in said.keys() - claims.keys() - {LabelSource.SILENCE}:
            claims[source] = Claim(source, Verdict.WITHDRAWN, THROWN_AWAY, 0)
        kept = tuple(claims[source] for source in sorted(claims))
        after = msgspec.structs.replace(item, claims=kept, silent_at=0 if kept else before.silent_at)
        self._pending.put(after)
        return self._match(before, after, silence(after), new=False, at=at)

    def next_due(self) -> int | None:
        """Return when something falls due, or None when nothing is pending."""
        return self._pending.next_due()

    def snapshot(self) -> bytes:
        """Return what is pending, and what was counted."""
        state = BookState(self._pending.snapshot(), self.matched, self.unmatched, self.stale, self.reused)
        return msgspec.msgpack.encode(state)

    def restore(self, snapshot: bytes) -> None:
        """Replace what is pending, and what was counted."""
        state = msgspec.msgpack.decode(snapshot, type=BookState)
        self._pending.restore(state.pending)
        self.matched, self.unmatched, self.stale = state.matched, state.unmatched, state.stale
        self.reused = state.reused

    def standing(self, item: Pending) -> Standing | None:
        """Return what holds of a payment, None when nothing does.

        The time is the earliest at which anybody who still says so said it: a second source changes nothing.
        """
        said = [claim for claim in item.claims if claim.verdict is not Verdict.WITHDRAWN]
        if not said:
            return Standing(Verdict.GENUINE, LabelSource.SILENCE, item.silent_at) if item.silent_at else None
        believed = min(said, key=lambda claim: self._ranks[claim.source]).verdict
        agreeing = [claim for claim in said if claim.verdict is believed]
        first = min(agreeing, key=lambda claim: (claim.happened_at, self._ranks[claim.source]))
        return Standing(believed, first.source, first.happened_at)

    def _item(
        self, decision: Decision, vector: FeatureVector | None, said: tuple[float, ...], partition: int
    ) -> Pending:
        maturity = self._deadlines.maturity if said else 0
        return Pending(
            tx_id=name_of(decision),
            version=decision.version,
            card=decision.card,
            merchant=decision.merchant,
            device=decision.device,
            paid_at=decision.happened_at,
            base_amount=decision.base_amount,
            unusual=decision.unusual,
            deadline=self._deadlines.of(decision),
            score=decision.score,
            vector=vector.values.tobytes() if self._keep_vectors and vector is not None else b"",
            action=decision.action,
            level=decision.level,
            parts=decision.parts,
            versions=decision.versions,
            channel=decision.channel,
            said=said,
            mature_at=decision.happened_at + maturity if maturity else 0,
            partition=partition,
            reused=bool(decision.known_as),
        )

    def _wait(self, label: Label) -> None:
        """Keep a label for its payment: of each source the newest."""
        early = {each.source: each for each in self._pending.early(label.tx_id)}
        if label.source in early and not is_newer(label, early[label.source]):
            self.stale += 1
            return
        self.unmatched += 1
        early[label.source] = label
        self._pending.put_early(label.tx_id, tuple(early[source] for source in sorted(early)))

    def _fall_due(self, item: Pending, now: int, due: Due) -> None:
        """Say that an item can be learned, and let silence speak of it at its deadline; keep what is kept on."""
        after, at_deadline = item, item.due <= item.deadline <= now
        if item.mature_at and item.mature_at <= now:
            after = msgspec.structs.replace(after, mature_at=0)
            due.ripe.append(item)
        if at_deadline and item.claims:
            due.settled.append(item)
        speaks = at_deadline and is_silent(item)
        if speaks:
            after = msgspec.structs.replace(after, silent_at=silence(item).happened_at)
        if (later := self._later(after, now)) is not None:
            self._pending.put(later)
        if speaks and (match := self._match(item, after, silence(item), new=True)) is not None:
            due.silent.append(match)

    def _later(self, item: Pending, now: int) -> Pending | None:
        """Return an item as it is kept from `now` on, until it falls due again; None when it goes."""
        if ahead := [at for at in (item.mature_at, item.deadline) if at > now]:
            due = min(ahead)
            return msgspec.structs.replace(item, due_at=0 if due == item.deadline else due)
        if now < (due := self._deadlines.vector_until(item)):
            return msgspec.structs.replace(item, due_at=due)
        if now < (due := self._deadlines.until(item)):
            # Without its vector there is nothing to learn from it, so what only a learner reads goes too.
            return msgspec.structs.replace(item, due_at=due, vector=b"", parts=(), versions=None, said=())
        return None

    def _match(self, item: Pending, after: Pending, label: Label, *, new: bool, at: int | None = None) -> Match | None:
        moved = self._moved(item, after, label.seen_at if at is None else at)
        return Match(item, label if new else None, moved) if new or moved else None

    def _moved(self, before: Pending, after: Pending, seen_at: int) -> tuple[KnownLabel, ...]:
        """Return what state takes in when an item changes: in its rows, or out of one place and into another."""
        old, new = self.standing(before), self.standing(after)
        if before.place == after.place and new is not None:
            return (known(after, new, old, seen_at),) if new != old else ()
        out = (known(before, old._replace(verdict=Verdict.WITHDRAWN), old, seen_at),) if old else ()
        return (*out, known(after, new, None, seen_at)) if new else out


def is_newer(label: Label, held: Label | Claim) -> bool:
    """Tell whether a label says something after what its source has said."""
    return order(label) > order(held)


def order(said: Label | Claim) -> tuple[int, int, int]:
    """Return what the verdicts of one source are ordered by."""
    return said.version, said.happened_at, TIE[said.verdict]


def with_claim(claims: tuple[Claim, ...], label: Label) -> tuple[Claim, ...]:
    """Return the claims with that of a label in place of its source's former one."""
    by_source = {claim.source: claim for claim in claims}
    by_source[label.source] = Claim(label.source, label.verdict, label.version, label.happened_at)
    return tuple(by_source[source] for source in sorted(by_source))


def corrected(before: Pending, item: Pending) -> Pending:
    """Return the item of a correction with what is known of the version before it; it is not learned a second time.

    Whether that was learned cannot be told once its vector is gone: then it was, or it is too late.
    """
    silent = before.silent_at if item.went_through or before.released_at else 0
    learned = not before.mature_at and (before.said or before.versions is None)
    mature_at = 0 if learned else item.mature_at
    return msgspec.structs.replace(
        item, claims=before.claims, released_at=before.released_at, silent_at=silent, due_at=0, mature_at=mature_at
    )


def is_other(item: Pending, decision: Decision) -> bool:
    """Tell whether a decision of the same version as an item is on another payment."""
    mine = item.card, item.merchant, item.base_amount
    return item.version == decision.version and mine != (decision.card, decision.merchant, decision.base_amount)


def is_silent(item: Pending) -> bool:
    """Tell whether nobody has spoken of a payment that went through, so that silence may, and it has not yet.

    Where its id is another one's, who complains of it names that: no silence is about it.
    """
    return item.went_through and not item.reused and not item.claims and not item.silent_at


def silence(item: Pending) -> Label:
    """Return the verdict that silence gives: at the deadline, or at a release after it, whenever it was noticed."""
    at = max(item.deadline, item.released_at)
    return Label(tx_id=item.tx_id, verdict=Verdict.GENUINE, happened_at=at, seen_at=at, source=LabelSource.SILENCE)


def known(item: Pending, new: Standing, old: Standing | None, seen_at: int) -> KnownLabel:
    """Return what holds of an item with all that entity state needs to take it in, and to take out what held."""
    return KnownLabel(
        tx_id=item.tx_id,
        verdict=new.verdict,
        source=new.source,
        happened_at=new.at,
        seen_at=seen_at,
        card=item.card,
        merchant=item.merchant,
        paid_at=item.paid_at,
        base_amount=item.base_amount,
        device=item.device,
        unusual=item.unusual,
        replaces=old.verdict if old else None,
        replaces_at=old.at if old else 0,
        partition=item.partition,
    )
