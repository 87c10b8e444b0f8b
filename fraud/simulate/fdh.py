"""The Fraud Detection Handbook's process: cards on a plane that pay at terminals nearby, and three frauds.

An own implementation of the process that Le Borgne et al. describe (Reproducible Machine Learning for
Credit Card Fraud Detection, 2022), whole columns at a time. Cards and terminals lie uniformly on a square of
side 100; a card uses the terminals within a radius of 5. A card has a mean amount U(5, 100) with half of it
as deviation, and makes Poisson(rate) payments a day, rate U(0, 4); the time of day is N(43,200 s, 20,000 s),
dropped outside the day. Then, in this order: any amount above 220 is a fraud; each day 2 terminals are
compromised and all their payments of 28 days are frauds; each day 3 cards are compromised and a third of
their payments of 14 days are frauds of 5 times the amount.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraud.core.records import SECOND
from fraud.simulate.grouping import during, ranks
from fraud.simulate.traffic import Ints, Traffic, Words, plain

Floats = NDArray[np.float64]

APRIL_2018 = 1_522_540_800 * SECOND
SCENARIOS = ("genuine", "amount", "terminal", "card")
_SIDE = 100.0
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Fdh:
    """The process's parameters; the defaults are those of the published file (1.75 M payments).

    `radius` is in units of a square of side 100, `start` in UTC ns (a midnight).
    """

    cards: int = 5_000
    terminals: int = 10_000
    radius: float = 5.0
    days: int = 183
    seed: int = 0
    start: int = APRIL_2018


@dataclass(frozen=True, slots=True)
class _Nearby:
    """Each card's terminals: those of card c are `terminals[first[c] : first[c] + count[c]]`."""

    terminals: Ints
    first: Ints
    count: Ints


@dataclass(slots=True)
class _Payments:
    """Payments being made: day number, second of the day, card, terminal, cents, scenario."""

    day: Ints
    second: Ints
    card: Ints
    terminal: Ints
    cents: Ints
    scenario: Ints


def generate(process: Fdh) -> Traffic:
    """Return the process's payments in the order of time; the same parameters give the same columns."""
    places, spending, times, frauds = np.random.default_rng(process.seed).spawn(4)
    nearby = _nearby(places, process)
    payments = _payments(process, nearby, spending, times)
    _mark_amounts(payments)
    _compromise_terminals(payments, process, frauds)
    _compromise_cards(payments, process, frauds)
    seconds = payments.day * _DAY_SECONDS + payments.second
    order = np.argsort(seconds, kind="stable")
    return plain(
        process.start + seconds[order] * SECOND,
        payments.card[order],
        payments.terminal[order],
        payments.cents[order],
        payments.scenario[order],
        Words(scenarios=SCENARIOS),
    )


def _nearby(rng: np.random.Generator, process: Fdh) -> _Nearby:
    """Place cards and terminals; find the terminals within the radius, one strip of the square at a time."""
    cards = rng.uniform(0, _SIDE, (process.cards, 2))
    terminals = rng.uniform(0, _SIDE, (process.terminals, 2))
    strip = np.floor(cards[:, 0] / process.radius).astype(np.int64)
    pairs = [_pairs(cards, terminals, np.flatnonzero(strip == s), process.radius) for s in np.unique(strip)]
    card, terminal = (np.concatenate(side) for side in zip(*pairs, strict=True))
    order = np.lexsort((terminal, card))
    count = np.bincount(card, minlength=process.cards)
    return _Nearby(terminal[order], np.cumsum(count) - count, count)


def _pairs(cards: Floats, terminals: Floats, members: Ints, radius: float) -> tuple[Ints, Ints]:
    """Return (card, terminal) within the radius, for cards of a strip no wider than the radius."""
    low, high = cards[members, 0].min() - radius, cards[members, 0].max() + radius
    near = np.flatnonzero((terminals[:, 0] > low) & (terminals[:, 0] < high))
    apart = cards[members, None, :] - terminals[None, near, :]
    card, terminal = np.nonzero(np.einsum("ctx,ctx->ct", apart, apart) < radius * radius)
    return members[card], near[terminal]


def _payments(process: Fdh, nearby: _Nearby, spending: np.random.Generator, times: np.random.Generator) -> _Payments:
    """Draw who pays when, how much and where, before any fraud."""
    mean = spending.uniform(5, 100, process.cards)
    rate = np.where(nearby.count > 0, spending.uniform(0, 4, process.cards), 0.0)
    a_day = times.poisson(rate, (process.days, process.cards))
    cell = np.repeat(np.arange(a_day.size), a_day.ravel())
    second = times.normal(43_200, 20_000, len(cell)).astype(np.int64)
    within = (second > 0) & (second < _DAY_SECONDS)
    day, card = np.divmod(cell[within], process.cards)
    pick = (spending.random(len(card)) * nearby.count[card]).astype(np.int64)
    terminal = nearby.terminals[nearby.first[card] + pick]
    cents = _cents(spending, mean[card])
    return _Payments(day, second[within], card, terminal, cents, np.zeros(len(card), dtype=np.int64))


def _cents(rng: np.random.Generator, mean: Floats) -> Ints:
    """Draw amounts N(mean, mean / 2), negative ones again from U(0, 2 mean), in cents."""
    amount = rng.normal(mean, mean / 2)
    below = amount < 0
    amount[below] = rng.uniform(0, 2 * mean[below])
    return np.rint(amount * 100).astype(np.int64)


def _mark_amounts(payments: _Payments) -> None:
    """Call every amount above 220 a fraud."""
    payments.scenario[payments.cents > 22_000] = 1


def _compromise_terminals(payments: _Payments, process: Fdh, rng: np.random.Generator) -> None:
    """Each day take over 2 terminals: all their payments of 28 days are frauds."""
    victim, day = _victims(rng, process.terminals, 2, process.days)
    rows, _ = during(payments.terminal, payments.day, victim, day, 28)
    payments.scenario[rows] = 2


def _compromise_cards(payments: _Payments, process: Fdh, rng: np.random.Generator) -> None:
    """Each day take over 3 cards: a random third of their payments of 14 days is 5 times as large.

    A card taken over twice at the same time can have an amount multiplied twice, as in the published process.
    """
    victim, day = _victims(rng, process.cards, 3, process.days)
    rows, group = during(payments.card, payments.day, victim, day, 14)
    size = np.bincount(group, minlength=len(victim))
    chosen = rows[ranks(group, rng.random(len(group))) < size[group] // 3]
    np.multiply.at(payments.cents, chosen, 5)
    payments.scenario[chosen] = 3


def _victims(rng: np.random.Generator, population: int, a_day: int, days: int) -> tuple[Ints, Ints]:
    """Draw distinct victims for every day but the last; return who and from which day."""
    daily = [rng.choice(population, min(a_day, population), replace=False) for _ in range(days - 1)]
    drawn = np.concatenate(daily) if daily else np.empty(0, dtype=np.int64)
    return drawn.astype(np.int64), np.repeat(np.arange(days - 1), min(a_day, population))
