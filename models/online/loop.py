"""The learning loop: late labels in, parameters out, period by period; one code embedded, on Kafka and in the bench.

It is told decisions, matches of the label book, payments that have reached the age of learning, and ends of periods. At
the end of one, in this order: the gate lets through, what that cost each expert as said before is weighed, it is
learned, parameters are published as far as the step bound lets them, the guard decides; then payments go on.

What is learned when: an analyst's verdict as it comes through; all else once, when the payment has reached the age of
learning and nothing of it waits in the gate.

No clock and no chance. All state lies in the journal, row by row, so who commits the journal with the book may be
killed at any point.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from fraud.core.errors import StateError
from fraud.core.labels import LabelBook, Match
from fraud.core.learning.charts import Chart, flooding
from fraud.core.learning.gate import PATIENCE, Alarm, Gate, HeldChart, Waiting
from fraud.core.learning.guard import Guard, Step
from fraud.core.learning.journal import UNREADABLE, Journal, forget
from fraud.core.learning.mixture import EXPERTS
from fraud.core.learning.outcomes import probability
from fraud.core.pending import Pending
from fraud.core.records import Decision, FeatureVector, KnownLabel, LabelSource, Verdict, log_odds_in
from models.online.loop_state import LoopState, Settled, add
from models.online.recent import RECENT
from models.online.refresher import Base, Pace, Refresher, refresher_state
from models.online.ripe import Ripe
from models.online.snapshots import Event, Live, Snapshot, snapshot_of
from models.online.words import UNTOLD, analysts_words, by_analyst, first_told, one_sided, told_by_others

LOOP, LEARNED, SETTLED, VERSION = "loop", "learned", "settled", "version"
"""Kinds of rows in the journal, beside those of the gate and of the last decisions."""
KEPT_AFTER = 500
"""Payments that are learned ahead of a period's end until that is kept, which writes some 50 KB for a small base."""
PINNABLE = 50_000
"""So many versions can be pinned, the newest ones: those of a month at one a minute."""


class LearningRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a loop goes by: the period (ns), the age of learning (ns), the gate's charts, and how is learned.

    Without charts nothing is held on. `alert_at` returns the log-odds from which a payment of an amount (minor units)
    is an alert. Without `untold` payments that nobody has spoken of are not learned: where all labels are told at one
    age, such a payment has none at all.
    """

    every: int
    maturity: int
    alert_at: Callable[[int], float]
    charts: tuple[Chart, ...] = ()
    patience: int = PATIENCE
    pace: Pace = Pace()
    untold: bool = True


class Closed(NamedTuple):
    """What the end of a period, or an order, brings about.

    `known` is what entity state takes in, in order; `labels` is what the gate let through; `live` says which parameters
    payments get from now on, None when they get what they got.
    """

    known: tuple[KnownLabel, ...] = ()
    snapshot: Snapshot | None = None
    live: Live | None = None
    events: tuple[Event, ...] = ()
    labels: tuple[Waiting, ...] = ()


class LearningLoop:
    """Gate, learner and guard on one base, over the label book; see the module for the order.

    Without a base, as by rules alone, labels wait for the end of their period and nothing is learned.
    """

    def __init__(self, base: Base | None, book: LabelBook, rules: LearningRules, journal: Journal) -> None:
        """Go on where the journal stands; on another base than its own learning starts anew.

        Raises:
            StateError: when the journal cannot be read.
        """
        self._book, self._rules, self._journal, self._base = book, rules, journal, base
        self._events: list[Event] = []
        self._changed = False
        self._load()

    @property
    def version(self) -> str:
        """Return the version that payments get, `""`: the base as it was trained."""
        return self._state.served.version

    # ---- as things come

    def hear(self, decision: Decision, vector: FeatureVector | None) -> tuple[float, ...]:
        """Return what each expert says of a decision now, to be kept with it; nothing when it is of another base."""
        return () if self._refresher is None else self._refresher.hear(decision, vector, self._gate.period)

    def take(self, match: Match, period: int) -> None:
        """Take in a match of the label book that came in `period`: it waits in the gate.

        Raises ValueError for a period that is closed.
        """
        self._gate.take(match, base_of(match.item), period)

    def ripen(self, item: Pending) -> None:
        """Take in a payment that has reached the age of learning: it is learned at the end of the period.

        While something of it waits in the gate it is not; it is when that has come through.
        """
        if self._refresher is not None:
            self._ripe.add(item.tx_id)

    def settle(self, item: Pending) -> None:
        """Take in a payment whose deadline has passed: of a fraud that went through it counts when it was told.

        Untold ones are learned of such payments alone; of those that are refused or held, analysts tell early.
        """
        stands = self._book.standing(item) if item.went_through else None
        if stands is not None and stands.verdict is Verdict.FRAUD:
            number = next(reversed(self._settled), -1) + 1
            told_after, base = stands.at - item.paid_at, base_of(item)
            self._settled[number] = Settled(item.tx_id, item.channel, told_after, base, item.paid_at)
            self._journal.put(SETTLED, number, _encode(self._settled[number]))

    def work(self, most: int) -> int:
        """Learn of payments of that age ahead of the end of the period, so that it takes no longer than a step.

        So many are looked at at most; those of which something waits in the gate stay for the end. Return how many.
        What is learned is kept after some hundred of them, at the end of the period, or by an order: after a kill the
        others are learned again.
        """
        if self._refresher is None:
            return 0
        looked_at, free = self._ripe.take(self._gate.holds, most)
        for tx_id in free:
            self._learn_ripe(self._refresher, tx_id)
        if self._ripe.taken >= KEPT_AFTER:
            self._save()
        return looked_at

    def close(self, period: int, now: int, positions: Mapping[str, int] | None = None) -> Closed:
        """End all periods up to `period`, at `now` (ns UTC); `positions` go into the snapshot, should there be one."""
        begin, refresher = self._gate.period, self._refresher
        by_band = flooding(refresher.recent.probabilities()) if refresher else ()
        closed = self._gate.close(period, by_band, self._told())
        self._count("passed", len(closed.released))
        self._count("waited", sum(entry.period < begin for entry in closed.released))
        for alarm in closed.alarms:
            self._tell_alarm(alarm, now)
        snapshot = None
        if refresher is not None:
            self._begin(refresher.base, now)
        self._count_settled(refresher)
        if refresher is not None:
            self._learn_all(refresher, closed.released)
            snapshot = self._refreshed(refresher, now, positions or {})
        return self._done(now, closed.released, snapshot)

    def follow(self, base: Base | None, rules: LearningRules) -> None:
        """Go on behind the end of a period with another base, on which learning starts anew, or by other rules."""
        self._base, self._rules = base, rules
        self._load()

    def move(self, by: int, now: int) -> None:
        """Count periods on from another number, `by` more or fewer, at `now` (ns UTC).

        Fewer where a clock has gone back, more where nobody was here: what the gate doubts waits as long as before.
        """
        self._gate.move(by)
        self._guard.move(now)
        if self._refresher is not None:
            self._refresher.move(now)
            self._changed = True
        self._save()

    # ---- what operators order

    def release(self, chart: str, now: int) -> Closed:
        """Let the labels of a chart through. Raises ValueError for one that has no alarm."""
        passed = self._gate.release(chart)
        self._tell(now, "released", f"{chart}: {len(passed)} labels let through", chart=chart, labels=len(passed))
        self._learn_analysts(passed)
        return self._done(now, passed)

    def drop(self, chart: str, now: int) -> Closed:
        """Throw the labels of a chart away; their payments stand as if nobody had said them.

        Raises ValueError for a chart that has no alarm.
        """
        taken, passed = self._gate.drop(chart)
        count = sum(one.labels for one in taken)
        self._tell(now, "dropped", f"{chart}: {count} labels thrown away", chart=chart, labels=count)
        for one in taken:
            if (match := self._book.forget(one.before, one.said, now)) is not None:
                self._gate.take(match, one.base, self._gate.period)
        self._learn_analysts(passed)
        return self._done(now, passed)

    def pin(self, version: str, now: int) -> Closed:
        """Give payments one version until `unpin`. Raises ValueError for one that was never published."""
        number = version.partition("-")[0]
        sound = number.isascii() and number.isdigit() and len(number) < 19  # no journal takes more
        if not sound or self._journal.get(VERSION, int(number)) != version.encode():
            newest = self._state.version or "none yet"
            msg = f"'{version}' is no version of parameters on this model, the newest is {newest}: see their history"
            raise ValueError(msg)
        return self._pinned(version, now, "pinned", f"payments get parameters {version} until they are unpinned")

    def unpin(self, now: int) -> Closed:
        """Let the guard say again which parameters payments get."""
        return self._pinned(None, now, "unpinned", "the guard says again which parameters payments get")

    def rollback(self, now: int) -> Closed:
        """Give payments what they got before, until `unpin`; once more, and they get the base as it was trained."""
        before = self._state.served.before
        what = f"parameters {before}" if before else "the model as it was trained"
        closed = self._pinned(before, now, "rolled-back", f"payments get {what} again until they are unpinned")
        self._state.served.before = ""  # a second rollback does not bring back what the first one has left
        self._save()
        return closed

    def freeze(self, now: int) -> Closed:
        """Give payments the base as it was trained until `thaw`; learning goes on unseen."""
        return self._pinned("", now, "frozen", "payments get the model as it was trained until it is thawed")

    def thaw(self, now: int) -> Closed:
        """End a freeze."""
        return self._pinned(None, now, "thawed", "the guard says again which parameters payments get")

    # ---- what others show and keep

    def held(self) -> dict[str, HeldChart]:
        """Return what the gate holds, by chart."""
        return self._gate.held()

    def holds(self, tx_id: str) -> bool:
        """Tell whether anything of a payment waits in the gate."""
        return self._gate.holds(tx_id)

    def figures(self) -> dict[str, Any]:
        """Return what metrics and commands show."""
        state, guard, gate = self._state, self._guard, self._gate
        figures: dict[str, Any] = {
            "seq": state.seq, "version": state.version, "live": state.served.version,
            "pinned": state.served.pinned is not None, "counts": dict(state.counts), "step_rms": state.step_rms,
            "on": guard.on, "evidence": guard.evidence, "enough": guard.enough, "switches": guard.switches,
            "losses": msgspec.structs.asdict(state.sums), "waiting": gate.waiting, "unjudged": gate.unjudged,
            "held": {chart: one.count for chart, one in gate.held().items()}, "ripe": len(self._ripe),
        }  # fmt: skip
        if (refresher := self._refresher) is not None:
            figures["weights"] = dict(zip(EXPERTS, refresher.weights, strict=True))
            figures["learned"], figures["told"] = dict(refresher.labels), refresher.told.shares()
        return figures

    def snapshot(self) -> bytes:
        """Return the whole state: what the journal holds."""
        return self._journal.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole state; raise StateError for bytes that are none."""
        self._journal.restore(snapshot)
        self._load()

    # ---- learning

    def _told(self) -> list[float]:
        """Return what the base said of frauds whose deadline has passed; a word that is held counts for nothing."""
        return [one.base for one in self._settled.values() if one.base is not None and not self._gate.holds(one.tx_id)]

    def _begin(self, base: Base, now: int) -> None:
        """Note when learning on this base began, and say so where it has learned on another one."""
        state = self._state
        if state.since:
            return
        state.since = now
        if state.previous:
            text = f"the model is {base.version}, it was {state.previous}: learning starts anew"
            self._tell(now, "base-changed", text, base=base.version, before=state.previous)

    def _count_settled(self, refresher: Refresher | None) -> None:
        """Count how many frauds are told by the age of learning; a word that is held counts for nothing."""
        for number, settled in self._settled.items():
            if refresher is not None and not self._gate.holds(settled.tx_id):
                refresher.told.closed(settled.channel, settled.told_after, self._rules.maturity, settled.paid_at)
                self._changed = True
            self._journal.remove(SETTLED, number)
        self._settled.clear()

    def _note_told(self, refresher: Refresher, passed: Iterable[Waiting]) -> None:
        """Note when frauds were told whose deadline is yet to come, of payments that went through."""
        for channel, paid_at, told_after in first_told(passed):
            refresher.told.seen(channel, paid_at, told_after, self._rules.maturity)
            self._changed = True

    def _learn_all(self, refresher: Refresher, passed: Iterable[Waiting]) -> None:
        """Learn what there is: analysts' verdicts, payments that have reached the age of learning."""
        self._note_told(refresher, passed)
        self._learn_analysts(passed)
        for tx_id in self._ripe.take(self._gate.holds)[1]:
            self._learn_ripe(refresher, tx_id)

    def _learn_analysts(self, passed: Iterable[Waiting]) -> None:
        """Learn what analysts have said: somebody looked, so it is sure, at any age."""
        for word in analysts_words(passed):
            if self._refresher is not None and (item := self._book.item(word.tx_id)) is not None:
                again = word.again or not item.mature_at
                self._learn(self._refresher, item, LabelSource.ANALYST, fraud=word.fraud, again=again)

    def _learn_ripe(self, refresher: Refresher, tx_id: str) -> None:
        """Learn a payment that has reached the age of learning by what others than analysts say of it by now."""
        if (item := self._book.item(tx_id)) is None:
            self._count("unlearned", 1)
            return
        told, untold = told_by_others(item), self._rules.untold
        if told is None or (told.source == UNTOLD and not untold) or (untold and one_sided(item, told)):
            return
        share = refresher.told.share(item.channel) if untold and not told.sure else 1.0
        self._learn(refresher, item, told.source, fraud=told.fraud, told=share, again=by_analyst(item))

    def _learn(
        self, refresher: Refresher, item: Pending, source: str, *, fraud: bool, told: float = 1.0, again: bool
    ) -> None:
        """Weigh and learn one label; what cannot be learned is counted.

        What a second source says of a payment (`again`) is no second bet: it is known before how that would end.
        """
        losses = refresher.learn(item, source, fraud=fraud, told=told)
        if losses is None:
            self._count("unlearned", 1)
            return
        self._changed = self._state.fresh = True
        # dated by the period that it was heard in, for the bets count what was heard after a switch
        if not again:
            self._guard.absorb(losses._replace(decided_at=losses.decided_at * self._rules.every))
        refreshed = item.versions is not None and bool(item.versions.parameters)
        add(self._state.sums, losses, refreshed=refreshed)

    def _refreshed(self, refresher: Refresher, now: int, positions: Mapping[str, int]) -> Snapshot | None:
        """Publish what was learned, let the guard decide; return the snapshot, None when there is nothing new."""
        step = refresher.refresh(self._rules.alert_at) if self._state.fresh else None
        self._state.fresh = step is not None and step.share < 1
        self._tell_step(step, now)
        evidence, was = self._guard.evidence, self._guard.on
        if self._guard.decide(now) != was:
            kind, why = SWITCHES[self._guard.on]
            why += "" if self._state.served.pinned is None else ", once nothing is pinned"
            text = f"{why}: evidence {evidence[0]:.3g} for, {evidence[1]:.3g} against"
            self._tell(now, kind, text, version=self._state.version, evidence=evidence)
        self._changed = refresher.prove(now, on=self._guard.on) or self._changed or step is not None
        return self._published(refresher, now, positions) if step is not None and step.share else None

    def _published(self, refresher: Refresher, now: int, positions: Mapping[str, int]) -> Snapshot:
        """Return what the refresher has published as a snapshot, and note its version."""
        state, base = self._state, refresher.base
        state.seq += 1
        snapshot = snapshot_of(
            refresher.live, seq=state.seq, base=base.version, spec=base.spec, parent=state.version,
            why=f"labels learned until the end of a period, a step of {state.step_rms:.4f} rms", since=state.since,
            at=now, labels=dict(refresher.labels), watermark=refresher.watermark, evidence=self._guard.evidence,
            switches=self._guard.switches, promoted=self._guard.on and state.served.pinned is None,
            positions=dict(positions),
        )  # fmt: skip
        state.version = snapshot.version
        self._journal.put(VERSION, state.seq, snapshot.version.encode())
        self._journal.remove(VERSION, state.seq - PINNABLE)
        self._tell(now, "refreshed", f"parameters {snapshot.version}", version=snapshot.version, rms=state.step_rms)
        return snapshot

    # ---- what payments get, what is said

    def _pinned(self, version: str | None, now: int, kind: str, text: str) -> Closed:
        self._state.served.pinned = version
        self._tell(now, kind, text, version=version or "")
        return self._done(now, ())

    def _done(self, now: int, passed: tuple[Waiting, ...], snapshot: Snapshot | None = None) -> Closed:
        """Save all that has changed; return what came of it."""
        live = self._live(now)
        self._save()
        events, self._events = tuple(self._events), []
        return Closed(tuple(known for entry in passed for known in entry.known), snapshot, live, events, passed)

    def _save(self) -> None:
        """Keep what was learned, and with it that it was learned."""
        if self._refresher is not None and self._changed:
            self._journal.put(LEARNED, 0, self._refresher.snapshot())
        self._changed = False
        self._ripe.settle()
        self._state.guard = self._guard.snapshot()
        self._journal.put(LOOP, 0, _encode(self._state))

    def _live(self, now: int) -> Live | None:
        """Return what payments get from now on where that is something else."""
        served, guarded = self._state.served, self._state.version if self._guard.on else ""
        version = guarded if served.pinned is None else served.pinned
        if (version, served.pinned) == (served.version, served.told):
            return None
        if version != served.version:
            served.before, served.version = served.version, version
        served.told = served.pinned
        why = "the guard says so" if served.pinned is None else "somebody has pinned it"
        seq = int(version.partition("-")[0]) if version else 0
        return Live(base=self._state.base, version=version, seq=seq, why=why, at=now, pinned=served.pinned is not None)

    def _tell(self, now: int, kind: str, text: str, **details: Any) -> None:
        self._count(kind, 1)
        self._state.events += 1
        self._events.append(Event(seq=self._state.events, at=now, kind=kind, text=text, details=details))

    def _tell_alarm(self, alarm: Alarm, now: int) -> None:
        text = f"{alarm.chart}: labels do not fit what the model said; they are held until they are released or dropped"
        self._tell(now, "alarm", text, chart=alarm.chart, number=alarm.number)

    def _tell_step(self, step: Step | None, now: int) -> None:
        """Note how long a step is; say once that steps are refused."""
        if step is None:
            return
        self._state.step_rms = step.rms * step.share
        self._count("cut", int(0 < step.share < 1))
        if not step.share and not self._state.refused:
            self._tell(now, "refused", step.why, rms=step.rms, alerts=step.alerts)
        self._state.refused = not step.share

    def _count(self, name: str, more: int) -> None:
        if more:
            self._state.counts[name] = self._state.counts.get(name, 0) + more

    # ---- from the journal

    def _load(self) -> None:
        """Take up what the journal holds."""
        rules, journal = self._rules, self._journal
        self._gate = Gate(journal, rules.charts, patience=rules.patience)
        self._guard = Guard(rules.maturity)
        try:
            body = journal.get(LOOP, 0)
            self._state: LoopState = LoopState() if body is None else _state_in(body)
            self._ripe = Ripe(journal)
            self._settled: dict[int, Settled] = {number: _settled_in(body) for number, body in journal.rows(SETTLED)}
        except UNREADABLE as error:
            msg = f"the learning loop's state cannot be read ({error}): restore what `snapshot` returned"
            raise StateError(msg) from error
        self._refresher: Refresher | None = None if self._base is None else self._taken_up(self._base)
        self._guard.restore(self._state.guard or self._guard.snapshot())  # also where nobody learns for now

    def _taken_up(self, base: Base) -> Refresher:
        """Return what was learned on a base; nothing yet where the journal is of another one."""
        had = self._state
        if another := had.base not in ("", base.version):
            for kind in (RECENT, VERSION):
                forget(self._journal, kind)
            self._state = LoopState(previous=had.base, seq=had.seq, events=had.events, counts=had.counts)
        if had.base != base.version:
            self._state.served.told = ""  # others may have heard of this base before: it is said what holds now
        self._state.base = base.version
        refresher = Refresher(base, self._rules.pace, self._journal)
        if (body := self._journal.get(LEARNED, 0)) is not None:
            learned = refresher_state(body)
            if another or learned.base != base.version:
                refresher.told.restore(learned.told)  # it is of the book, whatever the base
            else:
                refresher.restore(learned)
        self._changed = another  # so that nothing of the other base is kept
        return refresher


def base_of(item: Pending) -> float | None:
    """Return the base's probability of a payment when it was decided, None where there was none."""
    logit = log_odds_in(item.parts)
    return None if logit is None else probability(logit)


_encode = msgspec.msgpack.Encoder().encode
_state_in = msgspec.msgpack.Decoder(LoopState).decode
_settled_in = msgspec.msgpack.Decoder(Settled).decode
SWITCHES = {
    True: ("promoted", "payments get what was learned"),
    False: ("reverted", "payments get the model as it was trained"),
}
