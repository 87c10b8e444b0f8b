"""New merchants that only their names tell apart: what only the text of a payment can tell.

Chains keep opening shops under variants of the chain's name: letters dropped, doubled, swapped or replaced by digits,
another suffix. In every fourth chain the shops are fronts: nearly all they take is fraud. A shop lives for 5 days and
is gone before its first label; what can be known is how earlier shops of its chain turned out. Cards, amounts, hours,
categories, devices and lives are alike in all chains.

The optimum knows which chain a shop belongs to, and the labels of the chain's payments that were known by then.
"""

from dataclasses import dataclass, replace

import numpy as np

from fraud.core.records import DAY
from fraud.simulate.catalogue import CATEGORIES, category
from fraud.simulate.fdh import APRIL_2018
from fraud.simulate.grouping import ranks
from fraud.simulate.payments import Payments, made
from fraud.simulate.spending import amounts
from fraud.simulate.staged import (
    CHANCE,
    Shops,
    brands,
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

SCENARIOS = ("genuine", "chance", "front")
OLD = 400
"""Merchants 0 to OLD - 1 are there from the beginning and belong to no chain."""

LIFE_DAYS = 5
FRAUDS = 0.9
_FRONT_EVERY = 4
_TRADES = np.array([category(name) for name in ("marketplace", "digital goods", "clothing", "mail order", "fast food")])
_SIZE = (8, 19)
_SUFFIXES = ("", "LTD", "EU", "SHOP", "PAY", "DIRECT", "INTL", "BV")
_DIGITS = str.maketrans("OIEA", "0134")


@dataclass(frozen=True, slots=True)
class Fronts:
    """The stream's parameters: `every` is the days between two shops of a chain, `rate` a card's payments a day.

    A share `late` of the chains begins after the first 20 days; `start` is a midnight in UTC ns.
    """

    cards: int = 2_500
    days: int = 120
    chains: int = 120
    every: float = 12.0
    late: float = 0.15
    rate: float = 0.8
    label_days: float = 7.0
    seed: int = 0
    start: int = APRIL_2018


@dataclass(frozen=True, slots=True)
class Openings:
    """New shops as columns of shape (shops,): the chain, the shop's number in it, and the day on which it opens."""

    chain: Ints
    number: Ints
    day: Ints


def generate(process: Fronts) -> Traffic:
    """Return the stream in the order of time; the same parameters give the same columns.

    Raises:
        DataError: when there are too few cards, days or chains to make such traffic.
    """
    refuse_below("text", {"cards": (process.cards, 4), "days": (process.days, 30), "chains": (process.chains, 4)})
    towns, chains, events, truth = np.random.default_rng(process.seed).spawn(4)
    opened = openings(chains, process)
    shops = _with_shops(chains, market(towns, towns.integers(0, len(CATEGORIES), OLD)), opened, process.chains)
    payments = _payments(events, shops, opened, process)
    chain = np.concatenate([np.full(OLD, -1), opened.chain])[payments.merchant]
    front = is_front(chain)
    scenario = happen(truth, np.where(front, FRAUDS, CHANCE), np.where(front, 2, 1))
    known = _optimum(payments.at, chain, scenario > 0, int(process.label_days * DAY))
    return settle(replace(payments, scenario=scenario), known, shops, SCENARIOS, process.start, process.label_days)


def is_front(chain: Ints) -> Bools:
    """Tell which chains run fronts; -1 stands for no chain."""
    front: Bools = (chain >= 0) & (chain % _FRONT_EVERY == 0)
    return front


def openings(rng: np.random.Generator, process: Fronts) -> Openings:
    """Draw when each chain opens its shops."""
    last = process.days - LIFE_DAYS - 1
    late = rng.random(process.chains) < process.late
    first = np.where(late, rng.uniform(20, 0.8 * process.days, process.chains), rng.uniform(0, 20, process.chains))
    count = 1 + rng.poisson(np.maximum(last - first, 0.0) / process.every)
    chain = np.repeat(np.arange(process.chains), count)
    day = (first[chain] + np.maximum(last - first, 0.0)[chain] * rng.random(len(chain))).astype(np.int64)
    return Openings(chain, ranks(chain, day), day)


def _with_shops(rng: np.random.Generator, old: Shops, opened: Openings, chains: int) -> Shops:
    """Add the new shops to the old; chains of equal trade are a front and three honest ones."""
    trade = _TRADES[np.arange(chains) // _FRONT_EVERY % len(_TRADES)][opened.chain]
    names = brands(rng, chains)
    how = rng.integers(0, 1 << 30, (len(trade), 4)).tolist()
    texts = tuple(
        f"{variant(names[chain], dice)} {CATEGORIES[kind].nouns[0]} {number + 1:02d}"
        for chain, kind, number, dice in zip(
            opened.chain.tolist(), trade.tolist(), opened.number.tolist(), how, strict=True
        )
    )
    return Shops(np.concatenate([old.category, trade]), old.texts + texts)


def variant(name: str, dice: list[int]) -> str:
    """Return a name misspelt, or not, and with a suffix, as four large random numbers say."""
    place = dice[0] % (len(name) - 1)
    forms = (
        name,
        name[:place] + name[place + 1 :],
        name[:place] + name[place] + name[place:],
        name[:place] + name[place + 1] + name[place] + name[place + 2 :],
        name[:place] + name[place : place + 2].translate(_DIGITS) + name[place + 2 :],
    )
    suffix = _SUFFIXES[dice[1] % len(_SUFFIXES)]
    return f"{forms[dice[2] % len(forms)]} {suffix}".rstrip()


def _payments(rng: np.random.Generator, shops: Shops, opened: Openings, process: Fronts) -> Payments:
    """Return all payments: the usual ones at old merchants, and those at new shops, by anyone."""
    usual = rng.poisson(process.rate * process.cards * process.days)
    here = np.repeat(np.arange(len(opened.day)), rng.integers(*_SIZE, len(opened.day)))
    merchant = np.concatenate([popular(rng, np.arange(OLD), usual), OLD + here])
    card = rng.integers(0, process.cards, len(merchant))
    level = rng.lognormal(0.0, 0.4, process.cards)[card]
    begin = np.concatenate([np.zeros(usual), opened.day[here].astype(np.float64)])
    at = instants(rng, begin, np.repeat([float(process.days), float(LIFE_DAYS)], [usual, len(here)]))
    channel = shops.channel(merchant)
    cents = amounts(rng, shops.category[merchant], level)
    return made(at, card, merchant, cents, channel, 0, own_device(rng, card, channel))


def _optimum(at: Ints, chain: Ints, fraud: Bools, delay: int) -> Floats:
    """Return the chance of fraud given the labels of the chain that are known at each payment; `delay` in ns."""
    order = np.lexsort((at, chain))
    span = int(at.max(initial=0)) + 1
    key = chain[order] * span + at[order]
    # A label is known to payments of its own instant, but never to the payment that it is of.
    known = np.searchsorted(key, chain * span + np.maximum(at - max(delay, 1), -1), side="right")
    first = np.searchsorted(key, chain * span)
    frauds = np.concatenate([[0], np.cumsum(fraud[order])])
    bad = frauds[known] - frauds[first]
    good = known - first - bad
    weight = bad * np.log(FRAUDS / CHANCE) + good * np.log((1 - FRAUDS) / (1 - CHANCE))
    front = posterior(1 / _FRONT_EVERY, weight)
    return np.where(chain >= 0, front * FRAUDS + (1 - front) * CHANCE, CHANCE)
