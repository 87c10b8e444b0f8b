"""Fixed tables of the rich traffic: kinds of merchants, cities, currencies, words and rhythms.

The figures are round ones, chosen to resemble card statistics in kind (many small payments, few large ones); none is
measured. Merchant category codes are those of ISO 18245.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from fraud.core.settings import COMMON_RATES

CHANNELS = ("pos", "ecom", "atm", "moto")
POS, ECOM, ATM, MOTO = range(4)

CURRENCIES = ("EUR", "GBP", "USD", "CHF", "PLN", "SEK")
# Euro per unit in millionths: those of the default settings, so that a stream read back has the same base amounts.
RATES = np.array([int(COMMON_RATES.get(code, Decimal(1)) * 1_000_000) for code in CURRENCIES], dtype=np.int64)

SHOPPING, MEALS, EVENING, ALL_DAY = range(4)
_HOURS = (
    (0, 0, 0, 0, 0, 1, 2, 4, 7, 9, 10, 10, 9, 8, 8, 9, 10, 10, 8, 5, 2, 1, 0, 0),
    (0, 0, 0, 0, 0, 0, 2, 4, 4, 2, 2, 6, 12, 11, 5, 2, 2, 4, 8, 12, 11, 7, 4, 2),
    (3, 2, 1, 1, 0, 0, 1, 2, 3, 4, 4, 4, 5, 5, 4, 4, 5, 6, 7, 9, 11, 11, 8, 5),
    (1, 1, 1, 1, 1, 2, 3, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 5, 4, 3, 2, 2, 1),
)
HOURS = np.array(_HOURS, dtype=np.float64) / np.array(_HOURS, dtype=np.float64).sum(axis=1, keepdims=True)
# Monday first; the mean is 1.
WEEK = np.array([0.9, 0.92, 0.95, 1.0, 1.2, 1.25, 0.78])


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of merchant: `typical` is the median payment in cents, `spread` the deviation of its logarithm."""

    name: str
    mcc: int
    channel: int
    typical: int
    spread: float
    weight: float
    rhythm: int
    nouns: tuple[str, ...]


CATEGORIES = (
    Category("grocery", 5411, POS, 2_800, 0.7, 26.0, SHOPPING, ("MARKET", "FOODS", "GROCER")),
    Category("restaurant", 5812, POS, 2_400, 0.6, 14.0, MEALS, ("BISTRO", "KITCHEN", "TRATTORIA")),
    Category("fuel", 5541, POS, 4_800, 0.35, 8.0, ALL_DAY, ("FUEL", "SERVICE STN", "PETROL")),
    Category("fast food", 5814, POS, 1_100, 0.4, 10.0, MEALS, ("GRILL", "COFFEE", "BAKERY")),
    Category("pharmacy", 5912, POS, 1_600, 0.6, 5.0, SHOPPING, ("PHARMACY", "APOTHEKE")),
    Category("clothing", 5651, POS, 5_500, 0.6, 5.0, SHOPPING, ("FASHION", "TAILOR", "SHOES")),
    Category("electronics", 5732, POS, 14_000, 0.8, 2.0, SHOPPING, ("ELECTRONICS", "AUDIO", "PHONES")),
    Category("jewellery", 5944, POS, 18_000, 0.8, 0.5, SHOPPING, ("JEWELLERS", "WATCHES")),
    Category("cash", 6011, ATM, 8_000, 0.5, 6.0, ALL_DAY, ("CASH", "ATM")),
    Category("marketplace", 5399, ECOM, 3_500, 0.9, 12.0, EVENING, ("MARKETPLACE", "STORE", "SHOP")),
    Category("digital goods", 5816, ECOM, 900, 0.7, 6.0, EVENING, ("GAMES", "APPS", "COINS")),
    Category("streaming", 4899, ECOM, 1_100, 0.2, 3.0, ALL_DAY, ("STREAM", "TV", "MUSIC")),
    Category("gift cards", 5947, ECOM, 5_000, 0.6, 1.0, EVENING, ("GIFTCARDS", "VOUCHERS")),
    Category("charity", 8398, ECOM, 1_500, 0.8, 1.0, EVENING, ("RELIEF", "FOUNDATION")),
    Category("airline", 4511, ECOM, 23_000, 0.7, 1.0, EVENING, ("AIR", "FLIGHTS")),
    Category("hotel", 7011, MOTO, 16_000, 0.6, 1.5, ALL_DAY, ("HOTEL", "INN")),
    Category("telephone", 4812, MOTO, 2_500, 0.4, 2.0, SHOPPING, ("TELECOM", "MOBILE")),
    Category("mail order", 5964, MOTO, 4_500, 0.7, 2.0, SHOPPING, ("CATALOGUE", "MAIL ORDER")),
)

BRANDS = (
    *(
        "KESTREL",
        "ALDER",
        "NORDLYS",
        "BASTION",
        "CORVIN",
        "DELTA NINE",
        "EMBER",
        "FENWICK",
        "GRANIT",
        "HALCYON",
    ),
    *("IRIS", "JUNIPER", "KOBALT", "LUMEN", "MARLOW", "NIMBUS", "OSTRA", "PELICAN", "QUILL", "ROWAN"),
    *("SOLARIS", "TIDEWAY", "UMBRA", "VELA", "WILLOW", "XENIA", "YARROW", "ZEPHYR"),
)
CITIES = (
    *("BERLIN", "PARIS", "MADRID", "ROMA", "WIEN", "LISBOA", "DUBLIN", "ATHINA", "HELSINKI", "BRUSSEL"),
    *("LYON", "PORTO", "TORINO", "MUENCHEN", "SEVILLA", "GRAZ", "CORK", "GENT"),
)
ABROAD = (
    *(("LONDON", 1), ("NEW YORK", 2), ("ZUERICH", 3), ("WARSZAWA", 4), ("STOCKHOLM", 5)),
    *(("LEEDS", 1), ("CHICAGO", 2), ("KRAKOW", 4)),
)


def category(name: str) -> int:
    """Return the position of a category by its name."""
    return next(place for place, kind in enumerate(CATEGORIES) if kind.name == name)
