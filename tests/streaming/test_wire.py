"""Messages out and back: headers, CloudEvents, and what the end of the output says."""

from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from fraud.core.errors import DataError
from fraud.core.evidence import Evidence, SideEvent
from fraud.core.records import Answer, FeatureVector, KnownLabel, LabelSource, Position, Reject, Verdict
from streaming.kafka import output_log
from streaming.messages import envelope
from tests.contract.driving import answer
from tests.contract.payments import payment

AT = Position("transactions@abc", 2, 7)


class Record(NamedTuple):
    """A message as the client gives it."""

    topic: str
    partition: int
    offset: int
    value: bytes
    headers: envelope.Headers


def published(one: Answer, offset: int, topic: str = "decisions") -> Record:
    out = envelope.decision_out(one, topic)
    return Record(topic, out.partition or 0, offset, out.value, out.headers)


def test_decision_comes_back_as_it_went_out() -> None:
    values = np.array([1.5, np.nan], np.float32)
    first = answer(payment("t1"), AT, score=0.25)
    full = msgspec.structs.replace(
        first,
        vector=FeatureVector("t1", values, "s", first.decision.seen_at),
        headers=(("traceparent", b"00"), ("other", b"x")),
        repeat_of=Position("transactions@abc", 1, 3),
        evidence=Evidence("s", "m", (("amount", 0.5),), ((SideEvent(7, 3_000, 0.25),), ())),
    )
    back = envelope.answer_in(*envelope.decision_out(full, "decisions")[2:4])
    assert (back.decision, back.position, back.repeat_of) == (full.decision, AT, full.repeat_of)
    assert back.evidence == full.evidence
    assert back.vector is not None
    assert back.vector.values.tobytes() == values.tobytes()
    assert back.headers == (("traceparent", b"00"),)


def test_decision_without_evidence_has_no_header_of_it() -> None:
    out = envelope.decision_out(answer(payment("t1"), AT), "decisions")
    assert envelope.EVIDENCE not in dict(out.headers)
    assert envelope.answer_in(out.value, out.headers).evidence is None


def test_alert_of_an_answer_without_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="t1 has no alert"):
        envelope.alert_out(answer(payment("t1"), AT), "alerts")


def test_reject_keeps_original_bytes_and_headers_and_says_why() -> None:
    out = envelope.reject_out(Reject("json", "no JSON", b"\xff", AT, (("own", b"1"),), 9), "dead")
    assert out.value == b"\xff"
    assert out.headers[0] == ("own", b"1")
    assert envelope.header(out.headers, envelope.REASON) == b"no JSON"
    assert envelope.position_in(envelope.header(out.headers, envelope.SOURCE) or b"") == AT


def test_known_label_comes_back_as_it_went_out() -> None:
    label = KnownLabel(
        tx_id="t1", verdict=Verdict.FRAUD, source=LabelSource.ANALYST, happened_at=5, seen_at=6, card="c",
        merchant="m", paid_at=1, base_amount=2,
    )  # fmt: skip
    assert envelope.known_in(envelope.known_out(label, "known").value) == label


@pytest.mark.parametrize("value", [b"", b"a/b", b"topic/1/x", b"\xff/1/2"])
def test_header_that_names_no_position_is_an_error(value: bytes) -> None:
    with pytest.raises(DataError):
        envelope.position_in(value)


STRUCTURED = (("content-type", envelope.STRUCTURED),)
BINARY = ((envelope.CLOUD_SPEC, b"1.0"), (envelope.CLOUD_ID, b"E1"))


@pytest.mark.parametrize(
    ("value", "headers", "expected"),
    [
        (b'{"id":"a"}', (), b'{"id":"a"}'),
        (b'{"id":"E1","data":{"card":"c"}}', STRUCTURED, b'{"id":"E1","card":"c"}'),
        (b'{"id":"E1","data":{"id":"own"}}', STRUCTURED, b'{"id":"own"}'),
        (b'{"card":"c"}', BINARY, b'{"id":"E1","card":"c"}'),
        (b'{"tx_id":"t"}', BINARY, b'{"tx_id":"t"}'),
        (b"no json", STRUCTURED, b"no json"),
        (b"no json", BINARY, b"no json"),
        (b'{"data":1}', STRUCTURED, b'{"data":1}'),
    ],
)
def test_cloud_event_is_taken_out_of_its_envelope(value: bytes, headers: envelope.Headers, expected: bytes) -> None:
    assert envelope.unwrapped(value, headers) == expected


def test_end_of_the_output_tells_what_has_been_answered() -> None:
    key = ("decisions", 2)
    own = [answer(payment(f"t{n}"), Position("transactions@abc", 2, n)) for n in (4, 5)]
    foreign = answer(payment("old"), Position("transactions@old", 2, 99))
    repeat = msgspec.structs.replace(own[0], position=Position("transactions@abc", 2, 6), repeat_of=own[0].position)
    records = [published(one, n) for n, one in enumerate([own[0], foreign, own[1], repeat])]
    tail = output_log.Tail({key: "transactions@abc"}, "decisions")
    assert [one.decision.tx_id for piece in (records[:1], records[1:]) for one in tail.take(piece)] == ["t4", "t5"]
    assert tail.reached[key] == output_log.Answered(resume=7, output=4)
