"""Vectors for training: a replay through the live engine by rules only, each payment with its vector and verdict."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from fraud.core.records import Arrival, Reject, Transaction, Values, Verdict
from fraud.core.settings import ModelSection, PolicySection, RulesSection, Settings
from streaming.files import Table
from streaming.replay import HistorySource, history, ordered
from streaming.rows import Row
from streaming.wiring import build

BATCH = 32


class Extracted(msgspec.Struct, frozen=True):
    """One payment as it was seen when it came, with what the file says of it in the end."""

    tx: Transaction
    values: Values
    verdict: Verdict | None
    scenario: str


class Extraction:
    """Vectors of a history. `rejects` counts the rows that could not be read."""

    def __init__(self, table: Table, delay: int | None, settings: Settings | None = None) -> None:
        """Take a file, the delay of its labels and the settings of the live path; whatever model they name."""
        self._table, self._delay = table, delay
        self._truth: dict[str, tuple[Verdict | None, str]] = {}
        self.rejects = 0
        parts = build(by_rules(settings or Settings()))
        self._engine = parts.engine
        self.names, self.spec_version = parts.extractor.names, parts.extractor.version

    def __iter__(self) -> Iterator[Extracted]:
        """Yield every payment, in order of time."""
        source = HistorySource(history(self._noted(ordered(self._table.rows())), self._delay), BATCH)
        while (intake := source.read()) is not None:
            yield from self._batch(intake.arrivals)

    def _noted(self, rows: Iterator[Row | Reject]) -> Iterator[Row | Reject]:
        """Pass rows on, noting what becomes of each, for it is the target and never an input."""
        for row in rows:
            if isinstance(row, Reject):
                self.rejects += 1
                continue
            self._truth[row.tx.id] = row.verdict, row.scenario
            yield row

    def _batch(self, arrivals: tuple[Arrival, ...]) -> Iterator[Extracted]:
        payments = [arrival.event for arrival in arrivals if isinstance(arrival.event, Transaction)]
        for tx, answer in zip(payments, self._engine.handle(arrivals), strict=True):
            if answer.vector is not None:
                yield Extracted(tx, answer.vector.values, *self._truth.pop(tx.id))


def by_rules(settings: Settings) -> Settings:
    """Return the settings without model, rules and policy: vectors depend on none of them."""
    return msgspec.structs.replace(settings, model=ModelSection(), rules=RulesSection(), policy=PolicySection())


def file_hash(path: Path) -> str:
    """Return the sha256 of a file's content."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
