"""A mapping guessed from names and values of columns, with what is not certain about it."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from fraud.core.errors import DataError
from streaming.files.inspecting.profile import NUMBER, Profile
from streaming.files.inspecting.times import written
from streaming.files.values.mapping import Amount, Columns, LabelValues, Mapping, Source, Time
from streaming.files.values.words import KINDS
from streaming.messages import currencies

NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "label": (("fraud",), ("laundering",), ("event", "label"), ("label",), ("class",), ("target",), ("chargeback",)),
    "label_time": (("label", "time"), ("label", "timestamp"), ("label", "date"), ("reported",), ("chargeback", "date")),
    "amount": (("amount",), ("amt",), ("price",), ("purchase", "value"), ("value",), ("sum",), ("total",)),
    "card": (
        ("card", "id"), ("cc", "num"), ("card", "number"), ("pan",), ("customer", "id"), ("user", "id"),
        ("client", "id"), ("account", "id"), ("entity", "id"), ("customer",), ("client",), ("payer",), ("sender",),
        ("name", "orig"),
        ("source",), ("from", "account"), ("account",), ("user",), ("card",), ("u",),
    ),
    "merchant": (
        ("merchant", "id"), ("merchant",), ("terminal",), ("shop",), ("store",), ("counterparty",), ("payee",),
        ("beneficiary",), ("receiver",), ("name", "dest"), ("to", "account"), ("target",), ("seller",), ("i",),
    ),
    "id": (
        ("transaction", "id"), ("trans", "num"), ("tx", "id"), ("payment", "id"), ("event", "id"), ("order", "id"),
        ("id",),
    ),
    "device": (("device", "id"), ("device",), ("fingerprint",)),
    "currency": (("payment", "currency"), ("currency",), ("ccy",), ("cur",)),
    "mcc": (("mcc",), ("merchant", "category", "code")),
    "channel": (("channel",),),
    "kind": (("kind",), ("transaction", "type"), ("type",)),
    "text": (("descriptor",), ("description",), ("narrative",), ("memo",)),
    "scenario": (("scenario",),),
}  # fmt: skip
"""Words that a column's name holds, the likeliest first."""
TIMES = (
    "purchase",
    "transaction",
    "trans",
    "tx",
    "event",
    "payment",
    "order",
    "timestamp",
    "datetime",
    "time",
    "date",
    "ts",
)
FRAUD_WORDS = frozenset({"1", "1.0", "true", "t", "yes", "y", "fraud", "fraudulent", "confirmed"})
GENUINE_WORDS = frozenset({"0", "0.0", "false", "f", "no", "n", "genuine", "legit", "legitimate", "normal", "ok"})
NO_TIMES = frozenset({"label", "reported", "chargeback", "birth", "dob", "age", "expiry", "delay"})
SIGNS = {"$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR"}
FEW = 12
"""A label has no more values."""


class Guess(msgspec.Struct, frozen=True):
    """A mapping, what is not certain about it, and the columns that it leaves over."""

    mapping: Mapping
    doubts: tuple[str, ...]
    left: tuple[str, ...]


class Guesser:
    """Give each role its likeliest column, one after the other; a column has one role."""

    def __init__(self, columns: Sequence[Profile]) -> None:
        """Take the columns of a file."""
        self._columns = [column for column in columns if column.present]
        self._taken: set[str] = set()
        self._doubts: list[str] = []

    def guess(self) -> Guess:
        """Return the likeliest mapping; raise DataError when there is no time, or nobody who pays."""
        time = self._time()
        told = self._role("label_time", lambda column: written(column) is not None)
        label = self._role(
            "label", lambda column: 1 < len(column.distinct) <= FEW or column.distinct <= FRAUD_WORDS | GENUINE_WORDS
        )
        card = self._card()
        amount = self._role("amount", money)
        found: dict[str, Any] = {
            "label": label, "label_time": told, "amount": amount,
            "id": self._role("id", lambda column: len(column.distinct) == len(column.values)),
            "merchant": self._twin(card) or self._role("merchant", named),
            "device": self._role("device", named),
            "currency": self._role("currency", mostly_currencies),
            "mcc": self._role("mcc", lambda column: column.share(re.compile(r"\d{1,4}(\.0)?")) > 0.99),
            "channel": self._role("channel", lambda column: len(column.distinct) <= FEW),
            "kind": self._role("kind", lambda column: {value.lower() for value in column.distinct} <= KINDS.keys()),
            "text": self._role("text", lambda column: not column.numeric),
            "scenario": self._role("scenario", lambda column: len(column.distinct) <= 4 * FEW),
        }  # fmt: skip
        mapping = Mapping(
            columns=Columns(time=time[0], card=card, **{role: column.name for role, column in found.items() if column}),
            time=time[1], amount=self._amounts(amount, found["currency"]), label=self._labels(label),
        )  # fmt: skip
        left = tuple(column.name for column in self._columns if column.name not in self._taken)
        return Guess(mapping.agreed(), tuple(self._doubts), left)

    def _role(self, role: str, fits: Any) -> Profile | None:
        """Return the first column whose name is one of a role's and whose values fit."""
        for words in NAMES[role]:
            for column in self._columns:
                if column.name not in self._taken and has(column.words, words) and fits(column):
                    self._taken.add(column.name)
                    return column
        return None

    def _time(self) -> tuple[Source, Time]:
        """Return the column, or columns, of the payment's time and how it is written."""
        if parts := self._parts():
            return parts
        found = {column.name: how for column in self._columns if plausible(column) and (how := written(column))}
        if not found:
            known = ", ".join(column.name for column in self._columns)
            msg = f"no column holds times that are understood: expected one among {known}; say in a mapping which, "
            raise DataError(msg + "and its [time] unit or pattern")
        name = min(found, key=lambda name: rank(name.lower()))
        self._taken.add(name)
        if found[name].doubt:
            self._doubts.append(f"time = '{name}': {found[name].doubt}")
        if len(found) > 1:
            others = ", ".join(f"'{other}'" for other in found if other != name)
            self._doubts.append(f"time = '{name}': {others} holds times too")
        return name, found[name].time

    def _parts(self) -> tuple[Source, Time] | None:
        """Return year, month, day and time of day that stand in columns of their own."""
        by_name = {column.name.lower(): column for column in self._columns}
        if not {"year", "month", "day"} <= by_name.keys():
            return None
        names = [by_name[part].name for part in ("year", "month", "day")]
        pattern = "%Y %m %d"
        if clock := by_name.get("time") or by_name.get("hour"):
            names.append(clock.name)
            first = clock.present[0]
            pattern += " %H:%M:%S" if first.count(":") == 2 else " %H:%M" if ":" in first else " %H"
        self._taken.update(names)
        return tuple(names), Time(pattern=pattern)

    def _card(self) -> Source:
        """Return the column of who pays; a user and one of the user's few cards together are one."""
        by_name = {column.name.lower(): column for column in self._columns if column.name not in self._taken}
        if {"user", "card"} <= by_name.keys() and len(by_name["card"].distinct) < 50:
            self._taken.update((by_name["user"].name, by_name["card"].name))
            return by_name["user"].name, by_name["card"].name
        found = self._role("card", lambda column: named(column) and several(column))
        found = found or self._role("card", named)
        if found is None:
            known = ", ".join(column.name for column in self._columns)
            msg = f"no column names who pays: expected a card, customer or account among {known}; say it in a mapping"
            raise DataError(msg)
        if len(found.distinct) > 0.9 * len(found.values):
            self._doubts.append(f"card = '{found.name}': it hardly repeats, so no card has a past to be judged by")
        return found.name

    def _twin(self, card: Source) -> Profile | None:
        """Return the other of two columns of one name, of which the first one pays."""
        name = card.removesuffix("#1") + "#2" if isinstance(card, str) and card.endswith("#1") else ""
        found = next((column for column in self._columns if column.name == name), None)
        if found is not None:
            self._taken.add(name)
            self._doubts.append(f"card = '{card}' pays and merchant = '{name}' is paid, for they stand in that order")
        return found

    def _amounts(self, column: Profile | None, coded: Profile | None) -> Amount:
        """Return how amounts are written; `coded` is the column of currencies."""
        if column is None:
            return Amount()
        values = column.present
        bare = [re.sub(r"[^\d.,' -]", "", value).strip() for value in values]
        comma = sum(re.search(r",\d{1,2}$", value) is not None and value.count(",") == 1 for value in bare)
        point = sum(re.search(r"\.\d+$", value) is not None for value in bare)
        decimal: Literal[".", ","] = "," if comma > point else "."
        other: Literal["", ",", "."] = "." if decimal == "," else ","
        thousands = other if any(re.search(rf"\d\{other}\d{{3}}", value) for value in bare) else ""
        negative = any(value.startswith(("-", "(")) for value in values)
        if negative:
            self._doubts.append(f"amount = '{column.name}': negative ones are taken for refunds")
        signs = Counter(mark for value in values for mark in value if mark == "€" or mark in SIGNS)
        currency = SIGNS.get(signs.most_common(1)[0][0], "EUR") if signs and coded is None else "EUR"
        if coded is None:
            why = "by its sign" if signs else "for nothing says it"
            self._doubts.append(f"[amount] currency = '{currency}', {why}")
        return Amount(
            decimal=decimal, thousands=thousands, negative="refund" if negative else "refuse", currency=currency
        )

    def _labels(self, column: Profile | None) -> LabelValues:
        """Return what labels mean."""
        if column is None:
            self._doubts.append("no column holds labels: a model cannot be trained on this file")
            return LabelValues()
        usual = LabelValues()
        strange = [value for value in column.distinct if value.lower() not in (*usual.fraud, *usual.genuine)]
        fraud = [value for value in strange if value.lower() in FRAUD_WORDS or "fraud" in value.lower()]
        genuine = [value for value in strange if value.lower() in GENUINE_WORDS]
        if unknown := sorted(set(strange) - {*fraud, *genuine}):
            self._doubts.append(f"label = '{column.name}': {', '.join(map(repr, unknown[:5]))} may mean anything")
        return LabelValues(fraud=(*usual.fraud, *sorted(fraud)), genuine=(*usual.genuine, *sorted(genuine)))


def has(words: Sequence[str], wanted: Sequence[str]) -> bool:
    """Tell whether a name's words hold those that are wanted, together or written as one."""
    return set(wanted) <= set(words) or "".join(wanted) == "".join(words)


def several(column: Profile) -> bool:
    """Tell whether a column names many, most of them more than once."""
    return min(50, len(column.values) // 20) <= len(column.distinct) < 0.9 * len(column.values)


def named(column: Profile) -> bool:
    """Tell whether a column's values may be names or numbers of somebody."""
    return len(column.distinct) > 1 and column.share(re.compile(r"-?\d+\.\d*[1-9]\d*")) < 0.5


def money(column: Profile) -> bool:
    """Tell whether nearly all values are amounts, signs and marks included."""
    return column.share(re.compile(r"[^\w]{0,3}\s?-?[\d][\d.,' ]*\s?[^\w]{0,3}")) > 0.95


def plausible(column: Profile) -> bool:
    """Tell whether a column may be the payments' time by its name."""
    return len(column.distinct) > 2 and not set(column.words) & NO_TIMES


def rank(name: str) -> int:
    """Return how unlikely a name is that of a payment's time."""
    signed_up = 100 * (re.search("sign_?up|regist|created", name) is not None)
    return min((at for at, word in enumerate(TIMES) if word in name), default=len(TIMES)) + signed_up


def mostly_currencies(column: Profile) -> bool:
    """Tell whether nearly all values are currencies of ISO 4217, some of which it may have given up."""
    known = sum(currencies.code_of(value) in currencies.digits() for value in column.present)
    return known > 0.8 * len(column.present)


def kind_of(column: Profile) -> str:
    """Return what a column that has no role is: times, a number, a category, an entity or text."""
    distinct, present = len(column.distinct), len(column.present)
    if written(column) is not None and not column.numeric:
        return "time"
    if column.share(NUMBER) > 0.99 and distinct > FEW:
        return "number"
    if distinct <= max(FEW, present // 50):
        return "category"
    return "entity" if distinct < 0.9 * present else "text"
