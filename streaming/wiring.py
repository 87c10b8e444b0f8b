"""Settings to objects: the only file that names concrete classes."""

from pathlib import Path

import msgspec

import models
from features.extractor import OnlineExtractor
from features.stores.memory import MemoryStore
from fraud.core.engine import Engine, Judges, Lateness
from fraud.core.labels import Deadlines, LabelBook, MemoryRoom
from fraud.core.policy import CostPolicy
from fraud.core.ports import RuleOutcome, Scorer, StateStore
from models import registry, rules_only
from models.booster import Booster
from models.rules_only import RulesOnly

SHIPPED = Path(models.__file__).parent / "artifacts"
"""Models that come with the project; a trained one of the same name comes first."""


class Parts(msgspec.Struct, frozen=True):
    """An engine with the parts that somebody outside may want to talk to."""

    engine: Engine
    store: StateStore
    extractor: OnlineExtractor
    judges: Judges
    book: LabelBook | None


def scorer(name: str, folder: Path, spec_version: str) -> Scorer:
    """Return the scorer behind a model's name; `rules` always exists.

    Raises:
        ArtifactError: when there is no such artifact, or it does not fit the feature spec of this release.
    """
    if name == rules_only.NAME:
        return RulesOnly()
    home = SHIPPED if name not in registry.names(folder) and name in registry.names(SHIPPED) else folder
    return Booster.of(registry.load(home, name, spec_version=spec_version))


class NoRules:
    """The rule book of a site without rules."""

    version = "none"

    def judge(self, tx: object, values: object) -> RuleOutcome:
        """Return that nothing matched."""
        del tx, values
        return RuleOutcome()


def build(*, model: str, folder: Path = Path("build/models"), rules: Path | None = None) -> Parts:
    """Return an embedded engine: memory store, label book in this process."""
    del rules
    store = MemoryStore()
    extractor = OnlineExtractor(store)
    judges = Judges(scorer(model, folder, extractor.version), NoRules(), CostPolicy())
    book = LabelBook(MemoryRoom(), Deadlines(), keep_vectors=False)
    return Parts(Engine(extractor, store, judges, book, Lateness()), store, extractor, judges, book)
