"""Options that several commands share, and how their values are read."""

import re
from pathlib import Path
from typing import Annotated

import typer

from fraud.core.errors import SettingsError
from fraud.core.records import DAY, HOUR, MINUTE, SECOND

UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}

Data = Annotated[Path, typer.Option("--data", help="Payments to read: CSV (also .gz, .xz), Parquet or JSON Lines.")]
MappingName = Annotated[
    str, typer.Option("--mapping", help="A mapping's name (fdh, native, ...) or a TOML file; see fraud simulate.")
]
LabelDelay = Annotated[
    str,
    typer.Option(
        "--label-delay", help="How long after a payment its verdict is known: 7d, 1h, 30m; 'none' for no labels."
    ),
]
ModelName = Annotated[str, typer.Option("--model", help="A trained model's name; 'rules' always exists.")]
Models = Annotated[Path, typer.Option("--models", help="The folder where trained models are kept.")]
Rules = Annotated[Path | None, typer.Option("--rules", help="A file of analyst rules.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on the last line only.")]

MODELS = Path("build/models")
CACHE = Path("build/cache")


def duration(text: str) -> int | None:
    """Return nanoseconds, None for 'none'; raise SettingsError for anything that is no duration."""
    if text == "none":
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        msg = f"'{text}' is no duration: expected a number and a unit of {', '.join(UNITS)}, such as 7d, or 'none'"
        raise SettingsError(msg)
    return round(float(match[1]) * UNITS[match[2]])
