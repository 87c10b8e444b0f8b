"""The engine as it is, watched, and engines with a leak put in: every check must report the leak."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.engine import Engine, Strategy
from fraud.core.labels import LabelBook
from fraud.core.pending import MemoryPending
from fraud.core.ports import Histories, Matrix
from fraud.core.records import Answer, Arrival, KnownLabel, Mark, Position, Score, Transaction, Values
from fraud.core.settings import Settings
from models.rules_only import RulesOnly
from streaming.wiring import strategy


class Call(NamedTuple):
    """One call of the engine: the verb, whose payment it was about, when that became known (ns), the vector if any."""

    verb: str
    tx_id: str
    at: int = 0
    values: bytes = b""


class WatchedExtractor(OnlineExtractor):
    """The extractor, noting each call."""

    def __init__(self, calls: list[Call]) -> None:
        self.store = MemoryStore()
        super().__init__(self.store)
        self._calls = calls

    def look(self, tx: Transaction) -> Values:
        values = super().look(tx)
        self._calls.append(Call("look", tx.id, tx.seen_at, values.tobytes()))
        return values

    def absorb(self, tx: Transaction, position: Position | None) -> tuple[Mark, ...]:
        self._calls.append(Call("absorb", tx.id, tx.seen_at))
        return super().absorb(tx, position)

    def apply(self, label: KnownLabel, position: Position | None) -> None:
        self._calls.append(Call("apply", label.tx_id, label.seen_at))
        super().apply(label, position)


class WatchedScorer(RulesOnly):
    """The scorer of a site without a model, noting each row that it is given."""

    def __init__(self, calls: list[Call]) -> None:
        super().__init__()
        self._calls = calls

    def score(self, ids: Sequence[str], matrix: Matrix, histories: Histories | None = None) -> list[Score]:
        self._calls += [Call("score", tx_id, 0, row.tobytes()) for tx_id, row in zip(ids, matrix, strict=True)]
        return super().score(ids, matrix, histories)


class AbsorbsFirst(Engine):
    """Broken: a payment is in the state when its own vector is read."""

    def _look_and_absorb(self, known: Transaction, tx: Transaction, arrival: Arrival) -> None:
        self._extractor.absorb(tx, None)
        super()._look_and_absorb(known, tx, arrival)


class LooksAtTheEnd(Engine):
    """Broken: vectors are read when the batch is scored, so each sees the whole batch."""

    def _score_looked(self, work: Any) -> None:
        for item in self._looked.values():
            item.values = self._extractor.look(item.tx)
        super()._score_looked(work)


class TakesLabelsFirst(Engine):
    """Broken: the labels of a batch are taken in before its payments, whenever they became known."""

    def handle(self, batch: Sequence[Arrival]) -> list[Answer]:
        return super().handle(sorted(batch, key=lambda arrival: isinstance(arrival.event, Transaction)))


class Watched(NamedTuple):
    """An engine and what it called, in order."""

    engine: Engine
    calls: list[Call]


def watched(kind: type[Engine] = Engine) -> Watched:
    """Return a fresh engine with a label book over watched parts."""
    calls: list[Call] = []
    extractor = WatchedExtractor(calls)
    usual = strategy(Settings(), extractor.version)
    parts = Strategy(WatchedScorer(calls), usual.rules, usual.policy)
    return Watched(kind(extractor, extractor.store, parts, LabelBook(MemoryPending(), keep_vectors=False)), calls)


def vectors(stream: Iterable[Arrival], kind: type[Engine] = Engine, batch: int = 8) -> dict[str, bytes]:
    """Return the scored vector of each payment by its id, as bytes, from a fresh engine."""
    engine, events, found = watched(kind).engine, list(stream), dict[str, bytes]()
    for begin in range(0, len(events), batch):
        for answer in engine.handle(events[begin : begin + batch]):
            if answer.vector is not None:
                found.setdefault(answer.vector.tx_id, answer.vector.values.tobytes())
    return found
