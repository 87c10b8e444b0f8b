"""The engine: events in, answers out. The one code path of live scoring, replay and the demo.

The order is fixed: expire deadlines, look, absorb, score, decide, hold for label; labels: match, update neighbour
label state, expire deadlines. The engine has no clock: it is told the time by the events. Looking and absorbing run one
event at a time, the model once over the batch; nothing that the model computes is an input of the state, so batches do
not change answers.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
import numpy as np

from fraud.core.decisions import Explained, Scored, answer_of
from fraud.core.errors import StateError
from fraud.core.identity import is_same_payment, own_answer_name, own_name
from fraud.core.labels import LabelBook
from fraud.core.ports import Encoder, Extractor, Histories, Policy, RuleBook, Scorer, StateStore, TimeLeft, WorkingSet
from fraud.core.records import (
    DAY,
    Answer,
    Arrival,
    Explainer,
    FeatureVector,
    KnownLabel,
    Label,
    Level,
    Mark,
    Position,
    Score,
    Transaction,
    Values,
)
from fraud.core.second_half import Boundary, Heard, Learning, SecondHalf

NEVER = 2**63
Way = tuple[str | None, Level, str | None]
"""How a payment is scored: release, level, version of parameters; None: what is in force."""


class Strategy(msgspec.Struct, frozen=True):
    """What turns a vector into an action: scorer, rules and policy; `reduced` are the scorers of the lower levels.

    `parameters` is the version of what was learned since the scorer was trained that is in force, `""` for none.
    `versions` holds, of each version that payments may be scored by, the scorers of the levels that it changes.
    `release` is the id of the release that this is, `""` for what settings have chosen; `others` holds, where a log is
    decided again, the strategies of the releases that it names.
    """

    scorer: Scorer
    rules: RuleBook
    policy: Policy
    reduced: Mapping[Level, Scorer] = {}
    parameters: str = ""
    versions: Mapping[str, Mapping[Level, Scorer]] = {}
    release: str = ""
    others: "Mapping[str, Strategy]" = {}

    def under(self, release: str | None) -> "Strategy":
        """Return the strategy of a release (None: what is in force).

        Raises:
            StateError: when that release is not at hand.
        """
        if release is None or release == self.release:
            return self
        if release not in self.others:
            named = f"release {release}" if release else "what decided before there was a release"
            msg = f"{named} is not at hand: a log is decided again by what its decisions name, see docs/releases.md"
            raise StateError(msg)
        return self.others[release]

    def at(self, level: Level, parameters: str | None = None) -> Scorer:
        """Return the scorer of a level of the ladder, by a version of parameters (None: by what is in force).

        Raises:
            StateError: when that version is not at hand.
        """
        version = self.parameters if parameters is None else parameters
        if not version:
            return self.reduced.get(level, self.scorer)
        if version not in self.versions:
            msg = f"parameters {version} are not at hand: read their snapshot from the topic of model updates first"
            raise StateError(msg)
        scorers = self.versions[version]
        return scorers.get(level) or self.reduced.get(level) or scorers.get(Level.FULL, self.scorer)


class Lateness(msgspec.Struct, frozen=True):
    """How far behind the watermark of its partition an event may be before it is marked late, in nanoseconds."""

    allowed: int = DAY


class Unhurried:
    """The TimeLeft port of whoever waits for the whole answer."""

    def explains(self) -> bool:
        """Return that there is time."""
        return True


class _Looked(msgspec.Struct):
    """A transaction of the open batch: looked at and absorbed, not yet scored (or answered already).

    `id` is what it was looked at by.
    """

    id: str
    tx: Transaction
    arrival: Arrival
    values: Values
    marks: tuple[Mark, ...]


class EngineState(msgspec.Struct, frozen=True):
    """An engine's own state, as written to a snapshot; the store writes its own."""

    watermark: int
    watermarks: list[tuple[str, int, int]]
    store: bytes
    book: bytes
    learned: bytes = b""


class Engine:
    """Decide on transactions and take in labels, in the order given.

    First half: look, absorb, score, decide, label state. Second half: hold, match (with `book`; without one the engine
    expects labels that are already known, as a worker gets them from the label book's topic). With `learning`, which
    needs a book, labels wait for the end of their refresh period, and what is learned then decides on the payments
    after it: batches are taken in parts that end where a period does.
    """

    def __init__(
        self,
        extractor: Extractor,
        store: StateStore,
        strategy: Strategy,
        book: LabelBook | None = None,
        lateness: Lateness | None = None,
        time: TimeLeft | None = None,
        learning: Learning | None = None,
        heard: Heard | None = None,
    ) -> None:
        """Keep the parts; nothing is read before the first batch. Without `time` there is always enough.

        `heard` hears which labels the book lets the state take in.
        """
        self._extractor = extractor
        self._store = store
        self._strategy = strategy
        self._encoder = encoder_of(strategy)
        self._labels = None if book is None else SecondHalf(book, learning, heard)
        self._lateness = lateness or Lateness()
        self._time = time or Unhurried()
        self._watermarks: dict[tuple[str, int], int] = {}
        self._watermark = 0
        self._answers: list[Answer] = []
        self._looked: dict[str, _Looked] = {}
        self._label_due_at = NEVER

    def handle(self, batch: Sequence[Arrival]) -> list[Answer]:
        """Return one answer per transaction of the batch, in order."""
        if self._labels is None:
            return self._handle(batch)
        answers: list[Answer] = []
        for period, part in self._labels.periods(batch):
            boundary = self._labels.begin(period)
            self._follow(boundary)
            answers += self._handle(part, boundary.known)
        return answers

    def release(self, tx_id: str, at: int) -> None:
        """Between two batches, note that a payment that was held went through at `at`, ns UTC of the stream.

        Silence about it then means something: see `LabelBook.release`. Without a label book nothing is noted.
        """
        if self._labels is not None:
            self._handle((), self._labels.release(tx_id, at))

    @property
    def strategy(self) -> Strategy:
        """Return what decides now, with what was learned."""
        return self._strategy

    def replace_strategy(self, strategy: Strategy) -> None:
        """Swap scorer, rules, policy and parameters between two batches."""
        self._strategy, self._encoder = strategy, encoder_of(strategy)

    def snapshot(self) -> bytes:
        """Return the whole state: entity rows, pending items, watermarks."""
        watermarks = [(topic, partition, at) for (topic, partition), at in self._watermarks.items()]
        book, learned = self._labels.snapshot() if self._labels else (b"", b"")
        state = EngineState(self._watermark, watermarks, self._store.snapshot(), book, learned)
        return msgspec.msgpack.encode(state)

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole state."""
        state = msgspec.msgpack.decode(snapshot, type=EngineState)
        self._store.restore(state.store)
        self._watermarks = {(topic, partition): at for topic, partition, at in state.watermarks}
        self._watermark = state.watermark
        if self._labels:
            self._follow(self._labels.restore(state.book, state.learned))

    def _handle(self, batch: Sequence[Arrival], known: Sequence[KnownLabel] = ()) -> list[Answer]:
        """Take a batch; first the state takes in what has become known."""
        answers = self._decide(batch, known)
        if all(answer is mine for answer, mine in zip(answers, self._answers, strict=True)):
            return answers
        payments = [arrival for arrival in batch if isinstance(arrival.event, Transaction)]
        return [
            answer if self._answers_to(arrival, answer) else self._decide([arrival])[0]
            for arrival, answer in zip(payments, answers, strict=True)
        ]

    def _decide(self, batch: Sequence[Arrival], known: Sequence[KnownLabel] = ()) -> list[Answer]:
        """Return the winning answers: somebody else may have been first between reading and writing."""
        work = self._extractor.open(batch, self._encoder, reads=self._reads(batch))
        self._answers, self._looked, self._label_due_at = [], {}, NEVER
        self._apply(known)
        for arrival in batch:
            self._take(work, arrival)
        self._score_looked(work)
        return self._extractor.close(self._answers)

    def _answers_to(self, arrival: Arrival, answer: Answer) -> bool:
        """Tell whether an answer is of the payment that arrived, and not of another one under its id.

        Then that one was taken in meanwhile, and of this one nothing was written: it is decided again.
        """
        return isinstance(arrival.event, Transaction) and is_same_payment(answer.decision, arrival.event)

    def _follow(self, boundary: Boundary) -> None:
        """Let payments have the scorers that the end of a period brought."""
        if boundary.scorers is not None:
            version = boundary.parameters
            versions = {version: boundary.scorers} if version else {}
            self._strategy = msgspec.structs.replace(self._strategy, parameters=version, versions=versions)

    def _take(self, work: WorkingSet, arrival: Arrival) -> None:
        event = arrival.event
        if isinstance(event, Transaction):
            self._advance(work, event.happened_at)
            self._take_transaction(work, event, arrival)
        elif isinstance(event, Label):
            # First the label: one that is given at the very deadline is no silence.
            self._take_label(work, event, arrival.position)
            self._advance(work, event.happened_at)
        else:
            self._extractor.apply(event, arrival.position)

    def _advance(self, work: WorkingSet, now: int) -> None:
        """Move the watermark and apply what silence says by then, before anything is looked at.

        What the open batch has not held yet is held first when it will have a label by then.
        """
        self._watermark = max(self._watermark, now)
        if self._label_due_at <= self._watermark:
            self._score_looked(work)
        if self._labels is not None:
            self._apply(self._labels.expire(self._watermark))

    def _take_transaction(self, work: WorkingSet, tx: Transaction, arrival: Arrival) -> None:
        if tx.id in self._looked:
            self._score_looked(work)
        known, answered = tx, work.first_answer(tx.id, tx.version, tx.seen_at)
        if answered is None or not is_same_payment(answered.decision, tx):
            known, answered = self._by_own_name(work, tx, reused=answered is not None)
        if answered is None:
            self._look_and_absorb(known, tx, arrival)
            return
        self._score_looked(work)
        if answered.position == arrival.position:
            self._extractor.absorb(known, arrival.position)
            self._answers.append(msgspec.structs.replace(answered, headers=arrival.headers))
        else:
            self._answers.append(repeat(answered, arrival))

    def _by_own_name(self, work: WorkingSet, tx: Transaction, *, reused: bool) -> tuple[Transaction, Answer | None]:
        """Return a payment as the state knows it, and its first answer, where none lies under its id.

        The answer of one whose id was `reused` lies under its own name, also once that of the first one is gone.
        """
        name = own_name(tx)
        if name in self._looked:
            self._score_looked(work)
        answered = work.first_answer(own_answer_name(tx.id, name), tx.version, tx.seen_at)
        return (msgspec.structs.replace(tx, id=name) if reused or answered else tx), answered

    def _look_and_absorb(self, known: Transaction, tx: Transaction, arrival: Arrival) -> None:
        """Look at a transaction and absorb it, `known` as the state knows it."""
        values = self._extractor.look(known)
        marks = self._extractor.absorb(known, arrival.position)
        if Mark.REDELIVERED in marks:
            # At or below the applied offset, and its first answer is gone: scored as found.
            marks = (Mark.RECOVERED,)
        if known is not tx and Mark.ID_REUSED not in marks:
            marks = (Mark.ID_REUSED, *marks)
        late = (Mark.LATE,) if self._is_late(tx, arrival.position) else ()
        self._looked[known.id] = _Looked(known.id, tx, arrival, values, late + marks)
        if self._labels is not None:
            # A correction takes the place of what is held under its id, before that can fall due.
            self._label_due_at = min(self._label_due_at, 0 if marks else self._labels.label_due_at(tx))

    def _is_late(self, tx: Transaction, position: Position) -> bool:
        key = position.topic, position.partition
        watermark = self._watermarks.get(key, 0)
        self._watermarks[key] = max(watermark, tx.happened_at)
        return tx.happened_at < watermark - self._lateness.allowed

    def _take_label(self, work: WorkingSet, label: Label, position: Position) -> None:
        if self._labels is None:
            return
        if label.tx_id in self._looked or self._label_due_at <= self._watermark:
            # Held first: its own label finds it, and what came before its payment is applied before this.
            self._score_looked(work)
        self._apply(self._labels.match(label), position)

    def _score_looked(self, work: WorkingSet) -> None:
        """Score, decide and hold what the batch has looked at so far."""
        if not self._looked:
            return
        looked, self._looked, self._label_due_at = list(self._looked.values()), {}, NEVER
        scores = self._scores(looked)
        for item in looked:
            answer = self._answer(item, *scores[item.id])
            work.keep(answer)
            self._answers.append(answer)
            self._hold(answer)

    def _scores(self, looked: Sequence[_Looked]) -> dict[str, tuple[Score, Histories | None, int]]:
        """Return, by id, score, histories and the row in them; each level and version of parameters in one go."""
        found: dict[str, tuple[Score, Histories | None, int]] = {}
        ways: dict[Way, list[_Looked]] = {}
        for item in looked:
            ways.setdefault(way_of(item.arrival), []).append(item)
        for way, same in ways.items():
            matrix = np.stack([item.values for item in same])
            ids, scorer = [item.id for item in same], self._by(way)
            histories = self._extractor.histories(ids) if self._reads_histories(scorer) else None
            for row, score in enumerate(scorer.score(ids, matrix, histories)):
                found[ids[row]] = score, histories, row
        return found

    def _reads(self, batch: Sequence[Arrival]) -> bool:
        """Tell whether anything of a batch is scored at a level that reads histories."""
        return any(self._reads_histories(self._by(way)) for way in {way_of(arrival) for arrival in batch})

    def _by(self, way: Way) -> Scorer:
        """Return what scores a way."""
        release, level, parameters = way
        return self._strategy.under(release).at(level, parameters)

    def _reads_histories(self, scorer: Scorer) -> bool:
        """Tell whether a scorer, of whatever level, reads the histories that are kept."""
        return self._encoder is not None and scorer.encoder == self._encoder.encoder

    def _answer(self, item: _Looked, score: Score, histories: Histories | None, row: int) -> Answer:
        strategy, values = self._strategy.under(item.arrival.release), item.values
        scored = Scored(
            tx=item.tx,
            arrival=item.arrival,
            vector=FeatureVector(item.tx.id, values, self._extractor.version, item.tx.seen_at),
            score=score,
            unusual=self._extractor.unusual(values),
            marks=item.marks,
        )
        explain = partial(self._explained, item, score, histories, row)
        return answer_of(scored, strategy.rules, strategy.policy, explain, strategy.release)

    def _explained(self, item: _Looked, score: Score, histories: Histories | None, row: int) -> Explained:
        """Return the model's reasons: its booster's alone where there is no time for what histories say."""
        explainer = item.arrival.explainer
        if explainer is None:
            in_time = histories is None or self._time.explains()
            explainer = Explainer.MODEL if in_time else Explainer.BOOSTER
        read = histories if explainer is Explainer.MODEL else None
        told = self._by(way_of(item.arrival)).explain(item.values, score, read, row)
        return Explained(told.reasons, explainer, told.evidence)

    def _hold(self, answer: Answer) -> None:
        if self._labels is not None:
            self._apply(self._labels.hold(answer))

    def _apply(self, known: Sequence[KnownLabel], position: Position | None = None) -> None:
        """Let the state take in what has become known."""
        for label in known:
            self._extractor.apply(label, position)


def way_of(arrival: Arrival) -> Way:
    """Return how an event that arrives is scored, if it is a payment."""
    return arrival.release, arrival.level, arrival.parameters


def encoder_of(strategy: Strategy) -> Encoder | None:
    """Return what computes the codes of the histories that are kept; None when the scorer reads none."""
    return strategy.scorer if strategy.scorer.encoder else None


def repeat(first: Answer, arrival: Arrival) -> Answer:
    """Return the first answer again, for a producer's retry under a position of its own."""
    return Answer(decision=first.decision, position=arrival.position, repeat_of=first.position, headers=arrival.headers)
