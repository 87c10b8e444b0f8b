"""Mappings: which column of a file is what, so that exports of payments and streams of edges need no code."""

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from fraud.core.errors import MappingError, nearest

SHIPPED = Path(__file__).parents[1] / "mappings"
UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}

EXAMPLE = """\
# Which column is what. Only `time` and `card` are needed; the rest have the defaults that the comments name.
[columns]
time = "timestamp"         # when the payment was made; sorted or not
card = "customer_id"       # who pays (in a stream of edges: the acting side)
merchant = "terminal_id"   # who is paid; default: one merchant "unknown"
amount = "amount"          # default: 1.00
# id = "transaction_id"    # default: the row number
# device = "device_id"     # default: none
# currency = "currency"    # default: [amount] currency
# text = "descriptor"      # the merchant's descriptor; default: empty
# mcc = "mcc"              # merchant category code; default: 0
# channel = "channel"      # pos, atm, ecom, moto; default: not stated
# kind = "kind"            # payment, refund, reversal; default: payment
# label = "is_fraud"       # default: no labels
# label_time = "reported"  # when the label was known; default: --label-delay after the payment
# scenario = "scenario"    # kept for slices of an evaluation, never seen by a model

[time]
unit = "iso"               # iso (2026-01-31T12:00:00Z, UTC when no zone is given), s, ms, us, ns
origin = "1970-01-01"      # what 0 means, for s, ms, us, ns

[amount]
unit = "major"             # major (12.34) or minor (1234)
decimal = "."              # or ","
currency = "EUR"           # the currency of rows that name none

[label]
fraud = ["1", "1.0", "true", "fraud"]       # values that mean fraud ...
genuine = ["0", "0.0", "false", "genuine"]  # ... and genuine; anything else is not labelled
"""


class Columns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Column names by role; an empty one means that the file has no such column."""

    time: str
    card: str
    merchant: str = ""
    amount: str = ""
    id: str = ""
    device: str = ""
    currency: str = ""
    text: str = ""
    mcc: str = ""
    channel: str = ""
    kind: str = ""
    label: str = ""
    label_time: str = ""
    scenario: str = ""


class Time(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How times are written."""

    unit: Literal["iso", "s", "ms", "us", "ns"] = "iso"
    origin: str = "1970-01-01"


class Amount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How amounts are written."""

    unit: Literal["major", "minor"] = "major"
    decimal: Literal[".", ","] = "."
    currency: str = "EUR"


class LabelValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which values of the label column mean what, compared as lower-case text."""

    fraud: tuple[str, ...] = ("1", "1.0", "true", "fraud")
    genuine: tuple[str, ...] = ("0", "0.0", "false", "genuine")


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One mapping."""

    columns: Columns
    time: Time = Time()
    amount: Amount = Amount()
    label: LabelValues = LabelValues()

    def roles(self) -> dict[str, str]:
        """Return role to column name, for the columns that the file is said to have."""
        return {role: name for role, name in msgspec.structs.asdict(self.columns).items() if name}

    def check(self, present: list[str]) -> None:
        """Raise MappingError when the file lacks a column that the mapping names."""
        for role, name in self.roles().items():
            if name not in present:
                msg = (
                    f"mapping: {role} = '{name}', but the file has no such column; it has "
                    f"{', '.join(present)}.{nearest(name, present)}"
                )
                raise MappingError(msg)


def load(name_or_path: str) -> Mapping:
    """Return the mapping shipped under a name, or the one in a TOML file.

    Raises:
        MappingError: when there is none, it is not TOML, or a key is unknown or wrong.
    """
    path = SHIPPED / f"{name_or_path}.toml"
    if not path.exists():
        path = Path(name_or_path)
    if not path.exists():
        known = shipped()
        msg = (
            f"no mapping '{name_or_path}': expected a file or one of {', '.join(known)}.{nearest(name_or_path, known)}"
        )
        raise MappingError(msg)
    return parse(path.read_text(encoding="utf-8"), str(path))


def shipped() -> list[str]:
    """Return the names of the mappings that come with the project."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def parse(text: str, where: str) -> Mapping:
    """Return a mapping from TOML text; raise MappingError naming `where` and the key."""
    try:
        content = tomllib.loads(text)
        return msgspec.convert(content, Mapping)
    except tomllib.TOMLDecodeError as error:
        msg = f"{where} is not TOML: {error}"
        raise MappingError(msg) from error
    except msgspec.ValidationError as error:
        msg = f"{where}: {error}.{hint(content)}"
        raise MappingError(msg) from error


def hint(content: dict[str, Any]) -> str:
    """Return the nearest valid name for the first unknown key."""
    sections = {field.name: field.type for field in msgspec.structs.fields(Mapping)}
    for section, keys in content.items():
        if section not in sections:
            return nearest(section, sections)
        known = [field.name for field in msgspec.structs.fields(sections[section])]
        for key in keys if isinstance(keys, dict) else ():
            if key not in known:
                return f" Valid keys of [{section}]: {', '.join(known)}." + nearest(key, known)
    return ""
