"""The StateStore port's promises on corrections, refunds, missing devices and labels, on every implementation."""

import msgspec
import numpy as np
import pytest

from features.extractor import OnlineExtractor
from features.state import layout as at
from features.state.tables import card_key, merchant_key, pair_key
from fraud.core.records import HOUR, Kind, Mark, Transaction, Verdict
from tests.contract.driving import Rows, feed, rows_of
from tests.contract.payments import counts_of, header, payment, sent, verdict_on
from tests.contract.stores import StoreCase, every_store


def absorbed(case: StoreCase, *events: Transaction) -> tuple[Rows, list[tuple[Mark, ...]]]:
    store = case.fresh()
    extractor, marks = OnlineExtractor(store), []
    stream = [sent(event, offset) for offset, event in enumerate(events)]
    for arrival in stream:
        extractor.open([arrival])
        assert isinstance(arrival.event, Transaction)
        marks.append(extractor.absorb(arrival.event, arrival.position))
        extractor.close([])
    return rows_of(store, stream), marks


@every_store
def test_a_correction_takes_the_place_of_what_it_corrects(case: StoreCase) -> None:
    first = payment("t1", amount=500)
    second = msgspec.structs.replace(first, version=1, base_amount=9_000)
    rows, marks = absorbed(case, first, second)
    assert marks == [(), ("correction",)]
    for key in (card_key("a"), merchant_key("m")):
        assert header(rows[key])[at.H_COUNT : at.H_SUM + 1] == [1, 9_000]


@every_store
def test_a_correction_that_comes_first_supersedes_what_it_corrects(case: StoreCase) -> None:
    first = payment("t1", amount=500)
    second = msgspec.structs.replace(first, version=1, base_amount=9_000)
    rows, marks = absorbed(case, second, first)
    assert marks == [(), ("superseded",)]
    assert rows == absorbed(case, second)[0]


@every_store
def test_a_correction_that_moves_a_payment_leaves_the_first_merchant_alone(case: StoreCase) -> None:
    first = payment("t1", amount=500)
    second = msgspec.structs.replace(first, version=1, merchant="n")
    rows, _ = absorbed(case, first, second)
    counts = {key: header(rows[key])[at.H_COUNT] for key in (card_key("a"), merchant_key("m"), merchant_key("n"))}
    assert counts == {card_key("a"): 1, merchant_key("m"): 1, merchant_key("n"): 1}


@every_store
def test_a_correction_that_names_another_device_takes_nothing_from_it(case: StoreCase) -> None:
    first = msgspec.structs.replace(payment("t1", amount=500), device="old")
    other = msgspec.structs.replace(payment("t0", card="b", amount=70), device="new")
    second = msgspec.structs.replace(first, version=1, device="new")
    rows, _ = absorbed(case, other, first, second)
    assert header(rows["dnew"])[at.H_COUNT : at.H_SUM + 1] == [2, 570]


@every_store
def test_a_payment_sent_again_past_the_first_answers_is_not_counted_twice(case: StoreCase) -> None:
    rows, marks = absorbed(case, payment("t1"), payment("t1"))
    assert marks == [(), ("repeated",)]
    assert rows == absorbed(case, payment("t1"))[0]


@every_store
def test_a_refund_is_remembered_but_not_counted(case: StoreCase) -> None:
    rows, _ = absorbed(case, msgspec.structs.replace(payment("t1"), kind=Kind.REFUND))
    row = np.frombuffer(rows[card_key("a")], np.uint8)
    assert not row[: at.RING_AT].any()
    assert row[at.RING_AT :].any()
    assert not any(rows["pair " + pair_key("a", "m")])


@every_store
def test_a_payment_without_a_device_touches_no_device(case: StoreCase) -> None:
    store, tx = case.fresh(), payment("t1")
    feed(store, [sent(tx, 0)])
    vector = feed(store, [sent(payment("t2", after=HOUR), 1)])[0]
    names = OnlineExtractor(store).names
    device = [index for index, name in enumerate(names) if name.startswith("device_")]
    assert np.isnan(vector[device]).all()


# --- labels ----------------------------------------------------------------------------------------------------------


@every_store
def test_a_corrected_verdict_leaves_no_trace_in_the_counts(case: StoreCase) -> None:
    tx, store, plain = payment("t1"), case.fresh(), case.fresh()
    fraud = verdict_on(tx, Verdict.FRAUD, HOUR)
    genuine = verdict_on(tx, Verdict.GENUINE, 2 * HOUR, replaces=fraud)
    again = verdict_on(tx, Verdict.FRAUD, 3 * HOUR, replaces=genuine)
    feed(store, [sent(tx, 0), *(sent(label, n, "labels") for n, label in enumerate((fraud, genuine, again)))])
    feed(plain, [sent(tx, 0), sent(verdict_on(tx, Verdict.FRAUD, 3 * HOUR), 0, "labels")])
    for key in (card_key("a"), merchant_key("m"), pair_key("a", "m")):
        table = "pairs" if key == pair_key("a", "m") else "entities"
        held, expected = (getattr(each.read([sent(tx, 0)]), table).get(key) for each in (store, plain))
        assert counts_of(held) == counts_of(expected)


@every_store
def test_a_label_long_after_its_payment_is_applied(case: StoreCase) -> None:
    store, tx = case.fresh(), payment("t1")
    many = [sent(payment(f"x{n}", after=n * HOUR), n + 1) for n in range(1, 60)]
    feed(store, [sent(tx, 0), *many, sent(verdict_on(tx, Verdict.FRAUD, 1_000 * HOUR), 0, "labels")])
    row = store.read([sent(tx, 0)]).entities.get(merchant_key("m"))
    assert header(row)[at.H_LABELS : at.H_FRAUDS + 1] == [1, 1]


@every_store
@pytest.mark.parametrize("verdict", [Verdict.FRAUD, Verdict.GENUINE])
def test_a_withdrawn_verdict_leaves_no_trace_in_the_counts(case: StoreCase, verdict: Verdict) -> None:
    tx, store, plain = payment("t1"), case.fresh(), case.fresh()
    said = verdict_on(tx, verdict, HOUR)
    withdrawn = verdict_on(tx, Verdict.WITHDRAWN, 2 * HOUR, replaces=said)
    other = sent(verdict_on(payment("t0"), Verdict.FRAUD, HOUR), 0, "labels")
    feed(store, [sent(tx, 0), other, sent(said, 1, "labels"), sent(withdrawn, 2, "labels")])
    feed(plain, [sent(tx, 0), other])
    for key in (card_key("a"), merchant_key("m"), pair_key("a", "m")):
        table = "pairs" if key == pair_key("a", "m") else "entities"
        held, expected = (getattr(each.read([sent(tx, 0)]), table).get(key) for each in (store, plain))
        assert counts_of(held) == counts_of(expected)
        if len(held) == at.ENTITY_BYTES:
            assert held[at.VERDICTS_AT : at.RING_AT] == expected[at.VERDICTS_AT : at.RING_AT]
