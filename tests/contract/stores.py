"""Every implementation of the StateStore port, each with a way to make a fresh one: the contract suite runs on all."""

from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

from features.stores.memory import RETRY_HORIZON, MemoryStore
from features.stores.redis import RedisStore
from features.stores.working_set import TableStore
from streaming.replay.extraction import RecordingStore
from tests.redis_cluster import fresh_cluster_store
from tests.services import shared_redis


class StoreCase(NamedTuple):
    """One implementation. `fresh` returns an empty store that shares nothing with any made before it.

    `examples` is how many random sequences a property is tried on: fewer where a store costs round trips. `fresh` may
    call `pytest.skip` with a reason when what the store needs (a server) cannot be had on this machine.
    """

    name: str
    implementation: type
    fresh: Callable[[], TableStore]
    examples: int = 80


_numbers = count()


def fresh_redis() -> RedisStore:
    """Return a store in a namespace of its own on the run's Redis."""
    return RedisStore(shared_redis().url, namespace=f"contract{next(_numbers)}")


def fresh_small_redis() -> RedisStore:
    """Return a store that keeps as few rows as it can, and begins logs anew all the time."""
    store = RedisStore(shared_redis().url, namespace=f"small{next(_numbers)}", cache=0)
    store.rebase_after = {True: 300, False: 300}
    return store


class Unheard:
    """A recorder that notes nothing."""

    def change(self, kind: str, keys: tuple[str, ...], fields: bytes, mask: int) -> None:
        """Do nothing."""

    def look(self, keys: tuple[str, ...], query: NDArray[np.int64], text: str) -> None:
        """Do nothing."""


def fresh_recording() -> RecordingStore:
    """Return a store that reports to nobody."""
    return RecordingStore(Unheard(), RETRY_HORIZON)


STORES = [
    StoreCase("memory", MemoryStore, MemoryStore),
    StoreCase("recording", RecordingStore, fresh_recording, examples=20),
    StoreCase("redis", RedisStore, fresh_redis, examples=12),
    StoreCase("redis-small-cache", RedisStore, fresh_small_redis, examples=6),
    StoreCase("redis-cluster", RedisStore, fresh_cluster_store, examples=4),
]

every_store = pytest.mark.parametrize("case", STORES, ids=lambda case: case.name)
"""Marks a test that runs on each of them."""


def explore(case: StoreCase, check: Callable[..., None], **strategies: SearchStrategy[Any]) -> None:
    """Try a property on `case.examples` random inputs, the same ones in every run."""
    health = [HealthCheck.too_slow, HealthCheck.data_too_large]
    tried = settings(
        max_examples=case.examples, deadline=None, derandomize=True, database=None, suppress_health_check=health
    )
    tried(given(**strategies)(check))()
