"""Streams for the leakage tests, honest ones and broken ones."""

from collections.abc import Callable, Iterator

import numpy as np

from fraud.core.records import DAY, HOUR, Arrival, Reject, Transaction, Verdict
from streaming.files.values.rows import Row
from streaming.replay.history import history
from tests.contract.traffic import AMOUNTS, LATENESS, PAUSES, START, Step, arrivals

VERBS = ("pay", "pay", "pay", "pay", "refund", "label", "label")


SEEDS = (1, 2, 3)


History = Callable[[Iterator[Row | Reject], int | None], Iterator[Arrival | Reject]]


def random_stream(seed: int, many: int = 120) -> list[Arrival]:
    """Return payments, refunds and known labels of few cards, some of them late."""
    rng = np.random.default_rng(seed)
    most = (3, 3, 3, len(AMOUNTS), len(PAUSES) - 2, len(LATENESS), 1_000)
    numbers = [rng.integers(end, size=many).tolist() for end in most]
    verbs = rng.choice(VERBS, size=many).tolist()
    return arrivals([Step(*each) for each in zip(verbs, *numbers, rng.random(many) < 0.5, strict=True)])


DELAY = 3 * DAY


EVERY = 5 * HOUR


def rows(verdict: Verdict, target: int = 10, many: int = 60) -> Iterator[Row | Reject]:
    """Yield one card's payments at one shop; only the verdict on one of them varies."""
    for number in range(many):
        when = START + number * EVERY
        tx = Transaction(
            id=f"t{number}", card="a", merchant="m", amount=500, base_amount=500, happened_at=when, seen_at=when
        )
        yield Row(tx, verdict if number == target else Verdict.GENUINE, "", None)


def first_to_know(target: int = 10) -> int:
    """Return the number of the first payment at or after the instant that the verdict on payment 10 is known."""
    return target - (-DELAY // EVERY)


def undelayed(found: Iterator[Row | Reject], delay: int | None) -> Iterator[Arrival | Reject]:
    """Broken: verdicts are known at once."""
    return history(found, None if delay is None else 0)


def early(found: Iterator[Row | Reject], delay: int | None) -> Iterator[Arrival | Reject]:
    """Broken: verdicts come a quarter of their delay too soon."""
    return history(found, None if delay is None else delay - delay // 4)


def unlabelled(found: Iterator[Row | Reject], delay: int | None) -> Iterator[Arrival | Reject]:
    """Broken: verdicts never come."""
    del delay
    return history(found, None)
