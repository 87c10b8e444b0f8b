"""First answers at rest: those of a release before are read with what it knew."""

import msgspec

from features.stores.rowlog import answers
from fraud.core.records import Position, Transaction, Versions
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
