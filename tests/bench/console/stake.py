"""Is the queue in the right order? Money saved a verdict by at stake, by expected loss, by age and by chance.

    python -m tests.bench.console.stake [--seeds 5] [--verdicts 100 200 400 800] [--speed 100] [--model demo-young]

The demo's traffic is decided by the demo's engine, rules and learning as there; what each payment is the simulator
knows. How many payments wait at once is what an order is about, and the demo's shop is small: a day of its payments
comes in a `--speed`th of a day, which to a queue is that many shops. Analysts give so many verdicts a day, evenly, day
and night, each on the first that waits in their list; what nobody looked at in time is closed, held payments after
`policy.hold.delay`, others after a day.

A verdict is right, and saves what the policy's costs say: of what would have become of the payment by itself (a held
one passes at last, a declined or challenged one stays so), less the cheapest action, both by the truth. What a blocked
card saves later is not counted. Each kind of work has a list and analysts of its own; `together` has all in one list.

Told are EUR a verdict with a 95 % bootstrap interval over cards; `ratio` is at stake to expected loss under the same
draws. `truth` is the order of somebody who knows what each verdict saves. The last line is all of it as JSON.
"""

import argparse
import heapq
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fraud.cli.demo_embedded import BATCH, TRAFFIC, WARM_DAYS, demo_settings
from fraud.core import intervals
from fraud.core.intervals import Interval, Measure
from fraud.core.policy import CostPolicy
from fraud.core.records import DAY, Action, Answer
from fraud.core.settings import Settings
from fraud.simulate.shift import generate
from fraud.simulate.source import SimulatedSource
from fraud.simulate.traffic import Traffic
from streaming import wiring

KINDS = {"held": Action.REVIEW, "declined": Action.DECLINE, "challenged": Action.CHALLENGE}
TOGETHER = "together"
CENTS = 100.0


class Waiting(NamedTuple):
    """An alert in a queue: its card, from when until when it waits (ns), what it is ordered by, what a verdict saves.

    `chance` is a number between 0 and 1. Money is in minor units.
    """

    kind: str
    card: int
    at: int
    until: int
    at_stake: int
    expected_loss: int
    saves: float
    chance: float


ORDERS: dict[str, Callable[[Waiting], float]] = {
    "at_stake": lambda alert: alert.at_stake,
    "expected_loss": lambda alert: alert.expected_loss,
    "oldest": lambda alert: -alert.at,
    "chance": lambda alert: alert.chance,
    "truth": lambda alert: alert.saves,
}
"""What each order puts first: the highest of this."""


def alerts_of(settings: Settings, traffic: Traffic, shop: int, speed: float) -> list[Waiting]:
    """Return the demo's alerts in one shop, in order of arrival, their times as in a day of the queue."""
    parts, source = wiring.build(settings), SimulatedSource(traffic, batch=BATCH)
    policy, since = parts.strategy.policy, TRAFFIC.start + WARM_DAYS * DAY
    draw = np.random.default_rng(shop)
    assert isinstance(policy, CostPolicy), "the demo's policy goes by costs, and its held payments pass at last"
    found: list[Waiting] = []
    while (intake := source.read()) is not None:
        for answer in parts.engine.handle(intake.arrivals):
            if answer.alert is not None and answer.decision.seen_at >= since:
                at = round((answer.decision.seen_at - since) / speed)
                is_fraud = bool(traffic.fraud[answer.position.offset])
                card = shop * TRAFFIC.cards + int(traffic.card[answer.position.offset])
                found.append(waiting(answer, policy, settings, card, at, is_fraud, float(draw.random())))
    return sorted(found, key=lambda alert: alert.at)


def waiting(
    answer: Answer, policy: CostPolicy, settings: Settings, card: int, at: int, is_fraud: bool, chance: float
) -> Waiting:
    """Return an alert as it waits from `at` on."""
    decision, alert = answer.decision, answer.alert
    assert alert is not None
    kind = next(name for name, action in KINDS.items() if action is decision.action)
    patience = int(settings.policy.hold.delay) if decision.action is Action.REVIEW else DAY
    costs = policy.costs(float(is_fraud), decision.base_amount)
    last = Action.APPROVE if decision.action is Action.REVIEW else decision.action
    saves = costs[last.rank] - min(costs)
    return Waiting(kind, card, at, at + patience, alert.at_stake, alert.expected_loss, saves, chance)


def worked(alerts: Sequence[Waiting], first: Callable[[Waiting], float], every: float) -> list[Waiting]:
    """Return the alerts that get a verdict, one each `every` ns, where whoever is free takes the first that waits.

    `alerts` are in order of arrival.
    """
    queue: list[tuple[float, int]] = []
    taken: list[Waiting] = []
    coming, now = 0, 0.0
    while coming < len(alerts) or queue:
        if not queue:
            now = max(now, alerts[coming].at)
        while coming < len(alerts) and alerts[coming].at <= now:
            heapq.heappush(queue, (-first(alerts[coming]), coming))
            coming += 1
        alert = alerts[heapq.heappop(queue)[1]]
        if alert.until > now:
            taken.append(alert)
            now += every
    return taken


def saved(taken: Iterable[Waiting], cards: int) -> tuple[np.ndarray, np.ndarray]:
    """Return by card what verdicts have saved, EUR, and how many there were."""
    money, count = np.zeros(cards), np.zeros(cards)
    for alert in taken:
        money[alert.card] += alert.saves / CENTS
        count[alert.card] += 1
    return money, count


class Compared(NamedTuple):
    """What a list came to: how many verdicts were given, what each order saved a verdict, and at stake to loss."""

    verdicts: int
    saved: dict[str, Interval]
    ratio: Interval

    def record(self) -> dict[str, object]:
        """Return it as it is written."""
        found = {**self.saved, "ratio": self.ratio}
        return {"verdicts": self.verdicts, **{name: [round(one, 4) for one in each] for name, each in found.items()}}

    def line(self, name: str, capacity: int) -> str:
        """Return its row of the table."""
        told = [
            f"{one.estimate:>9.2f} {f'({one.low:.2f}-{one.high:.2f})':<16}"
            for one in (*self.saved.values(), self.ratio)
        ]
        return f"{name:<11}{capacity:>8}{self.verdicts:>9}" + "".join(told)


def compared(desks: Sequence[Sequence[Waiting]], every: float, cards: int) -> Compared:
    """Return what each order saves where analysts give a verdict each `every` ns, over desks that are apart."""
    taken = {name: [alert for desk in desks for alert in worked(desk, first, every)] for name, first in ORDERS.items()}
    measures = {name: intervals.share(*saved(each, cards)) for name, each in taken.items()}

    def over(measure: Measure) -> Interval:
        return intervals.interval(measure, np.arange(cards), np.random.default_rng(0), times=2_000)

    ratio = over(lambda weights: intervals.divided(measures["at_stake"](weights), measures["expected_loss"](weights)))
    return Compared(len(taken["at_stake"]), {name: over(measure) for name, measure in measures.items()}, ratio)


def main() -> None:
    """Decide the demo's traffic, work its alerts in each order, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="streams; each is a shop of its own")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first")
    parser.add_argument("--verdicts", type=int, nargs="+", default=[100, 200, 400, 800], help="a day, for each list")
    parser.add_argument("--speed", type=float, default=100.0)
    parser.add_argument("--model", default="demo-young")
    given = parser.parse_args()
    settings, cards = demo_settings(None, given.model), given.seeds * TRAFFIC.cards
    streams = (generate(replace(TRAFFIC, seed=given.first + shop)) for shop in range(given.seeds))
    desks = [alerts_of(settings, traffic, shop, given.speed) for shop, traffic in enumerate(streams)]
    print(f"{'EUR':<11}{'a day':>8}{'given':>9}" + "".join(f"{name:>14}{'':<12}" for name in (*ORDERS, "ratio")))
    result: dict[str, object] = {"model": given.model, "seeds": given.seeds, "first": given.first, "speed": given.speed}
    for kind in (*KINDS, TOGETHER):
        lists = [[alert for alert in desk if kind in (alert.kind, TOGETHER)] for desk in desks]
        told_of: dict[str, object] = {"alerts": sum(map(len, lists))}
        for capacity in given.verdicts:
            found = compared(lists, DAY / capacity, cards)
            told_of[str(capacity)] = found.record()
            print(found.line(kind, capacity))
        result[kind] = told_of
    print(json.dumps(result))


if __name__ == "__main__":
    main()
