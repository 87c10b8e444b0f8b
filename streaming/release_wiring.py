"""What a worker takes up while it runs: the release in force, or the model pointed to, and the block list."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fraud.core.engine import Strategy
from fraud.core.errors import ArtifactError, StateError
from fraud.core.ports import RuleBook
from fraud.core.records import SECOND
from fraud.core.releases import Release, release_in
from fraud.core.rules.blocked import BlockedCards
from fraud.core.settings import Settings
from streaming import wiring
from streaming.feeds.kafka import KafkaFeed
from streaming.files.releases import FolderReleases
from streaming.kafka.model_pointer import Pointer, pointer_in
from streaming.kafka.topics import Topics, ids
from streaming.observe.logs import Log
from streaming.run import Parts, Swappable
from streaming.settings import ServiceSettings, card_numbers, changed
from streaming.worker.blocked import BlockList, Sources
from streaming.worker.model_swap import Chosen, EmbeddedRelease, InUse, ModelSwap
from streaming.worker.warm_up import warm_up

if TYPE_CHECKING:
    from features.stores.releases import RedisReleases


def open_releases(settings: ServiceSettings) -> "RedisReleases":
    """Return the releases of the store of the settings. Raises what `RedisReleases` raises."""
    from features.stores.releases import RedisReleases  # an embedded engine has no client of Redis

    store = settings.store
    return RedisReleases(store.url, timeout=store.timeout / SECOND, namespace=store.namespace)


def first_choice(settings: ServiceSettings, configured: Strategy, found: InUse) -> Chosen:
    """Return what decides when a worker starts: what the store says, the settings' own where it says nothing.

    Raises:
        FraudError: when it cannot be loaded; the message names the repair.
    """
    pointer = pointer_in(found.pointer)
    if not found.release and (pointer is None or pointer.version == configured.scorer.version):
        return Chosen(pointer, configured)
    return made_ready(settings, configured.rules, found, configured)


def next_choice(settings: ServiceSettings, rules: RuleBook, found: InUse, last: Strategy) -> Chosen:
    """Return what the store says, made ready; `last` was made before, `rules` are those of the settings.

    Raises:
        FraudError: when it cannot be loaded, or the state lacks its histories; the message names the repair.
    """
    release, pointer = release_in(found.release), pointer_in(found.pointer)
    if release is not None and release.encoder not in ("", last.scorer.encoder, pointer.encoder if pointer else ""):
        msg = (
            f"release {release.id}: model {release.model} reads histories (encoder {release.encoder}) that the state "
            f"does not hold up to now: make them with 'fraud state reencode --model {release.model}', then put the "
            "release in force again"
        )
        raise ArtifactError(msg)
    return made_ready(settings, rules, found, last)


def made_ready(settings: ServiceSettings, rules: RuleBook, found: InUse, last: Strategy) -> Chosen:
    """Return what the store says, warm. Blocked cards stay in front of whatever rules there are."""
    pointer, release = pointer_in(found.pointer), release_in(found.release)
    if release is None:
        if pointer is None:
            msg = "the store names neither a release nor a model: put one in force with 'fraud release activate'"
            raise StateError(msg)
        return Chosen(pointer, pointed(settings, rules, pointer))
    with closing(open_releases(settings)) as releases:
        strategy = wiring.released(settings, release, releases.text, wiring.spec_of(settings).version, last)
    if strategy.scorer is not last.scorer:
        warm_up(wiring.build(settings, chosen=strategy))
    chosen = msgspec.structs.replace(strategy, rules=blocking(rules, strategy.rules))
    return Chosen(histories_of(release, pointer), chosen)


def blocking(rules: RuleBook, book: RuleBook) -> RuleBook:
    """Return a book behind the blocked cards that stand in front of other rules, if they do."""
    return rules.over(book) if isinstance(rules, BlockedCards) else book


def histories_of(release: Release, pointer: Pointer | None) -> Pointer:
    """Return the pointer to the histories that a release reads: those that were made last, if they are its own."""
    begins = pointer.begins if pointer is not None and pointer.encoder == release.encoder else ()
    return Pointer(release.model.partition("@")[0], release.model, release.encoder, begins)


def pointed(settings: ServiceSettings, rules: RuleBook, pointer: Pointer) -> Strategy:
    """Return the strategy of a pointer, warm, with the rules in use.

    Raises:
        ArtifactError: when the model is not there, or not in that version.
    """
    parts = wiring.build(changed(settings, "model", name=pointer.model))
    version = parts.strategy.scorer.version
    if version != pointer.version:
        msg = (
            f"the store points to {pointer.version}, but {settings.model.folder} holds {version}: "
            "put that version there, or run 'fraud state reencode' for this one"
        )
        raise ArtifactError(msg)
    warm_up(parts)
    return msgspec.structs.replace(parts.strategy, rules=rules)


def need_unread(settings: ServiceSettings, encoder: str) -> None:
    """Raise StateError where the release in force reads the histories that are to be made anew."""
    with closing(open_releases(settings)) as releases:
        live = releases.live()
    if encoder and live is not None and live.encoder == encoder:
        msg = f"release {live.id}, in force, reads histories of encoder {encoder}: they are kept, nothing is to be done"
        raise StateError(msg)


def block_list(settings: ServiceSettings, cards: BlockedCards, log: Log) -> BlockList:
    """Return what keeps a worker's blocked cards as topic `actions` says."""
    from features.stores.blocked import RedisBlocked  # as above

    import_module("kafka")  # two threads that import it at once each find half of it
    kafka, store, name = settings.kafka, settings.store, Topics.of(settings.kafka).actions
    sources = Sources(
        partial(KafkaFeed, kafka, (name,)),
        partial(RedisBlocked, store.url, timeout=store.timeout / SECOND, namespace=store.namespace),
        lambda: (name, f"{name}@{ids(kafka, (name,))[name]}"),
    )
    return BlockList(cards, sources, log, card_numbers(settings))


def followed(
    settings: Settings, parts: Parts, say: Callable[[str], None], engine: Swappable | None = None
) -> EmbeddedRelease:
    """Return what keeps an embedded engine on the release in the folder of the settings; `say` is told of changes.

    `engine` is what is given another strategy where that is not the engine of the parts itself.
    """
    releases, chosen = FolderReleases(Path(settings.paths.releases)), parts.strategy

    def load(found: InUse, last: Strategy) -> Chosen:
        release = release_in(found.release)
        if release is None:
            msg = "no release is in force: put one in force with 'fraud release activate --folder ...'"
            raise StateError(msg)
        if parts.learning is not None and release.model != chosen.scorer.version:
            msg = (
                f"release {release.id} decides by {release.model}, and this engine learns on {chosen.scorer.version}: "
                f"it keeps its model while it runs; to see that one, start it with --model {release.model}"
            )
            raise ArtifactError(msg)
        strategy = wiring.released(settings, release, releases.text, wiring.spec_of(settings).version, last)
        rules = blocking(chosen.rules, strategy.rules)
        return Chosen(None, msgspec.structs.replace(strategy, rules=rules))

    return EmbeddedRelease(engine or parts.engine, ModelSwap(releases, load, chosen, None), say)
