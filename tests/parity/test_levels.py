"""A worker short of time, and the replay of what it recorded: the same decisions, and the same state as in full."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.engine import Engine, Strategy
from fraud.core.records import Answer, Arrival, Explainer, Level, Mark, as_decided
from fraud.core.settings import Settings
from models.rules_only import RulesOnly
from streaming import wiring
from tests.contract.driving import rows_of
from tests.contract.stores import STORES, StoreCase
from tests.contract.traffic import FULL, PLAIN
from tests.histories import Reader, histories_of
from tests.parity.hurry import LADDER, batched, hurried, strategy_of, stream


class Pressed:
    """Time that is left for every second explanation."""

    def __init__(self) -> None:
        self.asked = 0

    def explains(self) -> bool:
        """Return yes and no in turn."""
        self.asked += 1
        return self.asked % 2 == 0


def decided(events: Sequence[Arrival], strategy: Strategy, batch: int, time: Pressed | None = None) -> list[Answer]:
    store = MemoryStore()
    engine = Engine(OnlineExtractor(store), store, strategy, time=time)
    return [answer for part in batched(events, batch) for answer in engine.handle(part)]


@pytest.fixture(scope="module")
def live() -> tuple[list[Arrival], list[Answer]]:
    events = stream(1)
    return events, decided(hurried(events, 5), strategy_of("demo-blend"), 8, Pressed())


def replay_of(events: Sequence[Arrival], answers: Sequence[Answer], told: Callable[..., Arrival]) -> list[Answer]:
    """Return the answers of a replay in other batches that takes from the record what `told` does."""
    made = {answer.position: answer.decision for answer in answers if answer.repeat_of is None}
    return decided(
        [told(event, made[event.position]) if event.position in made else event for event in events],
        strategy_of("demo-blend"),
        13,
    )


def decisions(answers: Sequence[Answer]) -> list[object]:
    return [answer.decision for answer in answers]


def test_live_run_was_short_of_time(live: tuple[list[Arrival], list[Answer]]) -> None:
    made = [answer.decision for answer in live[1]]
    assert {each.level for each in made} == set(LADDER)
    assert {each.explainer for each in made} == set(Explainer)
    assert any(Mark.OVERDUE in each.marks for each in made)
    for each in made:
        assert (Mark.BRIEF_REASONS in each.marks) == (each.explainer is Explainer.BOOSTER)


def test_replay_takes_level_and_explainer_from_the_record_and_is_equal_to_the_last_digit(
    live: tuple[list[Arrival], list[Answer]],
) -> None:
    again = replay_of(*live, as_decided)
    assert decisions(again) == decisions(live[1])
    assert [answer.evidence for answer in again] == [answer.evidence for answer in live[1]]


def test_evidence_stands_beside_alerts_and_has_events_where_there_was_time_for_them(
    live: tuple[list[Arrival], list[Answer]],
) -> None:
    by_explainer: dict[Explainer, list[int]] = {explainer: [] for explainer in Explainer}
    for answer in live[1]:
        told = answer.evidence
        assert (told is None) == (answer.decision.explainer is Explainer.NONE or answer.decision.level is Level.RULES)
        if told is not None:
            assert answer.alert is not None
            by_explainer[answer.decision.explainer].append(sum(map(len, told.events)))
    assert max(by_explainer[Explainer.MODEL]) > 0
    assert max(by_explainer[Explainer.BOOSTER]) == 0


@pytest.mark.parametrize("lost", ["level", "explainer", "marks"])
def test_comparison_reports_a_replay_that_takes_less(live: tuple[list[Arrival], list[Answer]], lost: str) -> None:
    def told(event: Arrival, decision: object) -> Arrival:
        return msgspec.structs.replace(as_decided(event, decision), **{lost: getattr(event, lost)})  # type: ignore[arg-type]

    assert decisions(replay_of(*live, told)) != decisions(live[1])


def test_brief_reasons_are_what_the_booster_alone_says(live: tuple[list[Arrival], list[Answer]]) -> None:
    brief = [answer for answer in live[1] if answer.decision.explainer is Explainer.BOOSTER]
    assert any(dict(answer.decision.parts)["exit"] > 0 for answer in brief)
    in_full = {a.position: a.decision for a in replay_of(*live, lambda event, decision: msgspec.structs.replace(
        as_decided(event, decision), explainer=None))}  # fmt: skip
    assert any(in_full[answer.position].reasons != answer.decision.reasons for answer in brief)
    for answer in brief:
        assert in_full[answer.position].score == answer.decision.score


# --- state -----------------------------------------------------------------------------------------------------------


class Counted(Reader):
    """A scorer that counts how often it was asked for a score."""

    asked = 0

    def score(self, ids, matrix, histories=None):  # type: ignore[no-untyped-def]
        self.asked += len(ids)
        return super().score(ids, matrix, histories)


def left_by(case: StoreCase, events: Sequence[Arrival]) -> tuple[dict[str, bytes], dict[str, bytes], int]:
    """Return entity rows and histories that a run leaves behind, and how many payments were scored in full."""
    store, scorer = case.fresh(), Counted()
    usual = wiring.strategy(Settings(), OnlineExtractor(store).version)
    reduced = {level: RulesOnly() for level in LADDER[1:]}
    engine = Engine(OnlineExtractor(store), store, Strategy(scorer, usual.rules, usual.policy, reduced))
    for part in batched(events, 8):
        engine.handle(part)
    return rows_of(store, events), histories_of(store, events), scorer.asked


@pytest.mark.parametrize("case", STORES, ids=lambda case: case.name)
@pytest.mark.parametrize("level", [None, Level.RULES], ids=["mixed", "rules"])
def test_lower_levels_leave_the_same_state_behind_as_full(case: StoreCase, level: Level | None) -> None:
    events = stream(3, (*PLAIN, *PLAIN, *FULL))
    lower = hurried(events, 2) if level is None else [msgspec.structs.replace(e, level=level) for e in events]
    rows, histories, asked = left_by(case, lower)
    in_full = left_by(case, events)
    assert (rows, histories) == in_full[:2]
    assert asked < in_full[2]
    assert (asked == 0) == (level is Level.RULES)


def test_levels_that_read_no_history_copy_none(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [msgspec.structs.replace(event, level=Level.EARLY) for event in stream(3)]
    monkeypatch.setattr("features.histories.HistoryBatch._hash", lambda *_: pytest.fail("a history was looked at"))
    assert decided(events, strategy_of("demo-blend"), 8)
