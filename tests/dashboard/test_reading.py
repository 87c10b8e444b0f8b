"""Records of the console's topics, read as what the intake takes."""

import pytest

from fraud.core.records import Action, Position
from fraud.dashboard.reading import Reader
from fraud.review.intake.seen import AppliedSeen, DecisionSeen, EventSeen, KnownSeen, LiveSeen, Seen, SnapshotSeen
from streaming.messages.bounds import taken
from streaming.messages.envelope import Outgoing
from tests.dashboard.streams import TOPICS, applied, decided, records_of, told, update
from tests.edges import Edge, of_any_topic
from tests.review.taken import NOW, label

TOPICS_READ = (TOPICS.decisions, TOPICS.known, TOPICS.applied, TOPICS.updates)


def read(*messages: Outgoing) -> list[Seen]:
    return Reader(TOPICS).read(records_of(messages))


def test_decision_comes_with_all_that_travelled_beside_it() -> None:
    message = decided(7, action=Action.REVIEW)
    (seen,) = read(message._replace(headers=(*message.headers, ("evidence", b"e"))))
    assert isinstance(seen, DecisionSeen)
    assert (seen.decision.tx_id, seen.decision.action, seen.message) == ("tx7", Action.REVIEW, message.value)
    assert (seen.source, seen.at, seen.arrived_at) == (
        Position("transactions@abc", 0, 7), Position("decisions", 0, 0), NOW,
    )  # fmt: skip
    assert (seen.evidence, seen.stages, seen.repeat, seen.past) == (b"e", b"read=100 model=300", False, False)
    assert seen.vector == dict(message.headers)["vector"]


def test_repeat_and_history_are_told_by_their_headers() -> None:
    first, second = decided(7, repeat_of=Position("transactions@abc", 0, 3)), decided(8)
    seen = read(first, second._replace(headers=(*second.headers, ("history", b"1"))))
    assert [(each.repeat, each.past) for each in seen if isinstance(each, DecisionSeen)] == [
        (True, False),
        (False, True),
    ]


def test_labels_and_news_of_learning_are_read() -> None:
    snapshot = {"version": "1-a", "base": "b@1", "seq": 1, "at": 5, "promoted": True, "changes": "AAAA", "why": "first"}
    live = {"base": "b@1", "version": "1-a", "seq": 1, "at": 6, "why": "promoted", "pinned": False}
    event = {"seq": 3, "at": 7, "kind": "drift", "text": "x", "details": {}}
    found = read(
        told(1), applied(label(1)), update("snapshot/1-a", **snapshot), update("live/b@1", **live),
        update("event/3", **event), update("period/b@1", at=1), Outgoing("model-updates", b"held/b@1", b"", ()),
    )  # fmt: skip
    assert [type(each) for each in found] == [KnownSeen, AppliedSeen, SnapshotSeen, LiveSeen, EventSeen]
    assert isinstance(found[2], SnapshotSeen)
    assert "changes" not in found[2].content
    assert found[2].content["why"] == "first"


@pytest.mark.parametrize(
    "message",
    [
        Outgoing("decisions", b"k", b"{}", ()),
        Outgoing("decisions", b"k", b"\xff", ()),
        decided(1)._replace(headers=()),
        Outgoing("labels.known", b"k", b"[]", ()),
        Outgoing("model-updates", b"live/b", b"{}", ()),
    ],
)
def test_what_cannot_be_read_is_counted_and_left_out(message: Outgoing) -> None:
    reader = Reader(TOPICS)
    assert len(reader.read(records_of([message, decided(2)]))) == 1
    assert reader.unreadable == 1


@pytest.mark.parametrize("topic", TOPICS_READ)
@pytest.mark.parametrize("edge", of_any_topic(), ids=lambda edge: edge.name)
def test_edge_in_a_topic_of_ours_is_counted_and_left_out(topic: str, edge: Edge) -> None:
    reader = Reader(TOPICS)
    for key in (edge.key or b"", b"live/b@1"):
        assert reader.read(records_of([Outgoing(topic, key, edge.value or b"", taken(edge.headers))])) == []
    assert reader.unreadable >= (topic != TOPICS.updates)


@pytest.mark.parametrize("name", ["seq", "at"])
@pytest.mark.parametrize("value", [10**30, [], {}, None, "x"])
def test_news_with_a_number_that_no_database_takes_are_left_out(name: str, value: object) -> None:
    live = {"base": "b@1", "version": "1-a", "seq": 1, "at": 6, "why": "promoted", "pinned": False}
    assert read(update("live/b@1", **{**live, name: value})) == []


def test_character_that_postgres_takes_in_no_text_is_shown_as_unknown() -> None:
    message = decided(7)
    with_text = message.value.replace(b'"text":"', b'"text":"a\\u0000b')
    assert with_text != message.value
    (seen,) = read(message._replace(value=with_text))
    assert isinstance(seen, DecisionSeen)
    assert seen.decision.text.startswith("a\ufffdb")
