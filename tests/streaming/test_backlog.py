"""What was answered while the store was gone comes back in pieces: in order, each with its answer, few at a time."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from fraud.core.records import Answer, Arrival, Position, Transaction
from streaming.kafka.backlog import PIECE, Backlog, Partition, Piece
from streaming.kafka.offsets import CommitMark
from streaming.kafka.recovery import Reached
from streaming.kafka.topics import ids
from streaming.messages import envelope
from streaming.messages.codec import Codec, Limits
from streaming.messages.money import Rates
from streaming.observe.odd_records import OddRecords
from tests.contract.driving import answer
from tests.contract.payments import payment
from tests.contract.sources import payments
from tests.links import PARTITIONS, LinkSite, read_until

MANY = 3 * PIECE


@pytest.fixture(scope="module", params=["fast", "transactional"])
def site(request: pytest.FixtureRequest) -> LinkSite:
    """Topics with transactions, one of them refused, all but the newest answered."""
    site = LinkSite(request.param)
    site.put([b"{"], partition=1)
    site.pay(payments(MANY))
    link = site.link()
    found = read_until(link, MANY + 1)
    arrivals = [arrival for intake in found for arrival in intake.arrivals]
    answers = [answer(a.event, a.position) for a in arrivals if isinstance(a.event, Transaction)]
    link.write(answers, [reject for intake in found for reject in intake.rejects])
    link.commit(answers)
    link.close()
    site.pay(payments(5))
    return site


def backlog(site: LinkSite, begins: dict[int, Reached]) -> Backlog:
    topic = site.topics.transactions
    codec = Codec(Rates(), Limits(ahead=2**62))
    named = ids(site.section, (topic, site.topics.known))
    return Backlog(site.section, codec, named, {(topic, number): at for number, at in begins.items()})


def whole(found: Backlog) -> Iterator[Piece]:
    """Yield pieces until nothing is left."""
    for _ in range(1_000):
        piece = found.piece()
        yield piece
        if not piece.arrivals and found.left() <= PARTITIONS:  # a marker of a transaction may be left in each
            return
    pytest.fail(f"{found.left()} answers are left for ever")


def order(arrivals: list[Arrival]) -> dict[int, list[int]]:
    by_partition: dict[int, list[int]] = {}
    for arrival in arrivals:
        by_partition.setdefault(arrival.position.partition, []).append(arrival.position.offset)
    return by_partition


def test_each_answered_transaction_comes_once_with_its_answer_and_few_are_held(site: LinkSite) -> None:
    found = backlog(site, {number: Reached(0, CommitMark(0)) for number in range(PARTITIONS)})
    arrivals: list[Arrival] = []
    answers: list[Answer] = []
    most = 0
    for piece in whole(found):
        assert len(piece.arrivals) <= PIECE
        most = max(most, len(piece.answers))
        arrivals += piece.arrivals
        answers += piece.answers
    assert len(arrivals) == len(answers) == MANY
    assert {each.position for each in arrivals} == {each.position for each in answers}
    assert all(offsets == sorted(offsets) for offsets in order(arrivals).values())
    assert most <= 2 * PIECE
    found.close()


def test_what_a_piece_reached_is_where_the_next_backlog_goes_on(site: LinkSite) -> None:
    first = backlog(site, {number: Reached(0, CommitMark(0)) for number in range(PARTITIONS)})
    some = next(piece for _ in range(100) if (piece := first.piece()).arrivals)
    begins = {place[1]: at for place, at in first.reached().items()}
    first.close()
    second = backlog(site, begins)
    rest = [arrival for piece in whole(second) for arrival in piece.arrivals]
    second.close()
    assert len(some.arrivals) + len(rest) == MANY
    assert not {each.position for each in some.arrivals} & {each.position for each in rest}


def test_answer_that_cannot_be_read_leaves_its_input_to_be_absorbed_and_moves_nothing_on() -> None:
    odd = OddRecords()
    part = Partition(Reached(0, CommitMark(0)), "transactions@abc", odd)
    read = [published(number) for number in range(4)]
    far = read[1]._replace(offset=9, headers=((envelope.SOURCE, b"transactions@abc/0/999999"),), value=b"{}")
    for record in (read[0], read[1]._replace(value=None), far, read[2]):
        part.take(record)
    assert part.resume == 3
    mine, behind = part.read(read)
    assert [record.offset for record in mine] == [0, 1, 2]
    assert behind == 1
    assert [answer.position.offset for answer in part.answers()] == [0, 2]
    assert odd.skip("decisions") == 3


class Record(NamedTuple):
    """A message as the client gives it."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    headers: envelope.Headers


def published(number: int) -> Record:
    out = envelope.decision_out(answer(payment(f"t{number}"), Position("transactions@abc", 0, number)), "decisions")
    return Record("decisions", 0, number, out.value, out.headers)
