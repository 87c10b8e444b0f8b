"""Every implementation of the Releases port, each with a way to make a fresh one: the contract suite runs on all."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import NamedTuple

from features.stores.releases import RedisReleases
from fraud.core.releases import Releases
from streaming.files.releases import FolderReleases
from tests.redis_cluster import shared_cluster
from tests.services import shared_redis

_numbers = count()


class ReleasesCase(NamedTuple):
    """One implementation; `at` returns what opens the same ones again and again, none in force at first."""

    name: str
    implementation: type
    at: Callable[[Path], Callable[[], Releases]]


def in_redis(folder: Path) -> Callable[[], Releases]:
    """Return what opens releases in a namespace of its own on the run's Redis."""
    namespace = f"releases{next(_numbers)}"
    return lambda: RedisReleases(shared_redis().url, namespace=namespace)


def in_cluster(folder: Path) -> Callable[[], Releases]:
    """Return the same on the run's cluster."""
    namespace = f"releases{next(_numbers)}"
    return lambda: RedisReleases(shared_cluster(), namespace=namespace)


RELEASES = [
    ReleasesCase("folder", FolderReleases, lambda folder: lambda: FolderReleases(folder / "releases")),
    ReleasesCase("redis", RedisReleases, in_redis),
    ReleasesCase("redis-cluster", RedisReleases, in_cluster),
]
