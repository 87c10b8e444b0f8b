"""Batches handled on a store whose line is cut."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from features.extractor import OnlineExtractor
from fraud.core.errors import StoreUnavailableError
from fraud.core.ports import Encoder
from fraud.core.records import HOUR, MINUTE, Answer, Arrival, FeatureVector, Position, Transaction
from tests.contract.driving import answer, take

START = 20_000 * 24 * HOUR


def payment(name: str, after: int = 0, amount: int = 1_000, version: int = 0, device: str | None = "d") -> Transaction:
    when = START + after
    return Transaction(
        id=name,
        card="a",
        merchant="m",
        device=device,
        amount=amount,
        base_amount=amount,
        happened_at=when,
        seen_at=when,
        version=version,
    )


def sent(tx: Transaction, offset: int) -> Arrival:
    return Arrival(tx, Position("transactions", 0, offset))


def scored(tx: Transaction, offset: int, score: float = 0.25) -> Answer:
    made = answer(tx, Position("transactions", 0, offset), score)
    return msgspec.structs.replace(made, vector=FeatureVector(tx.id, np.arange(5, dtype=np.float32), "s", tx.seen_at))


BATCH = [
    sent(payment("t1", HOUR), 6),
    sent(payment("t2", HOUR + 1, 9_000), 7),
    sent(payment("h3", 3 * MINUTE, 7_777, version=1), 8),  # a correction: one change taken out, one put in
]


class Cut:
    """A server that carries out so many of the commands to come; then the line is dead."""

    def __init__(self, server: Any, commands: int) -> None:
        self._server, self._left = server, commands

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def run(self, commands: Sequence[Any]) -> list[Any]:
        done = self._server.run(commands[: self._left])
        if len(commands) > self._left:
            msg = "cut"
            raise StoreUnavailableError(msg)
        self._left -= len(commands)
        return list(done)


def answered(
    store: Any,
    batch: list[Arrival],
    score: float,
    server: Callable[[Any], Any] | None = None,
    encoder: Encoder | None = None,
) -> list[Answer]:
    """Handle a batch as the engine does, with one score for all; `server` replaces the one that is written to."""
    extractor = OnlineExtractor(store)
    work = extractor.open(batch, encoder)
    answers = []
    for arrival in batch:
        tx = arrival.event
        assert isinstance(tx, Transaction)
        first = work.first_answer(tx.id, tx.version)
        made = first or scored(tx, arrival.position.offset, score)
        take(extractor, arrival)
        if first is None:
            work.keep(made)
        answers.append(made)
    if server is not None:
        store._server = server(store._server)
    return extractor.close(answers)
