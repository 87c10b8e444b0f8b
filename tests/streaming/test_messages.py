"""What goes out can be read back; the published schemas are those of the code."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from msgspec import NODEFAULT, structs

from fraud.core.errors import DataError
from fraud.core.records import Action, Alert, Decision, Level, Mark, Reason, Values, Versions
from streaming.messages import envelope
from streaming.messages import schema as messages
from tests.filled import filled

TIMES = st.integers(0, 2**61)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
REASONS = st.builds(Reason, TEXTS, TEXTS, st.floats(-9, 9), st.none() | st.floats(0, 1))
DECISIONS = st.builds(
    Decision,
    tx_id=TEXTS,
    version=st.integers(0, 9),
    action=st.sampled_from(Action),
    score=st.floats(0, 1),
    reasons=st.lists(REASONS, max_size=2).map(tuple),
    level=st.sampled_from(Level),
    versions=st.builds(Versions, TEXTS, TEXTS, TEXTS, TEXTS),
    seen_at=TIMES,
    happened_at=TIMES,
    card=TEXTS,
    merchant=TEXTS,
    base_amount=st.integers(0, 10**9),
    parts=st.dictionaries(TEXTS, st.floats(0, 1), max_size=2).map(lambda parts: tuple(parts.items())),
    marks=st.lists(st.sampled_from(Mark), max_size=2).map(tuple),
)


@settings(deadline=None)
@given(DECISIONS)
def test_decision_written_is_read_back_to_itself(decision: Decision) -> None:
    assert messages.decision_in(messages.of_decision(decision)) == decision


def test_decision_with_every_field_set_is_read_back_to_itself() -> None:
    decision = filled(Decision)
    assert messages.decision_in(messages.of_decision(decision)) == decision


@pytest.mark.parametrize("kind", [Decision, Alert], ids=lambda kind: kind.__name__)
def test_message_has_every_field_of_its_record_and_fits_its_schema(kind: type[Decision | Alert]) -> None:
    record = filled(kind)
    message = messages.of_decision(record) if isinstance(record, Decision) else messages.of_alert(record)
    written = messages.MESSAGES[kind.__name__.lower()]
    assert list(json.loads(message)) == list(kind.__struct_fields__) == list(written.__struct_fields__)
    msgspec.json.decode(message, type=written)


def test_decision_that_an_earlier_release_wrote_has_defaults_for_what_it_lacks() -> None:
    decision = filled(Decision)
    optional = {field.name: field.default for field in structs.fields(Decision) if field.default is not NODEFAULT}
    content = json.loads(messages.of_decision(decision))
    earlier = {name: value for name, value in content.items() if name not in optional}
    assert messages.decision_in(json.dumps(earlier).encode()) == structs.replace(decision, **optional)


def test_alert_is_written_with_its_time_as_text() -> None:
    alert = Alert(
        id="a",
        tx_id="t",
        version=0,
        action=Action.REVIEW,
        score=0.5,
        expected_loss=10,
        reasons=(),
        seen_at=1_769_860_800_000_000_001,
        card="c",
        merchant="m",
        base_amount=100,
    )
    assert json.loads(messages.of_alert(alert))["seen_at"] == "2026-01-31T12:00:00.000000001Z"


@pytest.mark.parametrize("name", sorted(messages.schemas()))
def test_schema_published_equals_the_code(name: str) -> None:
    published = (messages.FOLDER / name).read_bytes()
    assert published == messages.schemas()[name], "run: python -m streaming.messages.schema"


def test_schema_allows_fields_of_the_sender_s_next_version() -> None:
    schema = msgspec.json.decode(messages.schemas()["transaction.json"])
    assert "additionalProperties" not in schema
    assert schema["required"] == ["id", "card", "merchant", "amount", "happened_at"]


@settings(deadline=None)
@given(arrays.arrays(np.float32, st.integers(0, 200)), TEXTS)
def test_vector_packed_is_unpacked_to_itself(values: Values, spec: str) -> None:
    unpacked, version = envelope.vector_in(envelope.packed_vector(values, spec))
    np.testing.assert_array_equal(unpacked, values)
    assert version == spec


@given(st.binary(max_size=40))
def test_vector_given_any_bytes_is_unpacked_or_refused(packed: bytes) -> None:
    try:
        values, spec = envelope.vector_in(packed)
    except DataError:
        return
    assert len(packed) == 2 + len(spec.encode()) + 4 * len(values)
