"""Charts of the gate: how much more likely labels are under flipped ones than under honest ones.

Each chart sums evidence that a share rho of its labels is flipped (a one-sided CUSUM, Page, Biometrika 1954):

    S <- max(0, S + ln(P_flipped(y) / P_honest(y)))
    P_flipped(fraud) = p (1 - 2 rho) + rho
    P_honest: the odds of p, allowed to be off by a factor of 3 in the direction that suits the label

with p the base probability that the payment had when it was decided. A fraud label never lowers S: who lies could mix
true frauds in.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from fraud.core.pending import Pending
from fraud.core.records import Label, Verdict

LEAST, MOST = 1e-4, 1 - 1e-4
ODDS = 3.0
"""How far the base's odds may be off before a label counts as odd: honest drift stays below it."""


class Chart(NamedTuple):
    """What a kind of chart looks for: a share `rho` of flipped labels among those of p >= `least`, held at `alarm`.

    From a sum of `wait` on its labels wait. `most` bounds p from above: one label of a base that is sure of itself says
    no more than it would at `most`.
    """

    name: str
    rho: float
    alarm: float
    wait: float
    least: float = 0.0
    most: float = MOST


CHARTS = (
    Chart("source", 0.05, 20.0, 5.0),
    Chart("source-strong", 0.2, 20.0, 5.0, 0.3),
    Chart("merchant", 0.4, 8.0, 2.0, 0.3),
    Chart("device", 0.4, 8.0, 2.0, 0.3),
)


class Standing(msgspec.Struct, array_like=True):
    """One chart of one source, merchant or device. `since` is the number of the first label after S was last 0."""

    sum: float = 0.0
    since: int = 0
    alarmed: bool = False
    waits: bool = False


def evidence(p: float, rho: float, fraud: bool, most: float = MOST) -> float:
    """Return ln(P_flipped(y) / P_honest(y)) of a label, nats; see the module's docstring."""
    p = min(max(p, LEAST), most)
    odds, flipped = p / (1 - p), p * (1 - 2 * rho) + rho
    if fraud:
        honest = odds * ODDS / (1 + odds * ODDS)
        return max(0.0, math.log(flipped / honest))
    return math.log((1 - flipped) * (1 + odds / ODDS))


def placed(charts: Iterable[Chart], label: Label | None, item: Pending) -> list[tuple[Chart, str]]:
    """Return the charts that a label on a payment belongs to, each with the name of its own one, `kind/key`.

    What is no new word of anybody, as a correction of the payment, belongs to none.
    """
    if label is None:
        return []
    keys = {"merchant": item.merchant, "device": item.device}
    named = ((chart, keys.get(chart.name, label.source.value)) for chart in charts)
    return [(chart, f"{chart.name}/{key}") for chart, key in named if key]


def told_fraud(label: Label, item: Pending) -> bool | None:
    """Return what a label claims of a payment: fraud or not; None when it claims neither.

    Who takes a word of fraud back says as much as that there is none.
    """
    if label.verdict is not Verdict.WITHDRAWN:
        return label.verdict is Verdict.FRAUD
    taken = next((claim.verdict for claim in item.claims if claim.source is label.source), None)
    return False if taken is Verdict.FRAUD else None
