"""The log of an embedded engine as the projector takes it in: what was decided before anybody was there is no work."""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from fraud.core.records import Action, Answer, Intake
from fraud.core.settings import ModelSection, Settings
from fraud.dashboard.projector import Projector
from fraud.dashboard.reading import topics_of
from fraud.review.database import Database
from fraud.simulate import stream
from fraud.simulate.source import SimulatedSource
from streaming import wiring
from streaming.feeds.topic_log import TopicLog
from streaming.observe.logs import Log
from streaming.run import run
from tests.dashboard.streams import TOPICS
from tests.databases import Reader
from tests.review.taken import intake

TRAFFIC = partial(stream("rich").make, cards=60, days=3, fraud_share=0.05, chargeback_days=1.0)


def decided(folder: Path, since: int) -> list[Answer]:
    """Let an embedded engine decide a stream, into a log, as history up to `since`; return its answers."""
    settings = msgspec.structs.replace(Settings(), model=ModelSection(name="demo"))
    made = wiring.outside(settings, TopicLog(folder), since, lambda *_: None)
    answers: list[Answer] = []

    def noted(intake: Intake, some: Sequence[Answer]) -> bool:
        del intake
        answers.extend(some)
        return True

    run(made.over(SimulatedSource(TRAFFIC()), lambda order: None), made.engine, made.sink, noted)
    return answers


def test_alerts_of_history_are_known_but_wait_for_nobody(database: Database, ask: Reader, tmp_path: Path) -> None:
    seen = TRAFFIC().seen_at
    since = int(seen[len(seen) // 2])
    answers = decided(tmp_path, since)
    feed = TopicLog(tmp_path).feed(topics_of(TOPICS))
    projector = Projector(database, intake(database), feed, TOPICS, Log("console", io.StringIO()))
    feed.start({})
    while projector.step(0.0):
        pass
    feed.close()
    alerts = [answer.decision for answer in answers if answer.decision.action is not Action.APPROVE]
    live = {decision.tx_id for decision in alerts if decision.seen_at >= since}
    assert len(alerts) > len(live) > 10
    assert {tx_id for (tx_id,) in ask("SELECT tx_id FROM alert")} == {decision.tx_id for decision in alerts}
    assert {tx_id for (tx_id,) in ask("SELECT tx_id FROM alert WHERE status = 0")} == live
    assert ask("SELECT count(*) FROM outbox") == [(0,)]
