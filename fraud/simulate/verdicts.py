"""When and from whom the truth becomes known: analysts in minutes, chargebacks in weeks, some never.

A share of the frauds is cleared by an analyst first and charged back later: a label with a higher version.
"""

from dataclasses import dataclass

import numpy as np

from fraud.core.records import DAY, HOUR, MINUTE, SECOND, LabelSource
from fraud.simulate.traffic import SOURCES, Bools, Ints, Traffic, Verdicts
from fraud.simulate.world import Floats

_ANALYST = SOURCES.index(LabelSource.ANALYST)
_CHARGEBACK = SOURCES.index(LabelSource.CHARGEBACK)
_LARGE = 10_000
_MINUTES = 25


@dataclass(frozen=True, slots=True)
class Knowledge:
    """How frauds become known.

    Analysts see `large` of the frauds above 100 of the base currency and `small` of the others, and `cleared` of the
    genuine payments above that; `mistaken` of the frauds that they see they clear at first. Of all other frauds
    `charged` are charged back, after `days` (median); nobody ever reports the rest.
    """

    large: float = 0.5
    small: float = 0.15
    cleared: float = 0.02
    mistaken: float = 0.05
    charged: float = 0.92
    days: float = 21.0


def judge(rng: np.random.Generator, traffic: Traffic, knowledge: Knowledge) -> Verdicts:
    """Return the labels of the payments, in the order in which they are seen, all after their payment is."""
    rows = traffic.first_messages()
    fraud, seen, large = traffic.fraud[rows], traffic.seen_at[rows], traffic.base_amount[rows] >= _LARGE
    looked = rng.random(len(rows)) < _attention(fraud, large, knowledge)
    wrong = looked & fraud & (rng.random(len(rows)) < knowledge.mistaken)
    charged = fraud & (wrong | (~looked & (rng.random(len(rows)) < knowledge.charged)))
    minutes = _after(rng, seen[looked], _MINUTES * MINUTE, 1.0, 2 * MINUTE, 8 * HOUR)
    weeks = _after(rng, seen[charged], knowledge.days * DAY, 0.6, DAY, 120 * DAY)
    number = np.concatenate([traffic.number[rows[looked]], traffic.number[rows[charged]]])
    verdict = np.concatenate([(fraud & ~wrong)[looked], fraud[charged]])
    source = np.repeat([_ANALYST, _CHARGEBACK], [len(minutes), len(weeks)])
    version = np.concatenate([np.zeros(len(minutes), dtype=np.int64), wrong[charged].astype(np.int64)])
    return _ordered(rng, number, verdict, np.concatenate([minutes, weeks]), source, version)


def _attention(fraud: Bools, large: Bools, knowledge: Knowledge) -> Floats:
    """Return the probability that an analyst looks at each payment."""
    genuine = np.where(large, knowledge.cleared, 0.0)
    return np.where(fraud, np.where(large, knowledge.large, knowledge.small), genuine)


def _after(rng: np.random.Generator, seen: Ints, median: float, spread: float, least: int, most: int) -> Ints:
    """Return instants a lognormal delay after `seen`; all in ns."""
    delay = median * rng.lognormal(0.0, spread, len(seen))
    return seen + np.clip(delay, least, most).astype(np.int64)


def _ordered(rng: np.random.Generator, number: Ints, fraud: Bools, at: Ints, source: Ints, version: Ints) -> Verdicts:
    """Return labels in the order in which they reach us, seconds after they are given."""
    seen = at + rng.integers(SECOND, 30 * SECOND, len(at))
    order = np.argsort(seen, kind="stable")
    return Verdicts(number[order], fraud[order], at[order], seen[order], source[order], version[order])
