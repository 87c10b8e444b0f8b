"""Traffic whose tactics of fraud change on one day: a model of before knows nothing of the frauds of after.

It is the rich stream with some of its frauds taken out: before the day those of takeovers, device rings and mule rings,
from the day on card testing, what follows a test, and stolen cards. Skimmed cards and bust-outs go on throughout, and
genuine payments do not change. Each message comes once and is never corrected, so that nothing but the tactics
tells the two times apart.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from fraud.core.errors import DataError
from fraud.core.records import DAY
from fraud.simulate import rich
from fraud.simulate.fdh import APRIL_2018
from fraud.simulate.tactics import SCENARIOS
from fraud.simulate.traffic import Bools, Ints, Traffic, Verdicts

ENDING = ("card_testing", "cash_out", "stolen_card")
"""Scenarios that end on the day."""
BEGINNING = ("account_takeover", "device_ring", "mule_ring")
"""Scenarios that begin on it."""


@dataclass(frozen=True, slots=True)
class Shift:
    """The stream's parameters: those of the rich stream, and `day`, counted from 0, on which tactics change.

    `fraud_share` is that of the rich stream; what is taken out of it leaves about seven in ten.
    """

    cards: int = 4_000
    merchants: int | None = None
    days: int = 150
    rate: float = 2.0
    fraud_share: float = 0.008
    chargeback_days: float = 21.0
    seed: int = 0
    start: int = APRIL_2018
    day: int = 90


def generate(shift: Shift) -> Traffic:
    """Return the stream in the order of `seen_at`; the same parameters give the same columns.

    Raises:
        DataError: when the day is not within the stream, or the rich stream cannot be made of the other parameters.
    """
    if not 0 < shift.day < shift.days:
        msg = f"tactics cannot change on day {shift.day} of {shift.days}: give day = 1 to {shift.days - 1}"
        raise DataError(msg)
    given = {field.name: getattr(shift, field.name) for field in fields(rich.Rich)}
    traffic = rich.generate(rich.Rich(**given))
    return taken(traffic, np.flatnonzero(_once(traffic) & ~_out(traffic, shift)))


def taken(traffic: Traffic, rows: Ints) -> Traffic:
    """Return some messages, with the verdicts on them."""
    columns = {field.name: getattr(traffic, field.name) for field in fields(traffic)}
    few: dict[str, Any] = {name: column[rows] for name, column in columns.items() if isinstance(column, np.ndarray)}
    known = None if traffic.known is None else _about(traffic.known, few["number"])
    return replace(traffic, **few, known=known)


def _about(known: Verdicts, numbers: Ints) -> Verdicts:
    """Return the verdicts on transactions of these numbers."""
    rows = np.isin(known.number, numbers)
    return Verdicts(*(getattr(known, field.name)[rows] for field in fields(known)))


def _once(traffic: Traffic) -> Bools:
    """Tell which messages are the first of their transaction, uncorrected."""
    _, first = np.unique(traffic.number, return_index=True)
    found: Bools = np.zeros(len(traffic), dtype=np.bool_)
    found[first] = traffic.version[first] == 0
    return found


def _out(traffic: Traffic, shift: Shift) -> Bools:
    """Tell which messages are of a tactic that is not in use on their day."""
    after: Bools = traffic.happened_at >= shift.start + shift.day * DAY
    ended: Bools = after & _of(traffic, ENDING)
    not_begun: Bools = ~after & _of(traffic, BEGINNING)
    return np.logical_or(ended, not_begun)


def _of(traffic: Traffic, names: tuple[str, ...]) -> Bools:
    """Tell which messages are of these scenarios."""
    found: Bools = np.isin(traffic.scenario, [SCENARIOS.index(name) for name in names])
    return found
