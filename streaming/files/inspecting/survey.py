"""What a file's payments are like, and what the columns promise that a mapping leaves over."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.metrics import average_precision
from fraud.core.records import DAY, Reject, Verdict
from streaming.files.inspecting.guess import kind_of
from streaming.files.inspecting.profile import NUMBER, Profile
from streaming.files.values.rows import Row
from streaming.messages.times import to_text

FIRST = 0.7
"""The share of rows, in order of time, from which a column's promise is learned; it is judged on the rest."""
BINS = 20
PRIOR = 20.0
"""Payments that a value's share of frauds is drawn to the mean by."""
FEWEST = 10
"""Frauds on either side under which a promise is not told."""


class Survey(msgspec.Struct):
    """Counts over the payments of a file; `months` holds payments and frauds, `shown` the first five."""

    payments: int = 0
    frauds: int = 0
    labelled: int = 0
    first: int = 0
    last: int = 0
    backwards: int = 0
    months: dict[str, list[int]] = {}
    currencies: Counter[str] = msgspec.field(default_factory=Counter)
    ids: Counter[str] = msgspec.field(default_factory=Counter)
    cards: dict[str, set[bool]] = {}
    shown: list[Row] = []

    def take(self, items: Iterable[Row | Reject]) -> "Survey":
        """Count all payments."""
        before = 0
        for item in items:
            if isinstance(item, Row):
                self._add(item, before)
                before = item.tx.happened_at
        return self

    def _add(self, row: Row, before: int) -> None:
        tx, fraud = row.tx, row.verdict is Verdict.FRAUD
        self.payments += 1
        self.frauds += fraud
        self.labelled += row.verdict is not None
        self.backwards += tx.happened_at < before
        self.first = min(self.first or tx.happened_at, tx.happened_at)
        self.last = max(self.last, tx.happened_at)
        month = self.months.setdefault(to_text(tx.happened_at)[:7], [0, 0])
        month[0] += 1
        month[1] += fraud
        self.currencies[tx.currency] += 1
        self.ids[tx.id] += 1
        if row.verdict is not None:
            self.cards.setdefault(tx.card, set()).add(fraud)
        if len(self.shown) < 5:
            self.shown.append(row)

    @property
    def fraud_share(self) -> float | None:
        """Return the share of frauds among labelled payments, None without any."""
        return self.frauds / self.labelled if self.labelled else None

    def remarks(self, delay: str, delay_ns: int) -> list[str]:
        """Return what people should know before they train on it."""
        said = []
        if again := sum(times - 1 for times in self.ids.values()):
            said.append(
                f"{again:,} payments have the id of another one: a repeat is answered once, another is told apart"
            )
        fraudulent = [words for words in self.cards.values() if True in words]
        whole = sum(words == {True} for words in fraudulent)
        if len(fraudulent) >= FEWEST and whole > 0.95 * len(fraudulent) and self.payments > 1.2 * len(self.cards):
            said.append("cards with a fraud have no genuine payment: labels seem to belong to cards, not to payments")
        if self.backwards > 0.01 * self.payments:
            said.append(f"{self.backwards:,} payments stand after later ones: the file is sorted while it is read")
        days = (self.last - self.first) / DAY
        if delay_ns * 4 > self.last - self.first:
            said.append(
                f"labels {delay} late leave little of {days:,.1f} days to learn from: give a shorter --label-delay"
            )
        if 0 < self.frauds < 100:
            said.append(f"only {self.frauds} frauds: whatever a model scores here, it shows little")
        if self.labelled and not self.frauds:
            said.append("no payment is labelled as fraud: look at [label]")
        return said


class Promise(NamedTuple):
    """A column that has no role: what it is, and how well it alone tells frauds of later days (average precision)."""

    name: str
    kind: str
    present: float
    ap: float | None


def promises(columns: Sequence[Profile], left: Sequence[str], rows: Sequence[Row | Reject]) -> list[Promise]:
    """Return what the columns left over promise, the best first.

    `rows` are those that the profiles are of, in the same order; a value's share of frauds is learned on earlier ones.
    """
    labelled = [at for at, row in enumerate(rows) if isinstance(row, Row) and row.verdict is not None]
    labelled.sort(key=lambda at: rows[at].tx.happened_at)  # type: ignore[union-attr]
    verdicts = [rows[at].verdict is Verdict.FRAUD for at in labelled]  # type: ignore[union-attr]
    fraud = np.array(verdicts, dtype=np.bool_)
    cut = int(FIRST * len(labelled))
    enough = min(fraud[:cut].sum(), fraud[cut:].sum()) >= FEWEST if len(labelled) else False
    found = []
    for column in columns:
        if column.name not in left:
            continue
        kind = kind_of(column)
        values = [column.values[at] for at in labelled]
        ap = alone(values, fraud, cut, number=kind == "number") if enough and kind not in ("time", "text") else None
        found.append(Promise(column.name, kind, len(column.present) / max(len(column.values), 1), ap))
    return sorted(found, key=lambda one: -(one.ap or 0.0))


def alone(values: Sequence[str], fraud: NDArray[np.bool_], cut: int, *, number: bool) -> float:
    """Return average precision on later rows of each value's share of frauds among the earlier ones."""
    keys = binned(values, cut) if number else list(values)
    mean = float(fraud[:cut].mean())
    seen: dict[str, list[float]] = {}
    for key, is_fraud in zip(keys[:cut], fraud[:cut].tolist(), strict=True):
        counts = seen.setdefault(key, [0.0, 0.0])
        counts[0] += 1
        counts[1] += is_fraud
    shares = {key: (frauds + PRIOR * mean) / (count + PRIOR) for key, (count, frauds) in seen.items()}
    return float(average_precision(fraud[cut:], np.array([shares.get(key, mean) for key in keys[cut:]])))


def binned(values: Sequence[str], cut: int) -> list[str]:
    """Return numbers as the numbers of bins of equal counts, '' for what is none."""
    numbers = np.array([float(value) if NUMBER.fullmatch(value) else np.nan for value in values])
    early = numbers[:cut][~np.isnan(numbers[:cut])]
    if not len(early):
        return [""] * len(values)
    edges = np.unique(np.quantile(early, np.linspace(0, 1, BINS + 1)[1:-1]))
    places = np.searchsorted(edges, numbers, side="right")
    return ["" if np.isnan(number) else str(place) for number, place in zip(numbers, places, strict=True)]
