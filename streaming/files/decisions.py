"""Files out: decisions as JSON Lines or Parquet, complete or not there at all."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import inspect

from fraud.common.files import draft_of, make_private, publish
from fraud.core.errors import DataError, DeliveryError
from fraud.core.ports import Sink
from fraud.core.records import Answer, Decision, Reject

ROWS_A_GROUP = 65_536
ARROW: dict[type[inspect.Type], str] = {
    inspect.StrType: "string",
    inspect.EnumType: "string",
    inspect.IntType: "int64",
    inspect.FloatType: "float64",
    inspect.BoolType: "bool_",
}
"""Arrow's name of each plain type that a decision's fields have."""


class Writer(Protocol):
    """Writes decisions to one file."""

    def write(self, decisions: Sequence[Decision]) -> None:
        """Append decisions."""

    def hand_over(self) -> None:
        """Hand everything to the operating system."""

    def close(self) -> None:
        """Finish the file."""


class JsonLines:
    """Decisions as JSON Lines."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        make_private(path)
        self._file = path.open("wb")
        self._encoder = msgspec.json.Encoder()

    def write(self, decisions: Sequence[Decision]) -> None:
        """Append one line a decision."""
        self._file.write(b"".join(self._encoder.encode(decision) + b"\n" for decision in decisions))

    def hand_over(self) -> None:
        """Hand everything to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class ParquetRows:
    """Decisions as Parquet, a row group at a time, one column a field of the record; see `arrow_schema`."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        make_private(path)
        self._path = path
        self._rows: list[Decision] = []
        self._writer: Any = None

    def write(self, decisions: Sequence[Decision]) -> None:
        """Append rows."""
        self._rows.extend(decisions)
        if len(self._rows) >= ROWS_A_GROUP:
            self._write_group()

    def hand_over(self) -> None:
        """Write the rows that wait, as a group of their own."""
        if self._rows:
            self._write_group()

    def close(self) -> None:
        """Finish the file; it has a group, maybe an empty one, so that it can be read."""
        if self._rows or self._writer is None:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        from pyarrow import parquet

        table = arrow_table(self._rows)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)
        self._rows.clear()


def arrow_table(decisions: Sequence[Decision]) -> Any:
    """Return decisions as an Arrow table, a column a field."""
    import pyarrow

    schema = arrow_schema()
    columns = [msgspec.to_builtins([getattr(one, name) for one in decisions]) for name in schema.names]
    return pyarrow.Table.from_pydict(dict(zip(schema.names, columns, strict=True)), schema=schema)


def arrow_schema() -> Any:
    """Return the Arrow schema of decisions, made from the record's fields; nested fields are nested columns."""
    import pyarrow

    return pyarrow.schema(arrow_type(inspect.type_info(Decision)).fields)


def arrow_type(of: inspect.Type) -> Any:
    """Return the Arrow type of a type of the records: words are strings, pairs with a name are maps."""
    import pyarrow

    match of:
        case inspect.StructType():
            return pyarrow.struct([(field.encode_name, arrow_type(field.type)) for field in of.fields])
        case inspect.VarTupleType(inspect.TupleType((key, value))):
            return pyarrow.map_(arrow_type(key), arrow_type(value))
        case inspect.VarTupleType():
            return pyarrow.list_(arrow_type(of.item_type))
        case inspect.UnionType():
            return arrow_type(next(each for each in of.types if not isinstance(each, inspect.NoneType)))
    return getattr(pyarrow, ARROW[type(of)])()


WRITERS: dict[str, type[JsonLines] | type[ParquetRows]] = {".jsonl": JsonLines, ".parquet": ParquetRows}


def writer_kind(path: Path) -> type[JsonLines] | type[ParquetRows]:
    """Return what writes a file of this name; raise DataError for an unknown suffix, or where a folder has the name."""
    if path.is_dir():
        msg = f"--out {path}: a folder has this name; give a file's"
        raise DataError(msg)
    if path.suffix not in WRITERS:
        msg = f"--out {path}: expected a name that ends in .parquet or .jsonl"
        raise DataError(msg)
    return WRITERS[path.suffix]


@contextmanager
def delivered(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a DeliveryError that names the file."""
    try:
        yield
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror or error}): make room or name another file, and run it again"
        raise DeliveryError(msg) from error


class FileSink:
    """The Sink port over one file; it takes its name by `publish`, when it is complete.

    What is flushed is with the operating system: it survives the process, not a power cut.
    """

    def __init__(self, path: Path) -> None:
        """Open a part file beside `path`; raise DataError for a folder or an unknown suffix, else DeliveryError."""
        kind = writer_kind(path)
        with delivered(path):
            self._path, self._part = path, draft_of(path)
            self._writer: Writer | None = kind(self._part)

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Append the decisions; raise DeliveryError when they cannot be written."""
        del rejects
        with delivered(self._part):
            self._opened.write([answer.decision for answer in answers])

    def flush(self) -> None:
        """Hand everything to the operating system; raise DeliveryError when it does not take it."""
        with delivered(self._part):
            self._opened.hand_over()

    def close(self) -> None:
        """Finish the part file; a run that broke off leaves it at that."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with delivered(self._part):
                writer.close()

    def publish(self) -> None:
        """Give the complete file its name; raise DeliveryError when that fails."""
        with delivered(self._path):
            publish(self._part, self._path)

    @property
    def _opened(self) -> Writer:
        if self._writer is None:
            msg = f"{self._part} is closed: nothing can be written to it"
            raise DeliveryError(msg)
        return self._writer


class Tee:
    """The Sink port over several sinks, in order."""

    def __init__(self, *sinks: Sink) -> None:
        """Keep the sinks."""
        self._sinks = sinks

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Write to each."""
        for sink in self._sinks:
            sink.write(answers, rejects)

    def flush(self) -> None:
        """Flush each."""
        for sink in self._sinks:
            sink.flush()

    def close(self) -> None:
        """Close each, the others too when one fails."""
        with ExitStack() as ends:
            for sink in reversed(self._sinks):
                ends.callback(sink.close)
