"""First answers at rest: all that is published of them comes back, also from what an earlier release has stored."""

import msgspec

from features.stores.rowlog.answers import decode, small, stored
from fraud.core.evidence import Evidence, SideEvent
from fraud.core.records import Position
from tests.contract.driving import answer
from tests.contract.payments import payment

EVIDENCE = Evidence("s", "m", (("amount", 0.5),), ((SideEvent(7, 3_000, 0.25),), ()))
FIRST = msgspec.structs.replace(answer(payment("t1"), Position("t", 0, 4)), evidence=EVIDENCE)


def test_answer_stored_is_read_back_with_its_evidence() -> None:
    assert decode(stored(FIRST)).answer == FIRST


def test_answer_kept_for_retries_has_no_evidence() -> None:
    assert decode(small(FIRST)).answer.evidence is None


def test_answer_that_an_earlier_release_stored_has_no_evidence() -> None:
    earlier = msgspec.msgpack.encode(msgspec.msgpack.decode(stored(FIRST))[:5])
    assert decode(earlier).answer == msgspec.structs.replace(FIRST, evidence=None)
