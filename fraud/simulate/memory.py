"""Busy cards whose frauds were prepared hundreds or thousands of payments earlier: what only a long memory can tell.

Every card has, early on, one run of 4 to 6 payments within minutes of each other, and 4 to 6 tiny payments for digital
goods or streams. On some cards they are the same payments: the number was being tested. All other cards have the
same two things apart: the run is of ordinary payments, the tiny ones are spread, so that counts, sums and rhythm are
equal. Then the card pays on as usual. In the end it buys electronics for less than a week; where the number had been
tested, most of these purchases are frauds. Their labels come when it is over.

Between the run and the purchases lie 500 to 5,000 payments (`far`), or on other cards 20 to 200 (`near`), so that the
pattern can be learned at short range too. The run lies within one block of 16 payments of the card.
"""

from dataclasses import dataclass, replace

import numpy as np

from fraud.core.records import SECOND
from fraud.simulate.catalogue import CATEGORIES, category
from fraud.simulate.fdh import APRIL_2018
from fraud.simulate.grouping import expand, ranks
from fraud.simulate.payments import Payments, made
from fraud.simulate.spending import amounts
from fraud.simulate.staged import CHANCE, Shops, happen, instants, market, popular, refuse_below, settle
from fraud.simulate.traffic import NO_DEVICE, Bools, Ints, Traffic
from fraud.simulate.world import Floats

SCENARIOS = ("genuine", "chance", "near", "far")
BLOCK = 16
TINY = (category("digital goods"), category("streaming"))
BOUGHT = category("electronics")
_PURCHASES = (8, 15)
_FRAUDS = 0.92
_SHOPS = 30
_SPREAD = 4 * BLOCK
_NEAR = (20, 150)
_NEAR_SPREE, _FAR_SPREE = 40, 350


@dataclass(frozen=True, slots=True)
class Memory:
    """The stream's parameters: shares of cards that were tested, and of those with near evidence.

    `least` and `most` bound, in payments of the card, how far back the far evidence lies; `start` is a midnight in
    UTC ns.
    """

    cards: int = 420
    days: int = 150
    tested: float = 0.35
    near: float = 0.65
    least: int = 500
    most: int = 5_000
    label_days: float = 7.0
    seed: int = 0
    start: int = APRIL_2018


@dataclass(frozen=True, slots=True)
class Plans:
    """What each card does, in columns of shape (cards,); places count the card's payments from 0.

    The run is `size` payments from place `run`; purchases are between `spree` and `spree + lasts`; `total` payments
    are made from day `begin` for `days` days.
    """

    tested: Bools
    far: Bools
    run: Ints
    size: Ints
    spree: Ints
    lasts: Ints
    total: Ints
    begin: Floats
    days: Floats


def generate(process: Memory) -> Traffic:
    """Return the stream in the order of time; the same parameters give the same columns.

    Raises:
        DataError: when there are too few cards or days, or the bounds of the distance leave no room.
    """
    _check(process)
    lives, shops, events, truth = np.random.default_rng(process.seed).spawn(4)
    plans, world = plan(lives, process), _market(shops)
    card, place, at = _timeline(events, plans)
    kind = _kinds(events, plans, card, place)
    chance = np.where(plans.tested[card] & (kind == BOUGHT), _FRAUDS, CHANCE)
    foretold = np.where(plans.far[card], SCENARIOS.index("far"), SCENARIOS.index("near"))
    scenario = happen(truth, chance, np.where(chance > CHANCE, foretold, SCENARIOS.index("chance")))
    payments = _payments(events, world, card, at, kind, scenario)
    return settle(payments, chance, world, SCENARIOS, process.start, process.label_days)


def plan(rng: np.random.Generator, process: Memory) -> Plans:
    """Draw what each card will do."""
    count = process.cards
    far = rng.permutation(count) >= round(process.near * count)
    rate = np.where(far, rng.uniform(50.0, 100.0, count), rng.uniform(10.0, 20.0, count))
    lasts = np.where(far, np.minimum(4.5 * rate, _FAR_SPREE), _NEAR_SPREE).astype(np.int64)
    size = rng.integers(4, 7, count)
    run = BLOCK * rng.integers(5, 9, count) + (rng.random(count) * (BLOCK + 1 - size)).astype(np.int64)
    spree = run + size - 1 + _distance(rng, far, process.least, process.most - lasts)
    total = spree + lasts + 10
    days = np.minimum(total / rate, 0.97 * process.days)
    begin = rng.random(count) * (process.days - 1 - days)
    group = far.astype(np.int64)
    tested = ranks(group, rng.random(count)) < process.tested * np.bincount(group, minlength=2)[group]
    return Plans(tested, far, run, size, spree, lasts, total, np.maximum(begin, 0.0), days)


def _distance(rng: np.random.Generator, far: Bools, least: int, most: Ints) -> Ints:
    """Draw how many payments lie between the run and the purchases, evenly on a logarithmic scale."""
    low = np.log(np.where(far, least, _NEAR[0]))
    high = np.log(np.where(far, most, _NEAR[1]))
    return np.exp(low + (high - low) * rng.random(len(far))).astype(np.int64)


def _timeline(rng: np.random.Generator, plans: Plans) -> tuple[Ints, Ints, Ints]:
    """Return card, place in the card's order, and time of every payment; runs are within minutes."""
    place, card = expand(np.zeros(len(plans.total), dtype=np.int64), plans.total)
    at = instants(rng, plans.begin[card], plans.days[card])
    at = at[np.lexsort((at, card))]
    rows, which = _within(plans, plans.run, plans.size)
    step = rng.integers(40, 150, len(rows)) * SECOND
    first = plans.run[which] == place[rows]
    since = np.cumsum(np.where(first, 0, step))
    since -= np.repeat(since[first], plans.size)
    # The run never passes the payments after it: where those come quickly anyway, they stay.
    at[rows] = np.minimum(at[rows], np.repeat(at[rows[first]], plans.size) + since)
    return card, place, at


def _within(plans: Plans, low: Ints, length: Ints) -> tuple[Ints, Ints]:
    """Return the rows of each card's places [low, low + length), in order, and the card of each."""
    first = np.cumsum(plans.total) - plans.total
    return expand(first + low, first + low + length)


def _kinds(rng: np.random.Generator, plans: Plans, card: Ints, place: Ints) -> Ints:
    """Return the category of every payment."""
    usual = np.array([kind.weight for kind in CATEGORIES])
    usual[[*TINY, BOUGHT]] = 0.0
    kind = rng.choice(len(CATEGORIES), len(card), p=usual / usual.sum()).astype(np.int64)
    tiny = _tiny(rng, plans)
    kind[tiny] = rng.choice(np.array(TINY), len(tiny))
    rows, which = _within(plans, plans.spree, plans.lasts)
    bought = ranks(which, rng.random(len(rows))) < rng.integers(*_PURCHASES, len(plans.total))[which]
    kind[rows[bought]] = BOUGHT
    return kind


def _tiny(rng: np.random.Generator, plans: Plans) -> Ints:
    """Return the rows of tiny payments: the run of tested cards; of others as many about it, at most 2 a block.

    They stay about where the run is, for spread over the whole life some would be recent, and windows would tell.
    """
    rows, which = _within(plans, plans.run, plans.size)
    step, size = ranks(which, rows), plans.size[which]
    begin = plans.run + plans.size // 2 - (_SPREAD * rng.random(len(plans.run))).astype(np.int64)
    begin = np.minimum(begin, plans.spree - _SPREAD)
    apart = ((step + 0.5 * rng.random(len(rows))) * _SPREAD / size).astype(np.int64)
    spread = rows - step - plans.run[which] + begin[which] + apart
    return np.where(plans.tested[which], rows, spread)


def _payments(rng: np.random.Generator, world: Shops, card: Ints, at: Ints, kind: Ints, scenario: Ints) -> Payments:
    """Choose merchants and amounts; nothing here depends on whether a card was tested."""
    merchant = kind * _SHOPS + popular(rng, np.arange(_SHOPS), len(card))
    level = rng.lognormal(0.0, 0.35, int(card.max()) + 1)[card]
    tiny = np.isin(kind, TINY)
    cents = np.where(tiny, rng.integers(50, 300, len(card)), amounts(rng, kind, level))
    payments = made(at, card, merchant, cents, world.channel(merchant), 0, np.full(len(card), NO_DEVICE))
    return replace(payments, scenario=scenario)


def _market(rng: np.random.Generator) -> Shops:
    """Return 30 merchants of each category, in the order of categories."""
    return market(rng, np.repeat(np.arange(len(CATEGORIES)), _SHOPS))


def _check(process: Memory) -> None:
    """Refuse what cannot be made."""
    least = {
        "cards": (process.cards, 4),
        "days": (process.days, 30),
        "least": (process.least, 200),
        "most": (process.most, process.least + 2 * _FAR_SPREE),
        "tested": (process.tested, 0.0),
        "near": (process.near, 0.0),
        "label_days": (process.label_days, 0.0),
    }
    refuse_below("long-memory", least)
