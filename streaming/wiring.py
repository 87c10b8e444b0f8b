"""Settings to objects: engines and what runs them on files. `service_wiring` makes the processes on Kafka and Redis.

No other module names concrete classes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

import models
from features.extractor import OnlineExtractor
from features.spec import Spec, spec
from features.stores.memory import MemoryStore
from features.stores.working_set import TableStore
from fraud.core.attributes.declaration import declaration, differing
from fraud.core.engine import Engine, Lateness, Strategy
from fraud.core.errors import SettingsError
from fraud.core.labels import LabelBook
from fraud.core.pending import MemoryPending
from fraud.core.ports import RuleBook, RuleOutcome, Scorer, Sink, Source
from fraud.core.records import Level
from fraud.core.releases import NO_RULES, Release
from fraud.core.rules.blocked import BlockedCards
from fraud.core.rules.vocabulary import Vocabulary
from fraud.core.second_half import Heard
from fraud.core.settings import ModelSection, PolicySection, PolicyText, RulesSection, Settings, load
from models import blend, registry, rules_only, signatures
from models.blend import Blend, Early
from models.boosting.scorer import Booster
from models.online.refreshed import Refreshing
from models.rules_only import RulesOnly
from streaming.embedded.hearing import Hearing, Obey
from streaming.embedded.publishing import Published, Told
from streaming.feeds.topic_log import TopicLog
from streaming.files import redrive
from streaming.files.dead_letters import DeadLetterFile
from streaming.files.table import Table
from streaming.files.values import mapping
from streaming.kafka.topics import Topics
from streaming.labels.learning import Closed, HeldChart, Outlet
from streaming.messages.codec import Codec, Limits
from streaming.observe.stages import TimedEngine, TimedLearning, TimedStore, Watch
from streaming.replay.extraction import Extraction, Recorder, RecordingExtractor, RecordingScorer, RecordingStore
from streaming.replay.job import Replay, Request
from streaming.rule_file import DEFAULT, ReloadingRules, compiled_bundle
from streaming.run import Parts
from streaming.settings import card_numbers, declared, rates

S = TypeVar("S", bound=Settings)
Closing = Callable[[Closed, Mapping[str, HeldChart], int], None]
"""Is told what ends of a learner's periods bring about, what its gate holds then, and their time (ns of the stream)."""
SHIPPED = Path(models.__file__).parent / "artifacts"
"""Models that come with the project; a trained one of the same name comes first."""
LEARNED_FROM = 1_000_000
"""Vectors that an embedded engine keeps at least where it learns: a payment whose vector is gone cannot be learned."""


def scorer(name: str, settings: Settings, spec_version: str) -> Scorer:
    """Return the scorer behind a model's name, or NAME@VERSION; `rules` always exists.

    With `reasons.evidence` what it explains carries the numbers behind it.

    Raises:
        ArtifactError: when there is no such artifact, it does not fit the feature spec of this release, or nobody
            whom the settings trust has signed it.
    """
    if name == rules_only.NAME:
        return RulesOnly()
    bare, _, version = name.partition("@")
    home = _home(bare, Path(settings.model.folder), version)
    folder = registry.folder_of(home, bare, version or None)
    signatures.require_trusted(folder, settings.model.trusted)
    own = declared(settings).definitions
    artifact = registry.load(home, bare, spec_version=spec_version, version=folder.name, attrs=own)
    made = Blend.of(artifact) if artifact.card.kind in (blend.BLEND, blend.NETWORK) else Booster.of(artifact)
    made.evidence = settings.reasons.evidence
    return made


def _home(name: str, folder: Path, version: str) -> Path:
    """Return where a model lies: one of the site before a shipped one, unless only that has the version asked for."""
    kept = {place: registry.versions(place, name) for place in (folder, SHIPPED) if name in registry.names(place)}
    held = [place for place, versions in kept.items() if not version or version in versions]
    return next(iter(held or kept), folder)


def delay_warning(used: Scorer, delay: int | None) -> str:
    """Return what is wrong with a model where verdicts take `delay` (ns, None: there are none); `""`: nothing."""
    return registry.delay_warning(used.card, delay) if isinstance(used, Booster | Blend) else ""


def reduced(full: Scorer) -> dict[Level, Scorer]:
    """Return the scorers of the levels below the full one: early exit where there is one, rules alone."""
    lower: dict[Level, Scorer] = {Level.RULES: RulesOnly()}
    return {Level.EARLY: Early(full), **lower} if isinstance(full, Blend) else lower


def refreshing(chosen: Strategy) -> Refreshing | None:
    """Return what makes the scorers of learned parameters on a strategy; None where its model has no leaves."""
    full = chosen.scorer
    if not isinstance(full, Booster | Blend):
        return None
    bases: dict[Level, Scorer] = {Level.FULL: full}
    bases |= {level: each for level, each in chosen.reduced.items() if level is not Level.RULES}
    return Refreshing(bases, full.trees)


class NoRules:
    """The rule book of a site without rules."""

    version = "none"

    def judge(self, tx: object, values: object) -> RuleOutcome:
        """Return that nothing matched."""
        del tx, values
        return NOTHING


NOTHING = RuleOutcome()


def spec_of(settings: Settings) -> Spec:
    """Return the features of a site: those of this release, and the site's own columns."""
    return spec(declared(settings))


def extractor_of(store: TableStore, settings: Settings) -> OnlineExtractor:
    """Return what turns payments into vectors of a site's features, over a store."""
    return OnlineExtractor(store, rates(settings).base_digits, declared(settings))


def vocabulary(settings: Settings | None = None) -> Vocabulary:
    """Return the names that rules may use, with the own columns of a site."""
    settings = settings or Settings()
    features, digits = spec_of(settings).features, rates(settings).base_digits
    names, meanings = [one.name for one in features], [one.meaning for one in features]
    return Vocabulary.of(names, meanings, digits, declared(settings).categories)


def rule_book(settings: Settings) -> RuleBook:
    """Return the rules of the settings: a file, `default` for those that are shipped, or none.

    Raises:
        RuleError: when the file cannot be read or has faults.
    """
    if not (file := settings.rules.file):
        return NoRules()
    path, words = DEFAULT if file == "default" else Path(file), vocabulary(settings)
    return ReloadingRules(path, words, card_numbers(settings), beside=True)


def strategy(settings: Settings, spec_version: str) -> Strategy:
    """Return what turns a vector into a decision: scorer, rules, policy.

    Raises:
        ArtifactError: when the model is missing or does not fit this release.
        RuleError: when the file of rules cannot be read or has faults.
        SettingsError: when an alert budget is asked for and the model knows no scores to meet it with.
    """
    model = scorer(settings.model.name, settings, spec_version)
    reference = model.reference_scores if isinstance(model, Booster | Blend) else ()
    return Strategy(model, rule_book(settings), settings.policy.build(reference), reduced(model))


class Outside(msgspec.Struct, frozen=True):
    """An embedded engine that publishes into a log: its parts, itself with its stages timed, and the sink that does it.

    `over` makes a source hear what the console has to say by the same log; orders go to whoever is given with it too,
    as a site's own systems get them.
    """

    parts: Parts
    engine: TimedEngine
    sink: Published
    over: Callable[[Source, Obey], Hearing]


def guarded(settings: Settings, chosen: Strategy) -> tuple[Strategy, BlockedCards]:
    """Return a strategy with a block list in front of its rules, and that."""
    cards = BlockedCards(chosen.rules, settings.rules.most_blocked)
    return msgspec.structs.replace(chosen, rules=cards), cards


def policy_in(text: str) -> PolicySection:
    """Return the policy of a TOML text: its table [policy]; what it leaves out has its default.

    Raises:
        SettingsError: when there is anything else in it, or something is wrong with it.
    """
    return load(text, {}, PolicyText).policy


def release_rules(settings: Settings, release: Release, text: Callable[[str], str]) -> RuleBook:
    """Return the rules of a release; `text` returns the text of a hash. Raises RuleError, and what `text` raises."""
    if release.rules == NO_RULES:
        return NoRules()
    return compiled_bundle(text(release.rules), vocabulary(settings), card_numbers(settings))


def released(
    settings: Settings, release: Release, text: Callable[[str], str], spec_version: str, now: Strategy | None = None
) -> Strategy:
    """Return the strategy that a release is; `now` is one in use, whose model is not loaded again where it is the same.

    Raises:
        ArtifactError: when the model is missing or does not fit this project's features.
        ReleaseError: when a text is not kept.
        RuleError: when the rules have faults.
        SettingsError: when the policy has, or asks for an alert budget and the model knows no scores to meet it with.
    """
    if now is not None and now.scorer.version == release.model:
        model, lower = now.scorer, now.reduced
    else:
        model = scorer(release.model, settings, spec_version)
        lower = reduced(model)
    reference = model.reference_scores if isinstance(model, Booster | Blend) else ()
    policy = policy_in(text(release.policy)).build(reference)
    return Strategy(model, release_rules(settings, release, text), policy, lower, release=release.id)


def build(
    settings: Settings,
    told_at: int | None = None,
    told: Closing | None = None,
    chosen: Strategy | None = None,
) -> Parts:
    """Return an embedded engine: memory store, label book in this process. Raises what `strategy` raises.

    `told_at` and `told` as in `assemble`; `chosen` decides, unless the settings are to say what does.
    """
    store = MemoryStore(settings.engine.retry_horizon)
    extractor = extractor_of(store, settings)
    return assemble(settings, store, extractor, chosen or strategy(settings, extractor.version), told_at, told)


def outside(settings: Settings, log: TopicLog, since: int, told: Closing) -> Outside:
    """Return an embedded engine with an outside: a log that it publishes to, and hears verdicts and orders by.

    What is seen before `since` (ns of the stream) is history; `told` as in `assemble`. Raises what `strategy` raises,
    and DeliveryError when another process writes to the log.
    """
    topics, store, watch = Topics(), MemoryStore(settings.engine.retry_horizon), Watch()
    extractor = extractor_of(TimedStore(store, watch), settings)
    chosen, cards = guarded(settings, strategy(settings, extractor.version))
    sink = Published(log.outlet(), topics, since, watch)
    learner = Told(Outlet(sink, topics, None), chosen.scorer.version)

    def both(closed: Closed, held: Mapping[str, HeldChart], at: int) -> None:
        learner.closed(closed, held, at)
        told(closed, held, at)

    parts = assemble(settings, store, extractor, chosen, None, both, sink.heard, watch)
    feed, reads = log.feed([topics.labels, topics.actions]), codec(settings)

    def over(source: Source, obey: Obey) -> Hearing:
        return Hearing(source, feed, reads, topics, (cards.take, obey))

    return Outside(parts, TimedEngine(parts.engine, watch), sink, over)


def assemble(
    settings: Settings,
    store: MemoryStore,
    extractor: OnlineExtractor,
    chosen: Strategy,
    told_at: int | None = None,
    told: Closing | None = None,
    heard: Heard | None = None,
    watch: Watch | None = None,
) -> Parts:
    """Return an embedded engine on the given parts, with a label book of its own, and a learner if that is asked for.

    `told_at` is the age (ns) at which all labels are told, where there is one; `told` hears what ends of a learner's
    periods bring about, `heard` which labels the state takes in. With `watch` the scorers of what is learned are timed.
    """
    labels, learns = settings.labels, settings.refresh.enabled
    most = max(labels.most_vectors, LEARNED_FROM) if learns else labels.most_vectors
    age = settings.learning.age(labels.vectors_for()) if told_at is None else told_at
    deadlines = msgspec.structs.replace(labels.deadlines(), maturity=age if learns else 0)
    book = LabelBook(MemoryPending(most_vectors=most), deadlines, labels.believed(), keep_vectors=most > 0)
    learning = None
    if learns or settings.gate.enabled:
        # Only who learns needs River, which takes its time to be imported.
        from streaming.replay.learning import embedded

        learning = embedded(settings, chosen, book, refreshing(chosen) if learns else None, told_at, told)
    learner = TimedLearning(learning, watch) if learning is not None and watch is not None else learning
    engine = Engine(extractor, store, chosen, book, Lateness(settings.lateness.allowed), learning=learner, heard=heard)
    return Parts(engine, store, extractor, chosen, book, learning)


def replay(request: Request, also: Sink | None = None) -> Replay:
    """Return a replay, its engine embedded; `also` gets its answers too.

    Raises what `strategy`, `mapping.load` and `under` raise.
    """
    request = msgspec.structs.replace(request, settings=under(request.settings, request.mapping))
    return Replay(request, table(request), build(request.settings, request.delay), also)


def codec(settings: Settings, limits: Limits | None = None) -> Codec:
    """Return what decodes messages; raise SettingsError where a key of card numbers is none."""
    return Codec(rates(settings), limits, card_numbers(settings), declared(settings))


def table(request: Request) -> Table:
    """Return the file of a replay, to be read. Raises what `mapping.load` raises."""
    found, settings = mapping.load(request.mapping), request.settings
    if request.mapping == redrive.MAPPING:
        # Rows that were repaired have own columns as messages have them.
        found = msgspec.structs.replace(found, attrs=settings.attrs.under("attrs."))
    return Table(request.data, found, rates(settings), card_numbers(settings))


def under(settings: S, name: str) -> S:
    """Return the settings with the own columns that a mapping declares, where they declare none themselves.

    Raises:
        MappingError: when there is no such mapping, or something is wrong with it.
        SettingsError: when both declare own columns, and not the same.
    """
    said = mapping.load(name).attrs
    own, site = declaration(said, name), declared(settings)
    if not own or own == site:
        return settings
    if site:
        msg = f"mapping {name} declares other own columns than the settings: {differing(own, site)}; declare the same"
        raise SettingsError(msg)
    return msgspec.structs.replace(settings, attrs=said.carried())


def extraction(
    table: Table,
    delay: int | None,
    settings: Settings | None = None,
    recorder: Recorder | None = None,
    spread: float = 0.0,
) -> Extraction:
    """Return the extraction of a file's vectors under the settings of the live path, whatever model they name.

    With a recorder, what happens to histories is recorded too.
    """
    chosen = by_rules(settings or Settings())
    parts = build(chosen) if recorder is None else recorded(chosen, recorder)
    return Extraction(table, delay, parts, spread, DeadLetterFile(Path(chosen.paths.dead)))


def recorded(settings: Settings, recorder: Recorder) -> Parts:
    """Return an engine that keeps histories and reports what it does to them."""
    store = RecordingStore(recorder, settings.engine.retry_horizon)
    extractor = RecordingExtractor(store, recorder, rates(settings).base_digits, declared(settings))
    given = msgspec.structs.replace(strategy(settings, extractor.version), scorer=RecordingScorer())
    return assemble(settings, store, extractor, given)


def by_rules(settings: Settings) -> Settings:
    """Return the settings without model, rules and policy, so that nothing is refused.

    Vectors depend on none of them, but for what silence says of payments that others refused.
    """
    return msgspec.structs.replace(settings, model=ModelSection(), rules=RulesSection(), policy=PolicySection())
