"""What the load test runs on: a worker and a floor for each client library, and one run on either."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import redis as client

from infra.services import KafkaServer, RedisServer
from streaming.kafka.topics import admin
from streaming.observe.stages import STAGES
from tests.bench.live.figures import Row, Run, figures
from tests.bench.live.machine import look, noise, quiet, usage, used
from tests.bench.live.traffic import PARTITIONS, Reader, generate
from tests.site import Site, until

LIBRARY_VARIABLE = "FRAUD_KAFKA__LIBRARY"
WARM_SECONDS, DRAIN_SECONDS = 5.0, 5.0
NO_OTHER: Mapping[str, str] = MappingProxyType({})


class Plan(NamedTuple):
    """What one run is made with."""

    rate: float
    seconds: float
    cards: int
    noise: float
    tries: int


class Lane(NamedTuple):
    """One client library, maybe under another setting: its worker and its floor, each with the topics of its own."""

    library: str
    site: Site
    worker: "subprocess.Popen[bytes]"
    floor: "subprocess.Popen[bytes]"
    floor_topics: tuple[str, str]

    @property
    def topics(self) -> tuple[str, str]:
        """Return the worker's topics."""
        return self.site.topics.transactions, self.site.topics.decisions


class Rig:
    """Servers, workers and floors, and runs on them."""

    def __init__(
        self,
        kafka: KafkaServer,
        redis: RedisServer,
        folder: Path,
        libraries: Sequence[str],
        model: str,
        words: Sequence[str],
        against: Mapping[str, str] = NO_OTHER,
    ) -> None:
        """Start a worker and a floor for each library; each worker has a database of its own.

        Where there are environment variables `against` which to measure, each has another one that runs under them.
        """
        self._kafka, self._redis, self._sent = kafka, redis, 0
        self._lanes: list[Lane] = []
        settings = (NO_OTHER, against) if against else (NO_OTHER,)
        try:
            for number, (library, other) in enumerate(product(libraries, settings)):
                url, name = redis.url.replace("/0", f"/{number}"), f"{library}{'-other' if other else ''}"
                site = Site(kafka.bootstrap, url, folder / name, f"bench-{name}", model=model, extra=words)
                self._lanes.append(lane(site, library, other))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End what was started."""
        for each in self._lanes:
            each.floor.kill()
            each.floor.wait()
            each.site.close()

    def pairs(self, plan: Plan, times: int) -> list[Row]:
        """Measure one rate: each library in turn, path and floor, so many times."""
        rows = {each.library: Row(plan.rate, each.library, [], []) for each in self._lanes}
        for _ in range(times):
            for each in self._lanes:
                for floor in (False, True):
                    counts, discarded, noisy = quiet(
                        partial(self._run, each, plan, floor=floor), lambda run: run.noise, plan.noise, plan.tries
                    )
                    row = rows[each.library]
                    (row.floor if floor else row.path).append(counts)
                    row.discarded.extend(discarded)
                    rows[each.library] = msgspec.structs.replace(row, noisy=row.noisy + noisy)
        return list(rows.values())

    def stages(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return, for each library and stage, the milliseconds a batch and a decision have cost so far."""
        return {each.library: stages_of(each.site) for each in self._lanes}

    def _run(self, on: Lane, plan: Plan, *, floor: bool) -> Run:
        """Run one of the two, after a warm-up, beside which nothing is measured."""
        source, sink = on.floor_topics if floor else on.topics
        pids = self._pids(on.floor if floor else on.worker)
        before = look(pids)
        reader = Reader(self._kafka.bootstrap, sink)
        try:
            self._send(source, plan, WARM_SECONDS)
            began, file, rows = usage(pids), self._file(), [] if floor else [rows_read(on.site)]
            intended = self._send(source, plan, plan.seconds)
            end = time.monotonic() + DRAIN_SECONDS
            while len(reader.seen.keys() & intended.keys()) < len(intended) and time.monotonic() < end:
                time.sleep(0.1)
            ended = usage(pids)
            rows += [] if floor else [rows_read(on.site)]
        finally:
            reader.close()
        count = len(intended)
        cost = {f"{name}_cpu": used(began, ended, name) / count * 1e3 for name in ("worker", "redis", "broker")}
        written = (self._file() - file) / count
        found = figures(intended, reader.seen)
        others = max(before, noise(began, ended))
        return msgspec.structs.replace(found, **cost, aof_bytes=written, noise=others, hits=hit_share(*rows))

    def _send(self, topic: str, plan: Plan, seconds: float) -> Mapping[str, int]:
        first = self._sent
        self._sent += int(plan.rate * seconds) + 1
        return generate(self._kafka.bootstrap, topic, plan.rate, seconds, first, plan.cards)

    def _pids(self, process: "subprocess.Popen[bytes]") -> dict[str, int]:
        """Return every process of the bench: that which is measured is the worker, whichever it is."""
        others = {f"other{n}": each.pid for n, each in enumerate(self._processes()) if each is not process}
        redis, broker = self._redis.process.pid, self._kafka.processes[0].pid
        assert redis is not None
        assert broker is not None
        return {**others, "worker": process.pid, "redis": redis, "broker": broker}

    def _processes(self) -> list["subprocess.Popen[bytes]"]:
        return [process for each in self._lanes for process in (each.worker, each.floor)]

    def _file(self) -> int:
        """Return the size of the append-only file, which is not rewritten while the bench runs."""
        with client.Redis.from_url(self._redis.url) as asked:
            return int(asked.info("persistence")["aof_current_size"])


def lane(site: Site, library: str, other: Mapping[str, str] = NO_OTHER) -> Lane:
    """Start a worker and a floor on a site; under another setting its name ends in a `+`."""
    with environment({LIBRARY_VARIABLE: library, **other}):
        worker = site.worker()
    until(lambda: '"http_port"' in site.log(), lambda: f"the worker's port; log: {site.log()[-1_500:]}")
    source, sink = (f"{site.settings.prefix}floor.{name}" for name in ("in", "out"))
    asked = admin(site.settings)
    asked.create_topics(
        {name: {"num_partitions": PARTITIONS, "replication_factor": 1} for name in (source, sink)},
        wait_for_metadata=True,
    )
    asked.close()
    words = ["-m", "tests.bench.live.floor", site.settings.bootstrap, source, sink, library]
    name = f"{library}+" if other else library
    return Lane(name, site, worker, subprocess.Popen([sys.executable, *words]), (source, sink))


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Let processes that are started in here have some environment variables."""
    held = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in held.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def metrics_of(site: Site) -> dict[str, float]:
    """Return a worker's metrics by name and labels."""
    port = json.loads(re.findall(r"\{.*\"http_port\".*\}", site.log())[0])["http_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


class RowsRead(NamedTuple):
    """How many rows a worker has taken from its copies so far, and how many in all."""

    copies: float
    rows: float


def rows_read(site: Site) -> RowsRead:
    """Return what a worker has read so far."""
    values = metrics_of(site)
    copies, whole = (values.get(f'fraud_store_rows_total{{read="{how}"}}', 0.0) for how in ("copy", "whole"))
    return RowsRead(copies, copies + whole)


def hit_share(*looks: RowsRead) -> float | None:
    """Return the share of rows that came from copies between two looks; None without them."""
    if len(looks) < 2 or looks[1].rows <= looks[0].rows:
        return None
    return (looks[1].copies - looks[0].copies) / (looks[1].rows - looks[0].rows)


def stages_of(site: Site) -> dict[str, dict[str, float]]:
    """Return, for each stage, the milliseconds a batch and a decision have cost a worker."""
    values = metrics_of(site)
    events, found = max(values["fraud_batch_events_sum"], 1.0), {}
    for stage in STAGES:
        total = values.get(f'fraud_stage_seconds_sum{{stage="{stage}"}}', 0.0) * 1e3
        batches = max(values.get(f'fraud_stage_seconds_count{{stage="{stage}"}}', 0.0), 1.0)
        found[stage] = {"batch": round(total / batches, 3), "decision": round(total / events, 3)}
    return found
