"""First answers at rest: those of a release before are read with what it knew."""

import msgspec

from features.stores.rowlog import answers
from fraud.core.evidence import Evidence, SideEvent
from fraud.core.records import Answer, Position, Transaction, Versions
from tests.contract.driving import answer

TX = Transaction(id="t", card="c", merchant="m", amount=1, base_amount=1, happened_at=1, seen_at=2)


def test_an_answer_comes_back_with_the_parameters_that_made_it() -> None:
    made = answer(TX, Position("t", 0, 4))
    learned = msgspec.structs.replace(made.decision, versions=Versions("m", "s", "p", "r", "12-abcdef01"))
    kept = answers.stored(msgspec.structs.replace(made, decision=learned))
    assert answers.decode(kept).answer.decision == learned


def test_an_answer_of_a_release_that_learned_nothing_is_read() -> None:
    made = answer(TX, Position("t", 0, 4))
    fields = msgspec.msgpack.decode(answers.stored(made))
    del fields[0]["versions"]["parameters"]
    assert answers.decode(msgspec.msgpack.encode(fields)).answer == made


def with_evidence() -> Answer:
    proof = Evidence("s", "m", (("amount", 0.5),), ((SideEvent(7, 3_000, 0.25),), ()))
    return msgspec.structs.replace(answer(TX, Position("t", 0, 4)), evidence=proof)


def test_an_answer_comes_back_with_its_evidence() -> None:
    made = with_evidence()
    assert answers.decode(answers.stored(made)).answer == made


def test_an_answer_kept_for_retries_alone_has_no_evidence() -> None:
    assert answers.decode(answers.small(with_evidence())).answer.evidence is None


def test_an_answer_of_a_release_without_evidence_is_read() -> None:
    made = with_evidence()
    earlier = msgspec.msgpack.encode(msgspec.msgpack.decode(answers.stored(made))[:5])
    assert answers.decode(earlier).answer == msgspec.structs.replace(made, evidence=None)
