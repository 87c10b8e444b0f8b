"""The promises of the PendingStore port, on every implementation."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from fraud.core.labels import Pending, PendingStore
from fraud.core.records import DAY, Label, Verdict
from tests.contract.pending_stores import PENDING_STORES, PendingCase

Fresh = Callable[[], PendingStore]


@pytest.fixture(params=PENDING_STORES, ids=lambda case: case.name)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Fresh:
    case: PendingCase = request.param
    made = iter(range(100))

    def make() -> PendingStore:
        folder = tmp_path / str(next(made))
        folder.mkdir()
        return case.fresh(folder)

    return make


def item(name: str, deadline: int, **fields: object) -> Pending:
    plain = Pending(
        tx_id=name,
        version=0,
        card="a",
        merchant="m",
        device=None,
        paid_at=deadline - 45 * DAY,
        base_amount=1_000,
        unusual=False,
        deadline=deadline,
        score=0.125,
        vector=bytes(range(8)),
    )
    return msgspec.structs.replace(plain, **fields)


def label(name: str, verdict: Verdict = Verdict.FRAUD) -> Label:
    return Label(tx_id=name, verdict=verdict, happened_at=5, seen_at=6)


def test_an_item_is_found_under_its_id_with_all_it_holds(fresh: Fresh) -> None:
    room = fresh()
    room.put(item("t1", 100))
    assert room.get("t1") == item("t1", 100)
    assert room.get("t2") is None
    assert len(room) == 1


def test_an_item_put_again_replaces_its_earlier_self(fresh: Fresh) -> None:
    room = fresh()
    room.put(item("t1", 100))
    settled = item("t1", 100, verdict=Verdict.FRAUD, verdict_at=7, vector=b"")
    room.put(settled)
    assert room.get("t1") == settled
    assert list(room.due(100)) == [settled]
    assert list(room.due(10_000)) == []


def test_items_come_due_in_order_of_deadline_and_leave(fresh: Fresh) -> None:
    room = fresh()
    for name, deadline in (("c", 30), ("a", 10), ("d", 40), ("b", 20)):
        room.put(item(name, deadline))
    assert room.next_due() == 10
    assert [each.tx_id for each in room.due(30)] == ["a", "b", "c"]
    assert room.get("a") is None
    assert room.next_due() == 40
    assert len(room) == 1


def test_items_of_one_deadline_come_due_in_order_of_id(fresh: Fresh) -> None:
    room = fresh()
    for name in ("t2", "t3", "t1"):
        room.put(item(name, 10))
    assert [each.tx_id for each in room.due(10)] == ["t1", "t2", "t3"]


@pytest.mark.parametrize(("first", "second"), [(10, 50), (50, 10)])
def test_an_item_with_a_new_deadline_comes_due_once_at_the_new_one(fresh: Fresh, first: int, second: int) -> None:
    room = fresh()
    room.put(item("t1", first))
    room.put(item("t1", second, version=1))
    assert [each.version for each in room.due(second)] == [1]
    assert list(room.due(100)) == []


def test_an_empty_room_has_nothing_due(fresh: Fresh) -> None:
    room = fresh()
    assert room.next_due() is None
    assert list(room.due(10**18)) == []
    assert len(room) == 0


def test_an_early_label_is_taken_once(fresh: Fresh) -> None:
    room = fresh()
    room.put_early(label("t1"))
    assert room.take_early("t2") is None
    assert room.take_early("t1") == label("t1")
    assert room.take_early("t1") is None


def test_of_two_early_labels_the_later_stands(fresh: Fresh) -> None:
    room = fresh()
    room.put_early(label("t1"))
    room.put_early(label("t1", Verdict.GENUINE))
    assert room.take_early("t1") == label("t1", Verdict.GENUINE)


def test_going_on_from_a_snapshot_equals_no_interruption(fresh: Fresh) -> None:
    one, other = fresh(), fresh()
    for name, deadline in (("b", 20), ("a", 10), ("c", 20)):
        one.put(item(name, deadline))
    one.put(item("b", 20, verdict=Verdict.FRAUD, verdict_at=3))
    one.put_early(label("z"))
    other.put(item("gone", 1))
    other.restore(one.snapshot())
    assert len(other) == 3
    assert other.get("gone") is None
    assert list(other.due(100)) == list(one.due(100))
    assert other.take_early("z") == label("z")
