"""Genuine behaviour: daily and weekly rhythm, favourites, travel, devices, refunds and reversals."""

import numpy as np

from fraud.core.records import DAY, HOUR, MINUTE, SECOND
from fraud.simulate.catalogue import ATM, ECOM, HOURS, POS, WEEK
from fraud.simulate.grouping import during
from fraud.simulate.payments import Payments, made
from fraud.simulate.traffic import KINDS, NO_DEVICE, Ints
from fraud.simulate.world import (
    CATEGORY_CHANNEL,
    CATEGORY_RHYTHM,
    CATEGORY_SPREAD,
    CATEGORY_TYPICAL,
    FAVOURITES,
    ONLINE,
    Floats,
    World,
)

GENUINE = 0
_FAVOURED = 0.7
_TRIP_EVERY = 120
_WALLET = 0.25
_LARGE = 0.004


def spend(rng: np.random.Generator, world: World, days: int, weekday: int) -> Payments:
    """Return the genuine payments of `days` days, in no order; `weekday` (0 is Monday) is that of the first day."""
    who, what, when = rng.spawn(3)
    card, day = _counts(who, world, days, weekday)
    merchant = _merchants(what, world, card, day, days)
    category = world.merchants.category[merchant]
    at = day * DAY + time_of_day(when, CATEGORY_RHYTHM[category])
    channel = CATEGORY_CHANNEL[category]
    cents = amounts(what, category, world.cards.level[card])
    large = what.random(len(card)) < _LARGE
    cents = np.where(large & (channel != ATM), cents * what.integers(3, 7, len(card)), cents)
    return made(at, card, merchant, cents, channel, GENUINE, _devices(who, world, card, day, channel))


def time_of_day(rng: np.random.Generator, rhythm: Ints) -> Ints:
    """Draw ns since midnight, by the hours of each row's rhythm."""
    ladder = np.cumsum(HOURS, axis=1)
    hour = np.zeros(len(rhythm), dtype=np.int64)
    for kind in range(len(HOURS)):
        rows = rhythm == kind
        hour[rows] = np.minimum(np.searchsorted(ladder[kind], rng.random(int(rows.sum())), side="right"), 23)
    return hour * HOUR + rng.integers(0, HOUR // SECOND, len(rhythm)) * SECOND


def amounts(rng: np.random.Generator, category: Ints, level: Floats) -> Ints:
    """Draw amounts in cents: lognormal about what is typical for category and card; cash in tens of euros."""
    raw = CATEGORY_TYPICAL[category] * level * np.exp(CATEGORY_SPREAD[category] * rng.standard_normal(len(level)))
    cash = CATEGORY_CHANNEL[category] == ATM
    return np.where(cash, np.maximum(np.rint(raw / 1000), 1) * 1000, np.maximum(np.rint(raw), 1)).astype(np.int64)


def refunds(rng: np.random.Generator, genuine: Payments, end: int) -> Payments:
    """Return refunds (1.2 % of payments, days later, a third of them in part) and reversals (0.5 %, in minutes)."""
    back = np.flatnonzero((rng.random(len(genuine)) < 0.012) & (genuine.channel != ATM))
    undone = np.flatnonzero(rng.random(len(genuine)) < 0.005)
    rows = np.concatenate([back, undone])
    wait = np.concatenate([rng.integers(DAY, 21 * DAY, len(back)), rng.integers(5 * SECOND, 10 * MINUTE, len(undone))])
    part = np.concatenate([np.where(rng.random(len(back)) < 1 / 3, rng.random(len(back)), 1.0), np.ones(len(undone))])
    kind = np.repeat([KINDS.index("refund"), KINDS.index("reversal")], [len(back), len(undone)])
    first = genuine.take(rows)
    cents = np.maximum((first.cents * part).astype(np.int64), 1)
    given = Payments(
        first.at + wait, first.card, first.merchant, first.device, cents, first.channel, kind, first.scenario
    )
    return given.take(given.at < end)


def _counts(rng: np.random.Generator, world: World, days: int, weekday: int) -> tuple[Ints, Ints]:
    """Draw how often each card pays on each day; return a card and a day for every payment."""
    rhythm = WEEK[(weekday + np.arange(days)) % 7]
    a_day = rng.poisson(rhythm[:, None] * world.cards.rate)
    day, card = np.divmod(np.repeat(np.arange(a_day.size), a_day.ravel()), len(world.cards.rate))
    return card, day


def _merchants(rng: np.random.Generator, world: World, card: Ints, day: Ints, days: int) -> Ints:
    """Choose where each payment is made: a favourite, or any merchant of the place by popularity."""
    cards, market = world.cards, world.merchants
    online = rng.random(len(card)) < cards.online[card]
    place = np.where(online, ONLINE, cards.home[card])
    column = (FAVOURITES * rng.random(len(card)) ** 1.7).astype(np.int64)
    favourite = np.where(online, cards.remote[card, column], cards.local[card, column])
    away, there = _travel(rng, world, card, day, days)
    place[away] = np.where(online[away], ONLINE, there)
    anywhere = rng.random(len(card)) >= _FAVOURED
    anywhere[away] |= ~online[away]
    chosen = np.where(anywhere, market.draw(rng, place), favourite)
    return np.where(market.opens[chosen] <= day, chosen, market.hub[market.place[chosen]])


def _travel(rng: np.random.Generator, world: World, card: Ints, day: Ints, days: int) -> tuple[Ints, Ints]:
    """Send cards to other cities for 3 to 12 days; return the rows paid while away, and where that is."""
    cities = len(world.merchants.hub) - 1
    trips = rng.poisson(len(world.cards.home) * days / _TRIP_EVERY)
    traveller = rng.integers(0, len(world.cards.home), trips)
    leaves = rng.integers(0, days, trips)
    # A step of 1 to cities - 1 around the circle of cities never ends at home.
    step = rng.integers(1, max(cities, 2), trips)
    there = 1 + (world.cards.home[traveller] - 1 + step) % cities
    rows, trip = during(card, day, traveller, leaves, rng.integers(3, 13, trips))
    return rows, there[trip]


def _devices(rng: np.random.Generator, world: World, card: Ints, day: Ints, channel: Ints) -> Ints:
    """Return the device of each payment: always on the internet, sometimes a wallet at the till, else none."""
    cards = world.cards
    device = np.where(day < cards.changes[card], cards.device[card], cards.newer[card])
    wallet = (channel == POS) & (rng.random(len(card)) < _WALLET)
    return np.where((channel == ECOM) | wallet, device, NO_DEVICE)
