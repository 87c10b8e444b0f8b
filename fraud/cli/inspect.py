"""`fraud check`, `fraud explain`: is everything there, and why was this decided."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from fraud.cli import options, output
from fraud.core.errors import DataError, FraudError


def check(
    model: options.ModelName = None,
    models: options.Models = None,
    rules: options.Rules = None,
    settings: options.SettingsFile = None,
) -> None:
    """Check that everything a run needs is there; each line says what to do. The last line is 'ready'."""
    from streaming.wiring import build

    try:
        parts = build(options.settings(settings, model=model, models=models, rules=rules))
    except FraudError as error:
        output.show(f"model      FAILED  {error}")
        raise typer.Exit(1) from error
    output.show(f"model      ok      {parts.judges.scorer.version}")
    output.show(f"features   ok      {len(parts.extractor.names)} features, spec {parts.extractor.version}")
    output.show(f"policy     ok      {parts.judges.policy.version}")
    output.show(f"rules      ok      {parts.judges.rules.version}")
    output.show("ready")


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
