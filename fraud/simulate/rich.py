"""The rich traffic: what card payments have and the handbook's process lacks.

Zipf hubs, devices (own and shared), merchant text and category codes, channels, daily and weekly rhythm, travel, new
merchants, refunds and reversals, several currencies; seven tactics of fraud that drift; labels late by source; messages
late, out of order, sent twice and corrected. Each part is a function of columns in its own module, composed here.
"""

from dataclasses import dataclass, replace

import numpy as np

from fraud.core.errors import DataError
from fraud.core.records import DAY
from fraud.simulate.catalogue import CATEGORIES
from fraud.simulate.delivery import deliver
from fraud.simulate.fdh import APRIL_2018
from fraud.simulate.payments import Payments, joined
from fraud.simulate.spending import refunds, spend
from fraud.simulate.tactics import DEVICES, SCENARIOS, TACTICS, Cases, Scene, begin
from fraud.simulate.traffic import Traffic
from fraud.simulate.verdicts import Knowledge, judge
from fraud.simulate.world import World, build

_LEAST_MERCHANTS = 2 * len(CATEGORIES)


@dataclass(frozen=True, slots=True)
class Rich:
    """The stream's parameters: `rate` is payments of a card a day, `fraud_share` that of fraudulent payments.

    `chargeback_days` is the median delay of a chargeback; `start` is a midnight in UTC ns. Without `merchants` there is
    one to 5 cards.
    """

    cards: int = 10_000
    merchants: int | None = None
    days: int = 90
    rate: float = 2.0
    fraud_share: float = 0.006
    chargeback_days: float = 21.0
    seed: int = 0
    start: int = APRIL_2018


def generate(rich: Rich) -> Traffic:
    """Return the stream in the order of `seen_at`; the same parameters give the same columns.

    Raises:
        DataError: when there are too few cards, merchants or days to make such traffic.
    """
    _check(rich)
    places, people, thieves, feed, truth = np.random.default_rng(rich.seed).spawn(5)
    world = build(places, rich.cards, _merchants(rich), rich.days, rich.rate)
    genuine = spend(people, world, rich.days, weekday=(rich.start // DAY + 3) % 7)
    payments = _composed(thieves, world, genuine, rich)
    traffic = deliver(feed, payments, world.merchants, rich.start)
    return replace(traffic, known=judge(truth, traffic, Knowledge(days=rich.chargeback_days)))


def _composed(rng: np.random.Generator, world: World, genuine: Payments, rich: Rich) -> Payments:
    """Add frauds, refunds and reversals to genuine payments; end the cards that were bust out."""
    end = rich.days * DAY
    frauds = _frauds(rng, Scene(world, genuine), len(genuine) * rich.fraud_share, rich.days)
    ended = _without_gone(joined([genuine, frauds.take(frauds.at < end)]))
    back = refunds(rng, ended.take(ended.scenario == 0), end)
    return joined([ended, back])


def _frauds(rng: np.random.Generator, scene: Scene, payments: float, days: int) -> Payments:
    """Commit each tactic's cases; no two cases share a device."""
    free, made = scene.world.strangers, []
    for tactic, dice in zip(TACTICS, rng.spawn(len(TACTICS)), strict=True):
        at, progress = begin(dice, tactic, payments, days)
        made.append(tactic.make(dice, scene, Cases(at, progress, free + DEVICES * np.arange(len(at)))))
        free += DEVICES * len(at)
    return joined(made)


def _without_gone(payments: Payments) -> Payments:
    """Drop what a bust-out card would have paid after its last bust-out payment."""
    bust = payments.scenario == SCENARIOS.index("bust_out")
    last = np.full(int(payments.card.max(initial=0)) + 1, np.iinfo(np.int64).max)
    last[payments.card[bust]] = 0
    np.maximum.at(last, payments.card[bust], payments.at[bust])
    return payments.take(payments.at <= last[payments.card])


def _merchants(rich: Rich) -> int:
    return rich.merchants if rich.merchants is not None else max(_LEAST_MERCHANTS, rich.cards // 5)


def _check(rich: Rich) -> None:
    """Refuse what cannot be made."""
    least = {"cards": 20, "merchants": _LEAST_MERCHANTS, "days": 1}
    given = {"cards": rich.cards, "merchants": _merchants(rich), "days": rich.days}
    for name, bound in least.items():
        if given[name] < bound:
            msg = f"the rich stream cannot be made with {name} = {given[name]}: give {bound} or more"
            raise DataError(msg)
    if not 0 <= rich.fraud_share <= 0.5:
        msg = f"fraud_share = {rich.fraud_share} is no share of payments: give a number from 0 to 0.5"
        raise DataError(msg)
