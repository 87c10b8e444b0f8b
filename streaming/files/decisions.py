"""Files out: decisions as JSON Lines or Parquet, complete or not there at all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from fraud.common.files import draft_of, publish
from fraud.core.errors import DataError
from fraud.core.ports import Sink
from fraud.core.records import Answer, Decision, Reject

ROWS_A_GROUP = 65_536


class Writer(Protocol):
    """Writes decisions to one file."""

    def write(self, decisions: Sequence[Decision]) -> None:
        """Append decisions."""

    def close(self) -> None:
        """Finish the file."""


class JsonLines:
    """Decisions as JSON Lines."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self._file = path.open("wb")
        self._encoder = msgspec.json.Encoder()

    def write(self, decisions: Sequence[Decision]) -> None:
        """Append one line a decision."""
        self._file.write(b"".join(self._encoder.encode(decision) + b"\n" for decision in decisions))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class Columns:
    """Decisions as Parquet, a row group at a time; nested fields (reasons, parts, versions) as JSON text."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self._path = path
        self._rows: list[dict[str, Any]] = []
        self._writer: Any = None

    def write(self, decisions: Sequence[Decision]) -> None:
        """Append rows."""
        self._rows.extend(map(flat, decisions))
        if len(self._rows) >= ROWS_A_GROUP:
            self._flush()

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.Table.from_pylist(self._rows, schema=schema())
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)
        self._rows.clear()


def flat(decision: Decision) -> dict[str, Any]:
    """Return a decision as one row of a table."""
    return {
        "tx_id": decision.tx_id,
        "version": decision.version,
        "action": decision.action.value,
        "score": decision.score,
        "reason_codes": ",".join(reason.code for reason in decision.reasons),
        "reasons": " | ".join(reason.text for reason in decision.reasons),
        "level": decision.level.value,
        "model": decision.versions.model,
        "spec": decision.versions.spec,
        "policy": decision.versions.policy,
        "rules": decision.versions.rules,
        "seen_at": decision.seen_at,
        "happened_at": decision.happened_at,
        "card": decision.card,
        "merchant": decision.merchant,
        "base_amount": decision.base_amount,
        "marks": ",".join(decision.marks),
    }


def schema() -> Any:
    """Return the Arrow schema of `flat` rows."""
    import pyarrow

    numbers = {
        "version": "int32",
        "score": "float64",
        "seen_at": "int64",
        "happened_at": "int64",
        "base_amount": "int64",
    }
    names = (
        *("tx_id", "version", "action", "score", "reason_codes", "reasons", "level", "model", "spec", "policy"),
        *("rules", "seen_at", "happened_at", "card", "merchant", "base_amount", "marks"),
    )
    return pyarrow.schema([(name, getattr(pyarrow, numbers.get(name, "string"))()) for name in names])


WRITERS: dict[str, type[JsonLines] | type[Columns]] = {".jsonl": JsonLines, ".parquet": Columns}


def writer_kind(path: Path) -> type[JsonLines] | type[Columns]:
    """Return what writes a file of this name; raise DataError for an unknown suffix."""
    if path.suffix not in WRITERS:
        msg = f"--out {path}: expected a name that ends in .parquet or .jsonl"
        raise DataError(msg)
    return WRITERS[path.suffix]


class FileSink:
    """The Sink port over one file; it takes its name by `publish`, when it is complete."""

    def __init__(self, path: Path) -> None:
        """Open a part file beside `path`; raise DataError for an unknown suffix."""
        kind = writer_kind(path)
        self._path, self._part = path, draft_of(path)
        self._writer: Writer | None = kind(self._part)

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Append the decisions."""
        del rejects
        if self._writer is not None:
            self._writer.write([answer.decision for answer in answers])

    def close(self) -> None:
        """Finish the part file; a run that broke off leaves it at that."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def publish(self) -> None:
        """Give the complete file its name."""
        publish(self._part, self._path)


class Tee:
    """The Sink port over several sinks, in order."""

    def __init__(self, *sinks: Sink) -> None:
        """Keep the sinks."""
        self._sinks = sinks

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Write to each."""
        for sink in self._sinks:
            sink.write(answers, rejects)

    def close(self) -> None:
        """Close each."""
        for sink in self._sinks:
            sink.close()
