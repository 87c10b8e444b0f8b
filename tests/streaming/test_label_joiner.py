"""Decisions and verdicts in, known labels out, without a broker."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fraud.core.labels import Deadlines, LabelBook
from fraud.core.records import DAY, Action, Answer, Decision, KnownLabel, Label, LabelSource, Position, Verdict
from streaming.kafka.topics import Topics
from streaming.labels.joiner import LabelJoiner
from streaming.labels.pending import SqlitePending
from streaming.messages import envelope
from streaming.settings import KafkaSection
from tests.filled import filled

PLAIN = msgspec.structs.replace(filled(Decision), channel="", marks=(), known_as="", action=Action.APPROVE)


@pytest.fixture
def pending(tmp_path: Path) -> Iterator[SqlitePending]:
    store = SqlitePending(tmp_path / "book.db")
    yield store
    store.close()


@pytest.fixture
def joiner(pending: SqlitePending) -> LabelJoiner:
    return LabelJoiner(LabelBook(pending, Deadlines(2 * DAY)), pending, Topics.of(KafkaSection()))


def decided(number: int, day: int) -> Answer:
    decision = msgspec.structs.replace(PLAIN, tx_id=f"t{number}", happened_at=day * DAY, seen_at=day * DAY)
    return Answer(decision=decision, position=Position("transactions", 0, number))


def out(pending: SqlitePending) -> list[KnownLabel]:
    """Return the labels in the outbox, in order."""
    return [envelope.known_in(message.value) for _, message in pending.outbox(0)]


def test_deadlines_that_passed_while_nothing_came_go_out_with_the_next_decision(
    joiner: LabelJoiner, pending: SqlitePending
) -> None:
    for number in range(3):
        joiner.decision(decided(number, 100 + number))
    joiner.decision(decided(9, 200))
    assert out(pending) == []
    assert joiner.is_due()
    joiner.expire(joiner.watermark)
    told = out(pending)
    assert [label.tx_id for label in told] == ["t0", "t1", "t2"]
    assert [label.happened_at for label in told] == [102 * DAY, 103 * DAY, 104 * DAY]
    assert {label.source for label in told} == {LabelSource.SILENCE}


def test_verdict_goes_out_once_and_silence_does_not_repeat_it(joiner: LabelJoiner, pending: SqlitePending) -> None:
    joiner.decision(decided(0, 100))
    verdict = Label(tx_id="t0", verdict=Verdict.FRAUD, happened_at=101 * DAY, seen_at=101 * DAY)
    joiner.label(verdict)
    joiner.label(verdict)
    joiner.decision(decided(9, 200))
    joiner.expire(joiner.watermark)
    assert [(label.tx_id, label.verdict) for label in out(pending)] == [("t0", Verdict.FRAUD)]


def test_verdict_that_comes_first_goes_out_with_its_decision(joiner: LabelJoiner, pending: SqlitePending) -> None:
    joiner.label(Label(tx_id="t0", verdict=Verdict.FRAUD, happened_at=101 * DAY, seen_at=101 * DAY))
    assert (out(pending), joiner.counts()["unmatched"], joiner.counts()["early"]) == ([], 1, 1)
    joiner.decision(decided(0, 100))
    assert [label.tx_id for label in out(pending)] == ["t0"]


def reviewed(number: int, day: int) -> Answer:
    answer = decided(number, day)
    return msgspec.structs.replace(answer, decision=msgspec.structs.replace(answer.decision, action=Action.REVIEW))


@pytest.mark.parametrize("first", [True, False], ids=["release first", "payment first"])
def test_held_payment_that_went_through_is_told_by_silence_whichever_came_first(
    joiner: LabelJoiner, pending: SqlitePending, first: bool
) -> None:
    if first:
        joiner.release("t0", 101 * DAY)
    joiner.decision(reviewed(0, 100))
    joiner.decision(reviewed(1, 100))
    if not first:
        joiner.release("t0", 101 * DAY)
    joiner.decision(decided(9, 200))
    joiner.expire(joiner.watermark)
    assert [(label.tx_id, label.verdict) for label in out(pending)] == [("t0", Verdict.GENUINE)]
    assert joiner.counts()["released"] == 1
    assert joiner.counts()["early_releases"] == first


def test_releases_of_payments_that_never_come_are_bounded(tmp_path: Path) -> None:
    store = SqlitePending(tmp_path / "small.db", most_early=3)
    for number in range(10):
        store.put_release(f"t{number}", number)
        store.put_release(f"t{number}", 99)
    assert [store.take_release(f"t{number}") for number in range(10)] == [None] * 7 + [7, 8, 9]
    assert store.take_release("t9") is None
    store.close()


def test_label_goes_to_the_partition_of_its_payment(joiner: LabelJoiner, pending: SqlitePending) -> None:
    paid = decided(0, 100)
    joiner.decision(msgspec.structs.replace(paid, position=Position("transactions", 3, 0)))
    pending.commit()
    joiner.label(Label(tx_id="t0", verdict=Verdict.FRAUD, happened_at=101 * DAY, seen_at=101 * DAY))
    ((_, sent),) = pending.outbox(0)
    assert (sent.partition, envelope.known_in(sent.value).partition) == (3, 3)
