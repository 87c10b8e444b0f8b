"""Currencies: exact conversion to minor units of the base currency."""

from decimal import ROUND_HALF_UP, Decimal

import msgspec

from fraud.core.settings import COMMON_RATES, MOST_MINOR
from streaming.messages import currencies


def common() -> dict[str, str]:
    """Return the rates of the default settings, as decimal text."""
    return {code: str(rate) for code, rate in COMMON_RATES.items()}


class Rates(msgspec.Struct, frozen=True):
    """The base currency, what one unit of each other is worth in it, decimal digits not of ISO 4217, largest amount."""

    base: str = "EUR"
    rates: dict[str, str] = msgspec.field(default_factory=common)
    places: dict[str, int] = msgspec.field(default_factory=dict)
    most: int = MOST_MINOR

    def known(self) -> list[str]:
        """Return the currencies that can be converted."""
        return sorted({self.base, *self.rates})

    def digits(self, currency: str) -> int:
        """Return how many decimal digits a currency's minor unit has: what is said, else ISO 4217, else 2."""
        said = self.places.get(currency)
        return currencies.digits().get(currency, currencies.UNKNOWN) if said is None else said

    @property
    def base_digits(self) -> int:
        """How many decimal digits the base currency's minor unit has."""
        return self.digits(self.base)

    def to_base(self, amount: int, currency: str) -> int:
        """Return minor units of the base currency, rounded half up; raise KeyError without a rate."""
        if currency == self.base:
            return amount
        shift = self.base_digits - self.digits(currency)
        exact = (Decimal(amount) * Decimal(self.rates[currency])).scaleb(shift)
        return int(exact.to_integral_value(ROUND_HALF_UP))
