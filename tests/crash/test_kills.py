"""What `make kills` says of histories: the same whichever worker came first, and anything missing or double shows."""

from collections.abc import Sequence

import pytest

from features.stores.memory import MemoryStore
from fraud.core.records import DAY, MINUTE, Arrival, KnownLabel, LabelSource, Position, Transaction, Verdict
from tests.crash.kills import Taken, taken_in
from tests.histories import feed_histories, histories_of


def paid(card: str, number: int) -> Arrival:
    """Return a payment of a card at the shop that everybody uses."""
    tx = Transaction(
        id=f"{card}{number}", card=card, merchant="hub", amount=100 + number, base_amount=100 + number, currency="EUR",
        happened_at=DAY + number * MINUTE, seen_at=DAY + number * MINUTE, device="phone",
    )  # fmt: skip
    return Arrival(tx, Position(card, 0, number))


def known(of: Arrival, fraud: bool = True) -> Arrival:
    """Return the verdict on a payment."""
    tx = of.event
    assert isinstance(tx, Transaction)
    verdict = Verdict.FRAUD if fraud else Verdict.GENUINE
    return Arrival(
        KnownLabel(
            tx_id=tx.id, verdict=verdict, happened_at=2 * DAY, seen_at=2 * DAY, source=LabelSource.CHARGEBACK,
            paid_at=tx.happened_at, card=tx.card, merchant=tx.merchant, device=tx.device,
            base_amount=tx.base_amount,
        ),
        Position("labels-" + tx.id, 0, 0),
    )  # fmt: skip


ONE, TWO = [paid("a", n) for n in range(40)], [paid("b", n) for n in range(33)]
SWAPPED = [Arrival(ONE[9].event, ONE[8].position), Arrival(ONE[8].event, ONE[9].position)]
VERDICTS = [known(ONE[3]), known(ONE[30]), known(TWO[5], fraud=False), known(TWO[7])]


def taken(stream: Sequence[Arrival]) -> dict[str, Taken]:
    store = MemoryStore()
    feed_histories(store, stream)
    return {key: taken_in(key, row.rstrip(b"\0")) for key, row in histories_of(store, stream).items() if row}


WHOLE = taken([*ONE, *TWO, *VERDICTS])


def test_histories_took_in_the_same_whichever_worker_came_first() -> None:
    assert taken([*TWO, *ONE, *VERDICTS[::-1]]) == WHOLE
    mixed = [arrival for pair in zip(ONE, TWO, strict=False) for arrival in pair] + ONE[33:]
    assert taken([*mixed, *VERDICTS]) == WHOLE
    assert sorted(one.events for one in WHOLE.values()) == [33, 40, 73, 73]
    assert [len(one.window) for key, one in sorted(WHOLE.items()) if one.window] == [40, 33]
    assert sorted(len(one.frauds) for one in WHOLE.values()) == [1, 2, 3, 3]


@pytest.mark.parametrize(
    ("stream", "wrong"),
    [
        ([*ONE[:20], *ONE[21:], *TWO, *VERDICTS], 3),
        ([*ONE, paid("a", 40), *TWO, *VERDICTS], 3),
        ([*ONE[:8], *SWAPPED, *ONE[10:], *TWO, *VERDICTS], 1),
        ([*ONE, *TWO, *VERDICTS[1:]], 3),
    ],
    ids=["one missing", "one too many", "two in another order", "a verdict missing"],
)
def test_what_is_missing_double_or_in_another_order_shows(stream: list[Arrival], wrong: int) -> None:
    found = taken(stream)
    assert sum(found[key] != one for key, one in WHOLE.items()) == wrong
