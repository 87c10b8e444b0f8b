"""Settings reach what is made of them."""

import msgspec
import pytest

from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.engine import Engine
from fraud.core.records import Answer
from fraud.core.settings import ModelSection, ReasonsSection, Settings
from streaming import wiring
from tests.parity.hurry import POLICY, batched, stream


def answers(model: str, *, evidence: bool) -> list[Answer]:
    """Return the answers of a model, wired with or without evidence, under a policy that alerts on much."""
    settings = msgspec.structs.replace(
        Settings(), model=ModelSection(name=model), reasons=ReasonsSection(evidence=evidence)
    )
    store = MemoryStore()
    extractor = OnlineExtractor(store)
    chosen = msgspec.structs.replace(wiring.strategy(settings, extractor.version), policy=POLICY)
    engine = Engine(extractor, store, chosen)
    return [answer for part in batched(stream(1)[:200], 8) for answer in engine.handle(part)]


@pytest.mark.parametrize("model", ["demo", "demo-blend"])
def test_evidence_is_left_out_where_the_settings_say_so_and_nothing_else_changes(model: str) -> None:
    with_it, without = answers(model, evidence=True), answers(model, evidence=False)
    assert [answer.decision for answer in with_it] == [answer.decision for answer in without]
    assert any(answer.evidence is not None for answer in with_it)
    assert all(answer.evidence is None for answer in without)
