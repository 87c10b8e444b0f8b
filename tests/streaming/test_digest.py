"""The digest is the plain SHA-256 over the lines, also when it was interrupted."""

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.core.errors import StateError
from fraud.core.records import Action, Decision, Kind, Level, Mark, Reason, Versions
from streaming.replay.digest import Digest, line_of
from streaming.replay.sha256 import Sha256

PIECES = st.lists(st.binary(max_size=200), max_size=12)


def decision(tx_id: str = "a", **changes: Any) -> Decision:
    fields: dict[str, Any] = {
        "tx_id": tx_id,
        "version": 0,
        "action": Action.REVIEW,
        "score": 0.1,
        "reasons": (Reason("r1", "one"), Reason("r2", "two")),
        "level": Level.FULL,
        "versions": Versions("m", "s", "p", "r"),
        "seen_at": 5,
        "happened_at": 4,
        "card": "c",
        "merchant": "m",
        "base_amount": 100,
    }
    return Decision(**{**fields, **changes})


def test_line_holds_what_the_contract_names() -> None:
    assert line_of(decision()) == b"a\t0\tc\tm\tpayment\t100\treview\t0x1.999999999999ap-4\tr1,r2\t\tfull\tm\ts\tp\tr\n"


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("version", 1),
        ("card", "d"),
        ("merchant", "n"),
        ("kind", Kind.REFUND),
        ("marks", (Mark.LATE,)),
        ("base_amount", 101),
        ("action", Action.DECLINE),
        ("score", 0.1 + 2e-17),
        ("level", Level.EARLY),
        ("reasons", ()),
    ],
)
def test_line_changes_with_each_part_of_the_answer(change: str, value: Any) -> None:
    assert line_of(decision(**{change: value})) != line_of(decision())


def test_line_names_what_was_learned_where_something_was() -> None:
    learned = Versions("m", "s", "p", "r", "12-abcdef01")
    assert line_of(decision(versions=learned)) == line_of(decision())[:-1] + b"\t12-abcdef01\n"


@settings(deadline=None)
@given(PIECES)
def test_sha256_equals_hashlib_for_any_pieces(pieces: list[bytes]) -> None:
    ours = Sha256()
    for piece in pieces:
        ours.update(piece)
    assert ours.hexdigest() == hashlib.sha256(b"".join(pieces)).hexdigest()


IDS = st.lists(st.text(alphabet="abcdefé", min_size=1, max_size=60), max_size=30)


@settings(deadline=None)
@given(IDS, IDS)
def test_digest_resumed_from_a_snapshot_equals_the_uninterrupted_one(before: list[str], after: list[str]) -> None:
    first, resumed = Digest(), Digest()
    resumed.add([decision("forgotten")])
    first.add(map(decision, before))
    resumed.restore(first.snapshot())
    resumed.add(map(decision, after))
    lines = b"".join(map(line_of, map(decision, before + after)))
    assert (resumed.hexdigest(), resumed.count) == (hashlib.sha256(lines).hexdigest(), len(before + after))


def test_digest_goes_on_after_it_was_asked() -> None:
    digest, whole = Digest(), hashlib.sha256()
    for part in (range(1000), range(1000, 1007)):
        decisions = [decision(str(number)) for number in part]
        digest.add(decisions)
        whole.update(b"".join(map(line_of, decisions)))
        assert digest.hexdigest() == whole.hexdigest()


def test_digest_with_a_snapshot_cut_short_refuses_it() -> None:
    with pytest.raises(StateError, match="start the run afresh"):
        Digest().restore(b"short")
