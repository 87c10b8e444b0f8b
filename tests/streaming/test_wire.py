"""Messages out and back: headers, CloudEvents, and what the end of the output says."""

import hashlib
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.core.card_numbers import CardNumbers
from fraud.core.decisions import LONGEST_SENTENCE, MORE, MOST_SPOKEN, named
from fraud.core.errors import DataError
from fraud.core.evidence import Evidence, SideEvent
from fraud.core.records import Answer, FeatureVector, KnownLabel, LabelSource, Position, Reason, Reject, Verdict
from streaming.kafka import output_log
from streaming.kafka.topics import Topics
from streaming.messages import bounds, envelope
from streaming.messages.faults import BadMessage
from streaming.messages.letters import refused
from streaming.messages.schema import LONGEST_ID, LONGEST_TEXT
from streaming.observe.odd_records import OddRecords
from tests.contract.driving import answer
from tests.contract.payments import payment
from tests.edges import Edge, huge_numbers, of_any_topic

AT = Position("transactions@abc", 2, 7)


class Record(NamedTuple):
    """A message as the client gives it."""

    topic: str
    partition: int
    offset: int
    value: bytes
    headers: envelope.Headers
    timestamp: int = 0


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


def test_reject_keeps_original_bytes_and_says_why_before_its_sender_speaks() -> None:
    senders = (("source", b"labels@x/0/1"), ("own", b"1"), ("no\0print", b""))
    out = envelope.reject_out(Reject("json", "no JSON", b"\xff", AT, senders, 9), "dead")
    assert out.value == b"\xff"
    assert envelope.header(out.headers, envelope.REASON) == b"no JSON"
    assert envelope.position_in(envelope.header(out.headers, envelope.SOURCE) or b"") == AT
    assert out.headers[-3:] == (("sender.source", b"labels@x/0/1"), ("sender.own", b"1"), ("sender.no?print", b""))


def test_long_original_is_cut_and_its_letter_says_how_long_it_was() -> None:
    original = bytes(range(256)) * 4_000
    out = envelope.reject_out(Reject("size", "r" * 9_999, original, AT), "dead")
    told = dict(out.headers)
    assert out.value == original[: bounds.LONGEST]
    assert told["original-length"] == b"1024000"
    assert told["original-sha256"].decode() == hashlib.sha256(original).hexdigest()
    assert len(told["reason"]) == bounds.LONGEST_REASON
    whole = envelope.reject_out(Reject("size", "r", original[: bounds.LONGEST], AT), "dead")
    assert (whole.value, len(whole.headers)) == (original[: bounds.LONGEST], 4)


def test_card_number_at_the_cut_of_a_long_message_is_masked_and_nothing_is_said_of_the_whole() -> None:
    before = b"x" * (bounds.LONGEST - 8)
    long = before + b" 4111111111111111 " + b"x" * 2_000_000
    reject = refused(BadMessage("size", "long"), long, AT, (), 1, CardNumbers())
    assert (reject.original, reject.masked) == (before + b" *******", True)
    assert (reject.length, reject.sha256) == (len(long), "")
    whole = envelope.reject_out(reject, "dead")
    assert dict(whole.headers)["original-length"] == str(len(long)).encode()
    assert "original-sha256" not in dict(whole.headers)


@pytest.mark.parametrize("headers", [[("h", b"v")] * 50, [("h", b"v"), ("long", b"v" * 9_000), ("h", b"v")]])
def test_letter_keeps_the_first_headers_of_its_sender_and_says_how_many_it_left(headers: list[bounds.Header]) -> None:
    out = envelope.reject_out(Reject("json", "r", b"", AT, tuple(headers)), "dead")
    own = [name for name, _ in out.headers if name.startswith(envelope.SENDERS)]
    assert 0 < len(own) <= bounds.MOST_KEPT
    assert dict(out.headers)[envelope.LEFT_OUT] == str(len(headers) - len(own)).encode()


def test_trace_is_carried_within_bounds_and_once() -> None:
    parent, state = ("traceparent", b"00-1-2-01"), ("tracestate", b"a=1")
    assert bounds.carried((("x", b"1"), parent, state)) == (parent, state)
    assert bounds.carried((parent, ("traceparent", b"other"), ("tracestate", b"v" * 1_000_000), state)) == (
        parent,
        state,
    )


@given(st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate", "x"]), st.binary(max_size=700))))
def test_trace_carried_is_short_whatever_comes(headers: list[bounds.Header]) -> None:
    assert sum(len(value) for _, value in bounds.carried(tuple(headers))) <= bounds.CARRIED_BYTES


def test_largest_decision_fits_in_a_message() -> None:
    """Ids, text and sentences as long as they may be, of characters that take the most bytes in JSON or UTF-8."""
    longest = {name: "\U0001f4b3" * LONGEST_ID for name in ("id", "card", "merchant", "device", "channel")}
    tx = msgspec.structs.replace(payment("t"), **longest, text="\0" * LONGEST_TEXT)
    spoken = tuple(Reason(f"rule:{'r' * 200}{n}", "\0" * 5_000, 1.0) for n in range(5_000))
    told = named(spoken)
    assert (len(told), told[-1].code) == (MOST_SPOKEN + 1, MORE)
    assert told[-1].text == f"{5_000 - MOST_SPOKEN} more rules have spoken"
    assert {len(reason.text) for reason in told[:-1]} == {LONGEST_SENTENCE}
    values = np.zeros(1_000, np.float32)
    largest = msgspec.structs.replace(
        answer(tx, AT),
        decision=msgspec.structs.replace(answer(tx, AT).decision, reasons=told),
        vector=FeatureVector(tx.id, values, "s" * 255, 0),
        headers=(("tracestate", b"v" * 2_000), ("tracestate", b"v" * bounds.CARRIED_BYTES)),
        evidence=Evidence("s" * 255, "m" * 255, (("amount", 0.5),) * 255, ((SideEvent(7, 3_000, 0.25),) * 8,) * 3),
    )
    out = envelope.decision_out(largest, "decisions", b"s" * 300)
    size = len(out.key) + len(out.value) + sum(len(name) + len(value) for name, value in out.headers)
    assert size < 0.6 * bounds.MOST_SENT


def test_few_short_reasons_are_told_as_they_are() -> None:
    spoken = (Reason("rule:a", "a"), Reason("rule:b", "b"))
    assert named(spoken) is spoken


def test_known_label_comes_back_as_it_went_out() -> None:
    label = KnownLabel(
        tx_id="t1", verdict=Verdict.FRAUD, source=LabelSource.ANALYST, happened_at=5, seen_at=6, card="c",
        merchant="m", paid_at=1, base_amount=2,
    )  # fmt: skip
    assert envelope.known_in(envelope.known_out(label, "known").value) == label


@pytest.mark.parametrize("field", ["happened_at", "paid_at", "base_amount"])
@pytest.mark.parametrize("value", [b"1" + b"0" * 30, b"9223372036854775807", b'"text"', b"null"])
def test_known_label_that_none_of_ours_wrote_is_an_error(field: str, value: bytes) -> None:
    label = KnownLabel(
        tx_id="t1", verdict=Verdict.FRAUD, source=LabelSource.ANALYST, happened_at=5, seen_at=6, card="c",
        merchant="m", paid_at=1, base_amount=2,
    )  # fmt: skip
    content = msgspec.json.decode(envelope.known_out(label, "known").value, type=dict[str, msgspec.Raw])
    with pytest.raises(DataError, match="no known label"):
        envelope.known_in(msgspec.json.encode({**content, field: msgspec.Raw(value)}))


@pytest.mark.parametrize("edge", of_any_topic(), ids=lambda edge: edge.name)
def test_edge_is_no_message_of_ours_and_says_so(edge: Edge) -> None:
    with pytest.raises(DataError):
        envelope.answer_in(edge.value, edge.headers)
    with pytest.raises(DataError):
        envelope.known_in(edge.value)


def test_decision_with_a_number_beyond_64_bits_is_an_error() -> None:
    out = envelope.decision_out(answer(payment("t1"), AT), "decisions")
    for edge in huge_numbers(out.value):
        with pytest.raises(DataError, match="no decision"):
            envelope.answer_in(edge.value, out.headers)


@pytest.mark.parametrize("value", [b"", b"a/b", b"topic/1/x", b"\xff/1/2", b"t/-1/2", b"t/1/1_0", b"t/1/" + b"9" * 30])
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


def tail_of(place: tuple[str, int], odd: OddRecords | None = None) -> output_log.Tail:
    inputs = {place: "transactions@abc" if place[0] == "decisions" else "known@abc"}
    return output_log.Tail(inputs, answers="decisions", applied="applied", odd=odd or OddRecords())


def test_end_of_the_output_tells_what_has_been_answered() -> None:
    key = ("decisions", 2)
    own = [answer(payment(f"t{n}"), Position("transactions@abc", 2, n)) for n in (4, 5)]
    foreign = answer(payment("old"), Position("transactions@old", 2, 99))
    repeat = msgspec.structs.replace(own[0], position=Position("transactions@abc", 2, 6), repeat_of=own[0].position)
    records = [published(one, n) for n, one in enumerate([own[0], foreign, own[1], repeat])]
    tail = tail_of(key)
    assert tail.reached[key].resume == 0
    assert [one.decision.tx_id for piece in (records[:1], records[1:]) for one in tail.take(piece)] == ["t4", "t5"]
    assert tail.reached[key] == output_log.Answered(resume=7, output=4)


AHEAD = ((envelope.SOURCE, b"transactions@abc/2/999999"),)


@pytest.mark.parametrize("answers", ["decisions", ""], ids=["answers wanted", "store gone"])
@pytest.mark.parametrize(
    "edge", [*of_any_topic(), Edge("of another release", b'{"tx_id":7}')], ids=lambda edge: edge.name
)
def test_what_is_no_decision_answers_nothing_whatever_position_it_names(edge: Edge, answers: str) -> None:
    key, odd = ("decisions", 2), OddRecords()
    tail = output_log.Tail({key: "transactions@abc"}, answers=answers, applied="applied", odd=odd)
    own = published(answer(payment("t4"), Position("transactions@abc", 2, 4)), 0)
    foreign = Record("decisions", 2, 1, edge.value or b"", (*AHEAD, *bounds.taken(edge.headers)))
    assert len(tail.take([own, foreign])) == bool(answers)
    assert tail.reached[key] == output_log.Answered(resume=5, output=2)
    assert odd.skip("decisions") == 2


def test_decision_that_names_another_partition_answers_nothing() -> None:
    key = ("decisions", 2)
    tail = tail_of(key)
    elsewhere = published(answer(payment("t"), Position("transactions@abc", 1, 9)), 0)._replace(partition=2)
    assert tail.take([elsewhere]) == []
    assert tail.reached[key].resume == 0


@pytest.mark.parametrize("edge", of_any_topic(), ids=lambda edge: edge.name)
def test_what_is_no_applied_label_says_nothing_of_what_was_applied(edge: Edge) -> None:
    key, odd = ("applied", 2), OddRecords()
    tail = tail_of(key, odd)
    foreign = Record("applied", 2, 0, edge.value or b"", ((envelope.SOURCE, b"known@abc/2/999999"),))
    assert tail.take([foreign]) == []
    assert (tail.reached[key].resume, odd.skip("applied")) == (0, 2)


@pytest.mark.parametrize("edge", of_any_topic(), ids=lambda edge: edge.name)
def test_edge_among_alerts_and_letters_is_dropped_or_given_out_as_it_is(edge: Edge) -> None:
    once, odd = output_log.Once(Topics()), edge.value or b""
    assert [once.accepts(Record(topic, 0, 0, odd, ())) for topic in ("decisions", "labels.applied")] == [False, False]
    # An alert is told by its id, whatever else it says; a letter by its source, where it names one.
    once.accepts(Record("alerts", 0, 0, odd, ()))
    once.accepts(Record("transactions.dead", 0, 0, odd, bounds.taken(edge.headers)))
    assert once.foreign >= 2
