"""One id, two payments: the second is decided on its own, on every state store, whatever the batches."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
import pytest

from features.extractor import OnlineExtractor
from features.state.tables import card_key, merchant_key
from features.stores.memory import MemoryStore
from features.stores.redis import RedisStore
from features.stores.working_set import TableStore
from fraud.core.engine import Engine, Strategy
from fraud.core.identity import own_name
from fraud.core.labels import LabelBook
from fraud.core.pending import MemoryPending
from fraud.core.ports import WorkingSet
from fraud.core.records import HOUR, MINUTE, Action, Answer, Arrival, Decision, Kind, Position, Transaction
from fraud.core.rules.ruleset import compile_rules
from fraud.core.settings import Settings
from models.rules_only import RulesOnly
from streaming.wiring import vocabulary
from tests.contract.payments import count, payment, sent
from tests.contract.stores import STORES, StoreCase, every_store

RULES = 'rule big "{amount} is a lot" :\n    when amount > 1000\n    then decline\n'
BIG = 99_999_900
SHARED = [each for each in STORES if each.implementation is RedisStore]
FIRST = payment("t1", amount=100)
OTHER = payment("t1", card="b", merchant="n", amount=BIG, after=MINUTE)
"""The id of the first one, another card, another merchant, and more than a rule lets pass."""


def engine_on(store: TableStore) -> Engine:
    """Return an engine by rules alone that declines what is big."""
    policy = Settings().policy.build(())
    return Engine(OnlineExtractor(store), store, Strategy(RulesOnly(), compile_rules(RULES, vocabulary()), policy))


def decided(store: TableStore, *events: Transaction, batch: int = 1) -> list[Answer]:
    """Return the answers to payments at offsets 0, 1, ... taken in batches."""
    engine, stream = engine_on(store), [sent(event, offset) for offset, event in enumerate(events)]
    parts = (stream[begin : begin + batch] for begin in range(0, len(stream), batch))
    return [answer for part in parts for answer in engine.handle(part)]


def told(answers: Sequence[Answer]) -> list[tuple[str, str, str, bool]]:
    """Return card, action and marks of each answer, and whether it repeats another."""
    made = [(one.decision, one.repeat_of is not None) for one in answers]
    return [(each.card, each.action.value, ",".join(each.marks), again) for each, again in made]


@every_store
@pytest.mark.parametrize("batch", [1, 4])
def test_a_reused_id_is_decided_on_its_own_and_each_payment_keeps_its_answer(case: StoreCase, batch: int) -> None:
    """Each is sent twice, the retries crossed."""
    store = case.fresh()
    answers = decided(store, FIRST, OTHER, FIRST, OTHER, batch=batch)
    assert told(answers) == [
        ("a", "approve", "", False),
        ("b", "decline", "id-reused", False),
        ("a", "approve", "", True),
        ("b", "decline", "id-reused", True),
    ]
    assert [one.decision.known_as for one in answers] == ["", own_name(OTHER)] * 2
    assert [one.decision.tx_id for one in answers] == ["t1"] * 4
    assert [count(store, FIRST, card_key("a")), count(store, OTHER, card_key("b"))] == [1, 1]


@every_store
@pytest.mark.parametrize(
    "changes",
    [{"card": "b"}, {"merchant": "n"}, {"amount": 200, "base_amount": 200}, {"kind": Kind.REFUND}, {"currency": "USD"}],
    ids=lambda changes: next(iter(changes)),
)
def test_each_of_what_names_a_payment_tells_a_reuse_from_a_retry(case: StoreCase, changes: dict[str, object]) -> None:
    answers = decided(case.fresh(), FIRST, msgspec.structs.replace(FIRST, **changes))
    assert [one.decision.marks for one in answers] == [(), ("id-reused",)]


@every_store
def test_what_does_not_name_a_payment_makes_no_reuse_of_a_retry(case: StoreCase) -> None:
    again = msgspec.structs.replace(FIRST, text="sent again", channel="ecom", device="d", happened_at=FIRST.seen_at + 5)
    assert decided(case.fresh(), FIRST, again)[1].repeat_of == Position("transactions", 0, 0)


@every_store
def test_a_payment_under_a_reused_id_on_the_same_card_counts_there_beside_the_first(case: StoreCase) -> None:
    store, other = case.fresh(), payment("t1", amount=BIG, after=MINUTE)
    assert told(decided(store, FIRST, other))[1] == ("a", "decline", "id-reused", False)
    assert count(store, FIRST, card_key("a")) == count(store, FIRST, merchant_key("m")) == 2


@every_store
def test_a_correction_carries_its_id_on_and_corrects_the_first(case: StoreCase) -> None:
    """A higher version may change card, merchant and amount: that is what corrections are for."""
    store = case.fresh()
    corrected = msgspec.structs.replace(FIRST, version=1, amount=300, base_amount=300)
    other = msgspec.structs.replace(corrected, amount=BIG, base_amount=BIG)
    answers = decided(store, FIRST, corrected, corrected, other)
    assert told(answers)[1:] == [
        ("a", "approve", "correction", False),
        ("a", "approve", "correction", True),
        ("a", "decline", "id-reused", False),
    ]
    assert count(store, FIRST, card_key("a")) == 2


@every_store
def test_a_reused_id_read_again_at_its_position_gets_its_answer_and_counts_once(case: StoreCase) -> None:
    store = case.fresh()
    first = decided(store, FIRST, OTHER)
    again = decided(store, FIRST, OTHER)
    assert [one.decision for one in again] == [one.decision for one in first]
    assert [one.repeat_of for one in again] == [None, None]
    assert count(store, OTHER, card_key("b")) == 1


@every_store
def test_the_answer_under_a_reused_id_outlives_that_of_the_first(case: StoreCase) -> None:
    """The first one's has left the retry horizon; of the same card the state itself tells the two apart."""
    late = msgspec.structs.replace(FIRST, amount=BIG, base_amount=BIG, seen_at=FIRST.seen_at + HOUR)
    retry = msgspec.structs.replace(late, seen_at=late.seen_at + MINUTE)
    store = case.fresh()
    engine = engine_on(store)
    first = engine.handle([sent(FIRST, 0)])
    forgotten(store, FIRST)
    second, third = (engine.handle([sent(event, at)])[0] for at, event in ((1, late), (2, retry)))
    assert told([*first, second, third]) == [
        ("a", "approve", "", False),
        ("a", "decline", "id-reused", False),
        ("a", "decline", "id-reused", True),
    ]
    assert count(store, FIRST, card_key("a")) == 2


@pytest.mark.parametrize("case", SHARED, ids=lambda case: case.name)
def test_a_payment_is_decided_again_when_its_id_was_taken_between_reading_and_writing(case: StoreCase) -> None:
    """Another worker took the first one in meanwhile; a store in this process has one worker."""
    store = case.fresh()
    between = cast(TableStore, Between(store, lambda: decided(store, FIRST)))
    answers = engine_on(between).handle([Arrival(OTHER, Position("transactions", 1, 7))])
    assert told(answers) == [("b", "decline", "id-reused", False)]
    assert answers[0].position == Position("transactions", 1, 7)
    assert [count(store, FIRST, card_key("a")), count(store, OTHER, card_key("b"))] == [1, 1]


@every_store
def test_answers_by_rules_alone_that_share_an_id_are_put_back_side_by_side(case: StoreCase) -> None:
    """While the store was gone nobody could know that the id is another payment's."""
    store = case.fresh()
    apart = [decided(MemoryStore(), each)[0] for each in (FIRST, OTHER)]
    by_rules = [msgspec.structs.replace(one, position=sent(FIRST, at).position) for at, one in enumerate(apart)]
    store.put_answers(by_rules)
    found = decided(store, FIRST, OTHER)
    assert [(one.decision.action, one.decision.card, one.repeat_of) for one in found] == [
        (Action.APPROVE, "a", None), (Action.DECLINE, "b", None),
    ]  # fmt: skip
    assert count(store, OTHER, card_key("b")) == 1


@pytest.mark.parametrize("batch", [2, 3, 32])
def test_what_is_past_the_retry_horizon_does_not_depend_on_the_batch(batch: int) -> None:
    """A retry three hours later, one of another payment under its id, and a retry of each within the horizon."""
    late = [msgspec.structs.replace(each, seen_at=each.seen_at + 3 * HOUR + n) for n, each in enumerate((FIRST, OTHER))]
    soon = [msgspec.structs.replace(each, seen_at=each.seen_at + MINUTE) for each in late]
    between = payment("t2", card="c", after=2 * HOUR)
    events = [FIRST, between, *late, *soon]
    one, many = (decided(MemoryStore(), *events, batch=size) for size in (1, batch))
    assert [each.decision for each in many] == [each.decision for each in one]
    assert [each.repeat_of for each in many] == [each.repeat_of for each in one]
    assert told(one)[2:] == [
        ("a", "approve", "repeated", False),
        ("b", "decline", "id-reused", False),
        ("a", "approve", "repeated", True),
        ("b", "decline", "id-reused", True),
    ]


def test_two_payments_under_one_id_never_share_an_alert() -> None:
    """Nor do they once the answers are gone that would tell the second from the first."""
    payments = OTHER, OTHER, msgspec.structs.replace(OTHER, card="c")
    one, again, other = [decided(MemoryStore(), each)[0].alert for each in payments]
    assert one is not None
    assert other is not None
    assert (again, other.id == one.id) == (one, False)


def test_no_id_that_can_be_sent_leads_to_the_answer_of_a_reused_one() -> None:
    """The second payment's own name is public: an approved one that has it as its id stays another payment."""
    store = MemoryStore()
    planted = payment(own_name(OTHER), card="b", amount=100)
    answers = decided(store, planted, FIRST, OTHER)
    assert told(answers)[2] == ("b", "decline", "id-reused", False)
    assert count(store, OTHER, card_key("b")) == 2


# --- the label book --------------------------------------------------------------------------------------------------


def test_label_book_keeps_a_payment_under_a_reused_id_by_its_own_name() -> None:
    book, (first, other) = LabelBook(MemoryPending()), decisions(FIRST, OTHER)
    book.hold(first)
    book.hold(other)
    held = [book.item("t1"), book.item(other.known_as)]
    assert [item and (item.card, item.reused) for item in held] == [("a", False), ("b", True)]
    assert book.counts()["reused"] == 1


def test_label_book_counts_a_reused_id_that_the_worker_could_not_see() -> None:
    book, (first, other) = LabelBook(MemoryPending()), [decisions(each)[0] for each in (FIRST, OTHER)]
    assert (first.known_as, other.known_as) == ("", "")
    book.hold(first)
    book.hold(other)
    item = book.item("t1")
    assert item is not None
    assert (item.card, book.counts()["reused"]) == ("a", 1)


def test_nobodys_silence_speaks_of_a_payment_under_a_reused_id() -> None:
    """Who complains of it names the id, which is the first one's."""
    cheap = payment("t1", card="b", amount=50)
    book = LabelBook(MemoryPending())
    for decision in decisions(FIRST, cheap):
        assert decision.action is Action.APPROVE
        book.hold(decision)
    due = book.expire(FIRST.happened_at + 60 * 24 * HOUR)
    assert [match.item.tx_id for match in due.silent] == ["t1"]


def decisions(*events: Transaction) -> list[Decision]:
    """Return the decisions on payments that one store sees."""
    return [one.decision for one in decided(MemoryStore(), *events)]


# --- parts -----------------------------------------------------------------------------------------------------------


def forgotten(store: TableStore, tx: Transaction) -> None:
    """Let the first answer to a payment go, as time does: a store in this process goes by the stream's."""
    if isinstance(store, RedisStore):
        store._server.delete([store._keys.answer(tx.id, tx.version).encode()])


class Between:
    """A store under which something happens once, between a batch's reading and its writing."""

    def __init__(self, store: TableStore, happens: Callable[[], object]) -> None:
        self._store, self._happens = store, [happens]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, work: WorkingSet, answers: Sequence[Answer]) -> list[Answer]:
        """Let it happen, then write."""
        while self._happens:
            self._happens.pop()()
        return self._store.write(work, answers)
