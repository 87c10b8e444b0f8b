"""The promises of the PendingStore port, on every implementation."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from fraud.core.pending import Claim, Pending, PendingState, PendingStore
from fraud.core.records import DAY, Action, Label, LabelSource, Level, Verdict, Versions
from tests.contract.pending_stores import PENDING_STORES, PendingCase

Fresh = Callable[[], PendingStore]
CLAIM = Claim(LabelSource.ANALYST, Verdict.FRAUD, 3, 7)


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
        action=Action.REVIEW,
        level=Level.EARLY,
        parts=(("base", -3.25), ("exit", 0.0)),
        versions=Versions("demo@1", "spec", "cost", "rules"),
    )
    return msgspec.structs.replace(plain, **fields)


def label(name: str, verdict: Verdict = Verdict.FRAUD) -> Label:
    return Label(tx_id=name, verdict=verdict, happened_at=5, seen_at=6)


def state_of(store: PendingStore) -> PendingState:
    return msgspec.msgpack.decode(store.snapshot(), type=PendingState)


def test_an_item_is_found_under_its_id_with_all_it_holds(fresh: Fresh) -> None:
    store = fresh()
    store.put(item("t1", 100))
    assert store.get("t1") == item("t1", 100)
    assert store.get("t2") is None
    assert len(store) == 1


def test_an_item_put_again_replaces_its_earlier_self(fresh: Fresh) -> None:
    store = fresh()
    store.put(item("t1", 100))
    settled = item("t1", 100, claims=(CLAIM,))
    store.put(settled)
    assert store.get("t1") == settled
    assert list(store.due(100)) == [settled]
    assert list(store.due(10_000)) == []


def test_items_come_due_in_order_of_deadline_and_leave(fresh: Fresh) -> None:
    store = fresh()
    for name, deadline in (("c", 30), ("a", 10), ("d", 40), ("b", 20)):
        store.put(item(name, deadline))
    assert store.next_due() == 10
    assert [each.tx_id for each in store.due(30)] == ["a", "b", "c"]
    assert store.get("a") is None
    assert store.next_due() == 40
    assert len(store) == 1


def test_items_of_one_deadline_come_due_in_order_of_id(fresh: Fresh) -> None:
    store = fresh()
    for name in ("t2", "t3", "t1"):
        store.put(item(name, 10))
    assert [each.tx_id for each in store.due(10)] == ["t1", "t2", "t3"]


@pytest.mark.parametrize(("first", "second"), [(10, 50), (50, 10)])
def test_an_item_with_a_new_deadline_comes_due_once_at_the_new_one(fresh: Fresh, first: int, second: int) -> None:
    store = fresh()
    store.put(item("t1", first))
    store.put(item("t1", second, version=1))
    assert [each.version for each in store.due(second)] == [1]
    assert list(store.due(100)) == []


def test_an_empty_store_has_nothing_due(fresh: Fresh) -> None:
    store = fresh()
    assert store.next_due() is None
    assert list(store.due(10**18)) == []
    assert len(store) == 0


def test_an_early_label_is_taken_once(fresh: Fresh) -> None:
    store = fresh()
    store.put_early("t1", (label("t1"),))
    assert store.take_early("t2") == ()
    assert store.early_held() == 1
    assert store.take_early("t1") == (label("t1"),)
    assert store.take_early("t1") == ()
    assert store.early_held() == 0


def test_an_early_label_that_is_read_stays(fresh: Fresh) -> None:
    store = fresh()
    store.put_early("t1", (label("t1"),))
    before = store.snapshot()
    assert store.early("t2") == ()
    assert store.early("t1") == store.early("t1") == (label("t1"),)
    assert store.snapshot() == before
    assert store.take_early("t1") == (label("t1"),)
    assert store.early("t1") == ()


def test_reading_an_early_label_does_not_make_it_younger(fresh: Fresh) -> None:
    """The oldest early label goes first when there are too many: its place must not depend on who asks for it."""
    store = fresh()
    for name in ("old", "new"):
        store.put_early(name, (label(name),))
    store.early("old")
    assert state_of(store).early == [(label("old"),), (label("new"),)]


def test_early_labels_put_again_take_the_place_of_those_before(fresh: Fresh) -> None:
    store = fresh()
    both = label("t1"), label("t1", Verdict.GENUINE)
    store.put_early("t1", both[:1])
    store.put_early("t1", both)
    assert store.early_held() == 1
    assert store.take_early("t1") == both


def test_an_item_that_is_due_later_than_its_deadline_comes_then(fresh: Fresh) -> None:
    store = fresh()
    store.put(item("later", 10, due_at=50, vector=b""))
    store.put(item("sooner", 20))
    assert [each.tx_id for each in store.due(40)] == ["sooner"]
    assert store.next_due() == 50
    assert list(store.due(50)) == [item("later", 10, due_at=50, vector=b"")]


def test_going_on_from_a_snapshot_equals_no_interruption(fresh: Fresh) -> None:
    one, other = fresh(), fresh()
    for name, deadline in (("b", 20), ("a", 10), ("c", 20)):
        one.put(item(name, deadline))
    one.put(item("b", 20, claims=(CLAIM,), silent_at=20, released_at=30))
    one.put_early("z", (label("z"),))
    other.put(item("gone", 1))
    other.restore(one.snapshot())
    assert len(other) == 3
    assert other.get("gone") is None
    assert list(other.due(100)) == list(one.due(100))
    assert other.take_early("z") == (label("z"),)
