"""ARCHITECTURE.md against the running service: the paths of a payment and of a label, and the drawing of the rooms."""

import ast
import json
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import redis

from fraud.core.records import DAY, Label, Verdict
from fraud.core.settings import ModelSection, Settings
from fraud.simulate import fdh
from streaming import wiring
from streaming.worker.warm_up import warm_up
from tests.site import Site, until

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text()
HOP = re.compile(r"^\d\. `([\w/]+\.py)` ((?:.|\n(?!\d\.|\n))*)", re.MULTILINE)
ROOM = re.compile(r"^ *([a-z]+(?:/[a-z]+)*)  +(\S.*)$", re.MULTILINE)
PACKAGES = ("fraud", "streaming", "features", "models")

Hops = Sequence[str]
Turns = Sequence[Sequence[str]]


def section(title: str) -> str:
    """Return the text under a heading."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def hops_in(text: str) -> list[list[str]]:
    """Return the functions that each hop of a numbered list names, as `file:qualname`."""
    return [[f"{file}:{name}" for name in re.findall(r"`([A-Za-z][\w.]*)`", said)] for file, said in HOP.findall(text)]


PAYMENT = hops_in(section("One transaction, seven hops"))
LABEL = hops_in(section("One label, nine hops"))
SERVICE, WORKER = LABEL[:5], LABEL[5:]


def taken(hops: Hops, turns: Turns) -> bool:
    """Tell whether one turn takes all hops, each first entered after the one before."""
    return any(entered_in_order(hops, {name: place for place, name in enumerate(turn)}) for turn in turns)


def entered_in_order(hops: Hops, places: dict[str, int]) -> bool:
    found = [places[hop] for hop in hops if hop in places]
    return len(found) == len(hops) and found == sorted(found)


def flat(hops: Sequence[Hops]) -> list[str]:
    return [name for hop in hops for name in hop]


class Traced(NamedTuple):
    """What a worker and a label service did with a few payments and one label."""

    worker: Turns
    service: Turns


@pytest.fixture(scope="module")
def traced(kafka_server: object, redis_server: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """Send payments, then a label, through both processes on the real servers."""
    # Loops that are not compiled yet would be compiled under the tracer, which takes minutes.
    warm_up(wiring.build(msgspec.structs.replace(Settings(), model=ModelSection(name="demo"))))
    folder = tmp_path_factory.mktemp("traced")
    with redis.Redis.from_url(redis_server.url) as client:  # type: ignore[attr-defined]
        client.flushall()
    site = Site(kafka_server.bootstrap, redis_server.url, folder, "traced")  # type: ignore[attr-defined]
    try:
        worker = site.traced_worker(folder / "worker.jsonl", PAYMENT[0][0])
        service = site.traced_book(folder / "service.jsonl", LABEL[0][0])
        payments = list(islice(fdh.generate(fdh.Fdh(cards=9, terminals=9, days=9, seed=3)).transactions(), 5))
        site.send(payments)
        site.wait_for(5)
        paid = payments[0]
        verdict = paid.happened_at + DAY
        site.send_labels([Label(tx_id=paid.id, verdict=Verdict.FRAUD, happened_at=verdict, seen_at=verdict)])
        until(lambda: site.ends(site.topics.applied) == 1, "the label is applied")
        for process in (worker, service):
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        yield Traced(turns_of(folder / "worker.jsonl"), turns_of(folder / "service.jsonl"))
    finally:
        site.close()


def turns_of(path: Path) -> Turns:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_architecture_lists_seven_hops_and_nine() -> None:
    assert (len(PAYMENT), len(LABEL)) == (7, 9)
    assert all(PAYMENT + LABEL)


def test_payment_takes_the_seven_hops_in_their_order(traced: Traced) -> None:
    assert taken(flat(PAYMENT), traced.worker), not_taken(PAYMENT, traced.worker)


def test_label_takes_the_nine_hops_in_their_order(traced: Traced) -> None:
    assert taken(flat(SERVICE), traced.service), not_taken(SERVICE, traced.service)
    assert taken(flat(WORKER), traced.worker), not_taken(WORKER, traced.worker)


@pytest.mark.parametrize(("one", "other"), list(combinations(range(7), 2)))
def test_check_refuses_a_payment_path_with_two_hops_exchanged(traced: Traced, one: int, other: int) -> None:
    swapped = list(PAYMENT)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    assert not taken(flat(swapped), traced.worker)


def test_check_refuses_a_hop_that_is_never_taken(traced: Traced) -> None:
    assert not taken([*flat(PAYMENT), "models/blend.py:Blend.score"], traced.worker)


def not_taken(hops: Sequence[Hops], turns: Turns) -> str:
    """Return what a reader needs to mend the page: the hops that no turn enters, or the turns with all of them."""
    entered = {name for turn in turns for name in turn}
    if lost := [name for name in flat(hops) if name not in entered]:
        return f"never entered: {lost}"
    return f"entered in another order: {[[name for name in turn if name in flat(hops)] for turn in turns]}"


# --- the drawing -----------------------------------------------------------------------------------------------------


def rooms_drawn() -> dict[str, str]:
    """Return the line of each room in the drawing."""
    return dict(ROOM.findall(section("The rooms")))


def rooms_there() -> dict[str, str]:
    """Return the first line of each package's docstring; of a package in packages only those that hold modules."""
    found = {}
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")):
        if len(list(path.parent.glob("*.py"))) > 1 + (path.parent.name == "fraud"):
            said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[str(path.parent.relative_to(ROOT))] = said.partition("\n")[0].rstrip(".")
    return found


def test_drawing_shows_every_room_with_its_own_line_and_no_other() -> None:
    assert rooms_drawn() == rooms_there()


def test_drawing_has_the_floors_of_the_import_contracts() -> None:
    drawn = list(rooms_drawn())
    order: Callable[[str], int] = drawn.index
    assert order("fraud/cli") < order("fraud/training") < order("streaming") < order("features") < order("fraud/common")
    assert order("fraud/common") < order("fraud/core")
