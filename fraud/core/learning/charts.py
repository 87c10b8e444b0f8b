"""Charts of the gate: how much more likely labels are under flipped ones than under honest ones.

Each chart sums evidence that a share rho of its labels is flipped (a one-sided CUSUM, Page, Biometrika 1954):

    S <- max(0, S + ln(P_flipped(y) / P_honest(y)))
    P_flipped(fraud) = p (1 - 2 rho) + rho
    P_honest: the odds of p, allowed to be off by a factor of 3 in the direction that suits the label

with p the base probability that the payment had when it was decided. A fraud label never lowers S: who lies could mix
true frauds in. But for one chart, of payments of which the base is sure: who tells genuine of all frauds of a tactic
raises no other, since what he tells of payments with a middling p lowers those as much. There frauds lower S as the
formula has it, so that it grows where a third of what a source tells of such payments, or more, is genuine.

A source that tells mostly frauds, as chargebacks do, has hardly a genuine label that would lower S, and each fraud that
the base has missed would raise it for good. Its frauds are judged by where p lies among them instead: with B the share
of recent genuine payments in a band of p, and A that of recent frauds as the base expects them, their odds up to three
times as high,

    S <- max(0, S + ln((1 - r) + r B / A)),  r = FLOODED, the share of false frauds that is looked for.

Silence is said by nobody, and of payments alone of which nobody has told fraud: some frauds are never told, and with
those alone S would grow for good. So payments that were told to be fraud by their deadline lower S of silence, as the
other way in which that could have ended; what is looked for is that frauds cease to be told. It says nothing of a
merchant or a device.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.pending import Pending
from fraud.core.records import Label, LabelSource, Verdict

LEAST, MOST = 1e-3, 0.99
"""Bounds of p: of a base that is sure of itself where it is wrong, one label says no more than 2.8 nats."""
SURE = 0.95
"""The upper bound among payments that look bad: eight genuine labels in a row raise a merchant's alarm, no fewer."""
ODDS = 3.0
"""How far the base's odds may be off before a label counts as odd: honest drift stays below it."""


class Chart(NamedTuple):
    """What a kind of chart looks for: a share `rho` of flipped labels among those of p >= `least`, held at `alarm`.

    From a sum of `wait` on its labels wait; `most` bounds p from above. `eased`: frauds lower it, so that its doubts
    are soon over, and its labels may wait `longer`, so many times the gate's patience.
    """

    name: str
    rho: float
    alarm: float
    wait: float
    least: float = 0.0
    most: float = MOST
    eased: bool = False
    longer: int = 1


CHARTS = (
    Chart("source", 0.05, 20.0, 3.0),
    Chart("source-strong", 0.2, 20.0, 3.0, 0.3, SURE),
    Chart("merchant", 0.4, 8.0, 2.0, 0.3, SURE),
    Chart("device", 0.4, 8.0, 2.0, 0.3, SURE),
    Chart("source-sure", 0.4, 10.0, 2.0, 0.8, SURE, eased=True, longer=24),
)
"""Two odd labels in a row let a source's labels wait. DECISIONS 66 tells what was tried."""
OF_FRAUDS = CHARTS[0].name
"""The chart that judges the frauds of a source which tells mostly such by where p lies among them."""
OF_MANY = "merchant", "device"
"""Charts of which there is one for each of many."""
BANDS, FLOODED, ENOUGH, SUREST = (1e-3, 1e-2, 0.1, 0.3), 0.2, 1_000, 1 - 1e-9
"""Bands of p begin at 0 and at these; below so many recent decisions such frauds are not judged.

Odds are of p up to `SUREST`.
"""


class Standing(msgspec.Struct, array_like=True):
    """One chart of one source, merchant or device. `since` is the number of the first label after S was last 0."""

    sum: float = 0.0
    since: int = 0
    alarmed: bool = False
    waits: bool = False


def evidence(p: float, rho: float, fraud: bool, most: float = MOST) -> float:
    """Return ln(P_flipped(y) / P_honest(y)) of a label, nats; see the module's docstring."""
    if fraud:
        return max(0.0, of_fraud(p, rho, most))
    p = min(max(p, LEAST), most)
    odds, flipped = p / (1 - p), p * (1 - 2 * rho) + rho
    return math.log((1 - flipped) * (1 + odds / ODDS))


def of_fraud(p: float, rho: float, most: float = MOST) -> float:
    """Return what a fraud says of its label, nats: below 0 where the base has seen it too."""
    p = min(max(p, LEAST), most)
    odds, flipped = p / (1 - p), p * (1 - 2 * rho) + rho
    return math.log(flipped * (1 + odds * ODDS) / (odds * ODDS))


def flooding(p: NDArray[np.float64]) -> tuple[float, ...]:
    """Return, by band of p, what a fraud says for a flood of false ones, nats; `p` are those of recent decisions.

    Empty when there are too few of them.
    """
    if len(p) < ENOUGH:
        return ()
    p = np.minimum(p, SUREST)
    band, odds, count = np.searchsorted(BANDS, p, side="right"), p / (1 - p), len(BANDS) + 1
    frauds = np.bincount(band, ODDS * odds / (1 + ODDS * odds), count) / max(float(p.sum()), 1.0)
    genuine = np.bincount(band, 1 - p, count) / float((1 - p).sum())
    found: list[float] = np.log1p(FLOODED * (genuine / np.maximum(frauds, LEAST) - 1)).tolist()
    return tuple(found)


def of_band(by_band: Sequence[float], p: float) -> float:
    """Return what `flooding` says of a probability, 0 where it says nothing."""
    return by_band[bisect_right(BANDS, p)] if by_band else 0.0


def placed(charts: Iterable[Chart], label: Label | None, item: Pending) -> list[tuple[Chart, str]]:
    """Return the charts that a label on a payment belongs to, each with the name of its own one, `kind/key`.

    What is no new word of anybody, as a correction of the payment, belongs to none, silence to none of merchants, and
    to none that frauds lower.
    """
    if label is None:
        return []
    spoken = label.source is not LabelSource.SILENCE
    keys = dict(zip(OF_MANY, (item.merchant, item.device) if spoken else ("", ""), strict=True))
    named = ((chart, keys.get(chart.name, label.source.value)) for chart in charts if spoken or not chart.eased)
    return [(chart, f"{chart.name}/{key}") for chart, key in named if key]


def told_fraud(label: Label, item: Pending) -> bool | None:
    """Return what a label claims of a payment: fraud or not; None when it claims neither.

    Who takes a word of fraud back says as much as that there is none.
    """
    if label.verdict is not Verdict.WITHDRAWN:
        return label.verdict is Verdict.FRAUD
    taken = next((claim.verdict for claim in item.claims if claim.source is label.source), None)
    return False if taken is Verdict.FRAUD else None
