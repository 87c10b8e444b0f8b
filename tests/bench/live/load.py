"""The load test: open loop on real Kafka and Redis, the bare pass-through beside it in the same run. `make bench`.

    python -m tests.bench.live.load [--rates 100,500] [--seconds 60] [--pairs 3] [--library both] [--model demo-blend]

Transactions are sent at their intended times whatever comes back, so that a stalled service cannot hide its queue, and
a latency runs from the intended time to the decision's arrival at a reader. Generator and reader are a client of their
own. Each client library of the worker is measured, one after the other and again (A, B, A, B, ...), every run with its
floor right behind it: a process that reads, produces, waits and commits on the same client, and does nothing else.
Medians over the pairs are printed; all values stand in build/bench.json.

How to read a line: latencies of path and floor in ms, and how many times the floor the path takes; then of a hundred
decisions those over 50 ms, those over it that are not marked so, and those marked that were in time; CPU in ms a
decision of worker, floor, Redis and broker (which serves load and reader too); bytes that a decision adds to the
append-only file (its rewriting is off); of a hundred rows those that the worker had at hand (--cache makes them fewer);
what was lost; and the share of the machine that processes not of this bench
took. Below it levels and marks.

`--against NAME=VALUE` measures each client once more with an environment variable set, in turn with the first, as
FRAUD_REASONS__EVIDENCE=false; such a client has a `+` behind its name. In the end p50 and p99 are compared, run by run:
the geometric mean of their ratios with its 95 % interval.

A run beside which others took more than --noise of the machine, in the second before it or during it, shows nothing: it
is repeated, --tries times in all; what is noisy then is flagged, here and in the file. Compare ratios of one run,
never milliseconds of two days.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from infra.services import KafkaServer, RedisServer
from tests.bench.live.figures import BUDGET_MS, Row, against, head, line, median
from tests.bench.live.rig import Plan, Rig
from tests.bench.live.traffic import CARDS
from tests.links import LIBRARIES

OUT = Path("build/bench.json")
REWRITES_OFF = {"auto-aof-rewrite-percentage": "0"}


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line says; refuse what cannot be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="100,200,500,1000,2000", help="payments a second, by commas")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run, after a warm-up of 5")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each path and floor, in turn")
    parser.add_argument("--library", default="both", choices=["both", *LIBRARIES], help="client of worker and floor")
    parser.add_argument("--model", default="demo", help="a shipped model, as demo-blend, or one in build/models")
    parser.add_argument(
        "--cards", type=int, default=CARDS, help="population; 1000000: more than a worker's cache holds"
    )
    parser.add_argument("--cache", type=int, help="MiB of rows that a worker keeps; default as in the settings")
    parser.add_argument("--delivery", default="fast", choices=["fast", "transactional"])
    parser.add_argument("--against", default="", help="NAME=VALUE of the environment: measure with it too, and compare")
    parser.add_argument("--noise", type=float, default=0.1, help="share of the machine that others may take")
    parser.add_argument("--tries", type=int, default=3, help="most tries of a run beside which others took more")
    given = parser.parse_args(words)
    try:
        given.rates = [float(rate) for rate in given.rates.split(",")]
    except ValueError:
        parser.error(f"--rates {given.rates!r}: expected numbers by commas, as 100,500")
    if min(given.rates) <= 0 or given.seconds <= 0 or given.pairs < 1 or given.cards < 1:
        parser.error("rates, seconds, pairs and cards are above zero")
    if given.against and "=" not in given.against:
        parser.error(f"--against {given.against!r}: expected NAME=VALUE, as FRAUD_REASONS__EVIDENCE=false")
    given.libraries = LIBRARIES if given.library == "both" else (given.library,)
    given.other = dict([given.against.split("=", 1)]) if given.against else {}
    return given


def measured(rig: Rig, given: argparse.Namespace) -> list[Row]:
    """Measure every rate, and print a line for each client as soon as it is there."""
    lanes = len(given.libraries) * (2 if given.other else 1)
    minutes = len(given.rates) * lanes * given.pairs * 2 * (given.seconds + 7) / 60
    print(f"about {minutes:.0f} minutes, more where the machine is not quiet", file=sys.stderr)
    print(head())
    rows = []
    for rate in given.rates:
        plan = Plan(rate, given.seconds, given.cards, given.noise, given.tries)
        for row in rig.pairs(plan, given.pairs):
            print(line(row), flush=True)
            rows.append(row)
    return rows


def result(rows: list[Row], given: argparse.Namespace, stages: dict[str, Any]) -> dict[str, Any]:
    """Return all that is written."""
    fit: dict[str, float] = {}
    for row in rows:
        path = median(row.path)
        if path.p99 <= BUDGET_MS and not path.lost and not row.noisy:
            fit[row.library] = max(fit.get(row.library, 0.0), row.rate)
    names = "model", "delivery", "seconds", "pairs", "cards", "cache", "noise", "against"
    settings = {name: getattr(given, name) for name in names}
    records = [row.record() for row in rows]
    noisy = sum(row.noisy for row in rows)
    return {
        "settings": settings,
        "rates": records,
        "highest_rate_p99_50ms": fit,
        "stages_ms": stages,
        "against": against(rows),
        "noisy_runs": noisy,
    }


def main() -> None:
    """Run with servers of its own."""
    given = parsed()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        kafka = KafkaServer(folder / "kafka").start(tied=True)
        redis = RedisServer(folder / "redis", options=REWRITES_OFF).start(tied=True)
        words = ("--rules", "default", "--delivery", given.delivery)
        if given.cache is not None:
            os.environ["FRAUD_STORE__CACHE"] = str(given.cache)
        rig = Rig(kafka, redis, folder, given.libraries, given.model, words, given.other)
        try:
            rows = measured(rig, given)
            stages = rig.stages()
        finally:
            rig.close()
            kafka.kill()
            redis.kill()
    for library, found in stages.items():
        for stage, cost in found.items():
            print(f"{library} {stage:<10} {cost['batch']:>8.3f} ms a batch {cost['decision']:>8.3f} ms a decision")
    whole = result(rows, given, stages)
    for compared in whole["against"]:
        print(json.dumps(compared))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(whole, indent=1))
    if whole["noisy_runs"]:
        print(f"{whole['noisy_runs']} runs show nothing: others used the machine; run again when it is quiet")
    print(json.dumps({name: whole[name] for name in ("highest_rate_p99_50ms", "noisy_runs")} | {"written": str(OUT)}))


if __name__ == "__main__":
    main()
