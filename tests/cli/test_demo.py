"""The embedded demo: what is ordered in its log is carried out as a site would, and each one begins anew."""

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from fraud.cli import demo_console, demo_embedded, output
from fraud.cli.demo_embedded import embedded
from fraud.cli.screen import Screen
from fraud.core.actions import CaseAction, Remedy
from fraud.core.records import Action, Decision
from fraud.core.releases import Release
from fraud.review.verdicts import FINAL, second_for
from fraud.review.words import Second
from streaming.feeds.topic_log import TopicLog
from streaming.files.releases import FolderReleases
from streaming.kafka.topics import Topics
from streaming.messages import envelope
from streaming.messages.actions import case_out
from streaming.settings import read_settings

TOPICS = Topics()
WARM, CHANGE = 3, 4


class Analyst:
    """Who reads the log as the console does, and orders something about each held payment: release, decline in turn."""

    def __init__(self, folder: Path) -> None:
        self.ordered: list[CaseAction] = []
        self._log, self._stop = TopicLog(folder), threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Analyst":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        feed, outlet = self._log.feed([TOPICS.decisions]), self._log.outlet()
        feed.start({})
        while not self._stop.is_set():
            for record in feed.poll(0.05):
                decision = envelope.answer_in(record.value, record.headers).decision
                if decision.action is Action.REVIEW and envelope.header(record.headers, envelope.HISTORY) is None:
                    self.ordered.append(self._order(decision))
                    outlet.send([case_out(self.ordered[-1], TOPICS.actions)])
        feed.close()
        outlet.close()

    def _order(self, decision: Decision) -> CaseAction:
        number = len(self.ordered)
        remedy = (Remedy.RELEASE, Remedy.DECLINE)[number % 2]
        return CaseAction(
            id=f"a{number}", action=remedy, card=decision.card, at=7, by="anna", tx_id=decision.tx_id, reason="looked"
        )


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A demo of a small shop, and what it prints."""
    traffic = replace(demo_embedded.TRAFFIC, cards=80, merchants=None, days=12, fraud_share=0.1, day=CHANGE)
    for name, value in {"TRAFFIC": traffic, "WARM_DAYS": WARM, "CHANGE_DAY": CHANGE}.items():
        monkeypatch.setattr(demo_embedded, name, value)
    console = Console(width=300, record=True)
    monkeypatch.setattr(output, "out", console)
    return console


@pytest.mark.slow
def test_site_of_the_demo_carries_out_what_analysts_order_and_the_last_line_counts_it(
    said: Console, tmp_path: Path
) -> None:
    with Analyst(tmp_path) as analyst:
        told = embedded(
            Screen(), seed=7, day_seconds=1.0, seconds=4.0, model="demo-young", settings=None, console=tmp_path
        )
    assert told["decisions"] > told["alerts"] > len(analyst.ordered) > 2
    assert told["released"] >= 1
    assert told["refused"] >= 1
    assert told["released"] + told["refused"] <= len(analyst.ordered)
    text = said.export_text()
    assert "site      released" in text
    assert "site      refused" in text
    assert f"of {analyst.ordered[0].card} at " in text
    assert "ordered by anna: looked" in text


def test_demo_begins_without_what_an_earlier_one_has_put_in_force(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = FolderReleases(tmp_path / demo_console.RELEASES)
    kept.move(Release(id="r1-a", model="rules", rules="none", policy="p"), None)
    outlet = TopicLog(tmp_path).outlet()
    outlet.send([envelope.Outgoing(TOPICS.labels, b"", b"of an earlier one")])
    outlet.close()
    monkeypatch.setattr(demo_console, "absent_libraries", lambda: ["segno"])
    with demo_console.beside(tmp_path, None, "demo"):
        assert kept.live() is None
        assert TopicLog(tmp_path).feed([TOPICS.labels]).poll(0.0) == []


def test_verdict_of_whoever_watches_a_demo_waits_for_no_second_person() -> None:
    review = read_settings(env=demo_console.ALONE).review
    assert not review.rules_second
    desk: Any = SimpleNamespace(settings=review)
    alerts: list[Any] = [SimpleNamespace(base_amount=10**9, uid=f"a{number}") for number in range(200)]
    assert {second_for(desk, [alert], finding) for alert in alerts for finding in FINAL} == {Second.NONE}
