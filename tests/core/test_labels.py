"""The label book: joins, corrections, silence, and what a match hands on."""

import msgspec
import numpy as np
import pytest

from fraud.core.labels import Deadlines, LabelBook, Match, MemoryPending
from fraud.core.records import (
    DAY,
    Decision,
    FeatureVector,
    KnownLabel,
    Label,
    LabelSource,
    Mark,
    Transaction,
    Verdict,
)
from tests.filled import filled

VALUES = np.array([1.5, np.nan, -2.0], np.float32)
PAID = msgspec.structs.replace(filled(Decision), tx_id="t", channel="", happened_at=10 * DAY, marks=())
DUE = PAID.happened_at + 45 * DAY


def fraud(happened_at: int = 12 * DAY, **fields: object) -> Label:
    label = Label(tx_id="t", verdict=Verdict.FRAUD, happened_at=happened_at, seen_at=happened_at + 1)
    return msgspec.structs.replace(label, **fields)


def book(*, keep_vectors: bool = True) -> LabelBook:
    """Return a book that holds one payment."""
    made = LabelBook(MemoryPending(), keep_vectors=keep_vectors)
    assert made.hold(PAID, FeatureVector("t", VALUES, "s", PAID.seen_at)) is None
    return made


def matched(match: Match | None) -> Match:
    assert match is not None
    return match


def test_match_is_the_label_with_all_that_state_needs() -> None:
    found = matched(book().match(fraud(source=LabelSource.ANALYST)))
    assert found.known == KnownLabel(
        tx_id="t", verdict=Verdict.FRAUD, source=LabelSource.ANALYST, happened_at=12 * DAY, seen_at=12 * DAY + 1,
        card=PAID.card, merchant=PAID.merchant, paid_at=PAID.happened_at, base_amount=PAID.base_amount,
        device=PAID.device, unusual=PAID.unusual,
    )  # fmt: skip


def test_match_hands_on_vector_and_score_of_the_payment() -> None:
    item = matched(book().match(fraud())).item
    assert item.vector == VALUES.tobytes()
    assert (item.score, item.deadline, item.verdict) == (PAID.score, DUE, None)


def test_correction_names_what_it_replaces_and_still_has_the_vector() -> None:
    held = book()
    held.match(fraud())
    found = matched(held.match(fraud(13 * DAY, verdict=Verdict.GENUINE)))
    assert (found.known.replaces, found.known.replaces_at) == (Verdict.FRAUD, 12 * DAY)
    assert (found.item.verdict, found.item.vector) == (Verdict.FRAUD, VALUES.tobytes())


def test_vector_is_not_kept_where_only_the_join_is_asked_for() -> None:
    found = matched(book(keep_vectors=False).match(fraud()))
    assert (found.item.vector, found.item.score) == (b"", PAID.score)


def test_verdict_that_is_known_already_matches_nothing() -> None:
    held = book()
    held.match(fraud())
    assert held.match(fraud(13 * DAY)) is None
    assert held.matched == 1


def test_label_that_comes_first_is_matched_when_its_payment_is_held() -> None:
    early = LabelBook(MemoryPending())
    assert early.match(fraud()) is None
    assert early.unmatched == 1
    found = matched(early.hold(PAID, FeatureVector("t", VALUES, "s", PAID.seen_at)))
    assert (found.known.verdict, found.item.vector) == (Verdict.FRAUD, VALUES.tobytes())


def test_silence_is_a_genuine_verdict_at_the_deadline_and_hands_on_the_vector() -> None:
    held = book()
    assert held.expire(DUE - 1) == []
    (found,) = held.expire(DUE + 5 * DAY)
    assert (found.known.verdict, found.known.source) == (Verdict.GENUINE, LabelSource.SILENCE)
    assert (found.known.happened_at, found.known.seen_at) == (DUE, DUE)
    assert found.item.vector == VALUES.tobytes()
    assert held.next_due() is None


def test_silence_says_nothing_of_a_payment_with_a_verdict() -> None:
    held = book()
    held.match(fraud())
    assert held.expire(DUE) == []
    assert held.match(fraud(verdict=Verdict.GENUINE)) is None


def test_superseded_version_is_not_held() -> None:
    held = LabelBook(MemoryPending())
    assert held.hold(msgspec.structs.replace(PAID, marks=(Mark.SUPERSEDED,))) is None
    assert held.next_due() is None


# --- when a payment will have a label --------------------------------------------------------------------------------


def payment(**fields: object) -> Transaction:
    paid = Transaction(id="t", card="c", merchant="m", amount=1, base_amount=1, happened_at=10 * DAY, seen_at=10 * DAY)
    return msgspec.structs.replace(paid, **fields)


@pytest.mark.parametrize(("channel", "expected"), [("", 12 * DAY), ("ecom", 15 * DAY)])
def test_payment_has_a_label_at_its_deadline(channel: str, expected: int) -> None:
    held = LabelBook(MemoryPending(), Deadlines(2 * DAY, {"ecom": 5 * DAY}))
    assert held.label_due_at(payment(channel=channel)) == expected


def test_payment_whose_label_is_here_has_it_at_once_and_asking_changes_nothing() -> None:
    held = LabelBook(MemoryPending())
    for tx_id in ("t", "other"):
        held.match(fraud(tx_id=tx_id))
    before = held.snapshot()
    assert held.label_due_at(payment()) == 0
    assert held.snapshot() == before
