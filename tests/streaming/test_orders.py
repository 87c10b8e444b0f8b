"""`fraud refresh` and `fraud labels` on a real Kafka, with a label book whose loop says what it is told to."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from fraud.cli import app, main
from fraud.core.labels import LabelBook
from fraud.core.records import DAY, SECOND, Action, Answer, Decision, Position
from models.online.snapshots import Live
from streaming import service_wiring
from streaming.kafka.topics import Topics, create, ids
from streaming.labels.joiner import LabelJoiner
from streaming.labels.learning import Learning, Outlet, Refreshes
from streaming.labels.log import LabelLog
from streaming.labels.pending import SqlitePending
from streaming.labels.service import LabelService
from streaming.messages import envelope
from streaming.messages.actions import of_action
from streaming.messages.codec import Codec
from streaming.messages.schema import ReleaseMessage
from streaming.observe.logs import Log
from streaming.observe.metrics import Health
from streaming.settings import KafkaSection
from tests.filled import filled
from tests.site import until
from tests.streaming.stub_loop import BASE, CHART, StubLoop

EVERY = SECOND // 5
AT = 20_000 * DAY
HELD = msgspec.structs.replace(
    filled(Decision), channel="", marks=(), known_as="", action=Action.REVIEW, happened_at=AT, seen_at=AT
)


@pytest.fixture(scope="module")
def site(kafka_server: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Desk"]:
    """A site whose label book runs on a thread, with a loop that publishes a version five times a second."""
    settings = KafkaSection(bootstrap=kafka_server.bootstrap, prefix="orders.", group="orders")  # type: ignore[attr-defined]
    create(settings, partitions=2)
    desk = Desk(settings, tmp_path_factory.mktemp("orders"))
    desk.start()
    yield desk
    desk.stop()


class Desk:
    """A label book on a thread, as the file of waiting items asks for one."""

    def __init__(self, settings: KafkaSection, folder: Path) -> None:
        """Take the site."""
        self.settings, self.loop = settings, StubLoop()
        self._folder, self._stop = folder, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.failed: BaseException | None = None

    def start(self) -> None:
        """Start, and wait for the first version."""
        self._thread.start()
        until(lambda: len(self.loop.versions) > 3 or not self._thread.is_alive(), "some versions")

    def stop(self) -> None:
        """Stop; fail when it has failed."""
        self._stop.set()
        self._thread.join()
        assert self.failed is None

    def command(self, *words: str) -> Result:
        """Run a command against the site."""
        where = ["--bootstrap", self.settings.bootstrap, "--prefix", self.settings.prefix]
        return CliRunner().invoke(app, [*words, *where])

    def _run(self) -> None:
        try:
            book = self._book()
            while not self._stop.is_set():
                book.turn()
            book.close()
        except BaseException as error:
            self.failed = error
            raise

    def _book(self) -> LabelService:
        topics, pending, log = Topics.of(self.settings), SqlitePending(self._folder / "book.db"), Log("book")
        names = topics.decisions, topics.labels, topics.actions
        labels = LabelLog(
            service_wiring.consumer_of(self.settings, "orders-book"),
            service_wiring.producer_of(self.settings, "orders-book"), pending, topics, ids(self.settings, names),
        )  # fmt: skip
        labels.begin()
        learning = Learning(
            self.loop, Refreshes(BASE, EVERY), pending, Outlet(pending, topics, log), labels.positions, lambda base: {}
        )
        joiner = LabelJoiner(LabelBook(pending), pending, topics, learning)
        return LabelService(labels, Codec(), joiner, pending, topics, log, Health(), None, "orders", learning)


def last(result: Result) -> dict[str, object]:
    """Return the last line of a command that did its work."""
    assert result.exception is None, (result.output, result.exception)
    line: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return line


def test_history_shows_events_and_what_payments_get(site: Desk) -> None:
    result = site.command("refresh", "history", "--last", "3")
    line = last(result)
    live, events = line["live"], line["events"]
    assert isinstance(events, list)
    assert len(events) == 3
    assert [one["seq"] for one in events] == list(range(events[0]["seq"], events[0]["seq"] + 3))
    assert msgspec.convert(live, Live).base == line["base"] == BASE
    assert "payments get version" in result.stdout


def test_version_is_shown_with_what_it_was_learned_from(site: Desk) -> None:
    version = site.loop.versions[0]
    result = site.command("refresh", "show", version)
    line = last(result)
    assert (line["version"], line["base"], "changes" in line) == (version, BASE, False)
    assert "frozen 0.500, slow 0.250, fast 0.250" in result.stdout


def test_pin_waits_until_the_learner_has_done_it(site: Desk) -> None:
    version = site.loop.versions[0]
    line = last(site.command("refresh", "pin", version, "--by", "anna"))
    assert line["kind"] == "pinned"
    assert str(line["order"]).startswith(f"{site.settings.prefix}actions@")


@pytest.mark.parametrize(("do", "kind"), [("rollback", "rolled-back"), ("freeze", "frozen"), ("thaw", "thawed")])
def test_other_orders_are_answered(site: Desk, do: str, kind: str) -> None:
    assert last(site.command("refresh", do))["kind"] == kind


def test_order_for_another_model_is_refused_with_the_reason(site: Desk) -> None:
    result = site.command("refresh", "freeze", "--base", "other@2")
    assert result.exit_code == 1
    assert "refused: the order is for other@2, this process learns on demo@1" in result.stdout


def test_version_that_does_not_exist_is_refused_before_it_is_sent(
    site: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = site.loop.versions[0]
    wrong = version[:-1] + ("0" if version[-1] != "0" else "1")
    where = ["--bootstrap", site.settings.bootstrap, "--prefix", site.settings.prefix]
    monkeypatch.setattr("sys.argv", ["fraud", "refresh", "pin", wrong, *where])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"there is no snapshot '{wrong}': the newest are " in said
    assert f"Did you mean '{version}'?" in said


def test_held_labels_are_shown_and_dropped_and_a_wrong_chart_is_named(site: Desk) -> None:
    assert last(site.command("labels", "held")) == {
        "charts": {CHART: {"count": 3, "since": 5, "examples": ["t1", "t2"]}}, "held": 3,
    }  # fmt: skip
    wrong = site.command("labels", "release", "source/analist")
    assert "chart 'source/analist' holds nothing: those with an alarm are source/analyst." in str(wrong.exception)
    assert "Did you mean 'source/analyst'?" in str(wrong.exception)
    assert last(site.command("labels", "drop", CHART))["kind"] == "dropped"
    until(lambda: last(site.command("labels", "held")) == {"charts": {}, "held": 0}, "nothing held")


def test_order_that_nobody_takes_up_says_what_to_look_at(
    kafka: str, unique: Callable[[str], str], tmp_path: Path
) -> None:
    site = KafkaSection(bootstrap=kafka, prefix=f"{unique('nobody')}.")
    create(site, partitions=1)
    words = ["refresh", "freeze", "--bootstrap", kafka, "--prefix", site.prefix, "--wait", "0.5"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert "no answer within 0.5 s" in result.stderr
    assert "is 'fraud learn' running" in result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["event"] is None
    words = ["labels", "held", "--bootstrap", kafka, "--prefix", site.prefix]
    assert last(CliRunner().invoke(app, words)) == {"charts": {}, "held": 0}


def test_release_on_actions_reaches_the_book_and_what_is_none_the_dead_letters(site: Desk) -> None:
    topics, producer = Topics.of(site.settings), service_wiring.producer_of(site.settings)
    early = of_action(ReleaseMessage(tx_id="early", happened_at=HELD.happened_at))
    broken = envelope.Outgoing(topics.actions, b"k", b'{"kind":"relase"}', ())
    decision = msgspec.structs.replace(HELD, tx_id="early")
    answer = Answer(decision=decision, position=Position("transactions@x", 0, 1))
    try:
        for message in (envelope.Outgoing(topics.actions, b"early", early, ()), broken):
            producer.wait(producer.send(message))
        until(lambda: last(site.command("dead", "list"))["letters"] == 1, "the dead letter")
        producer.wait(producer.send(envelope.decision_out(answer, topics.decisions)))
    finally:
        producer.close()
    until(lambda: ("hear", "early", False) in site.loop.told, "the decision")
