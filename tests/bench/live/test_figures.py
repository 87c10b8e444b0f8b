"""The load test's statistics and its eye for noise: what it prints is what was measured."""

import json
import math

import numpy as np
import pytest

from tests.bench.live.figures import Row, Run, against, figures, head, line, median, ratio
from tests.bench.live.load import parsed, result
from tests.bench.live.machine import Usage, busy_seconds, look, noise, quiet, used
from tests.bench.live.rig import RowsRead, hit_share
from tests.bench.live.soak import Look, slope
from tests.bench.live.traffic import Came, messages

MS = 1_000_000


def came(*waits: float, marks: tuple[str, ...] = ()) -> tuple[dict[str, int], dict[str, Came]]:
    """Return what was sent, a ms apart, and what came after so many ms each."""
    intended = {f"t{n}": n * MS for n in range(len(waits))}
    return intended, {f"t{n}": Came(int((n + wait) * MS), "full", marks) for n, wait in enumerate(waits)}


# --- figures ---------------------------------------------------------------------------------------------------------


def test_latencies_run_from_the_intended_time() -> None:
    run = figures(*came(*range(1, 101)))
    assert (run.p50, run.lost) == (50.5, 0)
    assert run.p99 == pytest.approx(99.01)
    assert run.over == 0.5


def test_what_never_came_is_lost_and_no_latency() -> None:
    intended, seen = came(5.0, 6.0, 7.0)
    run = figures({**intended, "gone": 0}, {**seen, "warm-up": Came(0)})
    assert (run.lost, run.p50) == (1, 6.0)
    assert figures(intended, {}).lost == 3
    assert figures(intended, {}).p50 == math.inf


def test_marks_are_held_to_what_was_measured() -> None:
    intended, seen = came(10.0, 60.0, 70.0, 20.0)
    seen["t1"] = Came(seen["t1"].at, "rules", ("overdue",))
    seen["t3"] = Came(seen["t3"].at, "full", ("overdue", "recovered"))
    run = figures(intended, seen)
    assert (run.over, run.late_unmarked, run.marked_in_time) == (0.5, 0.25, 0.25)
    assert run.levels == {"full": 0.75, "rules": 0.25}
    assert run.marks == {"overdue": 0.5, "recovered": 0.25}


def test_a_median_is_of_each_figure_and_of_names_that_not_every_run_has() -> None:
    runs = [
        Run(p50=1.0, p99=9.0, lost=1, noise=0.02, levels={"full": 1.0}),
        Run(p50=3.0, p99=7.0, noise=0.3, levels={"full": 0.5, "rules": 0.5}),
        Run(p50=2.0, p99=8.0, lost=2, levels={"full": 0.9, "rules": 0.1}),
    ]
    found = median(runs)
    assert (found.p50, found.p99, found.lost, found.noise) == (2.0, 8.0, 3, 0.3)
    assert found.levels == {"full": 0.9, "rules": 0.1}


def test_a_row_has_ratios_to_the_floor_of_the_same_client_and_all_values() -> None:
    row = Row(500, "confluent", [Run(p50=4.0, p99=20.0, p999=30.0)], [Run(p50=2.0, p99=5.0, p999=6.0)], noisy=1)
    record = row.record()
    assert (record["p50_ratio"], record["p99_ratio"], record["noisy_runs"]) == (2.0, 4.0, 1)
    text = line(row)
    assert "2.00" in text
    assert "NOISY: 1 of 2" in text
    assert len(text.splitlines()[0]) == len(head())
    lost = Row(500, "confluent", [Run(lost=5)], [Run(p50=2.0, p99=5.0, p999=6.0)]).record()
    assert json.loads(json.dumps(lost, allow_nan=False))["path"]["p50"] is None


def test_a_noisy_rate_holds_no_budget() -> None:
    given = parsed(["--rates", "100,500"])
    rows = [
        Row(100, "confluent", [Run(p50=1, p99=10, p999=11)], [Run(p50=1, p99=2, p999=3)]),
        Row(500, "confluent", [Run(p50=1, p99=10, p999=11)], [Run(p50=1, p99=2, p999=3)], noisy=1),
    ]
    whole = result(rows, given, {})
    assert whole["highest_rate_p99_50ms"] == {"confluent": 100}
    assert whole["noisy_runs"] == 1


def test_a_client_is_compared_with_itself_under_another_setting_run_by_run() -> None:
    floor = [Run(p50=1, p99=2)] * 3
    rows = [
        Row(500, "confluent", [Run(p50=p, p99=2 * p) for p in (4.0, 8.0, 6.0)], floor),
        Row(500, "confluent+", [Run(p50=p, p99=p) for p in (2.0, 4.0, 3.0)], floor),
        Row(100, "confluent", [Run(p50=1, p99=1)], floor[:1]),
    ]
    assert against(rows) == [
        {"rate": 500, "library": "confluent", "noisy": 0, "p50": (2.0, [2.0, 2.0]), "p99": (4.0, [4.0, 4.0])}
    ]
    assert result(rows, parsed([]), {})["against"] == against(rows)
    assert parsed(["--against", "FRAUD_A__B=1=2"]).other == {"FRAUD_A__B": "1=2"}


def test_a_ratio_has_an_interval_where_there_are_pairs() -> None:
    assert ratio([], []) == (None, [])
    assert ratio([3.0], [2.0]) == (1.5, [])
    mean, (low, high) = ratio([2.0, 8.0], [1.0, 1.0])
    assert (mean, low < 2.0 < 8.0 < high) == (4.0, True)


@pytest.mark.parametrize(
    "words", [["--rates", "many"], ["--rates", "0"], ["--pairs", "0"], ["--library", "rust"], ["--against", "x"]]
)
def test_what_cannot_be_run_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(words)


def test_cards_of_a_large_population_pay_as_often_as_those_of_a_small_one() -> None:
    for cards in (5_000, 1_000_000):
        values = [
            json.loads(value)
            for _, (_, _, value) in zip(range(2_000), messages(np.random.default_rng(1), 0, cards), strict=False)
        ]
        step = values[1]["happened_at"] - values[0]["happened_at"]
        assert step * 2 * cards == pytest.approx(86_400e9, rel=1e-3)
        hub = sum(value["merchant"] == "shop1" for value in values)
        assert hub > 200
    assert len({value["card"] for value in values}) > 1_900


# --- the machine -----------------------------------------------------------------------------------------------------


def at(seconds: float, busy: float, **ours: float) -> Usage:
    return Usage(seconds, busy, ours)


def test_noise_is_what_others_took_of_all_cores() -> None:
    before, after = at(0, 100, worker=10, bench=5), at(10, 112, worker=16, bench=7)
    assert noise(before, after, cores=2) == pytest.approx(0.2)
    assert used(before, after, "worker") == 6


def test_a_machine_of_our_own_is_quiet_whatever_we_take() -> None:
    before, after = at(0, 100, worker=10, bench=5), at(10, 120, worker=24, bench=11)
    assert noise(before, after, cores=2) == 0


def test_busy_time_counts_what_other_machines_took_and_no_idling() -> None:
    assert busy_seconds("cpu  100 10 20 5000 30 1 2 7 50 0\ncpu0 1 2") == pytest.approx(
        (100 + 10 + 20 + 1 + 2 + 7) / 100
    )


def test_the_machine_can_be_looked_at() -> None:
    assert 0 <= look({}, 0.05) <= 1


def test_a_noisy_run_is_repeated_until_one_is_quiet() -> None:
    values = iter([0.5, 0.3, 0.05, 0.9])
    assert quiet(lambda: next(values), float, 0.1, 3) == (0.05, [0.5, 0.3], False)


def test_when_none_is_quiet_the_least_noisy_is_flagged() -> None:
    values = iter([0.5, 0.3, 0.4, 0.0])
    assert quiet(lambda: next(values), float, 0.1, 3) == (0.3, [0.5, 0.4], True)


# --- the soak --------------------------------------------------------------------------------------------------------


def test_a_slope_is_of_what_comes_after_the_first_minutes() -> None:
    looks = [Look(60.0 * n, 900.0 if n < 5 else 1_000.0 + n, 1.0, 0) for n in range(30)]
    assert slope(looks, 1_800) == pytest.approx(60.0)
    assert slope(looks[:2], 1_800) is None


def test_a_hit_share_is_of_the_rows_between_two_looks() -> None:
    assert hit_share(RowsRead(100, 200), RowsRead(190, 300)) == pytest.approx(0.9)
    assert hit_share() is None
    assert hit_share(RowsRead(1, 1), RowsRead(1, 1)) is None
    assert median([Run(hits=0.5), Run(hits=None), Run(hits=0.7)]).hits == pytest.approx(0.6)
    assert median([Run()]).hits is None
