"""One worker that dies where it is told to, the label book beside it: a crash test of some ten seconds a death.

It is what `tests.crash.selftest` runs over a copy of the project that has a fault in it, and judges from this one. One
worker alone takes all in, so every vector can be made again.
"""

import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice

from fraud.core.records import Transaction
from fraud.simulate import fdh
from tests.crash.kills import chargebacks, judged, labels_of
from tests.parity.live import set_apart
from tests.site import Site, until

FIRST, EACH, RATE = 150, 150, 150.0
"""Payments before the first death, and with each; a second."""
ALL_PLACES = "after-write", "before-commit", "in-recovery", "before-write"
IDLE = 12.0
"""Seconds in which a site that has all it needs decides something."""


def payments(count: int, seed: int) -> list[Transaction]:
    """Return payments of few cards, so that their rows hold something soon, each in one partition with its shops."""
    traffic = fdh.generate(fdh.Fdh(cards=60, terminals=40, days=60, seed=seed, radius=50.0))
    return [set_apart(tx) for tx in islice(traffic.transactions(), count)]


def run(site: Site, seed: int = 7, places: Sequence[str] = ALL_PLACES) -> dict[str, int]:
    """Run; return what is wrong, each 0 when all is well."""
    sent = payments(FIRST + EACH * len(places), seed)
    site.book()
    worker = site.worker()
    reach(site, sent[:FIRST])
    # A producer sends some again: they get the answers that they had.
    again = site.send(sent[: FIRST // 10])
    site.send_labels(labels_of(sent[:FIRST]))
    settle(lambda: chargebacks(site), len(labels_of(sent[:FIRST])))
    done = FIRST
    for place in places:
        worker.terminate()
        worker.wait()
        worker = site.stopping_worker(place, signal.SIGKILL)
        site.send(sent[done : done + EACH], RATE)
        with suppress(Exception):
            worker.wait(30)
        done += EACH
        worker.kill()
        worker.wait()
        worker = site.worker()
        settle(site.decided, done + again)
    labels = labels_of(sent)
    site.send_labels(labels)
    settle(lambda: chargebacks(site), len(labels))
    return {**judged(site, sent, labels), "alerts_none": int(site.ends(site.topics.alerts) == 0)}


def reach(site: Site, sent: Sequence[Transaction]) -> None:
    """Send payments and wait until all are decided."""
    site.send(sent, RATE)
    settle(site.decided, len(sent))


def settle(count: Callable[[], int], goal: int) -> None:
    """Wait until a count reaches a goal, or goes no further: what is lost then is for the judge to say."""
    before = -1
    while (now := count()) < goal and now > before:
        before = now
        with suppress(AssertionError):
            until(lambda: count() > before, "one more", IDLE)  # noqa: B023
