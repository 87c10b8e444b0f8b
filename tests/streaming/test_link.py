"""The link on a real Kafka: rebalances, what is noted and when, and what it makes of the mode."""

from contextlib import ExitStack

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition

from fraud.core.errors import DeliveryError
from fraud.core.records import Answer, Intake, Mark, Transaction
from streaming import clock, service_wiring
from streaming.kafka.link import KafkaLink
from streaming.kafka.offsets import commit_mark_in
from streaming.kafka.recovery import Mode
from streaming.messages import schema
from tests.contract.driving import answer
from tests.contract.sources import payments
from tests.links import LIBRARIES, PARTITIONS, LinkSite, Store, Unhurried, read_until
from tests.site import until

BAD = b"{"
DAY = 86_400_000_000_000


def joined(site: LinkSite, ends: ExitStack, store: Store | None = None) -> KafkaLink:
    """Return a link that is closed at the end of the test, if not before."""
    link = site.link(store)
    ends.callback(link.close)
    return link


def answers_to(intakes: list[Intake]) -> list[Answer]:
    arrivals = [arrival for intake in intakes for arrival in intake.arrivals]
    return [answer(a.event, a.position) for a in arrivals if isinstance(a.event, Transaction)]


def ids(answers: list[Answer]) -> list[str]:
    return sorted(each.decision.tx_id for each in answers)


def turn(link: KafkaLink, intakes: list[Intake]) -> list[Answer]:
    """Answer what was read, as the loop does."""
    answers = answers_to(intakes)
    link.write(answers, [reject for intake in intakes for reject in intake.rejects])
    link.commit(answers)
    return answers


def idle(link: KafkaLink) -> None:
    """Let the loop turn once with nothing to do."""
    intake = link.read()
    assert intake == Intake()
    turn(link, [])


def committed(site: LinkSite) -> int:
    """Return the sum of the group's committed offsets of transactions."""
    reader = KafkaConsumer(
        bootstrap_servers=site.section.bootstrap, group_id=site.section.group, enable_auto_commit=False
    )
    try:
        found = [reader.committed(TopicPartition(site.topics.transactions, n)) for n in range(PARTITIONS)]
        return sum(offset or 0 for offset in found)
    finally:
        reader.close()


def decisions(site: LinkSite) -> int:
    return len(site.records(site.topics.decisions))


# --- assignment ------------------------------------------------------------------------------------------------------


def test_first_assignment_on_new_topics_is_whole_and_no_second_one_follows(site: LinkSite, ends: ExitStack) -> None:
    site.put([BAD], partition=1)
    link = joined(site, ends)
    turn(link, read_until(link, 1))
    for _ in range(20):
        idle(link)
    assert link.assigned == 2 * PARTITIONS
    assert link.counts.recoveries == 1


def test_partitions_are_given_up_with_what_is_under_way_acknowledged_and_committed(
    site: LinkSite, ends: ExitStack
) -> None:
    site.put([BAD], partition=1)
    link = joined(site, ends)
    turn(link, read_until(link, 1))
    names = site.topics.transactions, site.topics.known
    link.give_partitions([(name, number) for name in names for number in range(PARTITIONS)])
    assert len(site.records(site.topics.dead)) == 1
    until(lambda: committed(site) == 1, "the commit", 10)


# --- what is noted, and when -----------------------------------------------------------------------------------------


def test_one_batch_may_be_under_way_and_is_committed_only_behind_its_acknowledgement(
    site: LinkSite, ends: ExitStack
) -> None:
    site.pay(payments(4))
    site.limit(site.topics.decisions, 10)
    link = joined(site, ends)
    turn(link, read_until(link, 4))
    with pytest.raises(DeliveryError, match="not acknowledged"):
        link.flush()
    link.close()
    assert committed(site) == 0
    assert decisions(site) == 0
    site.limit(site.topics.decisions, 1_000_000)
    again = joined(site, ends)
    assert len(turn(again, read_until(again, 4))) == 4
    again.close()
    assert (committed(site), decisions(site)) == (4, 4)


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_the_store_may_have_lost_comes_again_and_is_not_published_again(library: str, ends: ExitStack) -> None:
    site = LinkSite(library=library, durable_after=DAY)
    site.pay(payments(6))
    link = joined(site, ends)
    first = turn(link, read_until(link, 6))
    link.close()
    assert (committed(site), decisions(site)) == (6, 6)
    again = joined(site, ends)
    assert ids(turn(again, read_until(again, 6))) == ids(first)
    again.close()
    assert (committed(site), decisions(site)) == (6, 6)


# --- the mode --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
def test_without_a_store_decisions_are_published_and_nothing_is_committed(library: str, ends: ExitStack) -> None:
    site, store = LinkSite(library=library, commit_every=0), Store()
    site.pay(payments(4))
    link = joined(site, ends, store)
    first = read_until(link, 4)
    store.mode = Mode.STORE_DOWN
    turn(link, first)
    for _ in range(5):
        idle(link)
    assert decisions(site) == 4
    link.close()
    assert committed(site) == 0


def test_a_store_that_is_back_has_the_batch_in_hand_left_and_read_again(site: LinkSite, ends: ExitStack) -> None:
    store = Store()
    site.pay(payments(4))
    link = joined(site, ends, store)
    first = read_until(link, 4)
    store.mode = Mode.BEGIN_AGAIN
    turn(link, first)
    assert decisions(site) == 0
    again = read_until(link, 4)
    assert store.mode is Mode.NORMAL
    assert ids(turn(link, again)) == ids(answers_to(first))
    link.close()
    assert (committed(site), decisions(site)) == (4, 4)


def test_a_link_told_to_stop_before_it_began_again_commits_nothing(site: LinkSite, ends: ExitStack) -> None:
    store = Store()
    site.pay(payments(4))
    link = joined(site, ends, store)
    turn(link, read_until(link, 4))
    link.flush()
    store.mode = Mode.BEGIN_AGAIN
    link.stop()
    assert link.read() is None
    link.close()
    assert committed(site) == 0


# --- two libraries ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "then"), [LIBRARIES, LIBRARIES[::-1]])
def test_commits_of_one_library_are_read_whole_by_the_other(first: str, then: str, ends: ExitStack) -> None:
    site = LinkSite(library=first, durable_after=DAY)
    site.pay(payments(6))
    link = joined(site, ends)
    turn(link, read_until(link, 6))
    link.close()
    site.section = msgspec.structs.replace(site.section, library=then)
    names = site.topics.transactions
    commits = service_wiring.consumer_of(site.section, site.section.group)
    marks = [commit_mark_in(commits.committed((names, number))) for number in range(PARTITIONS)]
    commits.close()
    assert [mark.birth for mark in marks] == [Store.birth] * PARTITIONS
    again = joined(site, ends)
    assert len(turn(again, read_until(again, 6))) == 6
    again.close()
    assert (committed(site), decisions(site)) == (6, 6)


# --- deadlines -------------------------------------------------------------------------------------------------------


def marked(site: LinkSite) -> list[tuple[str, tuple[Mark, ...]]]:
    """Return the published decisions: id and marks."""
    found = [schema.decision_in(record.value) for record in site.records(site.topics.decisions)]
    return sorted((decision.tx_id, decision.marks) for decision in found)


def test_link_tells_what_waits_behind_a_batch(site: LinkSite, ends: ExitStack) -> None:
    sent = payments(200)
    site.put((schema.of_transaction(tx) for tx in sent), partition=2)
    budget = Unhurried()
    link = site.link(budget=budget)
    ends.callback(link.close)
    read_until(link, 200)
    assert sum(waiting.records for waiting in budget.told) == 200
    first = budget.told[0]
    assert first.full
    assert first.behind == 200 - first.records
    assert budget.told[-1].behind == 0
    assert first.oldest >= first.newest > 0


@pytest.mark.parametrize("delivery", ["fast", "transactional"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_decision_that_becomes_late_on_the_way_says_so_when_it_is_published(
    library: str, delivery: str, ends: ExitStack
) -> None:
    site, budget = LinkSite(delivery, library=library), Unhurried()
    sent = payments(5)
    site.pay(sent)
    link = site.link(budget=budget)
    ends.callback(link.close)
    intakes = read_until(link, 5)
    answers = answers_to(intakes)
    assert not any(answer.decision.marks for answer in answers)
    repeat = msgspec.structs.replace(answers[4], repeat_of=answers[0].position)
    budget.late = clock.now_ns() + DAY
    link.write([*answers[:4], repeat], ())
    link.commit(answers)
    link.flush()
    late = dict(marked(site))
    assert [late[answer.decision.tx_id] for answer in answers] == [(Mark.OVERDUE,)] * 4 + [()]
    assert link.late == 4
    link.write(answers, ())
    assert link.ack_ns > 0


def test_payment_that_is_late_when_it_is_taken_up_is_marked_at_once_and_once_only(
    site: LinkSite, ends: ExitStack
) -> None:
    site.pay(payments(3))
    link = site.link(budget=Unhurried(late_before=clock.now_ns() + DAY))
    ends.callback(link.close)
    intakes = read_until(link, 3)
    assert {arrival.marks for intake in intakes for arrival in intake.arrivals} == {(Mark.OVERDUE,)}
    late = [
        msgspec.structs.replace(each, decision=msgspec.structs.replace(each.decision, marks=(Mark.OVERDUE,)))
        for each in answers_to(intakes)
    ]
    link.write(late, ())
    link.commit(late)
    link.flush()
    assert [marks for _, marks in marked(site)] == [(Mark.OVERDUE,)] * 3
    assert link.late == 0
