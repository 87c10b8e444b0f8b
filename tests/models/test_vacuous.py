"""Reasons over five streams say something: no "usual is 0", nothing twice, first seen told so, estimates rounded."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from features.spec import spec
from fraud.core.records import DAY, SECOND, Answer, Arrival, Position, Reason, Transaction
from fraud.simulate import stream
from fraud.simulate.fdh import Fdh
from fraud.simulate.source import merge
from tests.models.directions import answered
from tests.models.vacuous import faults

NAMES = spec().names
SIMULATED: dict[str, tuple[str, str, dict[str, int | float | None]]] = {
    "handbook": ("demo", "fdh", {"cards": 200, "terminals": 400, "days": 40, "seed": 5}),
    "shift": ("demo-young", "shift", {"cards": 200, "merchants": 100, "days": 40, "fraud_share": 0.03, "day": 20}),
    "rich": ("demo", "rich", {"cards": 60, "days": 20, "seed": 5}),
    "histories": ("demo-blend", "fdh", {"cards": 100, "terminals": 200, "days": 30, "seed": 6}),
}
"""Streams of the simulator: the model that decides on them, and their parameters."""
SAMPLE, LEAST = "sample", 100


def sample() -> Iterator[Arrival]:
    """Yield an export without merchants: one shop for all, amounts of a cent, cards that pay once or burst at once."""
    start = Fdh().start + 40 * DAY
    for number in range(900):
        burst, when = number % 50 < 5, start + number * 7_200 * SECOND
        card = f"C{number // 50}" if burst else f"once-{number}"
        at = when if not burst else start + (number // 50) * 50 * 7_200 * SECOND + number % 50 * SECOND // 3
        amount = 90_000 if number % 7 == 0 else 1
        tx = Transaction(
            id=f"T{number}", card=card, merchant="all", amount=amount, base_amount=amount, happened_at=at, seen_at=at,
            device=f"D{number % 90}",
        )  # fmt: skip
        yield Arrival(tx, Position("transactions", 0, number))


def answers(name: str) -> Iterator[Answer]:
    """Yield what is above approve in a stream."""
    if name == SAMPLE:
        return answered("demo", sample())
    model, of, parameters = SIMULATED[name]
    return answered(model, merge(stream(of).make(**parameters)))


@pytest.fixture(scope="module", params=[*SIMULATED, SAMPLE])
def told(request: pytest.FixtureRequest) -> list[Answer]:
    """Return the alerts of one stream that come with reasons."""
    return [one for one in answers(request.param) if one.decision.reasons]


def test_reasons_of_a_stream_say_something(told: list[Answer]) -> None:
    assert len(told) > LEAST
    found = defaultdict(list)
    for one in told:
        assert one.vector is not None
        for fault in faults(one.decision.reasons, dict(zip(NAMES, one.vector.values.tolist(), strict=True))):
            kind, text = fault.split(": ", 1)
            found[kind].append(text)
    assert {kind: Counter(texts).most_common(5) for kind, texts in found.items()} == {}


@pytest.mark.parametrize(
    "text",
    [
        "9.00 spent by this card in 1 day; usual is 0.00 a day",
        "2 payments by this card in 1 day; usual is 0 a day",
        "0 known frauds on this card in the last 7 days (of 0 labelled)",
        "1 known fraud on this card in the last 7 days (of 0 labelled)",
        "0 of this card's last 0 payments carried this descriptor",
        "Amount 9.00 is 3 times this card's median of 0.00",
        "Amount 9.00 is 3 times this card's median of 85.47",
        "Amount 9.00 is 3 times this card's median of about 85.4",
        "9.00 spent by this card in 1 day; usual is 477.45 a day",
        "No payment by this card in the 30 days before this one",
        "The newest is inf days old",
    ],
)
def test_judge_finds_what_says_nothing_or_too_much(text: str) -> None:
    assert faults([Reason("card-recent", text, 1.0)], dict.fromkeys(NAMES, float("nan")))


def test_judge_finds_a_usual_of_what_is_new_and_what_is_told_twice() -> None:
    text = "2 payments by this card in 1 day; usual is 2 a day"
    new = dict.fromkeys(NAMES, 600.0)
    assert faults([Reason("card-recent", text, 1.0)], new) == [f"no usual yet: {text}"]
    old = dict.fromkeys(NAMES, 1e7)
    assert faults([Reason("card-recent", text, 1.0)], old) == []
    assert faults([Reason("card-recent", text, 1.0), Reason("card-history", text, 1.0)], old) == [f"twice: {text}"]


@pytest.mark.parametrize(
    "text",
    [
        "Amount 940.00 is 120 times this card's median of about 1200; the largest of the card's last 10 is 61.2",
        "9.00 spent by this card in 1 day; usual is 104.20 in 30 days",
        "3 payments by this card at this merchant in 1 hour; usual is 3 in 30 days",
    ],
)
def test_judge_leaves_alone_what_is_known(text: str) -> None:
    assert faults([Reason("card-recent", text, 1.0)], dict.fromkeys(NAMES, 1e7)) == []
