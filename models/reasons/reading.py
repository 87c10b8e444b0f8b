"""What sentences read: a vector by feature name and, where a network read it, the history of card, merchant and device.

`fraud/core/tokens.py` describes the history's tokens.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.ports import Tokens
from fraud.core.records import Values
from fraud.core.tokens import (
    AGE,
    FRAUD,
    PRESENT,
    RAW_COLUMNS,
    SUM_COLUMNS,
    SUM_FIRST_FRAUD,
    SUM_FRAUDS,
    SUM_HAS_FRAUD,
    SUM_LAST_FRAUD,
    SUM_SHARE,
    WINDOW,
)
from models.reasons.own import NOTHING as NO_COLUMNS
from models.reasons.own import OwnUsual

F32 = NDArray[np.float32]
FRAUD_SUMS = (SUM_FRAUDS, SUM_SHARE, SUM_HAS_FRAUD, SUM_LAST_FRAUD, SUM_FIRST_FRAUD)
"""Columns of a summary that tell of known frauds."""


class Lately(NamedTuple):
    """What was learned since a model was trained: of how many payments, of them frauds, since when (UTC ns)."""

    payments: int = 0
    frauds: int = 0
    since: int = 0


NOTHING = Lately()
MOST_DIGITS = 4
"""ISO 4217 has no currency with more decimal digits."""


class EntityHistory:
    """One entity's history as one payment reads it."""

    def __init__(self, raw: F32, sums: F32) -> None:
        """Take the tokens raw (RAW, RAW_COLUMNS) and sums (SUMS, SUM_COLUMNS)."""
        self.window = raw[:WINDOW][raw[:WINDOW, PRESENT] > 0]
        """The newest payments, newest first, (payments, RAW_COLUMNS)."""
        self.frauds = raw[raw[:, FRAUD] > 0]
        """Known frauds of the window, newest first, then older ones."""
        self.sums = sums[sums[:, PRESENT] > 0]

    def count(self, column: int, above: float = 0.0) -> int:
        """Return how many payments of the window have more than `above` in a column."""
        return int((self.window[:, column] > above).sum())

    def older(self, column: int, scale: float) -> int:
        """Return a count that the summaries keep as log1p(count) / scale."""
        return int(np.expm1(self.sums[:, column].astype(np.float64) * scale).round().sum())

    def newest_fraud(self) -> float:
        """Return the age in seconds of the newest known fraud, infinite when there is none."""
        ages = [float(age) for age in self.frauds[:, AGE]]
        ages += [float(row[SUM_LAST_FRAUD]) for row in self.sums if row[SUM_LAST_FRAUD] > 0]
        return seconds(min(ages)) if ages else math.inf


EMPTY = EntityHistory(np.zeros((0, RAW_COLUMNS), np.float32), np.zeros((0, SUM_COLUMNS), np.float32))


class Reading:
    """A vector read by name, an absent feature as not known (NaN), and the history of its entities."""

    def __init__(
        self, places: Mapping[str, int], values: Values, strongest: str = "", tokens: Tokens | None = None,
        remainder: float = 0.0, lately: Lately = NOTHING, own: OwnUsual = NO_COLUMNS,
    ) -> None:  # fmt: skip
        """Take a vector (features,) and, where histories were read, one row's tokens (1, sides, ...).

        `strongest` names the group's feature that raised the score most, where that is known; `remainder` is what the
        groups add to the log-odds together and none adds alone.
        `lately` is what was learned since the model was trained, `own` what is usual of own columns.
        """
        self._places = places
        self._values = values
        self._tokens = tokens
        self.strongest = strongest
        self.remainder = remainder
        self.lately = lately
        self.own = own

    def __call__(self, name: str) -> float:
        """Return a feature's value, NaN when the vector has none or it is beyond measure."""
        place = self._places.get(name)
        value = float(self._values[place]) if place is not None else math.nan
        return value if math.isfinite(value) else math.nan

    def number(self, name: str) -> float:
        """Return a feature's value, 0 when it is not known; for counts and sums."""
        value = self(name)
        return 0.0 if math.isnan(value) else value

    @property
    def digits(self) -> int:
        """Tell how many decimal digits the base currency's minor unit has, 2 where nothing says so.

        A vector has the amount in major units, and its logarithm in minor ones.
        """
        amount, log = self("amount"), self("log_amount")
        if not (amount > 0 and log > 0):
            return 2
        minor = log + math.log(-math.expm1(-log))  # log(exp(log) - 1), whatever the size
        return min(max(round((minor - math.log(amount)) / math.log(10)), 0), MOST_DIGITS)

    def money(self, amount: float) -> str:
        """Return an amount, major units of the base currency, with the digits that the currency has."""
        return f"{amount:.{self.digits}f}"

    def major(self, scaled: float) -> float:
        """Return the amount, major units, that a token keeps as log1p(minor units) / 10."""
        return math.expm1(scaled * 10) / 10.0**self.digits

    @property
    def has_text(self) -> bool:
        """Tell whether a descriptor was sent, where histories were read."""
        return self._tokens is not None and bool(self._tokens.text.any())

    def history(self, side: int) -> EntityHistory:
        """Return the history of a side (CARD, MERCHANT, DEVICE), an empty one where it was not read."""
        if self._tokens is None or side >= self._tokens.raw.shape[1]:
            return EMPTY
        return EntityHistory(self._tokens.raw[0, side], self._tokens.sums[0, side])


def seconds(scaled: float) -> float:
    """Return the seconds that a token keeps as log1p(seconds) / 15."""
    return math.expm1(scaled * 15)
