"""Columns to a file: Parquet, CSV or JSON Lines by its suffix."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import DataError

Columns = Mapping[str, NDArray[np.generic]]


def write(path: Path, columns: Columns) -> None:
    """Write columns of equal length; raise DataError for an unknown suffix."""
    put = writer_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    put(path, columns)


def writer_of(path: Path, option: str = "--out") -> Callable[[Path, Columns], None]:
    """Return what writes a file of this name; raise DataError, which names the option, for an unknown suffix."""
    writers = {".parquet": write_parquet, ".csv": write_csv, ".jsonl": write_lines}
    if path.suffix not in writers:
        msg = f"{option} {path}: expected a name that ends in {', '.join(writers)}"
        raise DataError(msg)
    return writers[path.suffix]


def write_parquet(path: Path, columns: Columns) -> None:
    """Write Parquet."""
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(dict(columns)), path)


def write_csv(path: Path, columns: Columns) -> None:
    """Write CSV with a header line."""
    import pyarrow
    from pyarrow import csv

    csv.write_csv(pyarrow.table(dict(columns)), path)


def write_lines(path: Path, columns: Columns) -> None:
    """Write one JSON object a line."""
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    with path.open("wb") as file:
        file.writelines(msgspec.json.encode(dict(zip(columns, row, strict=True))) + b"\n" for row in rows)
