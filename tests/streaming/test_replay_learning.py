"""A replay that learns: batches do not change answers, a run that was cut off goes on, labels wait for their period."""

from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from fraud.core.fields import Duration
from fraud.core.records import DAY, HOUR
from fraud.core.settings import EngineSection, ModelSection, Settings
from fraud.simulate import fdh
from streaming import wiring
from streaming.files.column_file import write
from streaming.files.table import Table
from streaming.files.values import mapping
from streaming.labels.learning import Happened
from streaming.replay import learning
from streaming.replay.history import HistorySource, history, ordered
from streaming.replay.job import Request
from streaming.replay.learning import EmbeddedLearning
from streaming.settings import fingerprint

DELAY = 2 * DAY


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("learning") / "traffic.parquet"
    write(path, fdh.generate(fdh.Fdh(cards=60, terminals=120, days=24, seed=3, radius=20.0)).columns())
    return path


def settings(*, learn: bool = True, batch: int = 32) -> Settings:
    plain = Settings(model=ModelSection(name="demo"), engine=EngineSection(batch=batch))
    return msgspec.structs.replace(
        plain,
        refresh=msgspec.structs.replace(plain.refresh, enabled=learn, every=Duration(HOUR)),
        gate=msgspec.structs.replace(plain.gate, enabled=learn),
    )


def replayed(data: Path, out: Path, *, learn: bool = True, batch: int = 32, **fields: Any) -> dict[str, Any]:
    plain = Request(
        data=data, mapping="native", delay=DELAY, out=out, state=None, every=500,
        settings=settings(learn=learn, batch=batch),
    )  # fmt: skip
    request = msgspec.structs.replace(plain, **fields)
    found = wiring.replay(request).run(lambda done: None)
    return {name: value for name, value in found.items() if "second" not in name}


def test_batches_do_not_change_what_is_learned(data: Path, tmp_path: Path) -> None:
    one, other = (replayed(data, tmp_path / f"{batch}.parquet", batch=batch) for batch in (7, 256))
    assert one == other
    assert one["refreshes"] > 3
    assert {"promoted", "reverted", "held"} <= set(one)


def test_run_that_was_cut_off_goes_on_to_the_same_answers(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replayed(data, tmp_path / "whole.parquet")
    state = tmp_path / "state"
    state.mkdir()

    class CutError(Exception):
        """The run is cut off."""

    def cut(done: int) -> None:
        if done > 2_300:
            raise CutError

    request = Request(
        data=data, mapping="native", delay=DELAY, out=tmp_path / "cut.parquet", state=state, every=500,
        settings=settings(),
    )  # fmt: skip
    with pytest.raises(CutError):
        wiring.replay(request).run(cut)
    assert replayed(data, tmp_path / "cut.parquet", state=state) == whole
    read = [pq.read_table(tmp_path / f"{name}.parquet") for name in ("whole", "cut")]
    assert read[0].equals(read[1])


def test_without_learning_nothing_is_counted(data: Path, tmp_path: Path) -> None:
    assert not {"refreshes", "held"} & set(replayed(data, tmp_path / "plain.parquet", learn=False))


def test_payments_get_what_was_learned_once_the_guard_lets_them(data: Path) -> None:
    told: list[Happened] = []
    parts = wiring.build(settings(), DELAY, lambda closed, held, at: told.extend(closed.events))
    assert isinstance(parts.learning, EmbeddedLearning)
    parts.learning._loop._guard._state.on = True  # by hand: on so little data the guard waits for more
    events = HistorySource(history(ordered(Table(data, mapping.load("native")).rows()), DELAY), 64)
    decided: list[tuple[int, str]] = []
    while (intake := events.read()) is not None:
        for answer in parts.engine.handle(intake.arrivals):
            decided.append((answer.decision.seen_at, answer.decision.versions.parameters))
    published = [(event.at, str(event.details["version"])) for event in told if event.kind == "refreshed"]
    due = [max([(0, ""), *(one for one in published if one[0] <= at)])[1] for at, _ in decided]
    assert [version for _, version in decided] == due
    assert len(set(due)) > 10


def test_version_that_is_held_in_force_outlives_newer_ones(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "KEPT", 2)
    parts = wiring.build(settings(), DELAY)
    assert isinstance(parts.learning, EmbeddedLearning)
    loop, pinned = parts.learning._loop, ""
    loop._guard._state.on = True  # by hand, as above
    events = HistorySource(history(ordered(Table(data, mapping.load("native")).rows()), DELAY), 64)
    while (intake := events.read()) is not None:
        parts.engine.handle(intake.arrivals)
        if not pinned and loop.figures()["seq"] > 3:
            pinned = loop.version
            loop.pin(pinned, DAY)
    assert loop.figures()["seq"] > 10
    resumed = wiring.build(settings(), DELAY)
    resumed.engine.restore(parts.engine.snapshot())
    assert resumed.engine._strategy.parameters == pinned
    assert pinned in resumed.engine._strategy.versions


def test_gate_alone_makes_features_see_labels_at_the_end_of_their_period(data: Path) -> None:
    """Extraction for training too: it is the same engine, and the setting stands in its fingerprint."""
    plain = settings(learn=False)
    gated = msgspec.structs.replace(
        plain,
        gate=msgspec.structs.replace(plain.gate, enabled=True),
        refresh=msgspec.structs.replace(plain.refresh, every=Duration(DAY)),
    )
    assert fingerprint(gated) != fingerprint(plain) == fingerprint(settings(learn=False, batch=7))
    found = [
        [one.values.tobytes() for one in wiring.extraction(Table(data, mapping.load("native")), DELAY, each)]
        for each in (plain, gated)
    ]
    assert len(found[0]) == len(found[1])
    differ = sum(one != other for one, other in zip(*found, strict=True))
    assert 0 < differ < len(found[0])
