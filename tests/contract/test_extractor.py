"""The promises of the Extractor port, on its implementation over each store."""

from typing import Any

import numpy as np
import pytest

from features.extractor import OnlineExtractor
from features.spec import UNUSUAL_RATIO
from fraud.core.ports import Extractor
from fraud.core.records import HOUR, Arrival, Position, Transaction, Values
from streaming.replay.extraction import RecordingExtractor, RecordingStore
from tests.contract.driving import answer
from tests.contract.stores import STORES, Unheard
from tests.contract.traffic import START


@pytest.fixture(params=STORES, ids=lambda case: case.name)
def extractor(request: pytest.FixtureRequest) -> Extractor:
    store = request.param.fresh()
    return RecordingExtractor(store, Unheard()) if isinstance(store, RecordingStore) else OnlineExtractor(store)


def sent(offset: int, amount: int = 1_000) -> Arrival:
    when = START + offset * HOUR
    tx = Transaction(
        id=f"t{offset}",
        card="a",
        merchant="m",
        amount=amount,
        base_amount=amount,
        happened_at=when,
        seen_at=when,
    )
    return Arrival(tx, Position("transactions", 0, offset))


def taken(extractor: Extractor, arrival: Arrival) -> Values:
    assert isinstance(arrival.event, Transaction)
    extractor.open([arrival])
    vector = extractor.look(arrival.event)
    extractor.absorb(arrival.event, arrival.position)
    extractor.close([])
    return vector


def test_a_vector_is_float32_and_has_a_column_for_every_name(extractor: Extractor) -> None:
    vector = taken(extractor, sent(0))
    assert vector.dtype == np.float32
    assert vector.shape == (len(extractor.names),)
    assert len(set(extractor.names)) == len(extractor.names)
    assert extractor.version


def test_a_vector_is_not_changed_by_later_events(extractor: Extractor) -> None:
    first = taken(extractor, sent(0))
    kept = first.copy()
    taken(extractor, sent(1))
    assert first.tobytes() == kept.tobytes()


@pytest.mark.parametrize("verb", ["look", "absorb", "close"])
def test_without_an_open_batch_it_says_to_open_one(extractor: Extractor, verb: str) -> None:
    taken(extractor, sent(0))
    arguments: dict[str, tuple[Any, ...]] = {"look": (sent(1).event,), "absorb": (sent(1).event, None), "close": ([],)}
    with pytest.raises(RuntimeError, match="open"):
        getattr(extractor, verb)(*arguments[verb])


def test_closing_returns_the_answers_in_order(extractor: Extractor) -> None:
    batch = [sent(0), sent(1)]
    work = extractor.open(batch)
    answers = [answer(item.event, item.position) for item in batch if isinstance(item.event, Transaction)]
    for each in answers:
        work.keep(each)
    assert extractor.close(answers) == answers


@pytest.mark.parametrize(("factor", "expected"), [(1.0, False), (UNUSUAL_RATIO * 1.2, True)])
def test_an_amount_is_unusual_far_above_the_cards_median(extractor: Extractor, factor: float, expected: bool) -> None:
    for offset in range(9):
        taken(extractor, sent(offset))
    assert extractor.unusual(taken(extractor, sent(9, amount=int(1_000 * factor)))) is expected


def test_an_amount_of_an_unknown_card_is_not_unusual(extractor: Extractor) -> None:
    assert extractor.unusual(taken(extractor, sent(0, amount=10**8))) is False
