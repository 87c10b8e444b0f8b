"""After a warm-up nothing of a first decision is built on the path: each exit, explainer and level has run."""

import msgspec
import numpy as np
import pytest

from features.stores.redis import RedisStore
from fraud.core.engine import Engine
from fraud.core.records import Arrival, Explainer, Level, Position
from fraud.core.settings import ModelSection, Settings
from models.blend import PROBE_ONE_IN, Blend
from models.boosting.scorer import Booster
from models.reasons.of_blend import Explainer as OfBlend
from streaming import service_wiring, wiring
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Metrics
from streaming.observe.stages import Watch
from streaming.run import Parts
from streaming.settings import read_settings
from streaming.worker import warm_up as warming
from streaming.worker.warm_up import warm_up


def parts(model: str) -> Parts:
    return wiring.build(msgspec.structs.replace(Settings(), model=ModelSection(name=model)))


def test_ids_of_a_warm_up_are_those_that_a_blend_reads_everything_of() -> None:
    assert warming.PROBE_ONE_IN == PROBE_ONE_IN


def test_warm_up_explains_by_the_booster_so_that_the_first_alert_builds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = parts("demo")
    warm_up(made)
    monkeypatch.setattr("models.boosting.treeshap.build", lambda *_: pytest.fail("built on the path"))
    scorer = made.strategy.scorer
    assert isinstance(scorer, Booster)
    values = np.zeros(len(scorer.card.features), np.float32)
    scorer.explain(values, scorer.score(["t"], values[None])[0])


def test_warm_up_runs_every_level_exit_and_explainer_of_a_blend(monkeypatch: pytest.MonkeyPatch) -> None:
    made, told = parts("demo-blend"), set[tuple[Level, Explainer, int]]()
    handle = Engine.handle

    def watched(self: Engine, batch: object) -> object:
        answers = handle(self, batch)  # type: ignore[arg-type]
        for each in answers:
            exit_taken = int(dict(each.decision.parts).get("exit", -1))
            told.add((each.decision.level, each.decision.explainer, exit_taken))
        return answers

    monkeypatch.setattr(Engine, "handle", watched)
    warm_up(made)
    last = len(made.strategy.scorer.exits) - 1  # type: ignore[attr-defined]
    for explainer in (Explainer.MODEL, Explainer.BOOSTER):
        assert {(Level.FULL, explainer, last), (Level.EARLY, explainer, 0), (Level.RULES, explainer, -1)} <= told
    monkeypatch.setattr(OfBlend, "__init__", lambda *_: pytest.fail("built on the path"))
    scorer = made.strategy.scorer
    assert isinstance(scorer, Blend)
    values = np.zeros(len(scorer.card.features), np.float32)
    scorer.explain(values, scorer.score(["t"], values[None])[0])


def test_warm_up_leaves_the_policy_as_it_was() -> None:
    made = parts("demo")
    warm_up(made)
    (answer,) = made.engine.handle([Arrival(warming.payment("another"), Position("warm", 0, 10**6))])
    assert answer.decision.versions.policy == made.strategy.policy.version


def test_worker_has_the_levels_of_its_model_and_those_of_the_one_that_takes_its_place(redis_url: str) -> None:
    found = read_settings(None, {})
    store = RedisStore(redis_url, namespace="levels")
    outside = service_wiring.Outside(Log("worker-0"), Metrics(), Health(), Watch())
    budget = service_wiring.budget_of(found)
    taken: list[tuple[Level, ...]] = []
    budget.take_levels = lambda levels: taken.append(tuple(levels))  # type: ignore[method-assign]
    deciding = service_wiring.decider(found, parts("demo-blend").strategy, store, outside, budget)
    for use in deciding.users:
        use(parts("demo").strategy)
    assert taken == [(Level.FULL, Level.EARLY, Level.RULES), (Level.FULL, Level.RULES)]
    store.close()
