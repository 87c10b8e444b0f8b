"""An embedded engine with an outside: what its log says, and what it makes of what a console says by the same log."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest

from fraud.core.actions import CaseAction, Remedy
from fraud.core.fields import Duration
from fraud.core.records import (
    DAY,
    HOUR,
    Action,
    Answer,
    Decision,
    Intake,
    KnownLabel,
    Label,
    LabelSource,
    Position,
    Reject,
    Verdict,
)
from fraud.core.settings import LabelsSection, ModelSection, Settings
from fraud.simulate import stream
from fraud.simulate.source import SimulatedSource
from models.online import snapshots
from streaming import run, wiring
from streaming.embedded.hearing import Hearing
from streaming.feeds.topic_log import TopicLog
from streaming.kafka import updates
from streaming.kafka.topics import Topics
from streaming.messages import actions, envelope
from streaming.messages.codec import Codec
from streaming.messages.feed import Record
from streaming.messages.schema import ReleaseMessage
from streaming.wiring import Outside

TOPICS = Topics()
PLAIN = msgspec.structs.replace(
    Settings(), model=ModelSection(name="demo"), labels=LabelsSection(deadline=Duration.parse("2d"))
)
TRAFFIC = partial(stream("rich").make, cards=150, days=8, fraud_share=0.05, chargeback_days=1.0)
BATCH = 32


def learns() -> Settings:
    """Return the settings with a learner, whose periods are of six hours."""
    refresh = msgspec.structs.replace(PLAIN.refresh, enabled=True, every=Duration(6 * HOUR))
    gate = msgspec.structs.replace(PLAIN.gate, enabled=True)
    learning = msgspec.structs.replace(PLAIN.learning, maturity=Duration(DAY))
    return msgspec.structs.replace(PLAIN, refresh=refresh, gate=gate, learning=learning)


def opened(folder: Path, settings: Settings = PLAIN, since: int = 0) -> Outside:
    return wiring.outside(settings, TopicLog(folder), since, lambda closed, held, at: None)


class Ran:
    """What a run answered, read by read, and what its log says then."""

    def __init__(self, folder: Path, settings: Settings = PLAIN, since: int = 0) -> None:
        self.answers: list[Answer] = []
        self.reads: list[int] = []
        made = opened(folder, settings, since)
        self.parts = made.parts
        source = made.over(SimulatedSource(TRAFFIC(), batch=BATCH), lambda order: None)
        run.run(source, made.engine, made.sink, self._note)
        self.records = records(folder)

    def of(self, topic: str) -> list[Record]:
        return [record for record in self.records if record.topic == topic]

    def _note(self, intake: Intake, answers: Sequence[Answer]) -> bool:
        del intake
        self.answers += answers
        self.reads.append(len(answers))
        return True


def records(folder: Path) -> list[Record]:
    """Return all that a log says."""
    feed = TopicLog(folder).feed([TOPICS.decisions, TOPICS.known, TOPICS.applied, TOPICS.updates])
    feed.start({})
    found: list[Record] = []
    while some := feed.poll(0.0):
        found += some
    feed.close()
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run without a learner."""
    return Ran(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run with one."""
    return Ran(tmp_path_factory.mktemp("learned"), learns())


# --- what it publishes -----------------------------------------------------------------------------------------------


def test_log_has_every_answer_as_a_worker_publishes_it(plain: Ran) -> None:
    found = [envelope.answer_in(record.value, record.headers) for record in plain.of(TOPICS.decisions)]
    assert len(found) == len(plain.answers) > 1_000
    for one, other in zip(found, plain.answers, strict=True):
        assert one.decision == other.decision
        assert (one.position, one.repeat_of, one.evidence) == (other.position, other.repeat_of, other.evidence)
        assert (one.vector is None) == (other.vector is None)
        if one.vector is not None and other.vector is not None:
            assert one.vector.values.tobytes() == other.vector.values.tobytes()
    assert [record.key.decode() for record in plain.of(TOPICS.decisions)] == [
        answer.decision.card for answer in plain.answers
    ]


def test_source_offsets_only_grow_so_that_a_reader_drops_what_it_has_seen(plain: Ran) -> None:
    for topic in (TOPICS.decisions, TOPICS.applied):
        offsets = [position_of(record).offset for record in plain.of(topic)]
        assert offsets == sorted(set(offsets))


def test_known_labels_are_those_that_the_state_took_in_each_followed_by_when(plain: Ran) -> None:
    known = {record.offset: envelope.known_in(record.value) for record in plain.of(TOPICS.known)}
    applied = [(position_of(record), envelope.known_in(record.value)) for record in plain.of(TOPICS.applied)]
    assert len(known) == len(applied) > 100
    assert {label.source for label in known.values()} == {*LabelSource}
    assert [position for position, _ in applied] == [Position(TOPICS.known, 0, offset) for offset in known]
    for position, label in applied:
        of = known[position.offset]
        assert label == msgspec.structs.replace(of, seen_at=label.seen_at)
        assert label.seen_at >= of.seen_at


def test_learner_s_labels_are_published_at_the_end_of_their_period(learned: Ran) -> None:
    known = [envelope.known_in(record.value) for record in learned.of(TOPICS.known)]
    assert len(known) == len(learned.of(TOPICS.applied)) > 100
    late = [
        envelope.known_in(record.value).seen_at - label.seen_at
        for label, record in zip(known, learned.of(TOPICS.applied), strict=True)
    ]
    assert max(late) > HOUR


def test_learner_tells_what_its_process_would_tell(learned: Ran) -> None:
    base = learned.parts.strategy.scorer.version
    told = [updates.Update(record.key.decode(), record.value) for record in learned.of(TOPICS.updates)]
    kept = [snapshots.decoded(update.value) for update in told if update.key.startswith(updates.SNAPSHOT)]
    assert [update.key for update in told if update.key.startswith(updates.SNAPSHOT)] == [
        f"{updates.SNAPSHOT}{snapshot.version}" for snapshot in kept
    ]
    assert len(kept) > 5
    assert {snapshot.base for snapshot in kept} == {base}
    numbers = [int(update.key.removeprefix(updates.EVENT)) for update in told if update.key.startswith(updates.EVENT)]
    assert numbers == list(range(1, len(numbers) + 1))
    ends = [msgspec.json.decode(update.value)["at"] for update in told if update.key == f"{updates.PERIOD}{base}"]
    assert ends == sorted(set(ends))
    assert {end % (6 * HOUR) for end in ends} == {0}
    assert f"{updates.HELD}{base}" in {update.key for update in told}


def test_what_was_seen_before_the_demo_is_live_says_so(tmp_path: Path, plain: Ran) -> None:
    since = plain.answers[len(plain.answers) // 2].decision.seen_at
    for record in Ran(tmp_path, since=since).of(TOPICS.decisions):
        decision = envelope.answer_in(record.value, record.headers).decision
        mark = envelope.header(record.headers, envelope.HISTORY)
        assert mark == (b"1" if decision.seen_at < since else None)
    assert {envelope.header(record.headers, envelope.HISTORY) for record in plain.of(TOPICS.decisions)} == {None}


def test_decisions_tell_where_the_time_went(plain: Ran, learned: Ran) -> None:
    for ran in (plain, learned):
        messages = ran.of(TOPICS.decisions)
        told = [envelope.header(record.headers, envelope.STAGES) for record in messages]
        spent = [dict(word.split("=") for word in stages.decode().split()) for stages in told if stages]
        assert len(spent) == len(messages)
        assert set().union(*spent) == {"read", "features", "model", "reasons", "write"}
        assert all({"features", "model"} <= stages.keys() for stages in spent)


def test_outside_changes_no_answer(plain: Ran, learned: Ran) -> None:
    for settings, ran in ((PLAIN, plain), (learns(), learned)):
        engine, found = wiring.build(settings).engine, list[Answer]()
        source = SimulatedSource(TRAFFIC(), batch=BATCH)
        while (intake := source.read()) is not None:
            found += engine.handle(intake.arrivals)
        assert [answer.decision for answer in found] == [answer.decision for answer in ran.answers]


# --- what it hears ---------------------------------------------------------------------------------------------------


class Console:
    """An embedded engine, and a console that speaks to it once it has answered some payments."""

    def __init__(self, folder: Path, obey: Callable[[CaseAction], object] = lambda order: None) -> None:
        made = opened(folder)
        self.parts, self.folder, self.rejects = made.parts, folder, list[Reject]()
        self.labels: list[Label] = []
        self._sink, self._outlet = made.sink, TopicLog(folder).outlet()
        feed = TopicLog(folder).feed([TOPICS.labels, TOPICS.actions])
        self.source = Hearing(SimulatedSource(TRAFFIC(), batch=BATCH), feed, Codec(), TOPICS, [obey])
        self.answers: list[Answer] = []
        self.seen_at = 0

    def turn(self) -> Intake:
        """Take one read through the engine."""
        intake = self.source.read()
        assert intake is not None
        answers = self.parts.engine.handle(intake.arrivals)
        self._sink.write(answers, intake.rejects)
        self.answers += answers
        self.rejects += intake.rejects
        self.labels += [arrival.event for arrival in intake.arrivals if isinstance(arrival.event, Label)]
        if intake.arrivals:
            self.seen_at = intake.arrivals[-1].event.seen_at
        return intake

    def say(self, *messages: envelope.Outgoing) -> None:
        self._outlet.send(messages)

    def held_by(self, age: int) -> list[Decision]:
        """Return the decisions to hold a payment that are older than so many ns."""
        end = self.answers[-1].decision.happened_at - age
        decisions = (answer.decision for answer in self.answers if answer.decision.action is Action.REVIEW)
        return [decision for decision in decisions if decision.happened_at <= end]

    def known(self) -> list[KnownLabel]:
        return [envelope.known_in(record.value) for record in records(self.folder) if record.topic == TOPICS.known]

    def close(self) -> None:
        self._outlet.close()
        self._sink.close()
        self.source.close()


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(tmp_path)
    yield made
    made.close()


def verdict_on(answer: Answer, **fields: object) -> Label:
    decision = answer.decision
    plain: dict[str, object] = {"happened_at": decision.happened_at, "source": LabelSource.ANALYST, "seen_at": 0}
    return Label(tx_id=decision.tx_id, verdict=Verdict.FRAUD, **{**plain, **fields})  # type: ignore[arg-type]


def test_verdict_of_an_analyst_is_heard_at_the_stream_s_time_and_becomes_known(console: Console) -> None:
    console.turn()
    console.turn()
    now, answer = console.seen_at, console.answers[5]
    console.say(envelope.label_out(verdict_on(answer), TOPICS.labels))
    intake = console.turn()
    (arrival,) = intake.arrivals
    assert arrival.event == verdict_on(answer, seen_at=now) == console.labels[-1]
    assert arrival.position == Position("labels@console", 0, 0)
    (known,) = [label for label in console.known() if label.tx_id == answer.decision.tx_id]
    assert (known.verdict, known.source, known.card) == (Verdict.FRAUD, LabelSource.ANALYST, answer.decision.card)


def test_verdict_is_taken_in_though_the_simulation_s_own_labels_have_higher_offsets(console: Console) -> None:
    while len(console.labels) < 40:
        console.turn()
    answer = console.answers[-1]
    console.say(envelope.label_out(verdict_on(answer), TOPICS.labels))
    before = digest(console)
    console.turn()
    assert [label.tx_id for label in console.known()][-1] == answer.decision.tx_id
    assert digest(console) != before


def digest(console: Console) -> bytes:
    return console.parts.store.snapshot()


def test_nothing_is_heard_before_the_first_event(console: Console) -> None:
    first = verdict_on_nothing("t-unknown")
    console.say(envelope.label_out(first, TOPICS.labels))
    assert all(not isinstance(arrival.event, Label) or arrival.event.tx_id != "t-unknown"
               for arrival in console.turn().arrivals)  # fmt: skip
    assert [arrival.event.seen_at for arrival in console.turn().arrivals] == [console.seen_at]


def verdict_on_nothing(tx_id: str) -> Label:
    return Label(tx_id=tx_id, verdict=Verdict.FRAUD, happened_at=TRAFFIC().seen_at[0].item(), seen_at=0)


def test_message_that_is_no_verdict_is_a_reject_and_the_next_is_heard(console: Console) -> None:
    console.turn()
    good = envelope.label_out(verdict_on(console.answers[0]), TOPICS.labels)
    console.say(good._replace(value=b'{"tx_id":"t"}'), good)
    console.turn()
    assert [reject.code for reject in console.rejects] == ["verdict"]
    assert console.labels[-1].tx_id == console.answers[0].decision.tx_id


def test_verdicts_come_a_batch_at_a_time_and_none_is_lost(console: Console) -> None:
    console.turn()
    console.say(*[envelope.label_out(verdict_on_nothing(f"t{number}"), TOPICS.labels) for number in range(700)])
    heard: list[Label] = []
    while len(heard) < 700:
        intake = console.turn()
        assert len(intake.arrivals) <= BATCH
        heard += [arrival.event for arrival in intake.arrivals if isinstance(arrival.event, Label)]
    own = [label.tx_id for label in heard if label.tx_id.startswith("t") and label.tx_id[1:].isdigit()]
    assert own[:700] == [f"t{number}" for number in range(700)]


def test_orders_are_handed_to_whoever_obeys_and_other_kinds_to_nobody(tmp_path: Path) -> None:
    obeyed: list[CaseAction] = []
    console = Console(tmp_path, obeyed.append)
    console.turn()
    order = CaseAction(id="a", action=Remedy.BLOCK_CARD, card="C1", at=7, by="anna")
    release = actions.of_action(ReleaseMessage(tx_id="t", happened_at=1))
    console.say(
        envelope.Outgoing(TOPICS.actions, b"t", release),
        actions.case_out(order, TOPICS.actions),
        envelope.Outgoing(TOPICS.actions, b"", b"{"),
    )
    console.turn()
    assert obeyed == [order]
    assert console.rejects == []
    console.close()


def test_silence_about_a_held_payment_counts_from_when_it_is_told_that_it_went_through(console: Console) -> None:
    def silent() -> list[Decision]:
        """Return the held payments whose deadline has passed and of which nobody has spoken."""
        spoken = {label.tx_id for label in console.labels}
        return [decision for decision in console.held_by(3 * DAY) if decision.tx_id not in spoken]

    console.turn()
    console.turn()
    while len(silent()) < 2:
        console.turn()
    (through, kept), now = silent()[:2], console.answers[-1].decision.happened_at
    console.parts.engine.release(through.tx_id, now)
    console.turn()
    known = {label.tx_id: label for label in console.known()}
    told = known[through.tx_id]
    assert (told.verdict, told.source, told.happened_at) == (Verdict.GENUINE, LabelSource.SILENCE, now)
    assert kept.tx_id not in known


def position_of(record: Record) -> Position:
    return envelope.position_in(envelope.header(record.headers, envelope.SOURCE) or b"")
