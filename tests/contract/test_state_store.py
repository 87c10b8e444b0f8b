"""The promises of the StateStore port, as the extractor uses it, on every implementation."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import strategies as st

from features.extractor import OnlineExtractor
from features.state import layout as at
from features.state.tables import card_key, merchant_key, pair_key
from fraud.core.errors import StateError
from fraud.core.records import HOUR, MINUTE, Arrival, KnownLabel, Position, Transaction, Verdict
from tests.contract.driving import answer, feed, rows_of, same_vectors, take, without_ratios
from tests.contract.payments import count, header, payment, sent, verdict_on
from tests.contract.stores import StoreCase, every_store, explore
from tests.contract.traffic import FULL, PLAIN, Script, Step, arrivals, renumbered, steps

# --- applied offsets -------------------------------------------------------------------------------------------------


@every_store
def test_a_position_at_or_below_the_mark_is_never_applied_twice(case: StoreCase) -> None:
    def check(drawn: list[Step], cut: int) -> None:
        stream = renumbered(arrivals(drawn))
        store = case.fresh()
        feed(store, stream)
        before = rows_of(store, stream)
        feed(store, stream[cut % len(stream) :])
        assert rows_of(store, stream) == before

    explore(case, check, drawn=steps(), cut=st.integers(0, 1_000))


@every_store
def test_a_repeat_delivered_again_leaves_the_device_alone_that_nothing_touched_since(case: StoreCase) -> None:
    """The repeat moved no mark; card and merchant are past it by a later payment, the device is not."""
    store, first = case.fresh(), msgspec.structs.replace(payment("t1"), device="d1")
    stream = [sent(first, 0), sent(first, 1), sent(payment("t2", after=MINUTE), 2)]
    feed(store, stream, batch=1)
    before = rows_of(store, stream)
    feed(store, stream, batch=1)
    assert rows_of(store, stream) == before


@every_store
def test_a_redelivery_is_named_as_such(case: StoreCase) -> None:
    extractor, tx = OnlineExtractor(case.fresh()), payment("t1")
    for expected in ((), ("redelivered",)):
        extractor.open([sent(tx, 5)])
        assert extractor.absorb(tx, sent(tx, 5).position) == expected
        extractor.close([])


@every_store
def test_applied_offsets_name_the_highest_offset_of_each_topic_and_partition(case: StoreCase) -> None:
    store, tx = case.fresh(), payment("t1")
    label = verdict_on(tx, Verdict.FRAUD, HOUR)
    feed(store, [sent(tx, 7), sent(label, 3, "labels.known"), sent(payment("t2", card="b"), 9)])
    assert store.applied_offsets() == {("transactions", 0): 9, ("labels.known", 0): 3}


@every_store
def test_labels_below_the_applied_offsets_of_payments_are_applied(case: StoreCase) -> None:
    store, tx = case.fresh(), payment("t1")
    feed(store, [sent(tx, 1_000), sent(verdict_on(tx, Verdict.FRAUD, HOUR), 0, "labels.known")])
    row = store.read([sent(tx, 0)]).entities.get(card_key("a"))
    assert header(row)[at.H_FRAUDS] == 1


@every_store
def test_a_topic_made_anew_starts_with_fresh_applied_offsets(case: StoreCase) -> None:
    store = case.fresh()
    feed(store, [sent(payment("t1"), 50, "transactions@1"), sent(payment("t2", after=MINUTE), 0, "transactions@2")])
    assert count(store, payment("t1"), card_key("a")) == 2


# --- increments commute ----------------------------------------------------------------------------------------------


def by_card(stream: Sequence[Arrival]) -> dict[str, list[Arrival]]:
    lanes: dict[str, list[Arrival]] = {}
    for arrival in stream:
        assert isinstance(arrival.event, Transaction | KnownLabel)
        lanes.setdefault(arrival.event.card, []).append(arrival)
    return lanes


def woven(stream: Sequence[Arrival], order: list[int]) -> list[Arrival]:
    """Return the stream with cards interleaved otherwise, each card's own order kept."""
    lanes = [list(lane) for _, lane in sorted(by_card(stream).items())]
    out: list[Arrival] = []
    turn = 0
    while any(lanes):
        full = [lane for lane in lanes if lane]
        out.append(full[order[turn % len(order)] % len(full)].pop(0))
        turn += 1
    return renumbered(out)


def shuffled(stream: Sequence[Arrival], seed: int) -> list[Arrival]:
    """Return payments in any order, then labels in any order, corrected labels after those that they replace."""
    rng = np.random.default_rng(seed)
    payments = [arrival for arrival in stream if isinstance(arrival.event, Transaction)]
    labels = [arrival for arrival in stream if isinstance(arrival.event, KnownLabel)]
    out = [payments[index] for index in rng.permutation(len(payments))]
    waiting = [labels[index] for index in rng.permutation(len(labels))]
    waiting.sort(key=lambda arrival: depth(arrival, labels))
    return renumbered(out + waiting)


def depth(arrival: Arrival, labels: Sequence[Arrival]) -> int:
    """Return how many verdicts on the same payment came before."""
    assert isinstance(arrival.event, KnownLabel)
    same = [
        other for other in labels if isinstance(other.event, KnownLabel) and other.event.tx_id == arrival.event.tx_id
    ]
    return same.index(arrival)


@every_store
def test_rows_are_the_same_bytes_however_cards_interleave(case: StoreCase) -> None:
    def check(drawn: list[Step], order: list[int]) -> None:
        stream = renumbered(arrivals(drawn))
        one, other = case.fresh(), case.fresh()
        feed(one, stream)
        feed(other, woven(stream, order))
        assert rows_of(other, stream) == rows_of(one, stream)

    verbs = (*PLAIN, "label", "correct")
    explore(case, check, drawn=steps(verbs, most=60), order=st.lists(st.integers(0, 5), min_size=3, max_size=9))


@every_store
def test_rows_are_the_same_bytes_in_any_order_of_payments_and_of_labels(case: StoreCase) -> None:
    """Late events included; left out is the one field that tells when a record was scored."""

    def check(drawn: list[Step], seed: int) -> None:
        stream = renumbered(arrivals(drawn))
        one, other = case.fresh(), case.fresh()
        feed(one, shuffled(stream, 0))
        feed(other, shuffled(stream, seed))
        assert without_ratios(rows_of(other, stream)) == without_ratios(rows_of(one, stream))

    explore(case, check, drawn=steps(PLAIN, most=60, cards=2), seed=st.integers(1, 1_000))


@every_store
def test_two_open_working_sets_do_not_overwrite_each_other(case: StoreCase) -> None:
    """Two workers, each with its own cards, at one merchant at the same time."""
    store, plain = case.fresh(), case.fresh()
    stream = [sent(payment(f"t{n}", card="ab"[n % 2], amount=100 * n, after=n * MINUTE), n) for n in range(8)]
    lanes = [
        [Arrival(item.event, Position("transactions", n % 2, n)) for n, item in enumerate(stream)][k::2] for k in (0, 1)
    ]
    workers = [OnlineExtractor(store), OnlineExtractor(store)]
    for worker, lane in zip(workers, lanes, strict=True):
        worker.open(lane)
    for worker, lane in zip(workers, lanes, strict=True):
        for arrival in lane:
            take(worker, arrival)
    for worker in workers:
        worker.close([])
    feed(plain, lanes[0] + lanes[1])
    assert rows_of(store, stream) == rows_of(plain, stream)


# --- first answers ---------------------------------------------------------------------------------------------------


@every_store
def test_the_first_answer_to_a_transaction_is_found_by_later_batches(case: StoreCase) -> None:
    store, tx = case.fresh(), payment("t1")
    first = answer(tx, Position("transactions", 0, 4), score=0.25)
    work = store.read([sent(tx, 4)])
    assert work.first_answer("t1", 0) is None
    work.keep(first)
    assert store.write(work, [first]) == [first]
    found = store.read([sent(tx, 9)]).first_answer("t1", 0)
    assert found is not None
    assert (found.decision, found.position) == (first.decision, first.position)


@every_store
def test_an_answer_kept_in_a_batch_is_found_in_that_batch(case: StoreCase) -> None:
    store, tx = case.fresh(), payment("t1")
    work = store.read([sent(tx, 4), sent(tx, 5)])
    work.keep(answer(tx, Position("transactions", 0, 4), score=0.25))
    found = work.first_answer("t1", 0)
    assert found is not None
    assert found.decision.score == 0.25


@every_store
def test_a_first_answer_belongs_to_one_version(case: StoreCase) -> None:
    store, tx = case.fresh(), payment("t1")
    work = store.read([sent(tx, 4)])
    work.keep(answer(tx, Position("transactions", 0, 4)))
    store.write(work, [])
    second = msgspec.structs.replace(tx, version=1)
    assert store.read([sent(second, 5)]).first_answer("t1", 1) is None


@every_store
def test_of_two_workers_that_answer_at_once_the_first_to_write_wins(case: StoreCase) -> None:
    store, tx = case.fresh(), payment("t1")
    works = [store.read([sent(tx, 4)]), store.read([sent(tx, 4)])]
    answers = [answer(tx, Position("transactions", 0, 4), score) for score in (0.25, 0.75)]
    for work, made in zip(works, answers, strict=True):
        work.keep(made)
    written = [store.write(work, [made]) for work, made in zip(works, answers, strict=True)]
    assert [batch[0].decision for batch in written] == [answers[0].decision] * 2
    found = store.read([sent(tx, 5)]).first_answer("t1", 0)
    assert found is not None
    assert found.decision == answers[0].decision


@every_store
def test_a_repeat_is_written_under_its_own_position(case: StoreCase) -> None:
    store, tx = case.fresh(), payment("t1")
    work = store.read([sent(tx, 4)])
    first = answer(tx, Position("transactions", 0, 4), score=0.25)
    work.keep(first)
    again = msgspec.structs.replace(first, position=Position("transactions", 0, 5), repeat_of=first.position)
    assert store.write(work, [first, again]) == [first, again]


# --- snapshots -------------------------------------------------------------------------------------------------------


@every_store
def test_going_on_from_a_snapshot_equals_no_interruption(case: StoreCase) -> None:
    def check(drawn: list[Step], cut: int) -> None:
        stream = arrivals(drawn)
        cut %= len(stream) + 1
        whole, first, second = case.fresh(), case.fresh(), case.fresh()
        expected = feed(whole, stream, batch=1)
        begun = feed(first, stream[:cut], batch=1)
        second.restore(first.snapshot())
        assert same_vectors(begun + feed(second, stream[cut:], batch=1), expected)
        assert rows_of(second, stream) == rows_of(whole, stream)
        assert second.applied_offsets() == whole.applied_offsets()

    explore(case, check, drawn=steps(), cut=st.integers(0, 1_000))


@every_store
def test_restore_replaces_what_was_there(case: StoreCase) -> None:
    store, empty = case.fresh(), case.fresh().snapshot()
    tx = payment("t1")
    feed(store, [sent(tx, 3)])
    work = store.read([sent(tx, 3)])
    work.keep(answer(tx, Position("transactions", 0, 3)))
    store.write(work, [])
    store.restore(empty)
    assert not any(any(row) for row in rows_of(store, [sent(tx, 3)]).values())
    assert store.read([sent(tx, 3)]).first_answer("t1", 0) is None
    assert store.applied_offsets() == {}


@every_store
def test_a_snapshot_holds_first_answers(case: StoreCase) -> None:
    one, other, tx = case.fresh(), case.fresh(), payment("t1")
    work = one.read([sent(tx, 4)])
    first = answer(tx, Position("transactions", 0, 4), score=0.25)
    work.keep(first)
    one.write(work, [first])
    other.restore(one.snapshot())
    found = other.read([sent(tx, 5)]).first_answer("t1", 0)
    assert found is not None
    assert found.decision.score == 0.25


@every_store
def test_restore_refuses_another_layout(case: StoreCase, monkeypatch: pytest.MonkeyPatch) -> None:
    store, module = case.fresh(), case.implementation.snapshot.__module__  # type: ignore[attr-defined]
    feed(store, [sent(payment("t1"), 0)])
    monkeypatch.setattr(f"{module}.LAYOUT_VERSION", "another")
    foreign = store.snapshot()
    monkeypatch.undo()
    with pytest.raises(StateError, match="another"):
        case.fresh().restore(foreign)


@every_store
@pytest.mark.parametrize("damage", [b"", b"not a snapshot", b"\x85\xa6layout"])
def test_restore_names_a_snapshot_that_cannot_be_read(case: StoreCase, damage: bytes) -> None:
    with pytest.raises(StateError, match="snapshot"):
        case.fresh().restore(damage)


# --- forgetting ------------------------------------------------------------------------------------------------------


@every_store
def test_forget_erases_a_card_and_its_pairs_and_nothing_else(case: StoreCase) -> None:
    store = case.fresh()
    stream = [
        sent(payment("t1", card="a", merchant="m"), 0),
        sent(payment("t2", card="a", merchant="n"), 1),
        sent(payment("t3", card="ab", merchant="m"), 2),
    ]
    feed(store, stream)
    before = rows_of(store, stream)
    assert store.forget("a") == 3
    gone = {card_key("a"), "pair " + pair_key("a", "m"), "pair " + pair_key("a", "n")}
    after = rows_of(store, stream)
    assert {key for key in before if after[key] != before[key]} == gone
    assert not any(any(after[key]) for key in gone)
    assert any(after[merchant_key("m")])


@every_store
def test_forget_of_an_unknown_card_erases_nothing(case: StoreCase) -> None:
    assert case.fresh().forget("nobody") == 0


@every_store
def test_a_forgotten_card_starts_afresh(case: StoreCase) -> None:
    store, tx = case.fresh(), payment("t1")
    feed(store, [sent(tx, 0)])
    store.forget("a")
    feed(store, [sent(payment("t2", after=HOUR), 1)])
    assert count(store, tx, card_key("a")) == 1


# --- reading ---------------------------------------------------------------------------------------------------------


@every_store
def test_reading_and_looking_change_nothing(case: StoreCase) -> None:
    def check(drawn: list[Step], unseen: Step) -> None:
        stream = arrivals(drawn)
        script = Script()
        script.play(unseen)
        store = case.fresh()
        feed(store, stream)
        before, offsets = rows_of(store, stream), store.applied_offsets()
        extractor = OnlineExtractor(store)
        batch = [item for item in [*stream, *script.arrivals] if isinstance(item.event, Transaction)]
        extractor.open(batch)
        for arrival in batch:
            assert isinstance(arrival.event, Transaction)
            extractor.look(arrival.event)
        extractor.close([])
        assert rows_of(store, stream) == before
        assert store.applied_offsets() == offsets

    one = steps(("pay",), most=1).map(lambda drawn: drawn[0]._replace(card=9, merchant=9, device=9))
    explore(case, check, drawn=steps(FULL), unseen=one)


@every_store
def test_batches_of_any_size_give_the_same_vectors_and_rows(case: StoreCase) -> None:
    def check(drawn: list[Step], size: int) -> None:
        stream = arrivals(drawn)
        one, other = case.fresh(), case.fresh()
        assert same_vectors(feed(one, stream, batch=1), feed(other, stream, batch=size))
        assert rows_of(other, stream) == rows_of(one, stream)

    explore(case, check, drawn=steps(FULL), size=st.integers(2, 32))
