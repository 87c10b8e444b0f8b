"""Who pays and who is paid in the rich traffic: cities, merchants, cards and their devices.

Merchants' popularity follows Zipf's law, so that a few hubs take most payments of a place; some merchants open only
during the stream. Place 0 is the internet; places 1, 2, ... are cities, the last of them with other currencies.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fraud.simulate.catalogue import ABROAD, BRANDS, CATEGORIES, CITIES, ECOM, MOTO
from fraud.simulate.traffic import Ints

Floats = NDArray[np.float64]
ONLINE = 0
FAVOURITES = 8
_ZIPF = 1.05
_NEW = 0.08

CATEGORY_MCC = np.array([kind.mcc for kind in CATEGORIES], dtype=np.int64)
CATEGORY_CHANNEL = np.array([kind.channel for kind in CATEGORIES], dtype=np.int64)
CATEGORY_TYPICAL = np.array([kind.typical for kind in CATEGORIES], dtype=np.float64)
CATEGORY_SPREAD = np.array([kind.spread for kind in CATEGORIES], dtype=np.float64)
CATEGORY_RHYTHM = np.array([kind.rhythm for kind in CATEGORIES], dtype=np.int64)
_WEIGHTS = np.array([kind.weight for kind in CATEGORIES], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Merchants:
    """Merchants as columns of shape (merchants,), sorted by place; `opens` is a day number, below 0 before the stream.

    `ladder` (merchants + 1,) accumulates popularity; merchants of place p are `first[p]` to `first[p + 1]`, and
    `hub[p]` is the most popular of them, always open.
    """

    category: Ints
    place: Ints
    currency: Ints
    opens: Ints
    ladder: Floats
    first: Ints
    hub: Ints
    texts: tuple[str, ...]

    def draw(self, rng: np.random.Generator, place: Ints) -> Ints:
        """Draw a merchant of each place, by popularity."""
        low, high = self.ladder[self.first[place]], self.ladder[self.first[place + 1]]
        drawn = np.searchsorted(self.ladder, low + (high - low) * rng.random(len(place)), side="right") - 1
        return np.clip(drawn, self.first[place], self.first[place + 1] - 1)

    def of(self, *names: str) -> Ints:
        """Return the merchants of the named categories that are open from the beginning."""
        wanted = [place for place, kind in enumerate(CATEGORIES) if kind.name in names]
        return np.flatnonzero(np.isin(self.category, wanted) & (self.opens < 0))


@dataclass(frozen=True, slots=True)
class Cards:
    """Card holders as columns of shape (cards,).

    `rate` is payments a day, `level` multiplies typical amounts, `online` is the share of payments on the internet,
    `local` and `remote` (cards, 8) are favourite merchants. From day `changes` on `newer` replaces device `device`;
    `shared` tells whose device is also that of another card of the household.
    """

    home: Ints
    rate: Floats
    level: Floats
    online: Floats
    local: Ints
    remote: Ints
    device: Ints
    newer: Ints
    changes: Ints
    shared: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class World:
    """All that stays the same while payments are made; `strangers` is the first device number of no card holder."""

    merchants: Merchants
    cards: Cards
    strangers: int


def build(rng: np.random.Generator, cards: int, merchants: int, days: int, rate: float) -> World:
    """Draw a world; `rate` is the mean number of payments of a card a day."""
    shops, people = rng.spawn(2)
    market = _merchants(shops, merchants, days)
    return World(market, _cards(people, market, cards, days, rate), strangers=2 * cards)


def _merchants(rng: np.random.Generator, count: int, days: int) -> Merchants:
    share = np.sqrt(_WEIGHTS) / np.sqrt(_WEIGHTS).sum()
    category = rng.choice(len(CATEGORIES), count, p=share).astype(np.int64)
    category[: len(CATEGORIES)] = np.arange(len(CATEGORIES))
    place = _places(rng, category)
    order = np.lexsort((np.arange(count), place))
    category, place = category[order], place[order]
    weight = _WEIGHTS[category] / (1.0 + rng.permutation(count)) ** _ZIPF
    first = np.searchsorted(place, np.arange(place.max() + 2))
    hub = np.array([low + np.argmax(weight[low:high]) for low, high in pairwise(first.tolist())])
    opens = np.where(rng.random(count) < _NEW, rng.integers(1, max(days, 2), count), -1)
    opens[hub] = -1
    opens[np.unique(category, return_index=True)[1]] = -1
    ladder = np.concatenate([[0.0], np.cumsum(weight)])
    texts = _texts(rng, category, place)
    return Merchants(category, place, _currencies(rng, place), opens, ladder, first, hub, texts)


def _places(rng: np.random.Generator, category: Ints) -> Ints:
    """Return a place for each merchant: 0 for distance trade, else a city; no city stays empty."""
    local = np.flatnonzero(~np.isin(CATEGORY_CHANNEL[category], (ECOM, MOTO)))
    cities = min(len(CITIES) + len(ABROAD), max(4, len(category) // 40), len(local))
    popular = 1.0 / np.arange(1, cities + 1) ** 0.8
    place = np.zeros(len(category), dtype=np.int64)
    place[local] = 1 + rng.choice(cities, len(local), p=popular / popular.sum())
    place[local[:cities]] = 1 + np.arange(cities)
    return place


def _city(place: int, places: int) -> tuple[str, int]:
    """Return the name and currency of a city; the last third of them lies abroad."""
    abroad = min(len(ABROAD), max(1, places // 3))
    return (CITIES[place - 1], 0) if place <= places - abroad else ABROAD[place - (places - abroad) - 1]


def _currencies(rng: np.random.Generator, place: Ints) -> Ints:
    """Return each merchant's currency: the city's; on the internet mostly the first."""
    places = int(place.max())
    by_place = np.array([0] + [_city(p, places)[1] for p in range(1, places + 1)])
    foreign = np.where(rng.random(len(place)) < 0.12, rng.integers(1, 3, len(place)), 0)
    return np.where(place == ONLINE, foreign, by_place[place])


def _texts(rng: np.random.Generator, category: Ints, place: Ints) -> tuple[str, ...]:
    """Return the line that a statement shows for each merchant, such as `KESTREL MARKET LYON 0042`."""
    places = int(place.max())
    brand = rng.integers(0, len(BRANDS), len(category)).tolist()
    noun = rng.integers(0, 1 << 16, len(category)).tolist()
    texts = []
    for number, (kind, where) in enumerate(zip(category.tolist(), place.tolist(), strict=True)):
        nouns = CATEGORIES[kind].nouns
        end = "ONLINE" if where == ONLINE else _city(where, places)[0]
        texts.append(f"{BRANDS[brand[number]]} {nouns[noun[number] % len(nouns)]} {end} {number:04d}")
    return tuple(texts)


def _cards(rng: np.random.Generator, market: Merchants, count: int, days: int, rate: float) -> Cards:
    cities = len(market.hub) - 1
    popular = 1.0 / np.arange(1, cities + 1)
    home = 1 + rng.choice(cities, count, p=popular / popular.sum())
    own = np.arange(count)
    shared = rng.random(count) < 0.12
    device = np.where(shared, own - 1, own) % count
    return Cards(
        home=home,
        rate=rate * rng.lognormal(-0.18, 0.6, count),
        level=rng.lognormal(0.0, 0.45, count),
        online=rng.beta(2.0, 4.0, count),
        local=market.draw(rng, np.repeat(home, FAVOURITES)).reshape(count, FAVOURITES),
        remote=market.draw(rng, np.full(count * FAVOURITES, ONLINE)).reshape(count, FAVOURITES),
        device=device,
        newer=count + own,
        changes=rng.integers(0, 365 + days, count),
        shared=shared,
    )
