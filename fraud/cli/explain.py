"""`fraud explain`: why was this decided."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from fraud.cli import output
from fraud.core.errors import DataError


def explain(
    tx_id: Annotated[str, typer.Argument(help="The transaction's id.")],
    decisions: Annotated[Path, typer.Option("--decisions", help="Decisions that fraud replay --out wrote.")],
) -> None:
    """Show why one transaction was decided as it was: the reasons stored with the decision."""
    row = find(decisions, tx_id)
    if row is None:
        msg = f"{decisions} holds no decision on '{tx_id}'"
        raise DataError(msg)
    for key, value in row.items():
        output.show(f"{key:<13} {value}")
    output.last_line(row)


def find(path: Path, tx_id: str) -> dict[str, Any] | None:
    """Return the newest version's decision on a transaction."""
    if not path.exists():
        msg = f"{path} does not exist: make it with fraud replay --out {path}"
        raise DataError(msg)
    try:
        rows = in_parquet(path, tx_id) if path.suffix == ".parquet" else in_lines(path, tx_id)
        return max(rows, key=lambda row: row["version"], default=None)
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, OSError) as error:
        why = " ".join(str(error).split())[:200]
        msg = f"{path} holds no decisions ({why}): expected what fraud replay --out wrote, .parquet or .jsonl"
        raise DataError(msg) from error


def in_parquet(path: Path, tx_id: str) -> list[dict[str, Any]]:
    """Return the rows of a transaction in a Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        rows: list[dict[str, Any]] = parquet.read_table(path, filters=[("tx_id", "=", tx_id)]).to_pylist()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    return rows


def in_lines(path: Path, tx_id: str) -> list[dict[str, Any]]:
    """Return the rows of a transaction in a JSON Lines file."""
    with path.open("rb") as file:
        return [row for line in file if (row := msgspec.json.decode(line))["tx_id"] == tx_id]
