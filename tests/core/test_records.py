"""The words that decisions are published with: others read them, so they stay as they are."""

import enum

import msgspec
import pytest

from fraud.core.records import (
    Action,
    Arrival,
    Decision,
    Explainer,
    KnownLabel,
    LabelSource,
    Level,
    Mark,
    Position,
    Verdict,
    Versions,
    as_decided,
)

PUBLISHED: dict[type[enum.StrEnum], set[str]] = {
    Action: {"approve", "challenge", "review", "decline"},
    Level: {"full", "early", "online", "rules"},
    LabelSource: {"chargeback", "analyst", "silence"},
    Mark: {
        "late", "overdue", "correction", "correction-unmatched", "superseded", "repeated", "redelivered", "recovered",
        "store-down", "brief-reasons", "id-reused",
    },
    Explainer: {"none", "model", "booster"},
}  # fmt: skip


def decision(*marks: Mark) -> Decision:
    return Decision(
        tx_id="t", version=0, action=Action.APPROVE, score=0.0, reasons=(), level=Level.FULL,
        versions=Versions("m", "s", "p", "r"), seen_at=2, happened_at=1, card="c", merchant="m", base_amount=1,
        marks=marks,
    )  # fmt: skip


@pytest.mark.parametrize("words", PUBLISHED, ids=lambda words: words.__name__)
def test_words_of_an_enum_are_those_that_were_published(words: type[enum.StrEnum]) -> None:
    assert {word.value for word in words} == PUBLISHED[words]


def test_marks_of_a_decision_are_written_as_their_words_and_read_back() -> None:
    written = msgspec.json.encode(decision(Mark.LATE, Mark.STORE_DOWN))
    assert b'"marks":["late","store-down"]' in written
    assert msgspec.json.decode(written, type=Decision).marks == (Mark.LATE, Mark.STORE_DOWN)


def test_mark_that_is_not_known_is_refused() -> None:
    written = msgspec.json.encode(decision(Mark.LATE)).replace(b"late", b"tardy")
    with pytest.raises(msgspec.ValidationError, match="'tardy'"):
        msgspec.json.decode(written, type=Decision)


# --- what was learned since ------------------------------------------------------------------------------------------


def test_decision_of_a_release_that_learned_nothing_is_read() -> None:
    written = msgspec.json.encode(decision()).replace(b',"parameters":""', b"")
    assert b"parameters" not in written
    assert msgspec.json.decode(written, type=Decision) == decision()


@pytest.mark.parametrize("version", ["", "12-abcdef01"])
def test_replay_takes_the_parameters_of_the_record(version: str) -> None:
    made = msgspec.structs.replace(decision(), versions=Versions("m", "s", "p", "r", version))
    label = KnownLabel(
        tx_id="t", verdict=Verdict.FRAUD, source=LabelSource.ANALYST, happened_at=1, seen_at=1, card="c", merchant="m",
        paid_at=1, base_amount=1,
    )  # fmt: skip
    arrival = Arrival(label, Position("t", 0, 0))
    assert arrival.parameters is None
    assert as_decided(arrival, made).parameters == version
