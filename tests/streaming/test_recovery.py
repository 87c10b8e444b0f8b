"""Where a link begins: what it reads of the output, and what it makes of a store that holds less than it once held."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest
from kafka import TopicPartition

from fraud.core.errors import StateError
from fraud.core.records import Answer, Transaction
from streaming import service_wiring
from streaming.kafka import output_log, recovery
from streaming.kafka.link import KafkaLink
from streaming.kafka.offsets import CommitMark, commit_mark_in
from streaming.kafka.topics import admin, ids
from tests.contract.driving import answer
from tests.contract.sources import payments
from tests.links import LinkSite, Store, read_until
from tests.site import until

LABELS = 1_200


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records of the output each recovery has read."""
    found: list[int] = []
    whole = output_log.pieces

    def pieces(*arguments: Any, **options: Any) -> Iterator[list[Any]]:
        found.append(0)
        for piece in whole(*arguments, **options):
            found[-1] += len(piece)
            yield piece

    monkeypatch.setattr(output_log, "pieces", pieces)
    return found


def run(site: LinkSite, ends: ExitStack, events: int, store: Store | None = None) -> Store:
    """Begin as a worker, answer so many events, stop; return the store, which holds them."""
    store = store or Store()
    link = site.link(store)
    ends.callback(link.close)
    turn(link, events, store)
    link.close()
    return store


def turn(link: KafkaLink, events: int, store: Store) -> list[str]:
    """Read and answer until so many events, rejects among them, are through; return the ids of the transactions."""
    seen: list[str] = []
    count, turns = 0, 0
    while count < events or turns == 0:
        intake = link.read()
        assert intake is not None
        answers = [answer(a.event, a.position) for a in intake.arrivals if isinstance(a.event, Transaction)]
        for arrival in intake.arrivals:
            key = arrival.position.topic, arrival.position.partition
            store.holds[key] = max(store.holds.get(key, -1), arrival.position.offset)
        link.write(answers, intake.rejects)
        link.commit(answers)
        seen += [each.decision.tx_id for each in answers]
        count, turns = count + len(intake.arrivals) + len(intake.rejects), turns + 1
        assert turns < 2_000
    link.flush()
    assert count == events
    return seen


def mark(site: LinkSite, topic: str, partition: int = 0) -> CommitMark:
    """Return the mark of the group's commit."""
    reader = service_wiring.consumer_of(site.section, site.section.group)
    try:
        return commit_mark_in(reader.committed((topic, partition)))
    finally:
        reader.close()


@pytest.fixture
def earlier() -> Iterator[ExitStack]:
    """Marks of labels as an earlier release wrote them: they never moved in the output. Until it is closed."""
    with ExitStack() as stack:
        now = stack.enter_context(pytest.MonkeyPatch.context())
        now.setattr(
            recovery, "commit_mark_in", lambda commit: msgspec.structs.replace(commit_mark_in(commit), output=0)
        )
        yield stack


# --- what is read of the output --------------------------------------------------------------------------------------


def test_a_restart_reads_nothing_of_the_labels_that_were_applied_long_ago(
    site: LinkSite, ends: ExitStack, counted: list[int]
) -> None:
    site.tell(LABELS)
    store = run(site, ends, LABELS)
    assert len(site.records(site.topics.applied)) == LABELS
    assert mark(site, site.topics.known).output == LABELS
    site.tell(1)
    del counted[:]
    run(site, ends, 1, store)
    assert counted[0] == 0


def test_a_mark_of_an_earlier_release_is_read_from_once_and_never_again(
    site: LinkSite, ends: ExitStack, counted: list[int], earlier: ExitStack
) -> None:
    site.tell(LABELS)
    store = run(site, ends, LABELS)
    site.pay(payments(2))
    run(site, ends, 2, store)
    assert counted[-1] == LABELS
    earlier.close()
    site.pay(payments(2))
    run(site, ends, 2, store)
    # The decisions of the run before stand in partitions whose first mark this is.
    assert counted[-1] <= 2


def test_a_long_output_is_read_in_pieces_with_a_sign_of_life_after_each(
    ends: ExitStack, monkeypatch: pytest.MonkeyPatch, earlier: ExitStack
) -> None:
    del earlier
    site, beats = LinkSite(), [0]
    taken: list[int] = []
    site.tell(LABELS)
    store = run(site, ends, LABELS)
    whole = output_log.Tail.take

    def take(tail: output_log.Tail, piece: list[Any]) -> list[Answer]:
        taken.append(len(piece))
        return whole(tail, piece)

    monkeypatch.setattr(output_log.Tail, "take", take)
    link = site.link(store, alive=lambda: beats.__setitem__(0, beats[0] + 1))
    ends.callback(link.close)
    until(lambda: link.read() is not None and link.assigned > 0, "partitions")
    assert sum(taken) == LABELS
    assert max(taken) <= 500
    assert beats[0] >= LABELS / 500


# --- an older store --------------------------------------------------------------------------------------------------


def test_a_store_that_holds_less_is_filled_from_where_it_stands_and_nothing_is_published_again(
    site: LinkSite, ends: ExitStack
) -> None:
    site.put([b"{"] * 3, partition=0)
    sent = payments(1_500)
    for part in (sent[:100], sent[100:]):
        site.pay(part)
    store = Store()
    link = site.link(store)
    ends.callback(link.close)
    answered = turn(link, 1_503, store)
    link.close()
    name = f"{site.topics.transactions}@{ids(site.section, [site.topics.transactions])[site.topics.transactions]}"
    assert mark(site, site.topics.transactions, 1).applied == store.holds[name, 1]
    older = Store()
    older.holds = {**store.holds, (name, 1): 20}
    again = site.link(older)
    ends.callback(again.close)
    missing = store.holds[name, 1] - 20
    read_again = turn(again, missing, older)
    assert again.counts.older == 1
    assert len(read_again) == missing
    assert set(read_again) <= set(answered)
    assert {each.decision.tx_id for each in older.put} >= set(read_again)
    again.close()
    assert len(site.records(site.topics.decisions)) == 1_500


def test_a_store_so_old_that_the_log_no_longer_reaches_back_is_refused_with_the_repair(
    site: LinkSite, ends: ExitStack
) -> None:
    site.put([msgspec.json.encode({"no": n}) for n in range(8)], partition=2)
    site.pay(payments(400))
    store = Store()
    link = site.link(store)
    ends.callback(link.close)
    turn(link, 408, store)
    link.close()
    client = admin(site.section)
    client.delete_records({TopicPartition(site.topics.transactions, 2): 50})
    client.close()
    again = site.link(Store())
    ends.callback(again.close)
    with pytest.raises(StateError, match=r"older copy.* log begins at 50.*fraud state rebuild"):
        read_until(again, 1, 30)


def test_a_live_worker_notices_within_a_second_that_the_store_holds_less(site: LinkSite, ends: ExitStack) -> None:
    site.pay(payments(40))
    store = Store()
    link = site.link(store)
    ends.callback(link.close)
    turn(link, 40, store)

    def settled() -> bool:
        turn(link, 0, store)
        return all(mark(site, site.topics.transactions, number).applied >= 0 for number in range(4))

    until(settled, "the commit names what the store has applied", 10)
    store.holds = {key: 4 for key in store.holds}
    missing = turn(link, 4 * 5, store)
    assert (len(missing), link.counts.older) == (20, 4)
    assert len(site.records(site.topics.decisions)) == 40
