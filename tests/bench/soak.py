"""Half an hour at 300 a second: does the worker's memory grow? `make soak`.

python -m tests.bench.soak [--minutes 30] [--rate 300]
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from infra.services import KafkaServer, RedisServer
from tests.bench.load import generate
from tests.site import Site, until

FIRST_SHARE = 0.2


def resident(pid: int) -> float:
    """Return the memory a process holds, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=300.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        kafka = KafkaServer(folder / "kafka").start(tied=True)
        redis = RedisServer(folder / "redis").start(tied=True)
        site = Site(kafka.bootstrap, redis.url, folder / "site", "soak", extra=("--rules", "default"))
        try:
            worker = site.worker()
            until(lambda: '"http_port"' in site.log(), "the worker's port")
            seconds = given.minutes * 60
            topic = site.topics.transactions
            load = threading.Thread(target=generate, args=(kafka.bootstrap, topic, given.rate, seconds, 0), daemon=True)
            load.start()
            held: list[tuple[float, float]] = []
            began = time.monotonic()
            while load.is_alive():
                time.sleep(min(10.0, seconds / 20))
                held.append((time.monotonic() - began, resident(worker.pid)))
                print(f"{held[-1][0]:6.0f} s {held[-1][1]:7.1f} MiB", file=sys.stderr)
            decided = site.ends(site.topics.decisions)
        finally:
            site.close()
            kafka.kill()
            redis.kill()
    late = np.array([each for each in held if each[0] >= FIRST_SHARE * seconds])
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0]) * 3_600
    result = {"decisions": decided, "first_mib": held[0][1], "last_mib": held[-1][1], "mib_an_hour": round(slope, 2)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
