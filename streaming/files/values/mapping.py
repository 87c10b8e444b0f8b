"""Mappings: which column of a file is what, so that exports of payments and streams of edges need no code."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fraud.core.attributes.declaration import PREFIX as ATTRS
from fraud.core.attributes.declaration import AttrsSection, declaration
from fraud.core.errors import MappingError, SettingsError, nearest

SHIPPED = Path(__file__).parents[2] / "mappings"
UNIT_NS = {
    "s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1,
    "min": 60_000_000_000, "h": 3_600_000_000_000, "d": 86_400_000_000_000,
}  # fmt: skip
NOTHING = (
    "null", "\\n", "nan", "n/a", "#n/a", "na", "none", "nil", "-", "--", "?", "(null)", "<na>", "undefined",
    "not reported",
)  # fmt: skip
"""Words that exports write where there is nothing."""

EXAMPLE = """\
# Which column is what. Only `time` and `card` are needed; the rest have the defaults that the comments name.
# Several columns make one value: time = ["Year", "Month", "Day", "Time"]. Of two columns of one name, say "Account#2".
# In JSON Lines a name may be a path: "payer.card.id".
[columns]
time = "timestamp"         # when the payment was made; sorted or not
card = "customer_id"       # who pays (in a stream of edges: the acting side)
merchant = "terminal_id"   # who is paid; default: one merchant "unknown"
amount = "amount"          # default: 1.00
# id = "transaction_id"    # default: the row number
# device = "device_id"     # default: none
# currency = "currency"    # default: [amount] currency; ISO 4217 code, number or name
# text = "descriptor"      # the merchant's descriptor; default: empty
# mcc = "mcc"              # merchant category code; default: 0
# channel = "channel"      # pos, atm, ecom, moto; default: not stated
# kind = "kind"            # payment, refund, reversal; default: payment
# label = "is_fraud"       # default: no labels
# label_time = "reported"  # when the label was known; default: --label-delay after the payment
# scenario = "scenario"    # kept for slices of an evaluation, never seen by a model

[time]
unit = "iso"               # iso (2026-01-31T12:00:00Z), or a count of d, h, min, s, ms, us, ns
pattern = ""               # or how a time is written, as strptime has it: "%m/%d/%y %H:%M"
zone = "UTC"               # of times that name none: "Europe/Berlin"
origin = ""                # what 0 means for a count: "2013-01-01"; empty: 1970-01-01
earliest = ""              # older times are refused; empty: 2000-01-01, or an older origin

[amount]
unit = "major"             # major (12.34) or minor (1234)
decimal = "."              # or ","
thousands = ""             # ",", ".", "'" or " ", where the amounts have them
negative = "refuse"        # refuse, or refund: -12.34 and (12.34) are refunds of 12.34
currency = "EUR"           # the currency of rows that name none

[label]
fraud = ["1", "1.0", "true", "t", "yes", "y", "fraud"]            # values that mean fraud ...
genuine = ["0", "0.0", "false", "f", "no", "n", "genuine"]        # ... and genuine
others = "unlabelled"      # any other value: unlabelled (counted and told), fraud or genuine; an empty one has no label

[kind]                     # words of the column `kind`, beside payment, refund and reversal themselves
payment = []
refund = []
reversal = []
others = "refuse"          # any other word: refuse, or payment (counted and told)

[channel]                  # words of the column `channel`; where a list is given, other words are left out and told
pos = []
atm = []
ecom = []
moto = []

[missing]                  # words that mean that there is nothing, in any column; case does not matter
words = ["NULL", "\\\\N", "NaN", "N/A", "#N/A", "NA", "None", "nil", "-", "--", "?", "(null)", "<NA>", "undefined",
         "not reported"]

[constants]                # of every row, in place of a column: merchant, device, channel, kind, mcc, text
# channel = "ecom"

[attrs.number]             # own columns, which become features: docs/attributes.md
# old_balance = "oldbalanceOrg"

[attrs.category]           # words, whole numbers among them
# type = "type"

[attrs.expression]         # + - * / log abs min max distance_km missing, of own numbers, amount, hour, weekday
# drift = "old_balance - amount"
"""

Source = str | tuple[str, ...]
"""A column's name, or the names of several that make one value; an empty one means that the file has no such column."""


class Columns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Column names by role."""

    time: Source
    card: Source
    merchant: Source = ""
    amount: str = ""
    id: Source = ""
    device: Source = ""
    currency: str = ""
    text: Source = ""
    mcc: str = ""
    channel: str = ""
    kind: str = ""
    label: str = ""
    label_time: Source = ""
    scenario: str = ""


class Time(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How times are written."""

    unit: Literal["iso", "d", "h", "min", "s", "ms", "us", "ns"] = "iso"
    pattern: str = ""
    zone: str = "UTC"
    origin: str = ""
    earliest: str = ""


class Amount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How amounts are written."""

    unit: Literal["major", "minor"] = "major"
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", "'", " "] = ""
    negative: Literal["refuse", "refund"] = "refuse"
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] = "EUR"


Words = tuple[str, ...]


class LabelValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which values of the label column mean what, compared as lower-case text."""

    fraud: Words = ("1", "1.0", "true", "t", "yes", "y", "fraud")
    genuine: Words = ("0", "0.0", "false", "f", "no", "n", "genuine")
    others: Literal["unlabelled", "fraud", "genuine"] = "unlabelled"


class KindWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which words mean which kind of transaction, compared as lower-case text."""

    payment: Words = ()
    refund: Words = ()
    reversal: Words = ()
    others: Literal["refuse", "payment"] = "refuse"


class ChannelWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which words mean which channel, compared as lower-case text."""

    pos: Words = ()
    atm: Words = ()
    ecom: Words = ()
    moto: Words = ()


class Missing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words that mean that there is nothing, compared as lower-case text."""

    words: Words = NOTHING


class Constants(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a role without a column is in every row."""

    merchant: str = ""
    device: str = ""
    channel: str = ""
    kind: str = ""
    mcc: str = ""
    text: str = ""


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One mapping."""

    columns: Columns
    time: Time = Time()
    amount: Amount = Amount()
    label: LabelValues = LabelValues()
    kind: KindWords = KindWords()
    channel: ChannelWords = ChannelWords()
    missing: Missing = Missing()
    constants: Constants = Constants()
    attrs: AttrsSection = AttrsSection()

    def roles(self) -> dict[str, tuple[str, ...]]:
        """Return the columns of each role that the file is said to have, own columns as `attrs.NAME`."""
        said = msgspec.structs.asdict(self.columns)
        found = {role: (name,) if isinstance(name, str) else tuple(name) for role, name in said.items() if name}
        return found | {ATTRS + name: (column,) for name, column in self.own_columns().items()}

    def own_columns(self) -> dict[str, str]:
        """Return the file's column of each own column by name."""
        return {name: column for names in self.attrs.sources().values() for name, column in names.items()}

    def slots(self) -> list[str]:
        """Return the columns that are read, in the order of roles; one of several roles more than once."""
        return [name for names in self.roles().values() for name in names]

    def check(self, present: list[str]) -> None:
        """Raise MappingError when the file lacks a column that the mapping names, or has two of that name."""
        for role, names in self.roles().items():
            for name in names:
                if name in present:
                    continue
                if twins := [other for other in present if other.rpartition("#")[0] == name]:
                    msg = f"mapping: {role} = '{name}', but the file has {len(twins)} columns of that name: expected "
                    raise MappingError(msg + " or ".join(f"'{twin}'" for twin in twins))
                msg = (
                    f"mapping: {role} = '{name}', but the file has no such column; it has "
                    f"{', '.join(present)}.{nearest(name, present)}"
                )
                raise MappingError(msg)

    def agreed(self) -> "Mapping":
        """Return this mapping; raise MappingError where parts of it contradict each other."""
        columns = msgspec.structs.asdict(self.columns)
        for role, value in msgspec.structs.asdict(self.constants).items():
            if value and columns[role]:
                msg = f"mapping: {role} has the column '{columns[role]}' and the constant '{value}': give one of them"
                raise MappingError(msg)
        if self.time.pattern and self.time.unit != "iso":
            msg = f"mapping: [time] has pattern '{self.time.pattern}' and unit '{self.time.unit}': give one of them"
            raise MappingError(msg)
        if self.amount.thousands == self.amount.decimal:
            msg = f"mapping: [amount] decimal and thousands are both '{self.amount.decimal}': expected two marks"
            raise MappingError(msg)
        for section, words in (("label", self.label), ("kind", self.kind), ("channel", self.channel)):
            check_words(section, msgspec.structs.asdict(words))
        for name, column in self.own_columns().items():
            if not column:
                msg = f"mapping: attrs.{name} names no column: expected the name of one, or a path such as payer.age"
                raise MappingError(msg)
        try:
            declaration(self.attrs, "mapping")
        except SettingsError as error:
            raise MappingError(str(error)) from error
        return self


def check_words(section: str, words: dict[str, Any]) -> None:
    """Raise MappingError when one word means two things."""
    meaning: dict[str, str] = {}
    for key, listed in words.items():
        for word in listed if isinstance(listed, tuple) else ():
            if meaning.setdefault(word.lower(), key) != key:
                msg = f"mapping: [{section}] '{word}' means {meaning[word.lower()]} and {key}: leave one out"
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
    try:
        # some editors write a byte order mark, which TOML has not
        return parse(path.read_text(encoding="utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read as a mapping ({error}): expected a TOML file in UTF-8"
        raise MappingError(msg) from error


def shipped() -> list[str]:
    """Return the names of the mappings that come with the project."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def parse(text: str, where: str) -> Mapping:
    """Return a mapping from TOML text; raise MappingError naming `where` and the key."""
    try:
        content = tomllib.loads(text)
        return msgspec.convert(content, Mapping).agreed()
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
