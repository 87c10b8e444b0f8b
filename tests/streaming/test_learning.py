"""The learning loop in the label book's process: periods, orders, and what is published, without a broker."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from fraud.core.labels import Deadlines, LabelBook
from fraud.core.learning.gate import Gate
from fraud.core.records import DAY, SECOND, Action, Answer, Decision, Label, Position, Verdict
from models.online import snapshots
from models.online.snapshots import Event, decoded, event_in, live_in
from streaming.kafka import updates
from streaming.kafka.topics import Topics
from streaming.labels.counts import LearningCounts
from streaming.labels.joiner import LabelJoiner
from streaming.labels.journal import SqliteJournal
from streaming.labels.learning import PERIOD, Learning, Outlet, Refreshes, Successor, let_through
from streaming.labels.pending import SqlitePending
from streaming.messages.schema import Deal, Do, LabelsMessage, RefreshMessage
from streaming.observe.logs import Log
from streaming.observe.metrics import Metrics
from tests.filled import filled
from tests.streaming.stub_loop import BASE, CHART, Done, StubLoop

TOPICS = Topics()
PLAIN = msgspec.structs.replace(filled(Decision), channel="", marks=(), known_as="", action=Action.APPROVE)
EVERY = 60 * SECOND
PLACE = "actions@x/0/7"


class Desk(NamedTuple):
    """A learning loop in its process."""

    loop: StubLoop
    pending: SqlitePending
    learning: Learning
    joiner: LabelJoiner


Make = Callable[..., Desk]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A maker of processes on one file."""
    opened: list[SqlitePending] = []

    def made(loop: StubLoop | None = None, in_force: Mapping[str, bytes] | None = None, **refreshes: Any) -> Desk:
        pending = SqlitePending(tmp_path / "book.db")
        opened.append(pending)
        loop = loop or StubLoop()
        learning = Learning(
            loop,
            Refreshes(BASE, EVERY, **refreshes),
            pending,
            Outlet(pending, TOPICS, Log("book")),
            lambda: {"labels@x/0": 4},
            lambda base: in_force or {},
        )
        joiner = LabelJoiner(LabelBook(pending, Deadlines(2 * DAY, maturity=DAY)), pending, TOPICS, learning)
        return Desk(loop, pending, learning, joiner)

    yield made
    for pending in opened:
        pending.close()


def test_names_of_keys_are_those_of_what_the_learner_publishes() -> None:
    for name in ("SNAPSHOT", "LIVE", "EVENT", "HELD"):
        assert getattr(updates, name) == getattr(snapshots, name)


def decided(number: int, at: int) -> Answer:
    decision = msgspec.structs.replace(PLAIN, tx_id=f"t{number}", happened_at=at, seen_at=at)
    return Answer(decision=decision, position=Position("transactions", 0, number))


def verdict(number: int, at: int) -> Label:
    return Label(tx_id=f"t{number}", verdict=Verdict.FRAUD, happened_at=at, seen_at=at)


def out(pending: SqlitePending, topic: str) -> list[tuple[str, bytes]]:
    """Return what waits to be published on a topic, in order: keys and values."""
    return [(message.key.decode(), message.value) for _, message in pending.outbox(0) if message.topic == topic]


def events(pending: SqlitePending) -> list[Event]:
    return [event_in(body) for key, body in out(pending, TOPICS.updates) if key.startswith("event/")]


def test_labels_wait_until_their_period_is_over_and_then_leave_behind_what_was_learned(make: Make) -> None:
    desk = make()
    desk.learning.clock_reached(10 * EVERY + 1)
    desk.joiner.decision(decided(1, 100 * DAY))
    desk.joiner.label(verdict(1, 101 * DAY))
    desk.learning.clock_reached(11 * EVERY - 1)
    assert desk.pending.outbox(0) == []
    desk.learning.clock_reached(11 * EVERY)
    topics = [message.topic for _, message in desk.pending.outbox(0)]
    assert topics == [TOPICS.updates] * 4 + [TOPICS.known, TOPICS.updates]
    assert desk.loop.told == [
        ("hear", "t1", False), ("take", "t1", 10), ("close", 10, 11 * EVERY, {"labels@x/0": 4}),
    ]  # fmt: skip
    assert desk.joiner.counts()["known"] == 1


def test_version_leaves_before_what_names_it_with_its_positions(make: Make) -> None:
    desk = make()
    desk.loop.shown = {"version": "1-of-the-loop"}
    desk.learning.clock_reached(EVERY)
    desk.learning.clock_reached(2 * EVERY)
    (first, snapshot), (second, live), (third, event), (fourth, held), (fifth, ended) = out(
        desk.pending, TOPICS.updates
    )
    version = desk.loop.versions[0]
    assert (first, second, third, fourth) == (f"snapshot/{version}", f"live/{BASE}", "event/1", f"held/{BASE}")
    # The learner's sign of life, to those who hear of nothing else for days.
    expected = {"at": 2 * EVERY, "version": "1-of-the-loop", "positions": {"labels@x/0": 4}}
    assert (fifth, msgspec.json.decode(ended)) == (f"period/{BASE}", expected)
    assert decoded(snapshot).positions == {"labels@x/0": 4}
    assert live_in(live).version == version
    assert event_in(event).kind == "refreshed"
    assert msgspec.json.decode(held) == {CHART: {"count": 3, "since": 5, "examples": ["t1", "t2"]}}


def test_process_that_was_away_for_hours_ends_what_it_was_in_and_goes_on_in_the_period_of_now(make: Make) -> None:
    desk = make()
    desk.learning.clock_reached(10 * EVERY)
    desk.pending.commit()
    again = make(desk.loop)
    again.learning.clock_reached(500 * EVERY + 3)
    again.learning.clock_reached(500 * EVERY + 4)
    # 489 periods in which nobody looked, which the gate is not to count
    assert [entry[:3] for entry in desk.loop.told] == [("move", 489, 500 * EVERY + 3), ("close", 499, 500 * EVERY)]
    again.joiner.decision(decided(1, 100 * DAY))
    again.joiner.label(verdict(1, 101 * DAY))
    assert desk.loop.told[-1] == ("take", "t1", 500)


def test_clock_that_goes_back_ends_no_period_again(make: Make) -> None:
    desk = make()
    for at in (10, 11, 9, 11):
        desk.learning.clock_reached(at * EVERY)
    assert [entry[1] for entry in desk.loop.told] == [10]


def test_periods_of_the_stream_end_with_its_payments_before_they_are_heard(make: Make) -> None:
    desk = make(by_stream=True)
    desk.learning.clock_reached(90 * DAY)
    desk.joiner.decision(decided(1, 100 * DAY))
    desk.joiner.decision(decided(2, 100 * DAY + 3 * EVERY))
    desk.learning.clock_reached(200 * DAY)
    assert [entry[0] for entry in desk.loop.told] == ["hear", "close", "hear"]


def test_numbers_of_events_rise_over_restarts(make: Make) -> None:
    desk = make()
    desk.learning.clock_reached(EVERY)
    desk.learning.clock_reached(2 * EVERY)
    desk.pending.commit()
    again = make(desk.loop)
    again.learning.clock_reached(3 * EVERY)
    assert [event.seq for event in events(again.pending)] == [1, 2]


class Once:
    """Follows one change of the model, that of a test."""

    def __init__(self, loop: StubLoop) -> None:
        self.turns = 0
        self.next: Successor | None = Successor("demo@2", lambda: loop.told.append(("follow",)))

    def turn(self, now: int) -> None:
        self.turns += 1

    def successor(self) -> Successor | None:
        found, self.next = self.next, None
        return found


def test_another_model_is_gone_on_with_behind_the_end_of_a_period(make: Make) -> None:
    desk = make()
    follows = desk.learning._following = Once(desk.loop)
    desk.learning.work()
    desk.learning.clock_reached(EVERY)
    assert follows.turns == 1
    assert ("follow",) not in desk.loop.told
    for period in (2, 3):
        desk.learning.clock_reached(period * EVERY)
    assert [entry[0] for entry in desk.loop.told] == ["work", "close", "follow", "close"]
    keys = [key for key, _ in out(desk.pending, TOPICS.updates)]
    assert [key for key in keys if key.startswith(("held/", "period/"))] == [
        f"held/{BASE}", f"period/{BASE}", "held/demo@2", "period/demo@2"
    ]  # fmt: skip
    desk.learning.order(RefreshMessage(do=Do.FREEZE, base=BASE), PLACE, 4 * EVERY)
    assert "the order is for demo@1, this process learns on demo@2" in events(desk.pending)[-1].text


ORDERS: dict[str, RefreshMessage | LabelsMessage] = {
    "pinned": RefreshMessage(do=Do.PIN, version="", by="anna"),
    "rolled-back": RefreshMessage(do=Do.ROLLBACK, base=BASE, by="anna"),
    "frozen": RefreshMessage(do=Do.FREEZE, by="anna"),
    "thawed": RefreshMessage(do=Do.THAW, by="anna"),
    "released": LabelsMessage(do=Deal.RELEASE, chart=CHART, by="anna"),
    "dropped": LabelsMessage(do=Deal.DROP, chart=CHART, by="anna"),
}


@pytest.mark.parametrize("kind", ORDERS)
def test_order_is_carried_out_and_its_event_names_it(make: Make, kind: str) -> None:
    desk, order = make(), ORDERS[kind]
    desk.learning.clock_reached(EVERY)
    desk.learning.clock_reached(2 * EVERY)
    if kind == "pinned":
        order = RefreshMessage(do=Do.PIN, version=desk.loop.versions[0], by="anna")
    desk.learning.order(order, PLACE, 77)
    event = events(desk.pending)[-1]
    assert (event.kind, event.at, event.details["order"], event.details["by"]) == (kind, 77, PLACE, "anna")


def test_order_that_changes_nothing_is_answered_too(make: Make) -> None:
    desk = make()
    desk.learning.order(RefreshMessage(do=Do.UNPIN), PLACE, 77)
    (event,) = events(desk.pending)
    assert (event.kind, event.text, event.details["order"]) == ("unpin", "nothing changed", PLACE)


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (RefreshMessage(do=Do.PIN, version="9-none"), "there is no version '9-none'"),
        (RefreshMessage(do=Do.FREEZE, base="other@2"), "the order is for other@2, this process learns on demo@1"),
        (LabelsMessage(do=Deal.DROP, chart="device/x"), "chart 'device/x' has no alarm"),
    ],
)
def test_order_that_cannot_be_carried_out_is_answered_with_the_reason(
    make: Make, order: RefreshMessage | LabelsMessage, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = make()
    desk.learning.order(order, PLACE, 77)
    (event,) = events(desk.pending)
    assert (event.kind, event.text, event.details["order"]) == ("refused", told, PLACE)
    assert "device/x" not in capsys.readouterr().err


def test_what_is_held_is_published_when_it_changes(make: Make) -> None:
    desk = make()
    for period in range(1, 4):
        desk.learning.clock_reached(period * EVERY)
    desk.learning.order(LabelsMessage(do=Deal.DROP, chart=CHART), PLACE, 3 * EVERY)
    told = [body for key, body in out(desk.pending, TOPICS.updates) if key.startswith("held/")]
    assert [list(msgspec.json.decode(body)) for body in told] == [[CHART], []]


def test_what_payments_get_is_published_again_each_day(make: Make) -> None:
    kept = {"snapshot/1-a": b"{}", f"live/{BASE}": b"{}"}
    desk = make(in_force=kept)
    desk.learning.clock_reached(EVERY)
    desk.learning.clock_reached(2 * EVERY)
    desk.loop.close = lambda *given: Done()  # type: ignore[method-assign]
    before = len(out(desk.pending, TOPICS.updates))
    desk.learning.clock_reached(DAY)
    assert [key for key, _ in out(desk.pending, TOPICS.updates)[before:]] == [f"period/{BASE}"]
    desk.learning.clock_reached(DAY + 3 * EVERY)  # something waits to be published: it may be newer
    assert not [each for each in out(desk.pending, TOPICS.updates) if each in kept.items()]
    desk.pending.sent(desk.pending.last_sent())
    desk.learning.clock_reached(DAY + 4 * EVERY)
    desk.learning.clock_reached(DAY + 5 * EVERY)
    again = [each for each in out(desk.pending, TOPICS.updates) if each in kept.items()]
    assert again == list(kept.items())


def test_what_is_published_again_does_not_overrule_what_is_new(make: Make) -> None:
    desk = make(in_force={f"live/{BASE}": b'{"version":"old"}'})
    desk.learning.clock_reached(EVERY)
    desk.learning.clock_reached(2 * EVERY)
    desk.pending.sent(desk.pending.last_sent())
    desk.learning.clock_reached(DAY + 3 * EVERY)
    desk.pending.sent(desk.pending.last_sent())
    desk.learning.clock_reached(2 * DAY + 4 * EVERY)
    said = [msgspec.json.decode(body)["version"] for key, body in out(desk.pending, TOPICS.updates) if "live/" in key]
    assert said == ["old", desk.loop.versions[-1]]


def test_clock_that_was_far_ahead_or_longer_periods_do_not_stop_periods(make: Make) -> None:
    desk = make()
    desk.learning.clock_reached(9_000 * EVERY)
    desk.pending.commit()
    again = make(desk.loop)
    for period in (10, 10, 11):
        again.learning.clock_reached(period * EVERY)
    assert [entry[:3] for entry in desk.loop.told] == [("move", -8_990, 10 * EVERY), ("close", 10, 11 * EVERY)]
    assert [event.kind for event in events(again.pending)] == ["clock-back", "refreshed"]


def test_labels_that_wait_in_a_gate_are_let_through_where_it_was_switched_off(make: Make, tmp_path: Path) -> None:
    desk = make()
    desk.learning.clock_reached(9 * EVERY)
    book = LabelBook(desk.pending, Deadlines(2 * DAY))
    gate = Gate(SqliteJournal(desk.pending))
    book.hold(decided(1, 100 * DAY).decision)
    match = book.match(verdict(1, 101 * DAY))
    assert match is not None
    gate.take(match, 0.5, 9)
    desk.pending.commit()
    after = SqlitePending(tmp_path / "book.db")
    for _ in range(2):
        let_through(after, Outlet(after, TOPICS, Log("book")), Log("book"))
    after.commit()
    assert [message.topic for _, message in after.outbox(0)] == [TOPICS.known]
    after.close()
    # switched on again in the same minute, labels come in a period that is open
    again = make()
    again.learning.clock_reached(9 * EVERY)
    gate = Gate(SqliteJournal(again.pending))
    gate.take(match, 0.5, again.pending.number(PERIOD))
    assert gate.waiting == 1


def test_what_falls_due_is_told_to_the_loop(make: Make) -> None:
    desk = make()
    desk.learning.clock_reached(EVERY)
    for number in (1, 2):
        desk.joiner.decision(decided(number, 100 * DAY))
    desk.joiner.label(verdict(2, 100 * DAY))
    desk.joiner.decision(decided(3, 200 * DAY))
    desk.joiner.expire(desk.joiner.watermark)
    assert {("take", "t1", 1), ("take", "t2", 1), ("settle", "t2")} <= set(desk.loop.told)
    assert sorted(entry for entry in desk.loop.told if entry[0] == "ripen") == [("ripen", "t1"), ("ripen", "t2")]
    assert ("settle", "t1") not in desk.loop.told


def test_alarm_is_a_line_in_the_log_without_what_it_is_about(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    desk = make()
    alarm = Event(seq=0, at=1, kind="alarm", text="merchant/M7 holds 8", details={"chart": "merchant/M7"})
    desk.learning.clock_reached(EVERY)
    desk.loop.close = lambda *given: Done(events=(alarm,))  # type: ignore[method-assign]
    desk.learning.clock_reached(2 * EVERY)
    told = capsys.readouterr().err
    assert '"event":"alarm"' in told
    assert '"refresh_event":1' in told
    assert "M7" not in told


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_figures_of_the_loop_are_metrics_that_name_no_merchant(make: Make) -> None:
    loop = StubLoop()
    loop.shown = {
        "seq": 7, "step_rms": 0.25, "waiting": 3, "evidence": (1.5, 2.5), "enough": True,
        "weights": {"frozen": 0.5, "slow": 0.25, "fast": 0.25}, "losses": {"frozen": 2.0},
        "held": {"source/analyst": 4, "source-strong/analyst": 6, "merchant/M7": 2, "merchant/M8": 3},
        "told": {"ecom": 0.75}, "learned": {"analyst/fraud": 9},
    }  # fmt: skip
    metrics = Metrics()
    metrics.registry.register(LearningCounts(make(loop).learning))
    told = metrics.text().decode()
    for line in (
        "fraud_refresh_seq 7.0", "fraud_refresh_step_rms 0.25", "fraud_labels_waiting 3.0",
        'fraud_refresh_evidence{side="for"} 1.5', 'fraud_refresh_evidence{side="against"} 2.5',
        'fraud_refresh_weight{expert="slow"} 0.25', 'fraud_refresh_loss_nats{by="frozen"} 2.0',
        'fraud_labels_held{source="analyst"} 6.0', 'fraud_labels_held{source="merchant"} 5.0',
        'fraud_label_told_share{channel="ecom"} 0.75',
        'fraud_labels_learned_total{source="analyst",verdict="fraud"} 9.0',
    ):  # fmt: skip
        assert line in told.splitlines()
    assert "M7" not in told


def test_guard_that_has_seen_too_few_frauds_shows_no_evidence(make: Make) -> None:
    loop = StubLoop()
    loop.shown = {"evidence": (1.5, 2.5), "enough": False}
    metrics = Metrics()
    metrics.registry.register(LearningCounts(make(loop).learning))
    assert "fraud_refresh_evidence{" not in metrics.text().decode()
