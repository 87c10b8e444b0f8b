"""Vectors for training: a replay through the live engine by rules only, each payment with its vector and verdict.

With a recorder, what the engine does to history rows is recorded too: from it, tokens are read as often as training
asks (`fraud/training/recording.py`).
"""

from collections import deque
from collections.abc import Iterator
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.extractor import OnlineExtractor, keys_of
from features.stores.memory import MemoryStore
from fraud.core.attributes.declaration import NOTHING, Declaration
from fraud.core.ports import Codes, Matrix, Sink
from fraud.core.records import Arrival, Position, Reject, Transaction, Values, Verdict
from models.rules_only import RulesOnly
from streaming.files.table import Table
from streaming.files.values.rows import Row
from streaming.replay.history import HistorySource, history, ordered
from streaming.run import Parts

BATCH = 32


class Extracted(msgspec.Struct, frozen=True):
    """One payment as it was seen when it came, with what the file says of it in the end."""

    tx: Transaction
    values: Values
    verdict: Verdict | None
    scenario: str


class Recorder(Protocol):
    """What takes down how history rows were changed and looked at."""

    def change(self, kind: str, keys: tuple[str, ...], fields: bytes, mask: int) -> None:
        """Note a change of the history rows under `keys` that are in `mask`."""

    def look(self, keys: tuple[str, ...], query: NDArray[np.int64], text: str) -> None:
        """Note that a payment was looked at: `query` is int64 (3, fields), a row a side."""


class RecordingStore(MemoryStore):
    """A memory store that reports every change of a history row."""

    def __init__(self, recorder: Recorder, retry_horizon: int) -> None:
        """Start empty."""
        super().__init__(retry_horizon)
        self._recorder = recorder

    def applied_history(
        self, kind: str, keys: tuple[str, str, str, str], change: bytes, mask: int, position: Position | None
    ) -> None:
        """Report a change."""
        self._recorder.change(kind, keys, change, mask)
        super().applied_history(kind, keys, change, mask, position)


class RecordingExtractor(OnlineExtractor):
    """The live extractor, reporting what it looks at."""

    def __init__(
        self, store: RecordingStore, recorder: Recorder, digits: int = 2, declared: Declaration = NOTHING
    ) -> None:
        """Take the store, who listens, the digits of the base currency's minor unit, and the own columns."""
        super().__init__(store, digits, declared)
        self._recorder = recorder

    def look(self, tx: Transaction) -> Values:
        """Report and return."""
        values = super().look(tx)
        if (looked := self.histories((tx.id,))) is not None:
            self._recorder.look(keys_of(tx), looked.asked(0), tx.text)
        return values


class RecordingScorer(RulesOnly):
    """The scorer of a recorded run: it has histories kept, and needs no codes."""

    @property
    def encoder(self) -> str:
        """Return a name that is no model's."""
        return "recording"

    def encode(self, blocks: Matrix) -> Codes:
        """Return nothing known of each block."""
        return np.zeros((len(blocks), 32), np.float32)


class Extraction:
    """Vectors of a history. `table.account` counts its rows; those that cannot be read go to `dead`."""

    def __init__(
        self, table: Table, delay: int | None, parts: Parts, spread: float = 0.0, dead: Sink | None = None
    ) -> None:
        """Take a file, the delay of its labels, and an engine by rules that nobody else uses.

        `spread` as in `streaming.replay.history`; `streaming.wiring.extraction` puts it together.
        """
        self.table, self._delay, self._spread, self._dead = table, delay, spread, dead
        self._truth: deque[tuple[Verdict | None, str]] = deque()
        self._engine = parts.engine
        self.names, self.spec_version = parts.extractor.names, parts.extractor.version

    def __iter__(self) -> Iterator[Extracted]:
        """Yield every payment, in order of time."""
        source = HistorySource(history(self._noted(ordered(self.table.rows())), self._delay, self._spread), BATCH)
        while (intake := source.read()) is not None:
            yield from self._batch(intake.arrivals)

    def _noted(self, rows: Iterator[Row | Reject]) -> Iterator[Row | Reject]:
        """Pass rows on, noting what becomes of each, for it is the target and never an input."""
        for row in rows:
            if isinstance(row, Reject):
                if self._dead is not None:
                    self._dead.write((), (row,))
                continue
            self._truth.append((row.verdict, row.scenario))
            yield row

    def _batch(self, arrivals: tuple[Arrival, ...]) -> Iterator[Extracted]:
        payments = [arrival.event for arrival in arrivals if isinstance(arrival.event, Transaction)]
        for tx, answer in zip(payments, self._engine.handle(arrivals), strict=True):
            # Payments come out in the order of their rows, and two may have one id.
            truth = self._truth.popleft()
            if answer.vector is not None:
                yield Extracted(tx, answer.vector.values, *truth)
