"""The label book: joins, corrections, silence, and what a match hands on."""

import msgspec
import numpy as np
import pytest

from fraud.core.labels import Deadlines, LabelBook, Match
from fraud.core.pending import MemoryPending
from fraud.core.records import (
    DAY,
    Action,
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
PAID = msgspec.structs.replace(
    filled(Decision), tx_id="t", known_as="", channel="", happened_at=10 * DAY, marks=(), action=Action.APPROVE
)
DUE = PAID.happened_at + 45 * DAY


def fraud(happened_at: int = 12 * DAY, **fields: object) -> Label:
    label = Label(tx_id="t", verdict=Verdict.FRAUD, happened_at=happened_at, seen_at=happened_at + 1)
    return msgspec.structs.replace(label, **fields)


def book(*, keep_vectors: bool = True) -> LabelBook:
    """Return a book that holds one payment."""
    made = LabelBook(MemoryPending(), keep_vectors=keep_vectors)
    assert made.hold(PAID, FeatureVector("t", VALUES, "s", PAID.seen_at)) == []
    return made


def matched(match: Match | None) -> Match:
    assert match is not None
    return match


def told(match: Match | None) -> KnownLabel:
    """Return the one thing that a match tells the state."""
    (known,) = matched(match).known
    return known


def test_match_is_the_label_with_all_that_state_needs() -> None:
    assert told(book().match(fraud(source=LabelSource.ANALYST))) == KnownLabel(
        tx_id="t", verdict=Verdict.FRAUD, source=LabelSource.ANALYST, happened_at=12 * DAY, seen_at=12 * DAY + 1,
        card=PAID.card, merchant=PAID.merchant, paid_at=PAID.happened_at, base_amount=PAID.base_amount,
        device=PAID.device, unusual=PAID.unusual,
    )  # fmt: skip


def test_match_hands_on_vector_and_score_of_the_payment() -> None:
    item = matched(book().match(fraud())).item
    assert item.vector == VALUES.tobytes()
    assert (item.score, item.deadline, item.claims) == (PAID.score, DUE, ())


def test_match_hands_on_how_the_payment_was_decided() -> None:
    item = matched(book().match(fraud())).item
    assert (item.action, item.level, item.parts, item.versions) == (
        PAID.action, PAID.level, PAID.parts, PAID.versions,
    )  # fmt: skip


def test_correction_names_what_it_replaces_and_still_has_the_vector() -> None:
    held = book()
    held.match(fraud())
    found = matched(held.match(fraud(13 * DAY, verdict=Verdict.GENUINE)))
    assert (told(found).replaces, told(found).replaces_at) == (Verdict.FRAUD, 12 * DAY)
    assert (found.item.claims[0].verdict, found.item.vector) == (Verdict.FRAUD, VALUES.tobytes())


def test_vector_is_not_kept_where_only_the_join_is_asked_for() -> None:
    found = matched(book(keep_vectors=False).match(fraud()))
    assert (found.item.vector, found.item.score) == (b"", PAID.score)


def test_label_that_comes_first_is_matched_when_its_payment_is_held() -> None:
    early = LabelBook(MemoryPending())
    assert early.match(fraud()) is None
    assert (early.counts()["unmatched"], early.counts()["early"]) == (1, 1)
    (found,) = early.hold(PAID, FeatureVector("t", VALUES, "s", PAID.seen_at))
    assert (told(found).verdict, found.item.vector) == (Verdict.FRAUD, VALUES.tobytes())
    assert early.counts()["early"] == 0


def test_superseded_version_is_not_held() -> None:
    held = LabelBook(MemoryPending())
    assert held.hold(msgspec.structs.replace(PAID, marks=(Mark.SUPERSEDED,))) == []
    assert held.next_due() is None


# --- who is believed -------------------------------------------------------------------------------------------------

ANALYST, CHARGEBACK = LabelSource.ANALYST, LabelSource.CHARGEBACK


def test_same_verdict_of_the_same_source_is_stale() -> None:
    held = book()
    held.match(fraud())
    assert held.match(fraud()) is None
    assert (held.matched, held.stale) == (1, 1)


def test_second_source_that_agrees_is_passed_on_and_leaves_the_state_alone() -> None:
    held = book()
    held.match(fraud(source=ANALYST))
    found = matched(held.match(fraud(20 * DAY)))
    assert (matched(found).label, found.known) == (fraud(20 * DAY), ())
    assert held.match(fraud(20 * DAY)) is None


def test_older_verdict_of_a_source_changes_nothing_whenever_it_comes() -> None:
    held = book()
    held.match(fraud(13 * DAY, version=2))
    assert held.match(fraud(14 * DAY, version=1, verdict=Verdict.GENUINE)) is None
    assert held.match(fraud(12 * DAY, version=2, verdict=Verdict.GENUINE)) is None
    assert held.stale == 2
    assert told(held.match(fraud(11 * DAY, version=3, verdict=Verdict.GENUINE))).verdict is Verdict.GENUINE


def test_chargeback_stands_against_a_later_analyst_who_is_heard_all_the_same() -> None:
    held = book()
    held.match(fraud(source=CHARGEBACK))
    found = matched(held.match(fraud(20 * DAY, source=ANALYST, verdict=Verdict.GENUINE)))
    assert found.known == ()
    assert matched(found).label == fraud(20 * DAY, source=ANALYST, verdict=Verdict.GENUINE)


def test_precedence_is_a_setting() -> None:
    held = LabelBook(MemoryPending(), None, (ANALYST, CHARGEBACK, LabelSource.SILENCE))
    held.hold(PAID)
    held.match(fraud(source=CHARGEBACK))
    assert told(held.match(fraud(source=ANALYST, verdict=Verdict.GENUINE))).replaces is Verdict.FRAUD


def test_withdrawn_verdict_leaves_the_payment_unlabelled_and_silence_silent() -> None:
    held = book()
    held.match(fraud())
    known = told(held.match(fraud(14 * DAY, verdict=Verdict.WITHDRAWN)))
    assert (known.verdict, known.replaces, known.replaces_at) == (Verdict.WITHDRAWN, Verdict.FRAUD, 12 * DAY)
    assert held.expire(DUE).silent == []


def test_withdrawn_chargeback_gives_way_to_the_analyst() -> None:
    held = book()
    held.match(fraud(source=ANALYST, verdict=Verdict.GENUINE))
    held.match(fraud(13 * DAY))
    known = told(held.match(fraud(14 * DAY, verdict=Verdict.WITHDRAWN)))
    assert (known.verdict, known.source, known.happened_at) == (Verdict.GENUINE, ANALYST, 12 * DAY)
    assert known.replaces is Verdict.FRAUD


def test_verdict_is_passed_on_again_once_its_source_has_said_something_else() -> None:
    held = book()
    labels = [fraud(n * DAY, verdict=verdict) for n, verdict in ((12, Verdict.FRAUD), (13, Verdict.WITHDRAWN))]
    labels += [fraud(14 * DAY), fraud(15 * DAY)]
    found = [held.match(label) for label in labels]
    assert [match.label.verdict if match and match.label else None for match in found] == [
        Verdict.FRAUD, Verdict.WITHDRAWN, Verdict.FRAUD, None,
    ]  # fmt: skip


def test_of_early_labels_the_newest_of_each_source_counts() -> None:
    held = LabelBook(MemoryPending())
    for label in (fraud(version=2), fraud(version=1, verdict=Verdict.GENUINE), fraud(source=ANALYST)):
        held.match(label)
    assert [match.label for match in held.hold(PAID)] == [fraud(source=ANALYST), fraud(version=2)]
    assert (held.unmatched, held.stale) == (2, 1)


# --- silence ---------------------------------------------------------------------------------------------------------


def of_action(action: Action) -> LabelBook:
    held = LabelBook(MemoryPending())
    held.hold(msgspec.structs.replace(PAID, action=action))
    return held


def test_silence_is_a_genuine_verdict_at_the_deadline_and_hands_on_the_vector() -> None:
    held = book()
    assert held.expire(DUE - 1).silent == []
    (found,) = held.expire(DUE + 5 * DAY).silent
    assert (told(found).verdict, told(found).source) == (Verdict.GENUINE, LabelSource.SILENCE)
    assert (told(found).happened_at, told(found).seen_at) == (DUE, DUE)
    assert found.item.vector == VALUES.tobytes()
    assert held.expire(DUE + 6 * DAY).silent == []


@pytest.mark.parametrize("action", [Action.CHALLENGE, Action.REVIEW, Action.DECLINE])
def test_silence_says_nothing_of_a_payment_that_did_not_go_through(action: Action) -> None:
    assert of_action(action).expire(DUE + 200 * DAY).silent == []


@pytest.mark.parametrize(("at", "expected"), [(12 * DAY, DUE), (DUE + DAY, DUE + DAY)])
def test_silence_speaks_of_a_released_payment_at_its_deadline_or_at_a_later_release(at: int, expected: int) -> None:
    for late in (False, True):  # the release is read before the deadline has passed, or after it
        held = of_action(Action.REVIEW)
        found = held.expire(max(DUE, at)).silent if late else []
        released = held.release("t", at)
        found += [released] if released else []
        found += held.expire(DUE + 2 * DAY).silent
        assert [told(match).happened_at for match in found] == [expected]


def test_release_of_what_went_through_or_is_unknown_says_nothing() -> None:
    assert book().release("t", DUE + DAY) is None
    assert book().release("other", DUE + DAY) is None


def test_release_after_a_verdict_says_nothing() -> None:
    held = of_action(Action.REVIEW)
    held.match(fraud())
    held.expire(DUE)
    assert held.release("t", DUE + DAY) is None


def test_declined_payment_takes_a_verdict_all_the_same() -> None:
    assert told(of_action(Action.DECLINE).match(fraud())).verdict is Verdict.FRAUD


def test_silence_says_nothing_of_a_payment_with_a_verdict() -> None:
    held = book()
    held.match(fraud())
    assert held.expire(DUE).silent == []
    assert told(held.match(fraud(13 * DAY, verdict=Verdict.GENUINE))).replaces is Verdict.FRAUD


def test_late_label_corrects_silence_without_its_vector() -> None:
    held = book()
    held.expire(DUE + DAY)
    found = matched(held.match(fraud(DUE + 2 * DAY)))
    assert (told(found).replaces, told(found).replaces_at) == (Verdict.GENUINE, DUE)
    assert (found.item.vector, found.item.card) == (b"", PAID.card)


def test_vector_is_kept_beyond_a_short_deadline() -> None:
    held = LabelBook(MemoryPending(), Deadlines(2 * DAY))
    held.hold(PAID, FeatureVector("t", VALUES, "s", PAID.seen_at))
    held.expire(40 * DAY)
    assert matched(held.match(fraud(41 * DAY))).item.vector == VALUES.tobytes()


def test_payment_is_forgotten_after_its_time() -> None:
    held = book()
    held.expire(PAID.happened_at + 180 * DAY - 1)
    assert held.match(fraud(DUE)) is not None
    held.expire(PAID.happened_at + 180 * DAY)
    assert held.match(fraud(DUE, version=1)) is None
    assert (held.unmatched, held.next_due()) == (1, None)


def test_oldest_vectors_beyond_the_bound_go_and_their_items_stay() -> None:
    held = LabelBook(MemoryPending(most_vectors=2))
    for name in ("a", "b", "c"):
        paid = msgspec.structs.replace(PAID, tx_id=name)
        held.hold(paid, FeatureVector(name, VALUES, "s", PAID.seen_at))
    found = [matched(held.match(fraud(tx_id=name))).item.vector for name in ("a", "b", "c")]
    assert found == [b"", VALUES.tobytes(), VALUES.tobytes()]


# --- corrections of the payment --------------------------------------------------------------------------------------

CORRECTED = msgspec.structs.replace(PAID, version=PAID.version + 1, marks=(Mark.CORRECTION,), score=0.5)


def test_verdict_survives_a_correction_of_its_payment() -> None:
    held = book()
    held.match(fraud())
    assert held.hold(CORRECTED) == []
    assert held.match(fraud()) is None
    assert held.expire(DUE).silent == []
    found = matched(held.match(fraud(13 * DAY, verdict=Verdict.GENUINE)))
    assert (told(found).replaces, found.item.score) == (Verdict.FRAUD, 0.5)


def test_verdict_goes_where_its_corrected_payment_goes() -> None:
    held = book()
    held.match(fraud())
    (moved,) = held.hold(msgspec.structs.replace(CORRECTED, merchant="elsewhere"))
    assert moved.label is None
    out, back = moved.known
    assert (out.merchant, out.verdict, out.replaces) == (PAID.merchant, Verdict.WITHDRAWN, Verdict.FRAUD)
    assert (back.merchant, back.verdict, back.replaces) == ("elsewhere", Verdict.FRAUD, None)
    assert out.happened_at == back.happened_at == 12 * DAY


@pytest.mark.parametrize("keep_vectors", [45 * DAY, 60 * DAY])
def test_correction_after_the_deadline_of_a_told_fraud_is_learned_and_settled_no_second_time(keep_vectors: int) -> None:
    vector, said = FeatureVector("t", VALUES, "s", PAID.seen_at), (0.5, 0.5, 0.5, 0.5, -1.0, 0.0)
    held = LabelBook(MemoryPending(), Deadlines(keep_vectors=keep_vectors, maturity=7 * DAY))
    held.hold(PAID, vector, said)
    held.match(fraud())
    first = [held.expire(PAID.happened_at + 7 * DAY), held.expire(DUE)]
    assert [(len(due.ripe), len(due.settled)) for due in first] == [(1, 0), (0, 1)]
    held.hold(msgspec.structs.replace(PAID, version=PAID.version + 1), vector, said)
    assert held.expire(DUE + DAY) == ([], [], [])
    kept = held.item("t")
    assert kept is not None
    assert (kept.version, bool(kept.vector)) == (PAID.version + 1, keep_vectors > 45 * DAY)


def test_silence_is_taken_back_when_the_correction_is_refused() -> None:
    held = book()
    held.expire(DUE)
    (moved,) = held.hold(msgspec.structs.replace(CORRECTED, action=Action.DECLINE))
    assert [(known.verdict, known.replaces) for known in moved.known] == [(Verdict.WITHDRAWN, Verdict.GENUINE)]


def test_same_version_again_changes_nothing() -> None:
    held = book()
    before = held.snapshot()
    assert held.hold(msgspec.structs.replace(PAID, score=0.25, text="sent again")) == []
    assert held.snapshot() == before


def test_another_payment_in_the_same_version_is_counted_and_leaves_the_id_to_the_first() -> None:
    held = book()
    before = held.item("t")
    assert held.hold(msgspec.structs.replace(PAID, merchant="elsewhere", score=0.25)) == []
    assert (held.item("t"), held.counts()["reused"]) == (before, 1)


def test_going_on_from_a_snapshot_keeps_the_counts() -> None:
    held, other = book(), LabelBook(MemoryPending())
    held.match(fraud())
    held.match(fraud())
    held.match(fraud(tx_id="unknown"))
    other.restore(held.snapshot())
    assert (
        other.counts()
        == held.counts()
        == {"matched": 1, "unmatched": 1, "early": 1, "dropped": 0, "stale": 1, "reused": 0}
    )
    assert other.snapshot() == held.snapshot()


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


# --- words that are taken back ---------------------------------------------------------------------------------------


def test_forgotten_word_leaves_what_its_source_had_said_before_and_what_others_say() -> None:
    held = book()
    held.match(fraud())
    before = held.item("t")
    assert before is not None
    held.match(fraud(13 * DAY, verdict=Verdict.GENUINE))
    held.match(fraud(14 * DAY, source=ANALYST, verdict=Verdict.GENUINE))
    # the state knows of the fraud alone, and that holds again
    assert held.forget(before, {LabelSource.CHARGEBACK: before}, 15 * DAY) is None
    after = held.item("t")
    assert after is not None
    assert [(claim.source, claim.verdict) for claim in after.claims] == [
        (ANALYST, Verdict.GENUINE), (LabelSource.CHARGEBACK, Verdict.FRAUD),
    ]  # fmt: skip


@pytest.mark.parametrize("source", [ANALYST, LabelSource.CHARGEBACK])
def test_silence_never_speaks_where_a_word_is_forgotten_and_whoever_speaks_again_is_heard(source: LabelSource) -> None:
    held = book()
    before = held.item("t")
    assert before is not None
    held.match(fraud(source=source))
    assert held.forget(before, {source: before}, 13 * DAY) is None
    # that nobody spoke is what silence would say of it
    assert held.expire(DUE + DAY).silent == []
    assert held.release("t", DUE + DAY) is None
    after = held.item("t")
    assert after is not None
    assert held.standing(after) is None
    # the very same word once more, as from a source that has mended its feed, is no stale one
    assert told(matched(held.match(fraud(source=source)))).verdict is Verdict.FRAUD


def test_forgotten_chargeback_takes_back_what_silence_had_said_before_it() -> None:
    held = book()
    held.expire(DUE + DAY)
    before = held.item("t")
    assert before is not None
    assert before.silent_at
    held.match(fraud(DUE + 2 * DAY))
    found = matched(held.forget(before, {LabelSource.CHARGEBACK: before}, DUE + 3 * DAY))
    assert (told(found).verdict, told(found).replaces) == (Verdict.WITHDRAWN, Verdict.GENUINE)


def test_payment_is_ripe_once_at_its_age_and_settled_at_its_deadline() -> None:
    held = LabelBook(MemoryPending(), Deadlines(20 * DAY, maturity=7 * DAY))
    held.hold(PAID, None, (0.1, 0.1, 0.1, 0.1, -1.0, 3.0))
    paid = PAID.happened_at
    assert held.label_due_at(payment()) == 10 * DAY + 7 * DAY
    held.match(fraud())
    assert held.expire(paid + 7 * DAY - 1).ripe == []
    (ripe,) = held.expire(paid + 7 * DAY).ripe
    assert (ripe.tx_id, ripe.said[5]) == ("t", 3.0)
    due = held.expire(paid + 21 * DAY)
    assert (due.ripe, [item.tx_id for item in due.settled]) == ([], ["t"])
    # a correction is not learned a second time
    held.hold(msgspec.structs.replace(CORRECTED, happened_at=paid + 21 * DAY), None, (0.1, 0.1, 0.1, 0.1, -1.0, 9.0))
    assert held.expire(paid + 60 * DAY).ripe == []


def test_payment_of_which_nothing_was_said_never_ripens() -> None:
    held = LabelBook(MemoryPending(), Deadlines(20 * DAY, maturity=7 * DAY))
    held.hold(PAID)
    due = held.expire(PAID.happened_at + 30 * DAY)
    assert (due.ripe, due.settled, len(due.silent)) == ([], [], 1)
