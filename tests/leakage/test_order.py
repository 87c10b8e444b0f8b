"""The engine's calls, in order: look before absorb and score, labels before payments of the same instant."""

from collections.abc import Iterable, Iterator

import pytest

from fraud.core.engine import Engine
from fraud.core.records import DAY, Arrival, Label, Transaction
from fraud.simulate import stream
from fraud.simulate.source import merge
from tests.leakage.engines import AbsorbsFirst, Call, LooksAtTheEnd, TakesLabelsFirst, watched

BATCH = 16


@pytest.fixture(scope="module")
def traffic() -> list[Arrival]:
    """Payments at whole seconds with labels a day late, so that many fall on the instant of a payment."""
    return list(merge(stream("fdh").make(cards=600, days=3), DAY))


def calls(traffic: Iterable[Arrival], kind: type[Engine] = Engine) -> list[Call]:
    """Return what an engine called over a stream."""
    events, (engine, made) = list(traffic), watched(kind)
    for begin in range(0, len(events), BATCH):
        engine.handle(events[begin : begin + BATCH])
    return made


def faults(made: list[Call]) -> set[str]:
    """Return what is wrong with the order of an engine's calls."""
    return {*payment_faults(made), *label_faults(made)}


def payment_faults(made: list[Call]) -> Iterator[str]:
    """Yield what is wrong with the order of look, absorb and score of each payment."""
    looked: dict[str, bytes] = {}
    absorbed: set[str] = set()
    for call in made:
        if call.verb == "look":
            if call.tx_id in absorbed:
                yield "looked at after it was absorbed"
            looked[call.tx_id] = call.values
        elif call.verb == "absorb":
            absorbed.add(call.tx_id)
            if call.tx_id not in looked:
                yield "absorbed before it was looked at"
        elif call.verb == "score" and looked.get(call.tx_id) != call.values:
            yield "scored on another vector than was looked at before"


def label_faults(made: list[Call]) -> Iterator[str]:
    """Yield what is wrong with when labels were applied, between the payments looked at."""
    now = 0
    for index, call in enumerate(made):
        if call.verb == "look":
            now = max(now, call.at)
        elif call.verb == "apply":
            if call.at <= now:
                yield "label applied after a payment of its instant or later"
            following = next((later for later in made[index:] if later.verb == "look"), None)
            if following is not None and following.at < call.at:
                yield "label applied before a payment that came earlier"


def labels_last(traffic: list[Arrival]) -> list[Arrival]:
    """Return a stream whose labels come behind the payments of the same instant."""
    return sorted(traffic, key=lambda arrival: (arrival.event.seen_at, isinstance(arrival.event, Label)))


def test_traffic_has_labels_and_payments_at_the_same_instant(traffic: list[Arrival]) -> None:
    paid = {arrival.event.seen_at for arrival in traffic if isinstance(arrival.event, Transaction)}
    assert sum(isinstance(arrival.event, Label) and arrival.event.seen_at in paid for arrival in traffic) > 5


def test_every_payment_is_looked_at_absorbed_and_scored_once(traffic: list[Arrival]) -> None:
    made = calls(traffic)
    ids = sorted(arrival.event.id for arrival in traffic if isinstance(arrival.event, Transaction))
    for verb in ("look", "absorb", "score"):
        assert sorted(call.tx_id for call in made if call.verb == verb) == ids
    assert sum(call.verb == "apply" for call in made) == len(traffic) - len(ids)


def test_engine_looks_before_it_absorbs_and_scores_what_it_looked_at(traffic: list[Arrival]) -> None:
    assert faults(calls(traffic)) == set()


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (AbsorbsFirst, "absorbed before it was looked at"),
        (LooksAtTheEnd, "looked at after it was absorbed"),
        (TakesLabelsFirst, "label applied before a payment that came earlier"),
    ],
)
def test_check_reports_an_engine_in_the_wrong_order(traffic: list[Arrival], kind: type[Engine], fault: str) -> None:
    assert fault in faults(calls(traffic, kind))


def test_check_reports_labels_behind_payments_of_their_instant(traffic: list[Arrival]) -> None:
    assert "label applied after a payment of its instant or later" in faults(calls(labels_last(traffic)))


def test_check_reports_a_score_on_another_vector() -> None:
    made = [Call("look", "a", 1, b"x"), Call("absorb", "a", 1), Call("score", "a", 0, b"y")]
    assert faults(made) == {"scored on another vector than was looked at before"}
