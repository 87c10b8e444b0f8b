"""The label service on a client that is told what to read: what it keeps when it breaks off within a batch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from fraud.core.actions import AuditHead, CaseAction, Remedy
from fraud.core.errors import StateError, TopicReplacedError
from fraud.core.labels import LabelBook
from fraud.core.records import DAY, Action, Answer, Decision, LabelSource, Position, Verdict
from streaming.kafka.client import Commit, Place, Span
from streaming.kafka.topics import Topics
from streaming.labels import log
from streaming.labels.counts import BookCounts
from streaming.labels.joiner import LabelJoiner
from streaming.labels.log import LabelLog
from streaming.labels.pending import SqlitePending
from streaming.labels.service import LabelService
from streaming.messages import actions, envelope
from streaming.messages.codec import Codec
from streaming.messages.envelope import Outgoing
from streaming.messages.money import Rates
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Metrics
from tests.filled import filled

TOPICS = Topics()
IDS = {TOPICS.decisions: "d", TOPICS.labels: "l", TOPICS.actions: "a"}


class Read(NamedTuple):
    """One record."""

    topic: str
    partition: int
    offset: int
    value: bytes
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


class Consumer:
    """A consumer that gives one batch, and notes where it is told to begin."""

    def __init__(self, *batches: Mapping[Place, Sequence[Read]], commits: Mapping[Place, Commit] | None = None) -> None:
        self._batches = [dict(batch) for batch in batches]
        self._commits = commits or {}
        self.begun: dict[Place, int] = {}
        self.ends: dict[Place, int] = {}

    def assign(self, topics: Sequence[str]) -> list[Place]:
        return [(topic, 0) for topic in topics]

    def seek(self, place: Place, offset: int) -> None:
        self.begun[place] = offset

    def committed(self, place: Place) -> Commit | None:
        return self._commits.get(place)

    def end(self, place: Place) -> int | None:
        return self.ends.get(place)

    def spans(self, places: Sequence[Place]) -> dict[Place, Span]:
        return {place: Span(0, self.ends.get(place, 2**62)) for place in places}

    def poll(self, wait_ms: int, most: int) -> Mapping[Place, Sequence[Read]]:
        del wait_ms, most
        return self._batches.pop(0) if self._batches else {}

    def give(self, batch: Mapping[Place, Sequence[Read]]) -> None:
        self._batches.append(dict(batch))

    def group(self) -> None:
        return None

    def close(self) -> None:
        """Nothing is open."""


class Producer:
    """A producer that takes everything, and keeps it."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.commits: dict[Place, Commit] = {}

    def begin(self) -> None:
        """Nothing to begin."""

    def send(self, message: Any) -> None:
        self.sent.append(message)

    def end(self, commits: Any, group: Any) -> None:
        del group
        self.commits = dict(commits)

    def close(self) -> None:
        """Nothing is open."""


def unforeseen(value: bytes, headers: object) -> None:
    del value, headers
    msg = "nobody thought of that"
    raise RuntimeError(msg)


def service(path: Path, consumer: Consumer, producer: Producer | None = None, *, anew: bool = False) -> LabelService:
    pending = SqlitePending(path)
    labels = LabelLog(consumer, producer or Producer(), pending, TOPICS, IDS)  # type: ignore[arg-type]
    labels.begin(anew=anew)
    joiner = LabelJoiner(LabelBook(pending), pending, TOPICS)
    return LabelService(labels, Codec(Rates()), joiner, pending, TOPICS, Log("book"), Health(), None, "test")


def test_batch_that_breaks_off_is_read_again_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = Read(TOPICS.decisions, 0, 7, b"whatever")
    label = Read(TOPICS.labels, 0, 3, b'{"tx_id":"t1","verdict":"fraud","happened_at":5}')
    batch = {(TOPICS.labels, 0): [label], (TOPICS.decisions, 0): [message]}
    first = service(tmp_path / "book.db", Consumer(batch))
    monkeypatch.setattr(envelope, "answer_in", unforeseen)
    with pytest.raises(RuntimeError, match="nobody thought of"):
        first.turn()
    monkeypatch.undo()
    first.close()
    consumer = Consumer({})
    again = service(tmp_path / "book.db", consumer)
    assert consumer.begun == {(TOPICS.decisions, 0): 0, (TOPICS.labels, 0): 0, (TOPICS.actions, 0): 0}
    again.close()


def test_batch_that_was_taken_is_not_read_again(tmp_path: Path) -> None:
    label = Read(TOPICS.labels, 0, 3, b'{"tx_id":"t1","verdict":"fraud","happened_at":5}')
    first = service(tmp_path / "book.db", Consumer({(TOPICS.labels, 0): [label]}))
    assert first.turn() == 1
    first.close()
    consumer = Consumer({})
    service(tmp_path / "book.db", consumer).close()
    assert consumer.begun[TOPICS.labels, 0] == 4


def test_positions_are_those_of_labels_that_were_taken(tmp_path: Path) -> None:
    given_at = {LABELS: [given("t", 20_001, 6)], DECISIONS: [decided("t", 20_000, 0)]}
    pending, consumer = SqlitePending(tmp_path / "book.db"), Consumer()
    labels = LabelLog(consumer, Producer(), pending, TOPICS, IDS)  # type: ignore[arg-type]
    labels.begin()
    assert labels.positions() == {f"{TOPICS.labels}@l/0": 0}
    labels.taken(given_at)
    assert labels.positions() == {f"{TOPICS.labels}@l/0": 7}
    labels.close()
    pending.close()


# --- silence waits for what is not read yet --------------------------------------------------------------------------

LABELS, DECISIONS, ACTIONS = (TOPICS.labels, 0), (TOPICS.decisions, 0), (TOPICS.actions, 0)
PLAIN = msgspec.structs.replace(filled(Decision), channel="", marks=(), known_as="", action=Action.APPROVE)


def decided(tx_id: str, day: int, offset: int) -> Read:
    decision = msgspec.structs.replace(PLAIN, tx_id=tx_id, happened_at=day * DAY, seen_at=day * DAY)
    message = envelope.decision_out(Answer(decision=decision, position=Position("t@x", 0, offset)), TOPICS.decisions)
    return Read(TOPICS.decisions, 0, offset, message.value, 0, message.headers)


def given(tx_id: str, day: int, offset: int) -> Read:
    text = f'{{"tx_id":"{tx_id}","verdict":"fraud","happened_at":{day * DAY}}}'
    return Read(TOPICS.labels, 0, offset, text.encode())


def told(producer: Producer) -> list[tuple[str, Verdict, LabelSource]]:
    known = [envelope.known_in(message.value) for message in producer.sent if message.topic == TOPICS.known]
    return [(label.tx_id, label.verdict, label.source) for label in known]


def test_chargeback_in_time_that_is_read_late_is_not_beaten_by_silence(tmp_path: Path) -> None:
    """The book was away: payments of months wait for it, and so does the label, behind another one."""
    batches = [
        {DECISIONS: [decided("t", 20_000, 0), decided("later", 20_100, 1)]},
        {LABELS: [given("other", 20_001, 0)]},
        {LABELS: [given("t", 20_010, 1)]},
    ]
    consumer, producer = Consumer(*batches), Producer()
    consumer.ends[LABELS] = 2
    book = service(tmp_path / "book.db", consumer, producer)
    for _ in range(4):
        book.turn()
    book.close()
    assert told(producer) == [("t", Verdict.FRAUD, LabelSource.CHARGEBACK)]


def test_silence_speaks_once_the_labels_of_before_are_read_though_more_come(tmp_path: Path) -> None:
    consumer, producer = Consumer({DECISIONS: [decided("t", 20_000, 0), decided("later", 20_100, 1)]}), Producer()
    consumer.ends[LABELS] = 1
    book = service(tmp_path / "book.db", consumer, producer)
    book.turn()
    assert told(producer) == []
    consumer.ends[LABELS] = 1_000
    consumer.give({LABELS: [given("other", 20_001, 0)]})
    book.turn()
    book.close()
    assert told(producer) == [("t", Verdict.GENUINE, LabelSource.SILENCE)]


def test_silence_waits_while_the_end_of_the_labels_is_not_known(tmp_path: Path) -> None:
    consumer, producer = Consumer({DECISIONS: [decided("t", 20_000, 0), decided("later", 20_100, 1)]}), Producer()
    book = service(tmp_path / "book.db", consumer, producer)
    book.turn()
    assert told(producer) == []
    consumer.ends[LABELS] = 0
    book.turn()
    book.close()
    assert told(producer) == [("t", Verdict.GENUINE, LabelSource.SILENCE)]


def test_end_that_no_record_leads_to_is_reached_when_nothing_comes_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marker of a sender's transaction takes an offset too."""
    consumer, producer = Consumer({DECISIONS: [decided("t", 20_000, 0), decided("later", 20_100, 1)]}), Producer()
    consumer.ends[LABELS] = 5
    book = service(tmp_path / "book.db", consumer, producer)
    book.turn()
    assert told(producer) == []
    monkeypatch.setattr(log, "QUIET_NS", -1)
    book.turn()
    book.close()
    assert told(producer) == [("t", Verdict.GENUINE, LabelSource.SILENCE)]


# --- what is no decision ---------------------------------------------------------------------------------------------


def test_foreign_decision_is_counted_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = decided("t1", 20_000, 1)._replace(headers=())
    foreign = [Read(TOPICS.decisions, 0, 0, b"no decision"), nowhere, Read(TOPICS.decisions, 0, 2, b"\xff{}")]
    torn = decided("t2", 20_000, 3)
    torn = torn._replace(headers=(*torn.headers, ("vector", b"\x09")))
    batch = {DECISIONS: [*foreign, torn, decided("t3", 20_000, 4)]}
    consumer = Consumer(batch, {LABELS: [given("t3", 20_001, 0)]})
    producer = Producer()
    book = service(tmp_path / "book.db", consumer, producer)
    book.turn()
    book.turn()
    assert told(producer) == [("t3", Verdict.FRAUD, LabelSource.CHARGEBACK)]
    assert book.counts()["foreign"] == 4
    assert capsys.readouterr().err.count('"event":"no decision"') == 4
    book.close()


def test_decision_of_an_older_release_is_held(tmp_path: Path) -> None:
    """It lacks what has a default today."""
    read = decided("t", 20_000, 0)
    needed = {field.name for field in msgspec.structs.fields(Decision) if field.default is msgspec.NODEFAULT}
    value = {name: value for name, value in msgspec.json.decode(read.value).items() if name in needed}
    consumer = Consumer(
        {DECISIONS: [read._replace(value=msgspec.json.encode(value))]}, {LABELS: [given("t", 20_001, 0)]}
    )
    producer = Producer()
    book = service(tmp_path / "book.db", consumer, producer)
    book.turn()
    book.turn()
    book.close()
    assert told(producer) == [("t", Verdict.FRAUD, LabelSource.CHARGEBACK)]


# --- the file that goes on -------------------------------------------------------------------------------------------


def published(path: Path) -> dict[Place, Commit]:
    """Return what is committed after a label was published from a file."""
    producer = Producer()
    book = service(path, Consumer({DECISIONS: [decided("t", 20_000, 0)], LABELS: [given("t", 20_001, 0)]}), producer)
    book.turn()
    book.close()
    assert len(producer.sent) == 1
    return producer.commits


def test_same_file_goes_on_and_publishes_nothing_twice(tmp_path: Path) -> None:
    commits = published(tmp_path / "book.db")
    producer = Producer()
    book = service(tmp_path / "book.db", Consumer(commits=commits), producer)
    book.turn()
    book.close()
    assert producer.sent == []


def test_lost_file_is_refused_aloud_with_the_repair(tmp_path: Path) -> None:
    commits = published(tmp_path / "book.db")
    with pytest.raises(StateError, match=r"lost.*other/book.db.*1 messages.*fraud learn --new-file"):
        service(tmp_path / "other" / "book.db", Consumer(commits=commits))


def test_new_file_begins_where_the_lost_one_had_got_to(tmp_path: Path) -> None:
    commits = published(tmp_path / "book.db")
    consumer, producer = Consumer({LABELS: [given("t", 20_001, 1)]}, commits=commits), Producer()
    book = service(tmp_path / "other.db", consumer, producer, anew=True)
    assert consumer.begun == {DECISIONS: 1, LABELS: 1, ACTIONS: 0}
    book.turn()
    assert (producer.sent, book.counts()["unmatched"]) == ([], 1)
    book.close()
    service(tmp_path / "other.db", Consumer(commits=producer.commits)).close()


def test_older_copy_of_the_file_is_refused_aloud(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    service(path, Consumer()).close()
    copy = {file.name: file.read_bytes() for file in tmp_path.glob("book.db*")}
    commits = published(path)
    for name, content in copy.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StateError, match="older copy"):
        service(path, Consumer(commits=commits))


def test_commit_of_an_earlier_release_names_no_file_and_is_taken(tmp_path: Path) -> None:
    commits = {LABELS: Commit(0, '{"seq":0}')}
    service(tmp_path / "book.db", Consumer(commits=commits)).close()


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_counts_are_metrics(tmp_path: Path) -> None:
    twice = [given("nobody", 20_000, 0), given("nobody", 20_000, 1)]
    book = service(tmp_path / "book.db", Consumer({LABELS: twice, DECISIONS: [Read(TOPICS.decisions, 0, 0, b"")]}))
    book.turn()
    metrics = Metrics()
    metrics.registry.register(BookCounts(book.counts))
    said = metrics.text().decode()
    for line in (
        'fraud_labels_total{outcome="unmatched"} 1.0',
        'fraud_labels_total{outcome="stale"} 1.0',
        'fraud_labels_total{outcome="dropped"} 0.0',
        "fraud_labels_early 1.0",
        'fraud_book_decisions_total{outcome="foreign"} 1.0',
    ):
        assert line in said.splitlines()
    book.close()


# --- actions ---------------------------------------------------------------------------------------------------------


def test_order_without_a_learner_and_what_is_no_action_are_dead_letters_with_their_codes(tmp_path: Path) -> None:
    texts = [b'{"kind":"refresh","do":"freeze"}', b'{"kind":"refresh","do":"stop"}', b""]
    batch = {ACTIONS: [Read(TOPICS.actions, 0, offset, text) for offset, text in enumerate(texts)]}
    producer = Producer()
    book = service(tmp_path / "book.db", Consumer(batch), producer)
    book.turn()
    book.close()
    letters = [message for message in producer.sent if message.topic == TOPICS.dead]
    assert [envelope.header(letter.headers, envelope.CODE) for letter in letters] == [b"disabled", b"do", b"json"]
    assert [letter.value for letter in letters] == texts
    assert b"refresh.enabled" in (envelope.header(letters[0].headers, envelope.REASON) or b"")
    assert producer.commits[ACTIONS].offset == 3


def test_orders_of_analysts_let_no_payment_through_and_are_no_dead_letters(tmp_path: Path) -> None:
    order = CaseAction(id="a", action=Remedy.RELEASE, card="c", at=1, by="anna", tx_id="t")
    sent = [actions.case_out(order, TOPICS.actions), actions.audit_out(AuditHead(seq=1, mac="0a", at=1), "actions")]
    records = [Read(TOPICS.actions, 0, offset, message.value) for offset, message in enumerate(sent)]
    producer = Producer()
    book = service(tmp_path / "book.db", Consumer({ACTIONS: records}), producer)
    book.turn()
    counts = book.counts()
    book.close()
    assert (counts["released"], counts["early_releases"], counts["rejected"]) == (0, 0, 0)
    assert producer.sent == []
    assert producer.commits[ACTIONS].offset == 2


def test_release_is_taken_once_though_the_process_breaks_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b'{"kind":"release","tx_id":"t","happened_at":1728000000000000000}'
    batch = {ACTIONS: [Read(TOPICS.actions, 0, 5, text)], DECISIONS: [Read(TOPICS.decisions, 0, 0, b"")]}
    first = service(tmp_path / "book.db", Consumer(batch))
    monkeypatch.setattr(envelope, "answer_in", unforeseen)
    with pytest.raises(RuntimeError, match="nobody thought of"):
        first.turn()
    monkeypatch.undo()
    first.close()
    consumer = Consumer(batch)
    again = service(tmp_path / "book.db", consumer)
    assert consumer.begun[ACTIONS] == 0
    again.turn()
    assert again.counts()["early_releases"] == 1
    again.close()


# --- topics made anew, logs cut --------------------------------------------------------------------------------------


def log_on(folder: Path, consumer: Consumer, named: Mapping[str, str] = IDS) -> LabelLog:
    return LabelLog(consumer, Producer(), SqlitePending(folder / "book.db"), TOPICS, named)  # type: ignore[arg-type]


def test_the_label_book_refuses_a_log_that_ends_before_it_was_read_up_to(tmp_path: Path) -> None:
    place, consumer = (TOPICS.decisions, 0), Consumer()
    read = log_on(tmp_path, consumer)
    read.begin()
    read.taken({place: [Read(TOPICS.decisions, 0, 41, b"")]})
    read._pending.commit()
    read._pending.close()
    consumer.ends[place] = 12
    with pytest.raises(StateError, match="decisions partition 0 ends at offset 12, but was read up to 42"):
        log_on(tmp_path, consumer).begin()


def test_the_label_book_ends_when_records_come_again(tmp_path: Path) -> None:
    place = (TOPICS.labels, 0)
    read = log_on(tmp_path, consumer := Consumer())
    read.begin()
    read.taken({place: [Read(TOPICS.labels, 0, 41, b"")]})
    consumer.give({place: [Read(TOPICS.labels, 0, 0, b"{}")]})
    with pytest.raises(TopicReplacedError, match="labels partition 0 gave offset 0 where 42 was due"):
        read.poll()


def test_the_label_book_reads_a_topic_that_was_made_anew_from_its_beginning(tmp_path: Path) -> None:
    place, consumer = (TOPICS.decisions, 0), Consumer()
    read = log_on(tmp_path, consumer)
    read.begin()
    read.taken({place: [Read(TOPICS.decisions, 0, 41, b"")]})
    read._pending.commit()
    read._pending.close()
    again = log_on(tmp_path, consumer, IDS | {TOPICS.decisions: "another"})
    consumer.ends[place] = 3
    again.begin()
    assert consumer.begun[place] == 0
