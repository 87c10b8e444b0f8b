"""Evidence: what was packed is unpacked to itself, anything else is refused, and transactions are known by one hash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.state.tables import hash64
from fraud.core import evidence
from fraud.core.errors import DataError
from fraud.core.evidence import Evidence, SideEvent

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
EFFECTS = st.floats(width=32, allow_nan=False)
EVENTS = st.builds(
    SideEvent, st.integers(0, 2**64 - 1), st.integers(0, 2**50).map(lambda us: us * evidence.MICROSECOND), EFFECTS
)
SOME = st.builds(
    Evidence,
    TEXTS,
    TEXTS,
    st.lists(st.tuples(TEXTS, EFFECTS), max_size=5).map(tuple),
    st.lists(st.lists(EVENTS, max_size=evidence.MOST_EVENTS).map(tuple), max_size=3).map(tuple),
)
ONE = Evidence("s", "m@1", (("amount", 0.5),), ((SideEvent(7, 3_000, 0.25),), ()))


@given(SOME)
def test_evidence_packed_is_unpacked_to_itself(some: Evidence) -> None:
    assert evidence.unpacked(evidence.packed(some)) == some


def test_evidence_is_laid_out_as_documented() -> None:
    effect, event = b"\x00\x00\x00\x3f", b"\x07" + bytes(7) + b"\x03" + bytes(7) + b"\x00\x00\x80\x3e"
    assert evidence.packed(ONE) == b"\x01\x01s\x03m@1\x01\x06amount" + effect + b"\x02\x01" + event + b"\x00"


def test_evidence_cut_short_or_lengthened_is_refused() -> None:
    content = evidence.packed(ONE)
    for size in range(len(content)):
        with pytest.raises(DataError, match="are no evidence"):
            evidence.unpacked(content[:size])
    with pytest.raises(DataError, match="1 bytes too many"):
        evidence.unpacked(content + b"\0")


@given(st.binary(max_size=60))
def test_evidence_of_any_bytes_is_unpacked_or_refused(content: bytes) -> None:
    try:
        found = evidence.unpacked(content)
    except DataError:
        return
    assert len(evidence.packed(found)) == len(content)


def test_evidence_of_another_layout_is_refused() -> None:
    with pytest.raises(DataError, match="layout 9"):
        evidence.unpacked(b"\x09" + evidence.packed(ONE)[1:])


@pytest.mark.parametrize(
    "some", [Evidence("s" * 256, ""), Evidence("", "é" * 128), Evidence("", "", (("c", 0.0),) * 256)]
)
def test_evidence_that_does_not_fit_its_layout_is_refused(some: Evidence) -> None:
    with pytest.raises(ValueError, match="expected at most 255"):
        evidence.packed(some)


@given(st.floats(-1e6, 1e6))
def test_effect_is_kept_as_float32(effect: float) -> None:
    kept = evidence.as_kept(effect)
    assert evidence.as_kept(kept) == kept == pytest.approx(effect, rel=1e-6, abs=1e-30)


@given(TEXTS)
def test_transaction_has_the_hash_that_histories_know_it_by(tx_id: str) -> None:
    assert evidence.tx_hash(tx_id) == hash64(tx_id) % 2**64
