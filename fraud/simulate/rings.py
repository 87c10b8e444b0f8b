"""Devices and merchants whose earlier visitors are known for fraud: evidence that lies two hops away.

In the first days some cards are robbed, which nothing foretells and a label tells later. Then spots appear: shared
devices and new merchants. A few cards each visit a spot first, then others use it, all clean and each met at one spot
only. Where most of the first visitors are cards known for fraud, the spot is a ring's (a device that stolen numbers
are worked through, a mule merchant) and nearly all that follows is fraud; elsewhere visitors are like any other cards,
and what follows is genuine. A spot is used up before its first fraud is known, and looks the same in numbers, times and
amounts whosever it is. The path to the evidence is payment - device or merchant - another card - that card's frauds.

The optimum counts the known cards among the first visitors.
"""

from dataclasses import dataclass, replace

import numpy as np

from fraud.core.records import DAY
from fraud.simulate.catalogue import CATEGORIES, ECOM, category
from fraud.simulate.fdh import APRIL_2018
from fraud.simulate.payments import Payments, joined, made
from fraud.simulate.spending import amounts
from fraud.simulate.staged import (
    CHANCE,
    Shops,
    happen,
    instants,
    market,
    own_device,
    popular,
    posterior,
    refuse_below,
    settle,
)
from fraud.simulate.traffic import Bools, Ints, Traffic
from fraud.simulate.world import Floats

SCENARIOS = ("genuine", "chance", "robbed", "device_ring", "mule_ring")
OLD = 600
"""Merchants 0 to OLD - 1 are no spots."""

ROBBED_DAYS = 10
VISIT_DAYS, USE_DAYS = 3, 5
FRAUDS = 0.9
RING_SHARE = 0.25
_KNOWN_AT_RING, _KNOWN_ELSEWHERE = 0.9, 0.03
_MULE_TRADE = category("marketplace")


@dataclass(frozen=True, slots=True)
class Shape:
    """How a kind of spot is used: cards that visit once, cards that follow and their payments; spots a card."""

    scenario: int
    visitors: int
    followers: int
    payments: int
    a_card: float


DEVICE = Shape(SCENARIOS.index("device_ring"), 4, 4, 3, 0.096)
MULE = Shape(SCENARIOS.index("mule_ring"), 6, 7, 2, 0.024)


@dataclass(frozen=True, slots=True)
class Rings:
    """The stream's parameters: `rate` is payments of a card a day, `robbed` the share of cards robbed at first.

    The number of spots follows from `cards`; `start` is a midnight in UTC ns.
    """

    cards: int = 10_000
    days: int = 120
    rate: float = 0.25
    robbed: float = 0.025
    label_days: float = 7.0
    seed: int = 0
    start: int = APRIL_2018


@dataclass(frozen=True, slots=True)
class Spots:
    """Spots of one kind; `ring`, `day` (when it begins) and `weight` (log-likelihood ratio of a ring): (spots,).

    `visitor` is (spots, visitors) and `follower` (spots, followers), cards.
    """

    shape: Shape
    ring: Bools
    day: Ints
    weight: Floats
    visitor: Ints
    follower: Ints


@dataclass(frozen=True, slots=True)
class Part:
    """Payments with the chance of fraud that they have, the chance that an observer sees, and what such a fraud is."""

    payments: Payments
    chance: Floats
    optimum: Floats
    scenario: int


def generate(process: Rings) -> Traffic:
    """Return the stream in the order of time; the same parameters give the same columns.

    Raises:
        DataError: when there are too few cards or days to make such traffic.
    """
    least = {"cards": (process.cards, 100), "days": (process.days, _first_day(process) + 20)}
    refuse_below("rings", {**least, "robbed": (process.robbed, 0.01), "label_days": (process.label_days, 0.0)})
    towns, people, meetings, events, truth = np.random.default_rng(process.seed).spawn(5)
    shops = _shops(towns, process)
    level = people.lognormal(0.0, 0.4, process.cards)
    usual = _usual(people, shops, level, process)
    robbed = _robbed(people, usual, process)
    kinds = spots(meetings, process, np.unique(usual.card[robbed]))
    parts = [_plain(usual)]
    for first, spot in zip((process.cards, OLD), kinds, strict=True):
        parts += _at_spots(events, spot, first, shops, level)
    return _settled(truth, parts, robbed, shops, process)


def spots(rng: np.random.Generator, process: Rings, known: Ints) -> tuple[Spots, Spots]:
    """Draw the shared devices and the new merchants; `known` are the cards known for fraud, never met as followers."""
    others = rng.permutation(np.setdiff1d(np.arange(process.cards), known))
    made, used = [], 0
    for shape in (DEVICE, MULE):
        count = _count(shape, process.cards)
        follower = others[used : used + count * shape.followers].reshape(count, shape.followers)
        used += follower.size
        made.append((shape, count, follower))
    bystanders = others[used:]
    devices, mules = (_spots(rng, *kind, process, known, bystanders) for kind in made)
    return devices, mules


def _spots(
    rng: np.random.Generator, shape: Shape, count: int, follower: Ints, process: Rings, known: Ints, bystanders: Ints
) -> Spots:
    """Draw whose each spot is, when it begins and who visits it first."""
    ring = rng.permutation(count) < round(RING_SHARE * count)
    last = process.days - VISIT_DAYS - USE_DAYS
    day = rng.integers(_first_day(process), last + 1, count)
    met = rng.random((count, shape.visitors)) < np.where(ring, _KNOWN_AT_RING, _KNOWN_ELSEWHERE)[:, None]
    visitor = np.where(met, rng.choice(known, met.shape), rng.choice(bystanders, met.shape))
    seen = np.log(_KNOWN_AT_RING / _KNOWN_ELSEWHERE)
    unseen = np.log((1 - _KNOWN_AT_RING) / (1 - _KNOWN_ELSEWHERE))
    number = np.count_nonzero(met, axis=1)
    weight = number * seen + (shape.visitors - number) * unseen
    return Spots(shape, ring, day, weight, visitor, follower)


def _usual(rng: np.random.Generator, shops: Shops, level: Floats, process: Rings) -> Payments:
    """Return what cards pay at old merchants, each on its own device if on any."""
    count = rng.poisson(process.rate * process.cards * process.days)
    card = rng.integers(0, process.cards, count)
    at = instants(rng, np.zeros(count), float(process.days))
    return _paid(rng, shops, level, at, card, popular(rng, np.arange(OLD), count), None)


def _robbed(rng: np.random.Generator, usual: Payments, process: Rings) -> Ints:
    """Choose the payments of the first days by which cards are robbed."""
    early = np.flatnonzero(usual.at < ROBBED_DAYS * DAY)
    return rng.choice(early, min(round(process.robbed * process.cards), len(early)), replace=False)


def _at_spots(rng: np.random.Generator, spot: Spots, first: int, shops: Shops, level: Floats) -> list[Part]:
    """Return the visits to the spots and what follows; `first` is the number of the first such device or merchant."""
    visits = np.repeat(np.arange(len(spot.ring)), spot.shape.visitors)
    uses = np.repeat(np.arange(len(spot.ring)), spot.shape.followers * spot.shape.payments)
    met = _meet(rng, spot, visits, spot.visitor.ravel(), (0, VISIT_DAYS), first, shops, level)
    follower = np.repeat(spot.follower.ravel(), spot.shape.payments)
    then = _meet(rng, spot, uses, follower, (VISIT_DAYS, USE_DAYS), first, shops, level)
    ring = posterior(RING_SHARE, spot.weight)[uses]
    chance = np.where(spot.ring[uses], FRAUDS, CHANCE)
    return [_plain(met), Part(then, chance, ring * FRAUDS + (1 - ring) * CHANCE, spot.shape.scenario)]


def _meet(
    rng: np.random.Generator,
    spot: Spots,
    which: Ints,
    card: Ints,
    span: tuple[int, int],
    first: int,
    shops: Shops,
    level: Floats,
) -> Payments:
    """Return payments of cards at spots, within `span` (from, length) days after each spot begins."""
    at = instants(rng, spot.day[which].astype(np.float64) + span[0], float(span[1]))
    if spot.shape is MULE:
        return _paid(rng, shops, level, at, card, first + which, None)
    online = np.flatnonzero(shops.channel(np.arange(OLD)) == ECOM)
    return _paid(rng, shops, level, at, card, popular(rng, online, len(card)), first + which)


def _paid(
    rng: np.random.Generator, shops: Shops, level: Floats, at: Ints, card: Ints, merchant: Ints, device: Ints | None
) -> Payments:
    """Return payments of usual amounts, on the cards' own devices unless others are given."""
    channel, cents = shops.channel(merchant), amounts(rng, shops.category[merchant], level[card])
    own = own_device(rng, card, channel) if device is None else device
    return made(at, card, merchant, cents, channel, 0, own)


def _plain(payments: Payments) -> Part:
    """Return payments with nothing but chance in them."""
    chance = np.full(len(payments), CHANCE)
    return Part(payments, chance, chance, SCENARIOS.index("chance"))


def _settled(rng: np.random.Generator, parts: list[Part], robbed: Ints, shops: Shops, process: Rings) -> Traffic:
    """Draw the frauds and give every payment its columns; robbed rows are of the first part."""
    payments = joined([part.payments for part in parts])
    chance = np.concatenate([part.chance for part in parts])
    foretold = np.repeat([part.scenario for part in parts], [len(part.chance) for part in parts])
    scenario = happen(rng, chance, np.where(chance > CHANCE, foretold, SCENARIOS.index("chance")))
    scenario[robbed] = SCENARIOS.index("robbed")
    early = payments.at < ROBBED_DAYS * DAY
    optimum = np.concatenate([part.optimum for part in parts]) + early * len(robbed) / max(int(early.sum()), 1)
    rows = replace(payments, scenario=scenario)
    return settle(rows, optimum, shops, SCENARIOS, process.start, process.label_days)


def _shops(rng: np.random.Generator, process: Rings) -> Shops:
    """Return the old merchants, then the new ones that are spots."""
    old = rng.integers(0, len(CATEGORIES), OLD)
    return market(rng, np.concatenate([old, np.full(_count(MULE, process.cards), _MULE_TRADE)]))


def _count(shape: Shape, cards: int) -> int:
    """Return how many spots of a kind there are."""
    return max(round(shape.a_card * cards), 4)


def _first_day(process: Rings) -> int:
    """Return the first day of spots: all cards robbed are known by then."""
    return ROBBED_DAYS + int(np.ceil(process.label_days)) + 1
