"""The embedded state store: rows in this process, changed in place, durable by snapshot."""

from collections import deque
from collections.abc import Mapping, Sequence

import msgspec

from features.state.history import HISTORY_VERSION
from features.state.layout import LAYOUT_VERSION
from features.state.tables import RecordTable, card_key, entity_table, history_table, pair_table, trimmed
from features.state.update import EVERY_ROW
from features.stores.working_set import EVERY_SIDE, TableSet
from fraud.core.errors import StateError
from fraud.core.identity import answer_name, by_own_name, is_same_payment
from fraud.core.ports import Encoder, WorkingSet
from fraud.core.records import MINUTE, Answer, Arrival, Position

RETRY_HORIZON = 15 * MINUTE


class Snapshot(msgspec.Struct, frozen=True):
    """The whole state of a memory store, as it is written to disk."""

    layout: str
    entities: list[tuple[str, bytes]]
    pairs: list[tuple[str, bytes]]
    marks: list[tuple[str, int, int]]
    answers: list[Answer]
    histories: list[tuple[str, list[tuple[str, bytes]]]] = []
    history: str = HISTORY_VERSION


class MemoryStore:
    """The StateStore port in one process. A snapshot is atomic, so one mark per partition serves all entities."""

    def __init__(self, retry_horizon: int = RETRY_HORIZON) -> None:
        """Start empty; first answers are kept for `retry_horizon` nanoseconds of stream time."""
        self.entities: RecordTable = entity_table()
        self.pairs: RecordTable = pair_table()
        self.histories: RecordTable | None = None
        self.encoder: Encoder | None = None
        self._histories: dict[str, RecordTable] = {}
        self._horizon = retry_horizon
        self._marks: dict[tuple[str, int], int] = {}
        self._answers: dict[tuple[str, int], Answer] = {}
        self._ageing: deque[tuple[int, tuple[str, int]]] = deque()

    def read(self, batch: Sequence[Arrival], encoder: Encoder | None = None) -> TableSet:
        """Return the working set: the store itself, for its rows are already here."""
        del batch
        self.encoder, self.histories = encoder, None
        if encoder is not None:
            if encoder.encoder not in self._histories:
                self._histories[encoder.encoder] = history_table()
            self.histories = self._histories[encoder.encoder]
        return self

    def write(self, work: WorkingSet, answers: Sequence[Answer]) -> list[Answer]:
        """Return the winning answers and forget those past the retry horizon; the rows were changed in place."""
        del work
        winners = [self._winner(answer) for answer in answers]
        if answers:
            self._expire(answers[-1].decision.seen_at - self._horizon)
        return winners

    def first_answer(self, tx_id: str, version: int, seen_at: int = 0) -> Answer | None:
        """Return the answer already given under this name, if it is within the retry horizon."""
        held = self._answers.get((tx_id, version))
        return None if held is None or self._is_past(held, seen_at) else held

    def keep(self, answer: Answer) -> None:
        """Remember a first answer, without its vector: what a retry needs."""
        held = self._answers.get(key_of(answer))
        if held is None or self._is_past(held, answer.decision.seen_at):
            self._put(key_of(answer), answer)

    def admits(self, keys: tuple[str, ...], position: Position | None) -> int:
        """Return every row, or none when the partition's mark has passed this position."""
        del keys
        if position is None:
            return EVERY_ROW
        mark = self._marks.get((position.topic, position.partition), -1)
        return EVERY_ROW if position.offset > mark else 0

    def admits_history(self, keys: tuple[str, ...], position: Position | None) -> int:
        """Return every side, or none when the partition's mark has passed this position."""
        return EVERY_SIDE if self.admits(keys, position) else 0

    def applied_history(
        self, kind: str, keys: tuple[str, str, str, str], change: bytes, mask: int, position: Position | None
    ) -> None:
        """Move the partition's mark."""
        self.applied(kind, keys, change, position)

    def recorded(self, position: Position | None) -> None:
        """Return None: a batch is in this store as a whole or not at all."""
        del position

    def applied(self, kind: str, keys: tuple[str, ...], change: bytes, position: Position | None) -> None:
        """Move the partition's mark."""
        del kind, keys, change
        if position is not None:
            self._marks[position.topic, position.partition] = position.offset

    def applied_offsets(self) -> dict[tuple[str, int], int]:
        """Return the highest offset applied for each (topic, partition)."""
        return dict(self._marks)

    def stand_at(self, marks: Mapping[tuple[str, int], int]) -> None:
        """Take everything up to these offsets of (topic, partition) for applied."""
        self._marks |= marks

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Make published answers the first ones again."""
        for answer in answers:
            held = self._answers.get(key_of(answer))
            reused = held is not None and not is_same_payment(held.decision, answer.decision)
            kept = by_own_name(answer) if reused else answer
            self._put(key_of(kept), kept)

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Do nothing: first answers age by the stream's own time."""

    def histories_of(self, encoder: str) -> RecordTable:
        """Return the histories of an encoder."""
        return self._histories[encoder]

    def forget(self, card: str) -> int:
        """Erase a card's row, its pairs and its histories; return how many records went."""
        prefix = card + "\x1f"
        mine = [key for key in self.pairs.index if key.startswith(prefix)]
        tables = self.entities, *self._histories.values()
        return sum(self.pairs.remove(key) for key in mine) + sum(table.remove(card_key(card)) for table in tables)

    def snapshot(self) -> bytes:
        """Return the whole state."""
        marks = [(topic, partition, offset) for (topic, partition), offset in self._marks.items()]
        answers = list(self._answers.values())
        histories = [
            (encoder, [(key, trimmed(row)) for key, row in table.items()]) for encoder, table in self._histories.items()
        ]
        rows = list(self.entities.items()), list(self.pairs.items())
        state = Snapshot(LAYOUT_VERSION, *rows, marks, answers, histories)
        return msgspec.msgpack.encode(state)

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole state; raise StateError when it was written under another layout."""
        try:
            state = msgspec.msgpack.decode(snapshot, type=Snapshot)
        except msgspec.DecodeError as error:
            msg = f"snapshot of {len(snapshot)} bytes cannot be read ({error}): use an earlier one or replay the stream"
            raise StateError(msg) from error
        if (state.layout, state.history) != (LAYOUT_VERSION, HISTORY_VERSION):
            msg = (
                f"snapshot has layout {state.layout!r} and histories {state.history!r}, this release reads "
                f"{LAYOUT_VERSION!r} and {HISTORY_VERSION!r}: replay the stream to rebuild it"
            )
            raise StateError(msg)
        self.entities.load(state.entities)
        self.pairs.load(state.pairs)
        self._histories = {}
        for encoder, rows in state.histories:
            self._histories[encoder] = history_table()
            self._histories[encoder].load(rows)
        self._marks = {(topic, partition): offset for topic, partition, offset in state.marks}
        self._answers.clear()
        self._ageing.clear()
        for answer in state.answers:
            self.keep(answer)

    def _winner(self, answer: Answer) -> Answer:
        """Return the answer, or in its place the one that another worker gave first."""
        first = self._answers.get(key_of(answer))
        if first is None or first.decision is answer.decision or answer.repeat_of is not None:
            return answer
        if first.decision.seen_at > answer.decision.seen_at:
            # It was past the retry horizon when the same payment came once more, in this batch.
            return answer
        repeat_of = None if first.position == answer.position else first.position
        return msgspec.structs.replace(first, position=answer.position, headers=answer.headers, repeat_of=repeat_of)

    def _put(self, key: tuple[str, int], answer: Answer) -> None:
        """Keep an answer behind all others, in place of one that is there."""
        self._answers.pop(key, None)
        self._answers[key] = Answer(decision=answer.decision, position=answer.position, alert=answer.alert)
        self._ageing.append((answer.decision.seen_at, key))

    def _is_past(self, held: Answer, seen_at: int) -> bool:
        """Tell whether an answer has left the retry horizon: by what asks, so that batches do not change it."""
        return held.decision.seen_at < seen_at - self._horizon

    def _expire(self, before: int) -> None:
        while self._ageing and self._ageing[0][0] < before:
            seen_at, key = self._ageing.popleft()
            if key in self._answers and self._answers[key].decision.seen_at <= seen_at:
                del self._answers[key]


def key_of(answer: Answer) -> tuple[str, int]:
    """Return what a first answer lies under."""
    return answer_name(answer.decision), answer.decision.version
