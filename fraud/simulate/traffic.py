"""Traffic as numpy columns: what a generator makes, and how it becomes records.

Generators work on whole columns (100,000 events a second and more); records are made one at a time, when
asked for. Identifiers are numbers in the columns and stable strings in the records: `C000123`, `M004567`,
`D000089`, `T000000042`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import DataError
from fraud.core.records import Kind, Label, LabelSource, Transaction, Verdict

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Column = NDArray[np.int64] | NDArray[np.bool_]
Text = NDArray[np.str_]

KINDS = tuple(Kind)
SOURCES = tuple(LabelSource)
NO_DEVICE = -1
_BLOCK = 8192
_MESSAGE = (
    *("number", "version", "kind", "happened_at", "seen_at", "card", "merchant", "device"),
    *("amount", "base_amount", "currency", "channel", "mcc", "text"),
)


@dataclass(frozen=True, slots=True)
class Words:
    """The words that code columns point into: `Traffic.channel` holds positions in `channels`, and so on."""

    scenarios: tuple[str, ...]
    channels: tuple[str, ...] = ("",)
    currencies: tuple[str, ...] = ("EUR",)
    texts: tuple[str, ...] = ("",)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Labels as columns, in the order of `seen_at`; all have shape (labels,).

    `number` is the transaction's, `source` a position in `SOURCES`; times are UTC ns.
    """

    number: Ints
    fraud: Bools
    happened_at: Ints
    seen_at: Ints
    source: Ints
    version: Ints

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.number)

    def columns(self) -> dict[str, Column | Text]:
        """Return columns to be written, as a replay reads labels: words in place of codes."""
        return {
            "tx_id": _named("T", 9, self.number),
            "verdict": _spelt((Verdict.GENUINE, Verdict.FRAUD), self.fraud.astype(np.int64)),
            "source": _spelt(SOURCES, self.source),
            "happened_at": self.happened_at,
            "seen_at": self.seen_at,
            "version": self.version,
        }


@dataclass(frozen=True, slots=True)
class Traffic:
    """Card messages as columns of shape (messages,), in the order of `seen_at`; times are UTC ns.

    `number` is the transaction's own: a producer's retry repeats it, a correction repeats it with a higher
    `version`. `amount` counts minor units of the currency, `base_amount` cents of the base currency. `kind`,
    `channel`, `currency` and `text` are positions in `KINDS` and `words`; `device` is -1 where there is none.
    `fraud` and `scenario` (position in `words.scenarios`, 0 is genuine) are the truth, which no transaction
    carries. `known` holds the verdicts of a generator that gives them by itself. `optimum` (messages,) is, where the
    generator can tell, the chance of fraud to an observer who knows the generator and saw everything so far.
    """

    number: Ints
    version: Ints
    kind: Ints
    happened_at: Ints
    seen_at: Ints
    card: Ints
    merchant: Ints
    device: Ints
    amount: Ints
    base_amount: Ints
    currency: Ints
    channel: Ints
    mcc: Ints
    text: Ints
    fraud: Bools
    scenario: Ints
    words: Words
    known: Verdicts | None = field(default=None)
    optimum: NDArray[np.float64] | None = field(default=None)

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.number)

    def transactions(self) -> Iterator[Transaction]:
        """Yield the messages as records, in the order of `seen_at`."""
        for start in range(0, len(self), _BLOCK):
            yield from self._block(slice(start, start + _BLOCK))

    def transaction(self, row: int) -> Transaction:
        """Return one message as a record."""
        return next(self._block(slice(row, row + 1)))

    def labels(self, delay: int | None = None) -> Iterator[Label]:
        """Yield the labels as records, in the order of `seen_at`; see `verdicts`."""
        verdicts = self.verdicts(delay)
        for start in range(0, len(verdicts), _BLOCK):
            yield from _labels(verdicts, slice(start, start + _BLOCK))

    def verdicts(self, delay: int | None = None) -> Verdicts:
        """Return the labels as columns, in the order of `seen_at`.

        With a `delay` (ns) every payment, genuine or not, has one label, given `delay` after it. Without one
        the generator's own verdicts are returned; where it has none the delay is zero.
        """
        if delay is None and self.known is not None:
            return self.known
        return _delayed(self, delay or 0)

    def first_messages(self) -> Ints:
        """Return the row of the first message of each payment: no repeats, corrections, refunds or reversals."""
        _, first = np.unique(self.number, return_index=True)
        rows: Ints = first[self.kind[first] == KINDS.index(Kind.PAYMENT)]
        return rows

    def columns(self) -> dict[str, Column | Text | NDArray[np.float64]]:
        """Return columns to be written, by record field, words in place of codes, with the truth and the optimum."""
        words = self.words
        optimum = {} if self.optimum is None else {"optimum": self.optimum}
        return {
            "id": _named("T", 9, self.number),
            "version": self.version,
            "kind": _spelt(KINDS, self.kind),
            "happened_at": self.happened_at,
            "seen_at": self.seen_at,
            "card": _named("C", 6, self.card),
            "merchant": _named("M", 6, self.merchant),
            "device": _named("D", 6, self.device),
            "amount": self.amount,
            "base_amount": self.base_amount,
            "currency": _spelt(words.currencies, self.currency),
            "channel": _spelt(words.channels, self.channel),
            "mcc": self.mcc,
            "text": _spelt(words.texts, self.text),
            "fraud": self.fraud,
            "scenario": _spelt(words.scenarios, self.scenario),
            **optimum,
        }

    def truth(self) -> dict[str, str]:
        """Return the scenario name of every fraudulent transaction, by transaction id."""
        rows = np.flatnonzero(self.fraud)
        names = (self.words.scenarios[code] for code in self.scenario[rows].tolist())
        return dict(zip((f"T{n:09d}" for n in self.number[rows].tolist()), names, strict=True))

    def _block(self, rows: slice) -> Iterator[Transaction]:
        """Yield the records of some rows."""
        words = self.words
        columns = (getattr(self, name)[rows].tolist() for name in _MESSAGE)
        for row in zip(*columns, strict=True):
            (
                number,
                version,
                kind,
                at,
                seen,
                card,
                merchant,
                device,
                amount,
                base,
                currency,
                channel,
                mcc,
                text,
            ) = row
            yield Transaction(
                id=f"T{number:09d}",
                version=version,
                kind=KINDS[kind],
                happened_at=at,
                seen_at=seen,
                card=f"C{card:06d}",
                merchant=f"M{merchant:06d}",
                device=None if device == NO_DEVICE else f"D{device:06d}",
                amount=amount,
                base_amount=base,
                currency=words.currencies[currency],
                channel=words.channels[channel],
                mcc=mcc,
                text=words.texts[text],
            )


def plain(happened_at: Ints, card: Ints, merchant: Ints, amount: Ints, scenario: Ints, words: Words) -> Traffic:
    """Return payments that have nothing but these columns, numbered in their order, which is that of time."""
    zeros = np.zeros(len(card), dtype=np.int64)
    return Traffic(
        number=np.arange(len(card), dtype=np.int64),
        version=zeros,
        kind=zeros,
        happened_at=happened_at,
        seen_at=happened_at,
        card=card,
        merchant=merchant,
        device=zeros + NO_DEVICE,
        amount=amount,
        base_amount=amount,
        currency=zeros,
        channel=zeros,
        mcc=zeros,
        text=zeros,
        fraud=scenario > 0,
        scenario=scenario,
        words=words,
    )


def _delayed(traffic: Traffic, delay: int) -> Verdicts:
    """Return one verdict a payment, `delay` after it but never seen before it; its repeats have none."""
    if delay < 0:
        msg = f"labels cannot be {-delay} ns early: give a delay of 0 or more"
        raise DataError(msg)
    rows = traffic.first_messages()
    at = traffic.happened_at[rows] + delay
    seen = np.maximum(at, traffic.seen_at[rows] + 1)
    order = np.lexsort((traffic.number[rows], seen))
    rows, zeros = rows[order], np.zeros(len(rows), dtype=np.int64)
    return Verdicts(traffic.number[rows], traffic.fraud[rows], at[order], seen[order], zeros, zeros)


def _labels(verdicts: Verdicts, rows: slice) -> Iterator[Label]:
    """Yield the records of some rows."""
    names = [f.name for f in fields(verdicts)]
    columns = (getattr(verdicts, name)[rows].tolist() for name in names)
    for number, fraud, at, seen, source, version in zip(*columns, strict=True):
        yield Label(
            tx_id=f"T{number:09d}",
            verdict=Verdict.FRAUD if fraud else Verdict.GENUINE,
            happened_at=at,
            seen_at=seen,
            source=SOURCES[source],
            version=version,
        )


def _named(letter: str, digits: int, numbers: Ints) -> Text:
    """Return identifiers such as `C000123`; the empty string for a negative number."""
    distinct, back = np.unique(numbers, return_inverse=True)
    names = np.array([f"{letter}{n:0{digits}d}" if n >= 0 else "" for n in distinct.tolist()], dtype=np.str_)
    return names[back]


def _spelt(words: tuple[str, ...], codes: Ints) -> Text:
    """Return the word of each code."""
    return np.array([str(word) for word in words], dtype=np.str_)[codes]
