"""The promises of the Sink port, on every implementation."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fraud.core.errors import DeliveryError
from fraud.core.ports import Sink
from fraud.core.records import Answer, Reject
from tests.contract.sinks import SINKS, SinkCase, Stage


@pytest.fixture(params=SINKS, ids=lambda case: case.name)
def stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    case: SinkCase = request.param
    return case.stage(tmp_path, monkeypatch)


@pytest.fixture
def sink(stage: Stage) -> Iterator[Sink]:
    made = stage.open()
    yield made
    made.close()


def deliver(sink: Sink, answers: Sequence[Answer], rejects: Sequence[Reject] = ()) -> None:
    """Write and flush."""
    sink.write(answers, rejects)
    sink.flush()


def close_after_failure(sink: Sink) -> None:
    """Close a sink whose delivery has failed; it may fail once more."""
    try:
        sink.close()
    except DeliveryError:
        return


def test_what_was_written_is_there_in_order_after_a_flush(stage: Stage, sink: Sink) -> None:
    answers, rejects = stage.answers(), stage.rejects()
    sink.write(answers[:2], ())
    sink.write(answers[2:], rejects)
    sink.flush()
    if stage.closed_first:
        sink.close()
    assert stage.seen() == stage.expected(answers, rejects)


def test_a_close_flushes_and_a_second_one_does_nothing(stage: Stage, sink: Sink) -> None:
    answers, rejects = stage.answers(), stage.rejects()
    sink.write(answers, rejects)
    sink.close()
    sink.close()
    assert stage.seen() == stage.expected(answers, rejects)


def test_a_flush_of_nothing_and_an_empty_batch_leave_nothing(stage: Stage, sink: Sink) -> None:
    sink.flush()
    sink.write((), ())
    sink.flush()
    sink.flush()
    sink.close()
    assert stage.seen() == stage.expected((), ())


def test_rejects_are_kept_with_their_bytes_and_their_reason(stage: Stage, sink: Sink) -> None:
    if not stage.keeps_rejects:
        pytest.skip("this sink is for decisions: another one beside it keeps the rejects")
    rejects = stage.rejects()
    sink.write((), rejects)
    sink.flush()
    assert sorted(stage.found_rejects()) == sorted((each.original, each.reason) for each in rejects)


def test_a_failed_delivery_raises_and_nothing_counts_as_written(stage: Stage, sink: Sink) -> None:
    if not stage.fails:
        pytest.skip("nothing outside this process is written to, so nothing fails")
    answers, rejects = stage.answers(), stage.rejects()
    with stage.failing(), pytest.raises(DeliveryError):
        deliver(sink, answers, rejects)
    with stage.failing():
        close_after_failure(sink)
    assert stage.seen() == stage.expected((), ())


def test_no_decision_is_there_before_its_alert(stage: Stage, sink: Sink) -> None:
    if not stage.before:
        pytest.skip("this sink keeps no alerts")
    answers = stage.answers()
    with stage.failing(), pytest.raises(DeliveryError):
        deliver(sink, answers[1:2])
    decisions, alerts, _ = stage.seen()
    assert (decisions, alerts) == ([], set())
