"""Dead letters on a real Kafka: nothing that a sender wrote speaks for us, and what is sent again goes where it may."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fraud.cli import app
from fraud.core.records import Label, Position, Reject, Verdict
from streaming.kafka.dead_letters import DeadTopic
from streaming.messages import bounds, envelope
from streaming.messages.envelope import Outgoing
from tests.contract.sources import payments
from tests.edges import OURS, Edge, EdgeSender, of_any_topic
from tests.links import LIBRARIES, LinkSite, read_until

LABEL = envelope.label_out(Label(tx_id="t0", verdict=Verdict.GENUINE, happened_at=1, seen_at=0), "").value


@pytest.fixture
def site() -> LinkSite:
    return LinkSite()


def refused(site: LinkSite, edges: Iterable[Edge]) -> None:
    """Send what is no transaction, and let a worker's link refuse it."""
    sent = list(edges)
    send(site, site.topics.transactions, *sent)
    link = site.link()
    intakes = read_until(link, len(sent))
    link.write((), [reject for intake in intakes for reject in intake.rejects])
    link.close()


def send(site: LinkSite, topic: str, *edges: Edge) -> None:
    sender = EdgeSender(site.section.bootstrap)
    assert sender.send(topic, edges) == []
    sender.close()


def written(site: LinkSite, *messages: Outgoing) -> None:
    """Write to the dead letters as any program may."""
    send(site, site.topics.dead, *(Edge("", each.value, each.key, each.headers) for each in messages))


def dead(site: LinkSite, *words: str) -> Result:
    where = ["--bootstrap", site.section.bootstrap, "--prefix", site.section.prefix]
    return CliRunner().invoke(app, ["dead", words[0], *where, *words[1:]])


def last(result: Result) -> dict[str, Any]:
    assert result.stdout, result.exception
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_sender_who_names_another_topic_does_not_choose_where_its_letter_goes(site: LinkSite) -> None:
    named = (("source", f"{site.topics.labels}@abc/0/7".encode()), ("redriven", b"x"), ("seen-at", b"yesterday"))
    refused(site, [Edge("a label", LABEL, headers=named)])
    (letter,) = DeadTopic(site.section).letters().values()
    assert letter.topic.partition("@")[0] == site.topics.transactions
    assert (letter.code, letter.redriven) == ("id", False)
    assert letter.seen_at > 0
    assert last(dead(site, "redrive")) == {"redriven": 1, "dead": 0}
    assert site.records(site.topics.labels) == []
    assert [record.value for record in site.records(site.topics.transactions)] == [LABEL] * 2


def test_letter_whose_source_is_no_input_of_the_site_stays_and_the_others_go(site: LinkSite) -> None:
    refused(site, [Edge("bad", b"{")])
    elsewhere = Reject("json", "no", b"{", Position("other.transactions@abc", 0, 1))
    output = Reject("json", "no", b"{", Position(f"{site.topics.decisions}@abc", 0, 1))
    written(site, *(envelope.reject_out(each, site.topics.dead) for each in (elsewhere, output)))
    driven = dead(site, "redrive")
    assert (driven.exit_code, last(driven)) == (1, {"redriven": 1, "dead": 2})
    assert driven.stdout.replace("\n", " ").count("no input of this site") == 2
    assert site.records(site.topics.decisions) == []


def test_message_sent_again_in_vain_is_a_letter_again(site: LinkSite) -> None:
    refused(site, [Edge("bad", b"{")])
    dead(site, "redrive")
    link = site.link()
    intakes = read_until(link, 1)
    link.write((), [reject for intake in intakes for reject in intake.rejects])
    link.close()
    assert last(dead(site, "list")) == {"letters": 2, "dead": 1}


def test_letter_of_the_release_before_is_read_by_what_we_wrote_behind_its_senders_headers(site: LinkSite) -> None:
    source = f"{site.topics.transactions}@abc/2/9".encode()
    ours = (("code", b"json"), ("reason", b"no JSON"), ("source", source), ("seen-at", b"17"))
    written(site, Outgoing(site.topics.dead, b"k", b"{", (("source", b"labels@x/0/1"), ("code", b"\xff"), *ours)))
    (letter,) = DeadTopic(site.section).letters().values()
    assert (letter.topic, letter.offset, letter.code, letter.seen_at) == (source.decode()[:-4], 9, "json", 17)


def test_long_message_is_shown_as_cut_and_only_another_takes_its_place(site: LinkSite) -> None:
    refused(site, [Edge("long", b"x" * 1_000_000)])
    (letter,) = DeadTopic(site.section).letters().values()
    assert (letter.code, letter.length, len(letter.bytes())) == ("size", 1_000_000, bounds.LONGEST)
    shown = dead(site, "show", letter.id).stdout
    assert f"the first {bounds.LONGEST} of 1000000 bytes" in shown
    assert letter.sha256 in shown
    driven = dead(site, "redrive", letter.id)
    assert (driven.exit_code, last(driven)) == (1, {"redriven": 0, "dead": 1})
    assert "--as" in driven.stdout
    assert last(dead(site, "redrive", letter.id, "--as", "{}")) == {"redriven": 1, "dead": 0}
    assert site.records(site.topics.transactions)[-1].value == b"{}"


def test_list_survives_whatever_stands_among_the_letters(site: LinkSite) -> None:
    edges = of_any_topic()
    small = [edge for edge in edges if len(edge.value or b"") + len(edge.key or b"") < 900_000]
    sent = [*edges, *(edge._replace(headers=OURS) for edge in small)]
    refused(site, sent)
    send(site, site.topics.dead, *sent)
    listed = dead(site, "list")
    assert listed.exit_code == 0
    # What a sender wrote there itself names no position where ours would stand: it is no letter.
    assert last(listed) == {"letters": len(sent), "dead": len(sent)}


@pytest.mark.parametrize("library", LIBRARIES)
def test_link_of_either_library_takes_edges_and_publishes_their_letters(library: str) -> None:
    site, edges = LinkSite(library=library), of_any_topic()
    send(site, site.topics.transactions, *edges)
    site.pay(payments(5))
    link = site.link()
    intakes = read_until(link, len(edges) + 5)
    rejects = [reject for intake in intakes for reject in intake.rejects]
    assert len(rejects) == len(edges)
    link.write((), rejects)
    link.flush()
    link.close()
    letters = site.records(site.topics.dead)
    assert len(letters) == len(edges)
    assert max(len(letter.value or b"") for letter in letters) == bounds.LONGEST
    assert max(sum(len(value or b"") for _, value in letter.headers) for letter in letters) < 2 * bounds.KEPT_BYTES
