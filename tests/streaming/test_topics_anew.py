"""A topic deleted and made again, or a log that was cut: nobody goes on in it as if nothing had been."""

from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest
from kafka import TopicPartition

from fraud.core.errors import StateError, TopicReplacedError
from fraud.core.records import Answer, Transaction
from streaming import service_wiring
from streaming.feeds.kafka import KafkaFeed
from streaming.kafka import topics
from streaming.kafka.client import Commit
from streaming.kafka.link import KafkaLink
from streaming.kafka.offsets import CommitMark
from streaming.kafka.topics import TopicWatch, admin, ids
from tests.contract.driving import answer
from tests.contract.sources import payments
from tests.links import PARTITIONS, LinkSite, Store, read_until
from tests.site import make_anew, until


def answered(link: KafkaLink, count: int) -> list[Answer]:
    """Read so many payments and answer them."""
    arrivals = [arrival for intake in read_until(link, count) for arrival in intake.arrivals]
    answers = [answer(each.event, each.position) for each in arrivals if isinstance(each.event, Transaction)]
    link.write(answers, ())
    link.commit(answers)
    link.flush()
    return answers


def decided(site: LinkSite) -> int:
    return len(site.records(site.topics.decisions))


def test_a_worker_begins_a_topic_that_was_made_anew_at_its_beginning(site: LinkSite, ends: ExitStack) -> None:
    """The group's commit is written once more after the topic is another, as a worker does that has not noticed."""
    site.pay(payments(40))
    first = site.link()
    answered(first, 40)
    make_anew(site.section, site.topics.transactions)
    first.close()
    site.pay(payments(60)[40:])
    second = site.link()
    ends.callback(second.close)
    assert len(answered(second, 20)) == 20
    assert decided(site) == 60
    assert second.counts.anew in (0, PARTITIONS)


def test_partitions_that_begin_without_a_commit_are_of_the_topic_that_the_process_knows(
    site: LinkSite, ends: ExitStack
) -> None:
    """Commits go with their topic: begun at 0 under the id of before, its payments would be taken for answered ones."""
    site.pay(payments(40))
    link = site.link()
    ends.callback(link.close)
    answered(link, 40)
    make_anew(site.section, site.topics.transactions)
    until(lambda: link._consumer.committed((site.topics.transactions, 1)) is None, "the commits gone", 30)
    with pytest.raises(TopicReplacedError, match=f"topic {site.topics.transactions} was deleted and made again"):
        link.recovery.begin([(site.topics.transactions, number) for number in range(PARTITIONS)])


@pytest.mark.parametrize("named", [True, False], ids=["by this release", "by an earlier release"])
def test_a_commit_beyond_the_end_of_the_log_is_refused_with_the_repair(site: LinkSite, *, named: bool) -> None:
    site.pay(payments(8))
    place, topic_id = (site.topics.transactions, 2), ids(site.section, [site.topics.transactions])
    mark = CommitMark(90, birth=Store.birth, topic=topic_id[site.topics.transactions] if named else "")
    heard: list[str] = []
    with closing(service_wiring.consumer_of(site.section, site.section.group)) as other:
        other.commit({place: Commit(100, mark.text())}, heard.append, wait=True)
    assert heard == [""]
    link = site.link()
    with pytest.raises(StateError, match=r"partition 2 ends at offset 2, but was read up to 100.*fraud topics create"):
        read_until(link, 8)
    link.close()


def test_records_that_come_again_end_a_worker(site: LinkSite, ends: ExitStack) -> None:
    """So it is where the client's offset is beyond the end of another log: it goes back to the beginning by itself."""
    site.pay(payments(40))
    link = site.link()
    ends.callback(link.close)
    answered(link, 40)
    link._consumer.seek((site.topics.transactions, 1), 3)
    with pytest.raises(TopicReplacedError, match="partition 1 gave offset 3 where 10 was due"):
        read_until(link, 1)


def test_what_a_topic_let_go_before_it_was_read_is_counted(site: LinkSite, ends: ExitStack) -> None:
    site.pay(payments(40))
    first = site.link()
    answered(first, 40)
    first.close()
    site.pay(payments(80)[40:])
    with closing(admin(site.section)) as client:
        client.delete_records({TopicPartition(site.topics.transactions, number): 15 for number in range(PARTITIONS)})
    second = site.link()
    ends.callback(second.close)
    answered(second, 20)
    assert second.counts.lost == 5 * PARTITIONS


def test_a_live_process_is_told_that_a_topic_was_made_anew() -> None:
    site = LinkSite()
    names = site.topics.transactions, site.topics.known
    watch = TopicWatch(site.section, ids(site.section, names), every=0.05)
    watch.begin()
    try:
        watch.swap()
        make_anew(site.section, names[0])
        until(lambda: is_told(watch.swap), "the other topic noticed", 20)
        with pytest.raises(TopicReplacedError, match=f"topic {names[0]} was deleted and made again .* starting again"):
            watch.swap()
    finally:
        watch.close()


def is_told(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except TopicReplacedError:
        return True
    return False


def test_a_feed_tells_topics_of_one_name_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "WATCH_SECONDS", 0.05)
    site = LinkSite()
    feed = KafkaFeed(site.section, [site.topics.transactions])
    before = feed.named()
    feed.start({})
    make_anew(site.section, site.topics.transactions)
    until(lambda: is_told(lambda: feed.poll(0.01)), "the other topic noticed", 20)
    feed.close()
    after = feed.named()
    assert before.keys() == after.keys() == {site.topics.transactions}
    assert before != after
