"""Traffic to watch: a small rich stream at high speed, after a month of history."""

from collections.abc import Callable

from fraud.core.records import DAY
from fraud.simulate.rich import Rich, generate
from fraud.simulate.source import Pace, SimulatedSource

DEMO = Rich(cards=400, merchants=160, days=400, rate=2.2, fraud_share=0.02, chargeback_days=3.0)
WARM_DAYS = 30
SECONDS_A_DAY = 10.0


def demo_source(
    now: Callable[[], int],
    sleep: Callable[[float], None],
    *,
    rich: Rich = DEMO,
    seconds_a_day: float = SECONDS_A_DAY,
    batch: int = 64,
) -> SimulatedSource:
    """Return the demo's source: `WARM_DAYS` of history at once, then a simulated day in `seconds_a_day` seconds.

    `now` returns ns of a clock that never goes back, `sleep` waits seconds. The first fraud alerts can come at once;
    labels follow within seconds (analysts) and half a minute (chargebacks). With the defaults it lasts an hour.
    """
    pace = Pace(now, sleep, DAY / 1e9 / seconds_a_day, since=rich.start + WARM_DAYS * DAY)
    return SimulatedSource(generate(rich), batch=batch, pace=pace)
