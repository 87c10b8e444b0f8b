"""The promises of a state store about histories, on every implementation."""

from functools import cache

import msgspec
import numpy as np
import pytest

from features.extractor import OnlineExtractor
from features.state import history as hs
from features.state import pyramid
from features.state.tables import card_key, merchant_key
from features.stores.memory import MemoryStore
from fraud.core.records import Arrival, Transaction
from tests.contract.driving import Rows, feed, rows_of
from tests.contract.stores import STORES, StoreCase
from tests.contract.traffic import FULL, PLAIN, arrivals
from tests.features.drawn import drawn_at_random
from tests.histories import Encoding, feed_histories, histories_of

VERBS = (*PLAIN, *PLAIN, *FULL)
MANY = 400
every_store = pytest.mark.parametrize("case", STORES, ids=lambda case: case.name)


def named(arrival: Arrival) -> Arrival:
    """Return a payment with a descriptor of its merchant."""
    event = arrival.event
    if not isinstance(event, Transaction):
        return arrival
    return msgspec.structs.replace(
        arrival, event=msgspec.structs.replace(event, text=f"{event.merchant} no. {event.amount}")
    )


@cache
def stream(seed: int) -> tuple[Arrival, ...]:
    """Return late, repeated, redelivered, corrected and moved payments, verdicts and their corrections."""
    return tuple(named(arrival) for arrival in arrivals(drawn_at_random(seed, MANY, VERBS)))


@cache
def one_by_one(seed: int) -> tuple[list[bytes], Rows]:
    """Return the tokens and the histories of a stream taken event by event into memory."""
    store = MemoryStore()
    return feed_histories(store, stream(seed), batch=1), histories_of(store, stream(seed))


def test_stream_fills_pyramids_and_meets_every_kind_of_event() -> None:
    rows = one_by_one(0)[1]
    counted = [np.frombuffer(row[hs.PYRAMID_AT :], np.uint32)[pyramid.S_COUNT] for row in rows.values()]
    assert max(counted) > 0
    assert len({tokens for tokens in one_by_one(0)[0]}) > 100


@every_store
@pytest.mark.parametrize(("seed", "batch"), [(0, 1), (0, 2), (1, 7), (2, 16), (3, 32)])
def test_batches_of_any_size_give_the_same_tokens_and_histories(case: StoreCase, seed: int, batch: int) -> None:
    tokens, rows = one_by_one(seed)
    store = case.fresh()
    assert feed_histories(store, stream(seed), batch) == tokens
    assert histories_of(store, stream(seed)) == rows


@pytest.mark.parametrize("batch", [33, 100, MANY])
def test_batches_longer_than_a_window_give_the_same_tokens_and_histories(batch: int) -> None:
    tokens, rows = one_by_one(0)
    store = MemoryStore()
    assert feed_histories(store, stream(0), batch) == tokens
    assert histories_of(store, stream(0)) == rows


def test_a_batch_encodes_what_it_closed_in_one_call() -> None:
    encoder, store = Encoding(), MemoryStore()
    feed_histories(store, stream(0), 32, encoder)
    assert sum(encoder.calls) > len(encoder.calls)
    assert len(encoder.calls) <= len(stream(0)) // 32 + 1


@every_store
def test_a_redelivered_stream_changes_no_history(case: StoreCase) -> None:
    store = case.fresh()
    feed_histories(store, stream(1)[:200], 8)
    before = histories_of(store, stream(1)[:200])
    feed_histories(store, stream(1)[:200], 5)
    assert histories_of(store, stream(1)[:200]) == before


@every_store
def test_histories_change_no_row_and_no_row_is_kept_without_an_encoder(case: StoreCase) -> None:
    with_histories, without = case.fresh(), case.fresh()
    feed_histories(with_histories, stream(0)[:150], 8)
    feed(without, stream(0)[:150], 8)
    assert rows_of(with_histories, stream(0)[:150]) == rows_of(without, stream(0)[:150])
    assert without.read(stream(0)[:1]).histories is None
    assert not any(any(row) for row in histories_of(without, stream(0)[:150]).values())


@every_store
def test_a_snapshot_carries_histories(case: StoreCase) -> None:
    one, other = case.fresh(), case.fresh()
    feed_histories(one, stream(2)[:250], 8)
    other.restore(one.snapshot())
    assert histories_of(other, stream(2)) == histories_of(one, stream(2))
    rest = stream(2)[250:]
    assert feed_histories(other, rest, 8) == feed_histories(one, rest, 8)
    assert histories_of(other, stream(2)) == one_by_one(2)[1]


@every_store
def test_forgetting_a_card_erases_its_histories_and_no_others(case: StoreCase) -> None:
    store = case.fresh()
    feed_histories(store, stream(0)[:100], 8)
    before = histories_of(store, stream(0)[:100])
    assert store.forget("card1") >= 3
    after = histories_of(store, stream(0)[:100])
    assert any(before[card_key("card1")])
    assert not any(after[card_key("card1")])
    assert {key: row for key, row in after.items() if key != card_key("card1")} == {
        key: row for key, row in before.items() if key != card_key("card1")
    }


@every_store
def test_encoders_have_histories_of_their_own(case: StoreCase) -> None:
    store, second = case.fresh(), Encoding("another")
    feed_histories(store, stream(0)[:200], 8)
    before = histories_of(store, stream(0)[:200])
    feed_histories(store, stream(0)[200:], 8, second)
    assert histories_of(store, stream(0)[:200]) == before
    assert any(any(row) for row in histories_of(store, stream(0)[200:], second).values())


@every_store
def test_looking_changes_no_history(case: StoreCase) -> None:
    store = case.fresh()
    feed_histories(store, stream(0)[:100], 8)
    before = histories_of(store, stream(0)[:100])
    extractor = OnlineExtractor(store)
    batch = [arrival for arrival in stream(0)[100:130] if isinstance(arrival.event, Transaction)]
    extractor.open(batch, Encoding())
    for arrival in batch:
        assert isinstance(arrival.event, Transaction)
        extractor.look(arrival.event)
    extractor.close([])
    assert histories_of(store, stream(0)[:100]) == before
    assert merchant_key("shop0") in before
