"""Extracted vectors on disk, so that a history runs through the live extractor once and is fitted on many times.

A data set is a folder: `matrix.f32` (float32, row by row), one `.npy` a column, `ids.txt` (the transactions' ids, a
line each), and `meta.json`. It appears under its
key by one rename when it is complete. The key covers everything the vectors depend on: data, feature spec, label
delay, extraction settings.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.common.files import draft_of, publish
from fraud.common.locks import locked
from fraud.core.attributes.declaration import CATEGORY
from fraud.core.attributes.values import word_of
from fraud.core.errors import DataError
from fraud.core.ports import Matrix
from fraud.core.records import DAY, Transaction, Values, Verdict

MATRIX, IDS, META = "matrix.f32", "ids.txt", "meta.json"
BLOCK = 16_384
"""Rows written at a time."""
MOST_WORDS = 10_000
UNKNOWN, GENUINE, FRAUD = -1, 0, 1

Progress = Callable[[int], None]
"""Told how many rows are done in all."""

COLUMNS: dict[str, type[np.generic]] = {
    "time": np.int64,
    "card": np.int32,
    "merchant": np.int32,
    "amount": np.int64,
    "fraud": np.int8,
    "scenario": np.int8,
}


class Identity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the vectors depend on. `label_delay` is in nanoseconds; `settings` names anything else that matters.

    `gate` is by which settings labels are held back, empty for none; `attrs` are the own columns, their kind or
    expression by name.

    Labels come between `label_delay * (1 - label_spread)` and `label_delay * (1 + label_spread)` after their payments.
    """

    data_hash: str
    spec_version: str
    label_delay: int
    settings: str = ""
    label_spread: float = 0.0
    gate: dict[str, Any] = {}
    attrs: dict[str, str] = {}

    @property
    def latest(self) -> int:
        """Return how long after a payment its verdict is known at the latest, ns; 0 where that is never."""
        return round(max(self.label_delay, 0) * (1 + self.label_spread))

    @property
    def key(self) -> str:
        """Return the name under which a data set with this identity is cached."""
        return hashlib.sha256(IDS.encode() + msgspec.json.encode(self)).hexdigest()[:20]


class Meta(msgspec.Struct, frozen=True):
    """What stands in `meta.json`."""

    identity: Identity
    names: tuple[str, ...]
    rows: int
    account: dict[str, Any] = {}
    """What became of the file's rows, as `streaming.files.values.account.Account` keeps it."""
    words: dict[str, tuple[str, ...]] = {}
    """Words of each own category, in order of first appearance, at most `MOST_WORDS`: the matrix holds their hashes."""


class Row(NamedTuple):
    """One extracted transaction. `verdict` is what the data says of it in the end, None when it says nothing.

    `scenario` is the kind of fraud where the data tells it, else 0; it is for reports, never for fitting.
    """

    tx: Transaction
    values: Values
    verdict: Verdict | None
    scenario: int = 0


class Dataset(NamedTuple):
    """Vectors in order of time with what fitting and testing need beside them.

    `matrix` is float32 (rows, features), mapped from disk; `time` is when each payment happened, ns UTC; `card` and
    `merchant` are codes in order of first appearance; `amount` is in minor units of the base currency; `fraud` is
    1, 0 or -1 (nothing known).
    """

    meta: Meta
    matrix: Matrix
    time: NDArray[np.int64]
    card: NDArray[np.int32]
    merchant: NDArray[np.int32]
    amount: NDArray[np.int64]
    fraud: NDArray[np.int8]
    scenario: NDArray[np.int8]

    @property
    def first(self) -> int:
        """Return when the history begins, ns: a few payments long before all others are no part of it."""
        return int(self.time[apart(self.time)[0]])

    @property
    def last(self) -> int:
        """Return when the history ends, ns: a few payments long after all others are no part of it."""
        return int(self.time[apart(self.time)[1] - 1])

    @property
    def names(self) -> tuple[str, ...]:
        """Return the feature names, in vector order."""
        return self.meta.names

    @property
    def day(self) -> NDArray[np.int64]:
        """Return whole days, UTC, since the midnight before the history begins, int64 (rows,)."""
        return (self.time - self.first // DAY * DAY) // DAY if len(self.time) else self.time


def apart(time: NDArray[np.int64]) -> tuple[int, int]:
    """Return which rows are a history's own, from and to, of times in order: others stand apart by a typing error.

    Such are at most one in a thousand rows at each end, and further from the next one than what lies between is long.
    """
    few = len(time) // 1_000
    if not few:
        return 0, len(time)
    gaps, whole = np.diff(time), int(time[-1 - few]) - int(time[few])
    early, late = np.flatnonzero(gaps[:few] > whole), np.flatnonzero(gaps[-few:] > whole)
    return int(early[-1]) + 1 if len(early) else 0, len(time) - few + int(late[0]) if len(late) else len(time)


class Writer:
    """Write a data set row by row; leave nothing behind unless it was completed."""

    def __init__(
        self, cache: Path, identity: Identity, names: tuple[str, ...], progress: Progress | None = None
    ) -> None:
        """Prepare to write under `cache`; the folder appears there when the writer is left without an error."""
        self._final = cache / identity.key
        self._meta = Meta(identity, names, 0)
        self._account: Callable[[], dict[str, Any]] = dict
        self._progress = progress or (lambda done: None)
        self._block = np.empty((BLOCK, len(names)), dtype=np.float32)
        self._columns: dict[str, list[int]] = {name: [] for name in COLUMNS}
        self._codes: dict[str, dict[str, int]] = {"card": {}, "merchant": {}}
        own = identity.attrs.items()
        self._words: dict[str, dict[str, None]] = {name: {} for name, kind in own if kind == CATEGORY}

    def __enter__(self) -> Self:
        """Open a fresh draft."""
        self._draft = draft_of(self._final)
        shutil.rmtree(self._draft, ignore_errors=True)
        self._draft.mkdir()
        self._file = (self._draft / MATRIX).open("wb")
        self._ids = (self._draft / IDS).open("w", encoding="utf-8", newline="\n")
        return self

    def tells(self, account: Callable[[], dict[str, Any]]) -> None:
        """Have it told at the end what became of the file's rows."""
        self._account = account

    def add(self, row: Row) -> None:
        """Add one row; rows come in order of time."""
        done = len(self._columns["time"])
        self._block[done % BLOCK] = row.values
        tx = row.tx
        self._ids.write(tx.id + "\n")
        fraud = UNKNOWN if row.verdict is None else int(row.verdict is Verdict.FRAUD)
        cells = (tx.happened_at, self._code("card", tx.card), self._code("merchant", tx.merchant), tx.base_amount)
        for name, words in self._words.items():
            if len(words) < MOST_WORDS and (word := word_of((tx.attrs or {}).get(name))):
                words[word] = None
        for column, cell in zip(self._columns.values(), (*cells, fraud, row.scenario), strict=True):
            column.append(cell)
        if (done + 1) % BLOCK == 0:
            self._file.write(self._block.tobytes())
            self._progress(done + 1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the data set, or remove the draft after an error."""
        if kind is None:
            self._finish()
        self._file.close()
        self._ids.close()
        if kind is not None:
            shutil.rmtree(self._draft, ignore_errors=True)

    def _code(self, entity: str, name: str) -> int:
        codes = self._codes[entity]
        return codes.setdefault(name, len(codes))

    def _finish(self) -> None:
        rows = len(self._columns["time"])
        self._file.write(self._block[: rows % BLOCK].tobytes())
        self._file.close()
        self._ids.close()
        for name, kind in COLUMNS.items():
            np.save(self._draft / f"{name}.npy", np.array(self._columns[name], dtype=kind), allow_pickle=False)
        words = {name: tuple(found) for name, found in self._words.items()}
        (self._draft / META).write_bytes(
            msgspec.json.encode(msgspec.structs.replace(self._meta, rows=rows, account=self._account(), words=words))
        )
        publish(self._draft, self._final)
        self._progress(rows)


def write(
    cache: Path,
    identity: Identity,
    names: tuple[str, ...],
    rows: Iterable[Row],
    progress: Progress | None = None,
    account: Callable[[], dict[str, Any]] = dict,
) -> Dataset:
    """Write all rows as a data set and return it, mapped from disk; `account` tells at the end of the file's rows."""
    with Writer(cache, identity, names, progress) as writer:
        writer.tells(account)
        for row in rows:
            writer.add(row)
    return read(cache / identity.key)


def cached(cache: Path, identity: Identity) -> Dataset | None:
    """Return the data set with this identity, or None when it was not extracted yet."""
    folder = cache / identity.key
    return read(folder) if (folder / META).exists() else None


@contextmanager
def alone(cache: Path, identity: Identity, waits: Callable[[], None]) -> Iterator[None]:
    """Keep other processes from writing the data set with this identity; `waits` is called when one is at it."""
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{identity.key}.lock", waits):
        yield


def read(folder: Path) -> Dataset:
    """Return a data set, its matrix mapped from disk; raise DataError when parts are missing or cut short."""
    try:
        meta = msgspec.json.decode((folder / META).read_bytes(), type=Meta)
        columns = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in COLUMNS}
        matrix = _mapped(folder / MATRIX, (meta.rows, len(meta.names)))
    except (OSError, ValueError, msgspec.DecodeError) as error:
        message = f"The cached vectors in {folder} cannot be read ({error}); remove the folder and extract again."
        raise DataError(message) from error
    return Dataset(meta, matrix, **columns)


def ids_of(data: Dataset, cache: Path) -> list[str]:
    """Return the transactions' ids of a data set that lies in `cache`, in the order of its rows.

    Raises:
        DataError: when they are missing, or not as many as rows.
    """
    path = cache / data.meta.identity.key / IDS
    try:
        found = path.read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, ValueError) as error:
        message = f"The cached ids in {path} cannot be read ({error}); remove the folder and extract again."
        raise DataError(message) from error
    if len(found) != data.meta.rows:
        message = f"{path} holds {len(found)} ids of {data.meta.rows} rows; remove the folder and extract again."
        raise DataError(message)
    return found


def _mapped(path: Path, shape: tuple[int, int]) -> Matrix:
    if shape[0] == 0:
        return np.empty(shape, dtype=np.float32)
    return np.memmap(path, dtype=np.float32, mode="r", shape=shape)


def export(
    data: Dataset, ids: Sequence[str], path: Path, more: Mapping[str, NDArray[np.generic]] | None = None
) -> None:
    """Write a data set to one file, `.npz` or `.parquet` by its suffix, features as columns, beside `tx_id`.

    `more` arrays go to `.npz` only. Raises DataError for another suffix.
    """
    if path.suffix == ".npz":
        columns = {name: getattr(data, name) for name in COLUMNS}
        np.savez_compressed(
            path, allow_pickle=False, matrix=data.matrix, names=np.array(data.names), tx_id=np.array(ids, str),
            **columns, **(more or {}),
        )  # fmt: skip
    elif path.suffix == ".parquet":
        _export_parquet(data, ids, path)
    else:
        message = f"Cannot export to '{path}': the suffix is '{path.suffix}', expected '.npz' or '.parquet'."
        raise DataError(message)


def _export_parquet(data: Dataset, ids: Sequence[str], path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    fields = [pa.field(name, pa.from_numpy_dtype(np.dtype(kind))) for name, kind in COLUMNS.items()]
    fields.insert(0, pa.field("tx_id", pa.string()))
    schema = pa.schema(fields + [pa.field(f"f_{name}", pa.float32()) for name in data.names])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, len(data.time), BLOCK):
            block = slice(start, start + BLOCK)
            columns = [getattr(data, name)[block] for name in COLUMNS]
            values = [np.ascontiguousarray(column) for column in data.matrix[block].T]
            writer.write_table(pa.table([pa.array(ids[block], pa.string()), *columns, *values], schema=schema))
