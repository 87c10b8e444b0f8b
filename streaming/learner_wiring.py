"""Settings to the label book's process: the book, the learner in it, and which model that learns on.

The model is that of the release in force, or the one that the store points to; the settings' own where the store says
nothing.
"""

from contextlib import closing
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fraud.core.engine import Strategy
from fraud.core.errors import ArtifactError, StoreUnavailableError
from fraud.core.labels import LabelBook
from fraud.core.learning.journal import Journal
from fraud.core.releases import NO_RULES, release_in
from models.online.snapshots import MOST_BYTES, size_for
from streaming import wiring
from streaming.kafka.model_pointer import pointer_in
from streaming.kafka.topics import Topics, TopicWatch, ids, need_as_many
from streaming.kafka.updates import in_force
from streaming.labels.counts import BookCounts, LearningCounts
from streaming.labels.following import Following
from streaming.labels.joiner import LabelJoiner
from streaming.labels.journal import SqliteJournal
from streaming.labels.learning import Learning, Outlet, Refreshes, Successor, let_through
from streaming.labels.log import LabelLog
from streaming.labels.pending import SqlitePending
from streaming.labels.service import LabelService
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Metrics
from streaming.observe.odd_records import OddRecords
from streaming.service_wiring import consumer_of, listen, path_timeout, producer_of
from streaming.settings import ServiceSettings, changed
from streaming.worker.model_swap import Chosen, InUse, ModelSwap
from streaming.worker.standby import take_turn

if TYPE_CHECKING:
    from features.stores.releases import RedisReleases
    from models.online.watched import WatchedLoop

FOLLOWED = "followed"
"""A row of the journal: the model that was learned on last because the store said so."""


class Learner(NamedTuple):
    """What is learned on: what the store said, None when it did not answer, and the strategy made of that."""

    held: InUse | None
    strategy: Strategy


class Store:
    """Where a site's releases are asked for, over a connection that is made again when it was lost."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Take the settings; nothing is asked yet."""
        self._settings = settings
        self._open: RedisReleases | None = None

    def in_use(self) -> tuple[bytes, bytes]:
        """Return the pointer to a model, and the release in force. Raises what `RedisReleases` raises."""
        try:
            self._open = self._open or self._opened()
            return self._open.in_use()
        except StoreUnavailableError:
            self.close()
            raise

    def text(self, name: str) -> str:
        """Return the text of a hash, over a connection of its own. Raises what `RedisReleases` raises."""
        with closing(self._opened()) as releases:
            return releases.text(name)

    def close(self) -> None:
        """Let the connection go."""
        if self._open is not None:
            self._open.close()
        self._open = None

    def _opened(self) -> "RedisReleases":
        from features.stores.releases import RedisReleases  # who neither learns nor judges needs no client of Redis

        namespace, timeout = self._settings.store.namespace, path_timeout(self._settings)
        return RedisReleases(self._settings.store.url, timeout=timeout, namespace=namespace)


def label_service(settings: ServiceSettings, folder: Path, *, anew: bool = False) -> LabelService:
    """Return the label book's process, its file in `folder`, once no other process of this machine has that file.

    `anew` goes on without a file that is lost. Whoever waits has the model loaded.

    Raises:
        ArtifactError: when the model that is to be learned on does not exist, or has nothing to learn.
        SettingsError: when no broker answers or a topic does not exist, or the settings of labels contradict.
        StateError: when the file cannot be used, or is not the one that published last.
    """
    kafka, topics, log = settings.kafka, Topics.of(settings.kafka), Log("book")
    store, name = Store(settings), f"waiting-{kafka.group}"
    first = learner(settings, store, log)
    take_turn(folder, name, lambda: log.say("waits for its turn", group=kafka.group))
    # One that the broker makes by itself, at the first version, would be neither compacted nor of one partition.
    learned = (topics.updates,) if first else ()
    topic_ids = ids(kafka, (topics.decisions, topics.known, topics.labels, topics.actions, *learned))
    need_as_many(kafka, topics.known, topics.decisions)
    group = f"{kafka.group}-book"
    pending = SqlitePending(folder / f"{name}.db")
    watch = TopicWatch(kafka, topic_ids)
    labels = LabelLog(consumer_of(kafka, group), producer_of(kafka, group), pending, topics, topic_ids, watch)
    labels.begin(anew=anew)
    book, outlet = label_book(settings, pending), Outlet(pending, topics, log)
    learning = None
    if first is None:
        let_through(pending, outlet, log)
    else:
        chosen = after_turn(settings, store, first, SqliteJournal(pending))
        learning = learning_of(settings, chosen, store, book, pending, outlet, labels, log)
    odd = OddRecords(topics.unprefixed())
    joiner = LabelJoiner(book, pending, topics, learning, odd)
    health, metrics = Health(), Metrics()
    metrics.registry.register(BookCounts(joiner.counts))
    metrics.registry.register(odd)
    if learning is not None:
        metrics.registry.register(LearningCounts(learning))
    pages = listen(settings, metrics, health)
    codec = wiring.codec(settings)
    return LabelService(labels, codec, joiner, pending, topics, log, health, pages, kafka.group, learning)


def learner(settings: ServiceSettings, store: Store, log: Log) -> Learner | None:
    """Return what is learned on, or by which the gate judges; None where the settings ask for neither.

    Raises:
        ArtifactError: when the model does not exist, or has nothing to learn.
        SettingsError: when vectors would be gone by the age of learning.
    """
    refresh, gate = settings.refresh.enabled, settings.gate.enabled
    if not (refresh or gate):
        return None
    settings.learning.age(settings.labels.vectors_for())
    if refresh and not gate:
        log.say("warning", text="refresh.enabled without gate.enabled: nothing holds flipped labels back")
    # Only who learns needs River, which takes its time to be imported; a standby does that while it waits.
    import_module("models.online.watched")
    held = asked(store)
    if held is not None and held.decides:
        return Learner(held, said_by(settings, store, held).strategy)
    return Learner(held, own(settings))


def after_turn(settings: ServiceSettings, store: Store, first: Learner, journal: Journal) -> Learner:
    """Return what is learned on now that it is this process's turn: another may be in force, or the store be gone.

    While no store answers that is what was learned on last, for learning on another model would begin anew.
    """
    held = asked(store)
    if held is None:
        last = (journal.get(FOLLOWED, 0) or b"").decode()
        same = not last or last == first.strategy.scorer.version
        return Learner(None, first.strategy if same else own(changed(settings, "model", name=last)))
    if first.held is None or held.decides != first.held.decides:
        first = Learner(held, said_by(settings, store, held).strategy if held.decides else own(settings))
    follow(journal, first.strategy if held.decides else None)
    return first._replace(held=held)


def asked(store: Store) -> InUse | None:
    """Return what the store says is to decide, None when it does not answer."""
    try:
        return InUse(*store.in_use())
    except StoreUnavailableError:
        return None


def own(settings: ServiceSettings) -> Strategy:
    """Return the strategy of the settings.

    Raises:
        ArtifactError: when its model does not exist, or has nothing to learn.
    """
    chosen = wiring.strategy(settings, wiring.spec_of(settings).version)
    if settings.refresh.enabled and wiring.refreshing(chosen) is None:
        msg = (
            f"refresh.enabled, but model.name is '{settings.model.name}', which has no leaves to learn: name a booster "
            "or a blend, as 'fraud models list' shows them, in [model] of the settings"
        )
        raise ArtifactError(msg)
    need_room(settings, chosen)
    return chosen


def said_by(settings: ServiceSettings, store: Store, found: InUse, last: Strategy | None = None) -> Chosen:
    """Return what the store says is to decide, made ready: its model and its policy; `last` was made before.

    A model without leaves, as `rules`, is taken up too: labels are judged, and nothing is learned.

    Raises:
        FraudError: when it cannot be loaded; the message names the repair.
    """
    release, pointer = release_in(found.release), pointer_in(found.pointer)
    if release is not None:
        without_rules = msgspec.structs.replace(release, rules=NO_RULES)  # a learner asks none of them
        chosen = wiring.released(settings, without_rules, store.text, wiring.spec_of(settings).version, last)
    else:
        name = settings.model.name if pointer is None else pointer.version
        chosen = wiring.strategy(changed(settings, "model", name=name), wiring.spec_of(settings).version)
    need_room(settings, chosen)
    return Chosen(None, chosen)


def need_room(settings: ServiceSettings, chosen: Strategy) -> None:
    """Raise ArtifactError where what is learned on a strategy's model would be no message that the broker takes."""
    from streaming.replay.learning import base_of

    base = base_of(chosen) if settings.refresh.enabled else None
    if base is not None and (size := size_for(len(base.trees.leaf))) > MOST_BYTES:
        msg = (
            f"refresh.enabled, but parameters on '{base.version}' take {size} bytes, more than the {MOST_BYTES} that a "
            "message may have: train a model with fewer trees or leaves, or set refresh.enabled to false"
        )
        raise ArtifactError(msg)


def label_book(settings: ServiceSettings, pending: SqlitePending) -> LabelBook:
    """Return the label book over its file, with the age of learning where somebody learns."""
    labels = settings.labels
    maturity = settings.learning.age(labels.vectors_for()) if settings.refresh.enabled else 0
    return LabelBook(pending, msgspec.structs.replace(labels.deadlines(), maturity=maturity), labels.believed())


def learning_of(
    settings: ServiceSettings, first: Learner, store: Store, book: LabelBook, pending: SqlitePending, outlet: Outlet,
    labels: LabelLog, log: Log,
) -> Learning:  # fmt: skip
    """Return the learning loop in the label book's process, its state in the book's file; it follows the store."""
    from models.online.watched import WatchedLoop
    from streaming.replay.learning import base_of, drift_watch, learning_rules

    chosen, journal = first.strategy, SqliteJournal(pending)
    base, rules = base_of(chosen) if settings.refresh.enabled else None, learning_rules(settings, chosen)
    loop = WatchedLoop(base, book, rules, journal, partial(drift_watch, settings, chosen))
    refreshes = Refreshes(chosen.scorer.version, rules.every, settings.refresh.clock == "stream")
    swap = ModelSwap(store, partial(said_by, settings, store), chosen, first.held)
    following = Following(swap, partial(successor, settings, loop, journal), log)
    log.say("learns on", model=refreshes.base, release=chosen.release)
    in_use = partial(in_force, settings.kafka)
    return Learning(loop, refreshes, pending, outlet, labels.positions, in_use, following)


def successor(settings: ServiceSettings, loop: "WatchedLoop", journal: Journal, chosen: Strategy) -> Successor:
    """Return what a learner goes on with between two periods, where payments are decided by another strategy."""
    from streaming.replay.learning import base_of, drift_watch, learning_rules

    def take_up() -> None:
        base = base_of(chosen) if settings.refresh.enabled else None
        loop.follow(base, learning_rules(settings, chosen), partial(drift_watch, settings, chosen))
        follow(journal, chosen)

    return Successor(chosen.scorer.version, take_up)


def follow(journal: Journal, chosen: Strategy | None) -> None:
    """Note on which model is learned because the store says so, None for that of the settings."""
    journal.put(FOLLOWED, 0, b"" if chosen is None else chosen.scorer.version.encode())
