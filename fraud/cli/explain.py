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
    if path.suffix == ".parquet":
        from pyarrow import parquet

        rows = parquet.read_table(path, filters=[("tx_id", "=", tx_id)]).to_pylist()
    else:
        with path.open("rb") as file:
            rows = [row for line in file if (row := msgspec.json.decode(line))["tx_id"] == tx_id]
    return max(rows, key=lambda row: row["version"], default=None)
