"""Rows of a file to transactions: what one row means, every fault with its column, value and repair."""

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any

import msgspec

from fraud.core.attributes.declaration import PREFIX as ATTRS
from fraud.core.card_numbers import KEYLESS, CardNumbers
from fraud.core.errors import CardNumberError, MappingError
from fraud.core.records import DAY, Kind, Transaction, Verdict
from streaming.files.values.account import CHANNEL, DAMAGED, EARLY, KIND, LABEL, NEVER
from streaming.files.values.amounts import AMOUNT, AmountReader, Money
from streaming.files.values.faulty import RowError, shown
from streaming.files.values.mapping import Amount, Mapping
from streaming.files.values.moments import LATEST, TIME, Days, moment_text, time_reader
from streaming.files.values.own import OwnReader
from streaming.files.values.words import Said, WordReader, is_missing, text_of, without_point
from streaming.messages.currencies import code_of
from streaming.messages.faults import unprintable
from streaming.messages.money import Rates
from streaming.messages.schema import LONGEST_ID, LONGEST_TEXT, MOST

DEFAULT_AMOUNT = 100
DEFAULTS: dict[str, Any] = {
    "merchant": "unknown",
    "kind": Kind.PAYMENT,
    "device": None,
    "channel": "",
    "mcc": 0,
    "text": "",
    "label": None,
    "scenario": "",
}
"""What a role without a column stands for."""

LOOKED_AT = "card", "text"
"""The roles in which card numbers are looked for."""
CURRENCY, MCC, LABEL_TIME, TEXT = "currency", "mcc", "label_time", "text"
JOINT = {TIME: " ", LABEL_TIME: " ", "text": " "}
"""What several columns of a role are joined by, where not by `|`."""
ENDLESS = -1
"""A verdict's time that means that it never was known: 9999-12-31 and the like."""
DATE = re.compile(r"\d{4}-?\d\d-?\d\d")
ROUNDED = re.compile(r"-?\d(?:\.\d+)?E\+\d{2,3}")
"""A long number as a spreadsheet shows and exports it."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A payment as read, with what the file says of its verdict and, maybe, when (UTC ns) that was known."""

    tx: Transaction
    verdict: Verdict | None
    scenario: str
    known_at: int | None = None


class RowReader:
    """Turn one row's values, in the order of a mapping's slots, into a `Row`.

    `converters` read one value of a role each; `noted` tell what is odd in one that is read all the same; `own` has
    the roles of own columns by name.
    """

    def __init__(self, mapping: Mapping, rates: Rates, cards: CardNumbers = KEYLESS) -> None:
        """Prepare one converter per role; raise MappingError when the mapping's times or constants cannot be."""
        self._cards = cards
        self._at = places(mapping)
        self.time = time_reader(mapping.time, TIME)
        self._money = mapping.amount
        self._amounts = AmountReader(mapping.amount)
        self._rates = rates
        self.words = words = WordReader(mapping)
        self.converters: dict[str, Callable[[Any], Any]] = {
            "id": partial(self._identifier, "id"),
            "card": self._card,
            "merchant": partial(self._identifier, "merchant"),
            "device": self._device,
            CURRENCY: self.currency,
            KIND: words.kind,
            CHANNEL: words.channel,
            MCC: lambda value: mcc(words.text(value)),
            "text": self._text,
            LABEL: words.verdict,
            "scenario": words.text,
            LABEL_TIME: self._known_at(mapping),
        }
        self.noted: dict[str, Callable[[Any], Said | None]] = {
            **words.noted,
            **dict.fromkeys(("id", "card", "merchant", "device"), damaged),
        }
        self._looked_at = (*LOOKED_AT, *(ATTRS + name for name in mapping.attrs.category))
        own = OwnReader(mapping, words, self._taken)
        self.converters |= own.converters
        self.noted |= own.noted
        self.own = own.roles
        self.defaults = DEFAULTS | self._constants(mapping)

    def read(self, values: Sequence[Any], number: int, told: Callable[[str, str], None] | None = None) -> Row:
        """Return the row; `told` hears of what is odd in it. Raise RowError when a value cannot be used."""
        happened_at = self.time(self.picked(values, TIME))
        currency = self._value(CURRENCY, values, self._money.currency)
        money = self.money(self.picked(values, AMOUNT), currency) if AMOUNT in self._at else Money(DEFAULT_AMOUNT)
        others = {role: self._value(role, values, default) for role, default in self.defaults.items()}
        verdict, scenario = others.pop(LABEL), others.pop("scenario")
        tx = Transaction(
            id=self._value("id", values, default_id(number)),
            card=self._value("card", values, None),
            amount=money.minor,
            base_amount=self.base(money.minor, currency),
            happened_at=happened_at,
            seen_at=happened_at,
            currency=currency,
            **others | {"kind": flowing(others["kind"], money)},
            attrs={name: self._value(role, values, None) for name, role in self.own.items()} or None,
        )
        known = self._value(LABEL_TIME, values, None)
        verdict, known_at, odd = judged(verdict, known, happened_at)
        if told is not None:
            for sort, value in self._odd(values):
                told(sort, value)
            if odd:
                told(odd, moment_text(self.picked(values, LABEL_TIME)))
        return Row(tx, verdict, scenario, known_at)

    def picked(self, values: Sequence[Any], role: str) -> Any:
        """Return a role's value of a row, joined where the role has several columns."""
        at = self._at[role]
        return values[at[0]] if len(at) == 1 else joined(role, [self.words.text(values[place]) for place in at])

    def money(self, value: Any, currency: str) -> Money:
        """Return an amount in minor units of its currency; raise RowError when it is no number or out of range."""
        if self.words.is_missing(value):
            raise RowError(AMOUNT, f"amount {shown(value)} is not a number: expected digits")
        found = self._amounts.read(value, minor_digits(self._money, self._rates, currency), currency)
        if found.minor > MOST:
            raise RowError(AMOUNT, f"amount {shown(value)} is out of range: expected at most {MOST} minor units")
        return found

    def currency(self, value: Any) -> str:
        """Return a currency's code; raise RowError when there is no rate for it."""
        text = self.words.text(value)
        code = code_of(text) if text else self._money.currency
        if code not in self._rates.known():
            known = ", ".join(self._rates.known())
            message = f"currency {text or code!r} has no rate: expected one of {known}, or add it to [money] rates"
            raise RowError(CURRENCY, message)
        return code

    def base(self, amount: int, currency: str) -> int:
        """Return an amount in minor units of the base currency; raise RowError when there is no rate."""
        base = self._rates.to_base(amount, self.currency(currency))
        if base > self._rates.most:
            message = f"amount {amount} {currency} is {base} in the base currency: expected at most {self._rates.most}"
            raise RowError(AMOUNT, message)
        return base

    def letter(self, row: RowError, original: bytes, values: Sequence[Any] | None) -> tuple[str, bytes, bool]:
        """Return what is kept of a row that is refused: why, its bytes, and whether card numbers were masked in them.

        Without its values the whole row is looked through.
        """
        if values is None:
            looked_at = original.decode("latin-1")
        else:
            looked_at = "\n".join(text_of(values[at]) for role in self._looked_at for at in self._at.get(role, ()))
        if not self._cards.shows(looked_at):
            return str(row), original, False
        masked = self._cards.masked(original.decode("latin-1")).encode("latin-1")
        return self._cards.masked(str(row)), masked, True

    def _identifier(self, role: str, value: Any) -> str:
        if not is_missing(value) and self.words.is_missing(value):
            reason = f"{role} {shown(value)} is a word for nothing"
            raise RowError(role, f"{reason}: expected an id; if it is one, say so by [missing] words")
        return identifier(role, value)

    def _card(self, value: Any) -> str:
        return self._taken("card", self._identifier("card", value))

    def _device(self, value: Any) -> str | None:
        return None if self.words.is_missing(value) else identifier("device", value)

    def _text(self, value: Any) -> str:
        text = self.words.text(value)
        if len(text) > LONGEST_TEXT:
            raise RowError(TEXT, f"text of {len(text)} characters: expected at most {LONGEST_TEXT}")
        return self._taken("text", text)

    def _taken(self, role: str, text: str) -> str:
        """Return a text with tokens for card numbers; raise RowError where one is refused."""
        try:
            return self._cards.text(text, role)
        except CardNumberError as error:
            raise RowError(error.code, str(error)) from None

    def _odd(self, values: Sequence[Any]) -> list[Said]:
        """Return what is odd in a row's values."""
        odd = [note(self.picked(values, role)) for role, note in self.noted.items() if role in self._at]
        return [one for one in odd if one is not None]

    def _known_at(self, mapping: Mapping) -> Callable[[Any], int | None]:
        """Return what reads when a verdict was known: None where nothing says so, `ENDLESS` for the end of time."""
        read = time_reader(mapping.time, LABEL_TIME, least=1)

        def known_at(value: Any) -> int | None:
            if self.words.is_missing(value):
                return None
            if year_of(value) >= 2100:
                return ENDLESS
            # a day without a time of day is over before anybody can count on what happened in it
            whole_day = (isinstance(value, date) and not isinstance(value, datetime)) or isinstance(value, Days)
            whole_day = whole_day or (isinstance(value, str) and DATE.fullmatch(value.strip()) is not None)
            return read(value) + (DAY - 1 if whole_day else 0)

        return known_at

    def _constants(self, mapping: Mapping) -> dict[str, Any]:
        """Return what the mapping says that every row has."""
        try:
            stated = {role: word for role, word in msgspec.structs.asdict(mapping.constants).items() if word}
            return {role: self.converters[role](word) for role, word in stated.items()}
        except RowError as error:
            msg = f"mapping: [constants] {error}"
            raise MappingError(msg) from error

    def _value(self, role: str, values: Sequence[Any], default: Any) -> Any:
        return self.converters[role](self.picked(values, role)) if role in self._at else default


def places(mapping: Mapping) -> dict[str, tuple[int, ...]]:
    """Return where the columns of each role stand among a mapping's slots."""
    found, at = {}, 0
    for role, names in mapping.roles().items():
        found[role] = tuple(range(at, at + len(names)))
        at += len(names)
    return found


def joined(role: str, parts: Sequence[str]) -> str:
    """Return the value of several columns; '' where all of them are empty."""
    mark = JOINT.get(role, "|")
    return mark.join(part for part in parts if part) if mark == " " else mark.join(parts) if any(parts) else ""


def flowing(kind: Kind, money: Money) -> Kind:
    """Return a transaction's kind: a payment of a negative amount is a refund."""
    return Kind.REFUND if money.negative and kind is Kind.PAYMENT else kind


def judged(verdict: Verdict | None, known: int | None, happened_at: int) -> tuple[Verdict | None, int | None, str]:
    """Return a verdict, when it was known, and the sort of what is odd: a time before the payment, or without end."""
    if verdict is None or known is None:
        return verdict, None if known == ENDLESS else known, ""
    if known == ENDLESS:
        return None, None, NEVER
    return (verdict, None, EARLY) if known < happened_at else (verdict, known, "")


def default_id(number: int) -> str:
    """Return the id of a row that names none, from its number, counted from 0."""
    return f"R{number:09d}"


def identifier(role: str, value: Any) -> str:
    """Return an id as text; raise RowError when it is empty, too long or holds control characters.

    A number that a table once kept as a float, such as 1234.0, is the whole number.
    """
    text = without_point(text_of(value))
    if not text or len(text) > LONGEST_ID:
        message = f"{role} {text[:40]!r} is no id: expected 1 to {LONGEST_ID} printable characters"
        raise RowError(role, message)
    if bad := unprintable(text):
        message = f"{role} {text[:40]!r} is no id, it holds {bad}: expected 1 to {LONGEST_ID} printable characters"
        raise RowError(role, message)
    return text


def damaged(value: Any) -> Said | None:
    """Tell of an id that a spreadsheet rounded."""
    text = text_of(value)
    return (DAMAGED, text) if ROUNDED.fullmatch(text) else None


def mcc(value: Any) -> int:
    """Return a merchant category code, 0 for an empty cell; raise RowError when it is none."""
    text = without_point(text_of(value)) or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        message = f"mcc {text[:40]!r} is not a merchant category code: expected four digits"
        raise RowError(MCC, message)
    return int(text)


def year_of(value: Any) -> int:
    """Return the year that a date or text with one begins with, 0 where it is neither."""
    if isinstance(value, date):
        return value.year
    if isinstance(value, int) and value >= LATEST:
        return 2100
    found = re.match(r"(\d{4})-\d", value.strip()) if isinstance(value, str) else None
    return int(found[1]) if found else 0


def minor_digits(money: Amount, rates: Rates, currency: str) -> int:
    """Return how many decimal digits the amounts of a file have beyond the unit that it counts in."""
    return rates.digits(currency) if money.unit == "major" else 0
