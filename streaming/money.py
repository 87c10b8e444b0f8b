"""Currencies: exact conversion to minor units of the base currency."""

from decimal import ROUND_HALF_UP, Decimal

import msgspec

MOST_MINOR = 1_000_000_000
DIGITS = {"JPY": 0, "KRW": 0, "CLP": 0, "BHD": 3, "KWD": 3, "TND": 3}
COMMON = {"EUR": "1", "USD": "0.92", "GBP": "1.17", "CHF": "1.05", "JPY": "0.0061", "SEK": "0.088"}


class Rates(msgspec.Struct, frozen=True):
    """The base currency and what one unit of each other currency is worth in it, as decimal text."""

    base: str = "EUR"
    rates: dict[str, str] = msgspec.field(default_factory=COMMON.copy)

    def known(self) -> list[str]:
        """Return the currencies that can be converted."""
        return sorted({self.base, *self.rates})

    def digits(self, currency: str) -> int:
        """Return how many decimal digits a currency's minor unit has; 2 unless it is known to differ."""
        return DIGITS.get(currency, 2)

    def to_base(self, amount: int, currency: str) -> int:
        """Return minor units of the base currency, rounded half up; raise KeyError without a rate."""
        if currency == self.base:
            return amount
        shift = self.digits(self.base) - self.digits(currency)
        exact = (Decimal(amount) * Decimal(self.rates[currency])).scaleb(shift)
        return int(exact.to_integral_value(ROUND_HALF_UP))
