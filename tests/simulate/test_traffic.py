"""Traffic as columns and records, for every stream."""

import hashlib
from dataclasses import fields

import numpy as np
import pytest

from fraud.core.errors import DataError
from fraud.core.records import DAY, Kind, Transaction, Verdict
from fraud.simulate import Traffic, stream, streams

SIZES: dict[str, dict[str, int]] = {
    "fdh": {"cards": 200, "days": 20},
    "rich": {"cards": 200, "days": 20},
    "demo": {"days": 20},
    "shift": {"cards": 200, "days": 20, "day": 9},
    "long-memory": {"cards": 20, "most": 1_300},
    "text": {"cards": 100, "days": 60},
    "rings": {"cards": 400, "days": 60},
}


def _digest(traffic: Traffic) -> str:
    digest = hashlib.sha256()
    columns = [getattr(traffic, f.name) for f in fields(traffic)]
    columns += [getattr(traffic.verdicts(), f.name) for f in fields(traffic.verdicts())]
    for column in columns:
        if isinstance(column, np.ndarray):
            digest.update(column.tobytes())
    return digest.hexdigest() + repr(traffic.words)


def test_sizes_every_stream_is_tested() -> None:
    assert SIZES.keys() == streams().keys()


@pytest.fixture(params=sorted(SIZES))
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of each stream in turn."""
    return str(request.param)


@pytest.fixture
def traffic(name: str) -> Traffic:
    """Return a small traffic of each stream."""
    return stream(name).make(**SIZES[name], seed=3)


def test_stream_same_seed_gives_identical_columns(name: str, traffic: Traffic) -> None:
    assert _digest(stream(name).make(**SIZES[name], seed=3)) == _digest(traffic)


def test_stream_other_seed_gives_other_columns(name: str, traffic: Traffic) -> None:
    assert _digest(stream(name).make(**SIZES[name], seed=4)) != _digest(traffic)


def test_stream_made_leaves_global_chance_alone(name: str) -> None:
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    stream(name).make(**SIZES[name])
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]


def test_transactions_records_are_the_columns(traffic: Traffic) -> None:
    columns = traffic.columns()
    for row, tx in enumerate(traffic.transactions()):
        for column, values in columns.items():
            if column not in ("fraud", "scenario", "optimum"):
                assert (getattr(tx, column) or type(values[row].item())()) == values[row].item(), column
    assert row == len(traffic) - 1


def test_transactions_order_is_that_of_seen_at(traffic: Traffic) -> None:
    assert (np.diff(traffic.seen_at) >= 0).all()
    assert (traffic.seen_at >= traffic.happened_at).all()


def test_transactions_plain_types_are_stable_ids(traffic: Traffic) -> None:
    tx = next(traffic.transactions())
    assert (tx.id[0], len(tx.id), tx.card[0], len(tx.card), tx.merchant[0]) == ("T", 10, "C", 7, "M")
    assert type(tx.amount) is int
    assert type(tx.happened_at) is int
    assert isinstance(tx.kind, Kind)
    assert tx == traffic.transaction(0)


def test_labels_given_delay_are_one_a_payment_that_late(traffic: Traffic) -> None:
    paid: dict[str, Transaction] = {}
    for tx in traffic.transactions():
        if tx.kind is Kind.PAYMENT:
            paid.setdefault(tx.id, tx)
    labels = list(traffic.labels(delay=7 * DAY))
    assert sorted(label.tx_id for label in labels) == sorted(paid)
    assert all(label.happened_at == paid[label.tx_id].happened_at + 7 * DAY for label in labels)
    assert {label.tx_id for label in labels if label.verdict is Verdict.FRAUD} == set(traffic.truth())


@pytest.mark.parametrize("delay", [None, 0, DAY])
def test_labels_any_delay_never_come_before_their_payment(traffic: Traffic, delay: int | None) -> None:
    paid = {tx.id: tx for tx in reversed(list(traffic.transactions()))}
    labels = list(traffic.labels(delay))
    assert all(label.happened_at >= paid[label.tx_id].happened_at for label in labels)
    assert all(label.seen_at > paid[label.tx_id].seen_at for label in labels)
    assert [label.seen_at for label in labels] == sorted(label.seen_at for label in labels)


def test_labels_negative_delay_is_refused(traffic: Traffic) -> None:
    with pytest.raises(DataError, match="cannot be 5 ns early"):
        traffic.verdicts(-5)


def test_stream_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"no stream is called 'ritch'.*Did you mean 'rich'\?"):
        stream("ritch")


def test_stream_unknown_parameter_is_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(DataError, match=r"has no parameter 'card': .*Did you mean 'cards'\?"):
        stream(name).make(card=5)


def test_stream_every_parameter_has_meaning_and_default(name: str) -> None:
    listed = stream(name)
    assert listed.parameters.keys() == listed.defaults.keys()
    assert all(listed.parameters.values())
    assert len(listed.meaning) > 40


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("cards", 3), ("days", 0), ("merchants", 5), ("fraud_share", 0.9), ("fraud_share", -0.1)],
)
def test_rich_impossible_size_is_refused(parameter: str, value: float) -> None:
    with pytest.raises(DataError, match=f"{parameter} = {value}"):
        stream("rich").make(**{parameter: value})
