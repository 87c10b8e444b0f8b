"""Do the crash tests catch a fault? Faults are put into a copy of the project, one at a time: `make selftest`.

    python -m tests.crash.selftest [FAULT ...] [--seed N]

The copy's processes run against a real Kafka and Redis, and `tests.crash.directed` judges them by the code of this
project, which has no fault. First the copy without one: everything must be 0 there. The last line says how many of the
faults were caught; by what stands in the lines before.
"""

import argparse
import json
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from infra.services import KafkaServer, RedisServer
from tests.crash import directed
from tests.site import Site
from tests.tree import PACKAGES, ROOT


class Edit(NamedTuple):
    """What is put in place of what, in a file of the project; it stands there once."""

    file: str
    old: str
    new: str


class Fault(NamedTuple):
    """A fault, what it is, and at which deaths it shows soonest."""

    name: str
    what: str
    edits: tuple[Edit, ...]
    places: tuple[str, ...] = ("after-write", "before-commit")


MATCHED = "        item = self._pending.get(label.tx_id)\n        if item is None:\n            self._wait(label)\n"
FAULTS = (
    Fault(
        "marks-unknown",
        "what a process has taken into a row means nothing to the next one",
        (
            Edit(
                "features/stores/rowlog/working.py",
                "return (source_of(mark_field(position)), position.offset) if position is not None else (0, 0)",
                "return (source_of(mark_field(position) + __import__('os').getpid().__str__()), position.offset) "
                "if position is not None else (0, 0)",
            ),
        ),
    ),
    Fault(
        "published-again",
        "what is read again since the commit's mark is published again",
        (Edit("streaming/kafka/offsets.py", "return offset >= self.resume\n", "return offset >= 0\n"),),
    ),
    Fault(
        "empty-rows",
        "features are read from empty rows for 15 s after each start",
        (
            Edit(
                "features/extractor.py",
                "        out: Values = np.empty(WIDTH + self._own.width, np.float32)\n",
                "        if __import__('time').monotonic() < BEGAN + 15:\n"
                "            self._rows[:] = -1\n"
                "        out: Values = np.empty(WIDTH + self._own.width, np.float32)\n",
            ),
            Edit(
                "features/extractor.py",
                "Ints = NDArray[np.int64]\n",
                "Ints = NDArray[np.int64]\nBEGAN = __import__('time').monotonic()\n",
            ),
        ),
    ),
    Fault(
        "verdicts-turned",
        "the label book turns every verdict round",
        (
            Edit(
                "fraud/core/labels.py",
                MATCHED,
                "        other = Verdict.GENUINE if label.verdict is Verdict.FRAUD else Verdict.FRAUD\n"
                "        label = msgspec.structs.replace(label, verdict=other)\n" + MATCHED,
            ),
        ),
        (),
    ),
    Fault(
        "resumes-too-late",
        "after a start the next three payments of a partition are taken for answered",
        (
            Edit(
                "streaming/kafka/recovery.py",
                "track = Track(at.mark, max(at.offset, state.resume),",
                "track = Track(at.mark, max(at.offset, state.resume) + 3,",
            ),
        ),
    ),
    Fault(
        "alerts-left-out",
        "every second alert is not published",
        (
            Edit(
                "streaming/kafka/publisher.py",
                "for answer in answers if answer.alert is not None],",
                "for answer in answers if answer.alert is not None and answer.position.offset % 2],",
            ),
        ),
        (),
    ),
)
BY_NAME = {fault.name: fault for fault in FAULTS}


def copied(folder: Path) -> Path:
    """Copy what processes run from: the packages, compiled loops included, and the tests."""
    for name in (*PACKAGES, "tests", "infra"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@contextmanager
def planted(tree: Path, fault: Fault) -> Iterator[None]:
    """Have a copy hold a fault for a while.

    Raises:
        ValueError: when a text that a fault replaces does not stand in its file just once.
    """
    before = {edit.file: (tree / edit.file).read_text() for edit in fault.edits}
    try:
        for edit in fault.edits:
            path = tree / edit.file
            path.write_text(replaced(path.read_text(), edit))
        yield
    finally:
        for file, text in before.items():
            (tree / file).write_text(text)


def replaced(text: str, edit: Edit) -> str:
    """Return a file's text with an edit made."""
    if (found := text.count(edit.old)) != 1:
        msg = f"{edit.file} holds {edit.old!r} {found} times, expected once: the fault is to be stated anew"
        raise ValueError(msg)
    return text.replace(edit.old, edit.new)


class Place(NamedTuple):
    """Where runs happen: a copy of the project, a Kafka, a Redis of which each run has a database, a folder."""

    tree: Path
    kafka: str
    redis: str
    folder: Path


def judge(place: Place, number: int, fault: Fault | None, seed: int, places: Sequence[str]) -> dict[str, int]:
    """Run the copy once, with a fault or without; return what is not 0."""
    name = f"selftest-{number}-{seed}"
    redis_url = f"{place.redis.rpartition('/')[0]}/{number % 16}"
    site = Site(place.kafka, redis_url, place.folder / name, name, tree=place.tree)
    try:
        if fault is None:
            found = directed.run(site, seed, places)
        else:
            with planted(place.tree, fault):
                found = directed.run(site, seed, places)
    finally:
        site.close()
    return {what: count for what, count in found.items() if count}


def main() -> None:
    """Run with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", help=f"of {', '.join(BY_NAME)}; default: all")
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    if unknown := set(given.faults) - BY_NAME.keys():
        parser.error(f"unknown fault {', '.join(sorted(unknown))}: expected {', '.join(BY_NAME)}")
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    print(f"seed {seed}", file=sys.stderr)
    faults = [BY_NAME[name] for name in given.faults or BY_NAME]
    with tempfile.TemporaryDirectory(prefix="selftest-") as name:
        folder = Path(name)
        kafka, redis = KafkaServer(folder / "kafka").start(tied=True), RedisServer(folder / "redis").start(tied=True)
        place = Place(copied(folder / "tree"), kafka.bootstrap, redis.url, folder)
        try:
            clean = judge(place, 0, None, seed, directed.ALL_PLACES)
            print(f"no fault: {clean or 'all 0'}", file=sys.stderr)
            caught = {}
            for number, fault in enumerate(faults, 1):
                caught[fault.name] = judge(place, number, fault, seed, fault.places)
                print(f"{fault.name} ({fault.what}): {caught[fault.name] or 'NOT CAUGHT'}", file=sys.stderr)
        finally:
            kafka.kill()
            redis.kill()
    print(
        json.dumps({"faults": len(faults), "caught": sum(map(bool, caught.values())), "clean": not clean, "by": caught})
    )
    sys.exit(0 if all(caught.values()) and not clean else 1)


if __name__ == "__main__":
    main()
