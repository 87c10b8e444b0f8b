"""The end of processes: within ten seconds whatever is gone; others take over at once where there are any."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fraud.core.errors import BEGIN_AGAIN
from infra.services import KafkaServer
from streaming import ending
from tests.crash.kills import payments
from tests.links import LIBRARIES
from tests.site import Site, page, until

LONG_SESSION = {"FRAUD_KAFKA__SESSION_TIMEOUT": "240s"}
"""Longer than any test waits: who gets partitions got them because they were handed over."""
PATIENT = 150.0
"""Seconds until a process has started, however busy the machine."""
either = pytest.mark.parametrize("library", LIBRARIES)
HANGS = """
    import ctypes
    from streaming import ending
    from streaming.observe.logs import Log
    ending.END_SECONDS = 0.2
    ending.when_asked(lambda: print("asked", flush=True), Log("hung"))
    print("ready", flush=True)
    library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    while True:
        library.pthread_mutex_lock(mutex)
"""
"""A process whose main thread hangs in a C library, as it may in a client's: Python calls no handler there."""


@pytest.fixture
def make(redis_url: str, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Callable[..., Site]]:
    """A maker of sites, each ended with the test."""
    made: list[Site] = []

    def build(kafka: str, **options: object) -> Site:
        name = unique("end")
        made.append(Site(kafka, redis_url, tmp_path / name, name, model="rules", **options))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for site in made:
        site.close()


def test_a_process_that_hangs_when_asked_to_end_is_ended_by_force_and_says_so() -> None:
    words = [sys.executable, "-c", textwrap.dedent(HANGS)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        try:
            out, told = process.communicate(timeout=100)
        finally:
            process.kill()
    assert (process.returncode, out) == (ending.FORCED, "asked\n")
    assert '"ended by force"' in told


@either
def test_a_worker_that_is_asked_to_end_hands_its_partitions_over(
    make: Callable[..., Site], kafka: str, library: str
) -> None:
    site = make(kafka, library=library, environment=LONG_SESSION)
    workers = [site.worker(0), site.worker(1)]
    until(lambda: all(page(site, n, "/readyz") == "ready\n" for n in (0, 1)), "both have partitions", PATIENT)
    site.send(payments(200, 5))
    site.wait_for(200, PATIENT)
    workers[0].send_signal(signal.SIGTERM)
    assert workers[0].wait(20) == 0
    site.send(payments(600, 5)[200:])
    site.wait_for(600, PATIENT)
    assert len(site.read().answers) == 600


@either
def test_a_worker_that_is_alone_keeps_its_partitions_for_its_successor(
    make: Callable[..., Site], kafka: str, library: str
) -> None:
    """It is no rebalance then, and a group that is empty is not waited for."""
    site = make(kafka, library=library, environment=LONG_SESSION)
    worker = site.worker()
    site.send(payments(200, 5))
    site.wait_for(200, PATIENT)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    site.worker()
    site.send(payments(300, 5)[200:])
    site.wait_for(300, PATIENT)
    assert len(site.read().answers) == 300


@pytest.mark.parametrize("library", LIBRARIES)
def test_worker_and_label_book_end_in_time_while_kafka_is_gone(
    make: Callable[..., Site], fresh_kafka: Callable[..., KafkaServer], library: str
) -> None:
    server = fresh_kafka()
    site = make(server.bootstrap, library=library)
    processes = [site.worker(), site.book()]
    sent = payments(300, 5)
    site.send(sent[:200])
    site.wait_for(200, PATIENT)
    until(lambda: '"started"' in site.log("book"), "the label book at work")
    server.kill()
    for process in processes:
        process.send_signal(signal.SIGTERM)
    # Ten seconds are promised; it was half a minute, and for ever. The worker could not commit, and says so.
    statuses = [process.wait(20) for process in processes]
    assert statuses[0] in {BEGIN_AGAIN, ending.FORCED}
    server.start(tied=True)
    site.connect()
    site.worker()
    site.book()
    site.send(sent[200:])
    until(lambda: len(site.read().answers) == 300, "every payment decided", PATIENT)


# --- the supervisor --------------------------------------------------------------------------------------------------


def test_workers_that_cannot_start_with_these_settings_end_their_supervisor(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fraud", "run", "--workers", "2", "--model", "nosuch", "--bootstrap", "127.0.0.1:1"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert "nosuch" in done.stderr
    assert "cannot go on as things are set up, its message stands above: ending all" in done.stdout + done.stderr
    assert "starting it again" not in done.stdout + done.stderr
