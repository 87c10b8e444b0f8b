"""Settings to processes: the worker, the label service and the jobs of a site on Kafka and Redis.

With `wiring`, which makes engines and what runs them on files, the only place that names concrete classes.
"""

import socket
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import msgspec

from features.stores.memory import MemoryStore
from features.stores.redis import RedisStore
from features.stores.rowlog.copies import warm_loops
from features.stores.rowlog.owner import MIB
from fraud.core.engine import Engine, Lateness, Strategy
from fraud.core.errors import StoreRestartedError, StoreUnavailableError
from fraud.core.records import SECOND, Level
from fraud.core.rules.blocked import BlockedCards
from models.online.snapshots import decoded
from streaming import clock, wiring
from streaming.kafka import confluent, kafka_python
from streaming.kafka.backlog import Backlog
from streaming.kafka.client import Consumer, Producer
from streaming.kafka.kafka_python import hand_over, need_alone
from streaming.kafka.link import KafkaLink
from streaming.kafka.model_pointer import Pointer
from streaming.kafka.offsets import Offsets
from streaming.kafka.publisher import Publisher
from streaming.kafka.recovery import Recoverable, Recovery
from streaming.kafka.source import RecordReader, TimeBudget
from streaming.kafka.topics import Topics, TopicWatch, ids, need_own
from streaming.kafka.updates import in_force, open_updates
from streaming.messages.codec import Limits
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Metrics, Pages
from streaming.observe.odd_records import OddRecords
from streaming.observe.stages import TimedEngine, TimedStore, Watch
from streaming.rebuild.histories import Reencode
from streaming.rebuild.inputs import InputLog
from streaming.rebuild.state import Made, Rebuild
from streaming.release_wiring import block_list, first_choice, need_unread, next_choice
from streaming.settings import KafkaSection, ServiceSettings, card_numbers
from streaming.worker.catch_up import CatchUp, Job
from streaming.worker.deadlines import LatencyBudget
from streaming.worker.fallback import FallbackEngine, RulesFallback
from streaming.worker.listener import Listener
from streaming.worker.model_swap import InUse, ModelInUse, ModelSwap
from streaming.worker.probe import Probe
from streaming.worker.refresh import Make, Ready, Refresh, Topic
from streaming.worker.reporter import Reporter
from streaming.worker.service import Heard, Service
from streaming.worker.standby import take_turn
from streaming.worker.upkeep import Upkeep
from streaming.worker.warm_up import warm_up

LOOK_AGAIN = 0.05
ASKED_MS = 500
"""How often a worker asks for new parameters: next to nothing beside a period, and few wakings of a thread."""
ANY_TIME = Limits(ahead=2**62)
"""What was taken in once is read again, whatever the clock says now."""


class Outside(msgspec.Struct, frozen=True):
    """Whom a worker tells of itself."""

    log: Log
    metrics: Metrics
    health: Health
    watch: Watch
    odd: OddRecords = msgspec.field(default_factory=OddRecords)


class Deciding(msgspec.Struct, frozen=True):
    """What a worker decides by: the engine, what answers without its store, and the pointers that it follows."""

    strategy: Strategy
    engine: Engine
    fallback: FallbackEngine
    users: tuple[Callable[[Strategy], None], ...]
    swap: ModelSwap
    refresh: Refresh | None
    pointer: Pointer | None


def open_store(settings: ServiceSettings, *, site: str = "") -> RedisStore:
    """Return the state store of the settings, connected, as that of a site. Raises what `RedisStore` raises."""
    return store_of(settings, settings.store.timeout / SECOND, site=site)


def path_store(settings: ServiceSettings) -> RedisStore:
    """Return the state store as the path uses it: it waits for little, and is not connected yet."""
    return store_of(settings, path_timeout(settings), at_once=False, site=site_of(settings.kafka))


def unopened_store(settings: ServiceSettings) -> RedisStore:
    """Return the state store of the settings, for who looks at it without leaving a trace."""
    return store_of(settings, settings.store.timeout / SECOND, at_once=False)


def store_of(settings: ServiceSettings, timeout: float, *, at_once: bool = True, site: str = "") -> RedisStore:
    """Return the state store of the settings, which waits for an answer for `timeout` seconds."""
    store, horizon = settings.store, settings.engine.retry_horizon
    former, cache = card_numbers(settings).former, store.cache * MIB
    return RedisStore(
        store.url, timeout=timeout, retry_horizon=horizon, namespace=store.namespace, cache=cache, at_once=at_once,
        former=former, site=site,
    )  # fmt: skip


def site_of(kafka: KafkaSection) -> str:
    """Return what tells a site from others: whose topics and whose commits its state goes with."""
    return f"prefix '{kafka.prefix}' and group '{kafka.group}'"


def path_timeout(settings: ServiceSettings) -> float:
    """Return for how many seconds a decision waits for the store."""
    return min(settings.store.path_timeout, settings.store.timeout) / SECOND


def first_look(store: RedisStore, patience: int) -> InUse | None:
    """Connect; return what says what is to decide, None when the store does not answer within `patience` (ns)."""
    until = clock.monotonic_ns() + patience
    while True:
        try:
            store.reopen()
            return InUse(*store.in_use())
        except (StoreUnavailableError, StoreRestartedError):
            if clock.monotonic_ns() >= until:
                return None
            clock.sleep(LOOK_AGAIN)


def worker(settings: ServiceSettings, number: int, member: str = "", standby: Path | None = None) -> Service:
    """Return a worker: its model loaded and warm, connected, listening; partitions come with `run`.

    With `standby`, a folder of locks, it waits before it connects until no other process works as `member`.

    Raises:
        FraudError: when a part is missing or does not answer; the message names it and the repair.
    """
    member = member or f"{socket.gethostname()}-{number}"
    odd = OddRecords(Topics.of(settings.kafka).unprefixed())
    outside = Outside(Log(f"worker-{number}"), Metrics(), Health(), Watch(), odd)
    outside.metrics.registry.register(odd)
    embedded = wiring.build(settings)
    warm_up(embedded)
    warm_loops()
    if standby is not None:
        take_turn(standby, member)
    store = path_store(settings)
    budget = budget_of(settings)
    configured, cards = wiring.guarded(settings, embedded.strategy)
    deciding = decider(settings, configured, store, outside, budget)
    heard = listeners(settings, deciding.refresh, cards, outside)
    for each in heard:
        each.begin()
    leave = partial(hand_over, settings.kafka, member) if standby is None else stay
    link = kafka_link(
        settings, member, deciding.fallback, outside.watch, budget, deciding.pointer, outside.health.beat, outside.odd,
        leave,
    )  # fmt: skip
    watch = TopicWatch(settings.kafka, link.recovery.ids)
    watch.begin()
    for each in heard:
        each.take_up()
    return service(settings, outside, deciding, store, budget, link, (*heard, watch))


def stay() -> None:
    """Keep the partitions for who goes on under this name."""


def listeners(
    settings: ServiceSettings, refresh: Refresh | None, cards: BlockedCards, outside: Outside
) -> tuple[Listener, ...]:
    """Return what a worker hears of beside its payments: new parameters, blocked cards; as far as it is to."""
    blocking = block_list(settings, cards, outside.log) if cards.most else None
    if blocking is not None:
        outside.metrics.registry.register(blocking)
    return tuple(each for each in (refresh, blocking) if each is not None)


def budget_of(settings: ServiceSettings) -> LatencyBudget:
    """Return what a worker's decisions may take; the model brings the levels."""
    waits = settings.kafka.delivery == "transactional"
    return LatencyBudget(settings.serving.budget, settings.engine.batch, (Level.FULL,), waits=waits)


def decider(
    settings: ServiceSettings, configured: Strategy, store: RedisStore, outside: Outside, budget: LatencyBudget
) -> Deciding:
    """Return what decides by what the store says, release or model; by the settings' own where it says nothing.

    Where no store answers rules decide until one does; then what it says is taken up.
    """
    held = first_look(store, settings.store.timeout)
    pointer, chosen = first_choice(settings, configured, held or InUse())
    watch = outside.watch
    extractor = wiring.extractor_of(TimedStore(store, watch), settings)
    plain = Engine(extractor, store, chosen, None, Lateness(settings.lateness.allowed), budget)
    engine = TimedEngine(plain, watch)
    rules = RulesFallback(chosen, len(extractor.names), extractor.version)
    refresh = listening(settings, chosen, engine.replace_strategy, outside)
    users = (
        engine.replace_strategy,
        rules.replace_strategy,
        lambda strategy: budget.take_levels((Level.FULL, *strategy.reduced)),
        outside.metrics.gauges.show_build,
        *((refresh.follow,) if refresh else ()),
    )
    for use in users:
        use(chosen)
    swap = ModelSwap(store, partial(next_choice, settings, configured.rules), chosen, held)

    def back() -> None:
        store.reopen()
        swap.follow()

    fallback = FallbackEngine(engine, store, rules, Probe(back), down=held is None)
    return Deciding(chosen, plain, fallback, users, swap, refresh, pointer)


def listening(
    settings: ServiceSettings, chosen: Strategy, use: Callable[[Strategy], None], outside: Outside
) -> Refresh | None:
    """Return what keeps a worker's parameters fresh; `use` takes what decides. None where the settings ask for none."""
    if not settings.refresh.enabled:
        return None
    import_module("kafka")  # two threads that import it at once each find half of it
    kafka = settings.kafka
    topic = Topic(partial(open_updates, kafka, at_end=True, wait_ms=ASKED_MS), partial(in_force, kafka))
    refresh = Refresh(chosen, topic, maker, use, outside.log, wall=settings.refresh.clock == "wall")
    outside.metrics.registry.register(refresh)
    return refresh


def maker(chosen: Strategy) -> Make | None:
    """Return what makes published snapshots ready for a strategy's model, None where that has nothing to learn."""
    refreshing = wiring.refreshing(chosen)
    if refreshing is None:
        return None
    refreshing.warm()

    def ready(body: bytes) -> Ready:
        snapshot = decoded(body)
        return Ready(snapshot.base, snapshot.version, snapshot.seq, refreshing.scorers(snapshot))

    return ready


def consumer_of(kafka: KafkaSection, group: str, member: str = "") -> Consumer:
    """Return a consumer of the library in the settings; see `connect_consumer` there."""
    if kafka.library == "confluent":
        return confluent.connect_consumer(kafka, group, member)
    return kafka_python.connect_consumer(kafka, group, member)


def producer_of(kafka: KafkaSection, transactional_id: str = "") -> Producer:
    """Return a producer of the library in the settings; see `connect_producer` there."""
    if kafka.library == "confluent":
        return confluent.connect_producer(kafka, transactional_id)
    return kafka_python.connect_producer(kafka, transactional_id)


def kafka_link(
    settings: ServiceSettings,
    member: str,
    store: Recoverable,
    watch: Watch,
    budget: TimeBudget,
    pointer: Pointer | None = None,
    alive: Callable[[], None] = lambda: None,
    odd: OddRecords | None = None,
    leave: Callable[[], None] = lambda: None,
) -> KafkaLink:
    """Return source and sink of one worker, a member of its group; partitions come with the first reads.

    `alive` is called while the end of a long output is read, `leave` at an end that was asked for; `odd` counts what is
    not taken as it came.

    Raises:
        SettingsError: when no broker answers or a topic does not exist.
    """
    kafka, topics = settings.kafka, Topics.of(settings.kafka)
    inputs = topics.transactions, topics.known
    topic_ids, transactional = ids(kafka, inputs), kafka.delivery == "transactional"
    need_own(kafka)
    producer = producer_of(kafka, f"{kafka.group}-{member}" if transactional else "")
    consumer = consumer_of(kafka, kafka.group, member)
    codec = wiring.codec(settings, Limits(ahead=settings.lateness.future))
    if odd is not None:
        odd.follow(codec.wrong)
    offsets = Offsets(settings.store.durable_after, kafka.commit_every)
    link = KafkaLink(
        consumer,
        RecordReader(consumer, codec, topics, topic_ids, budget, settings.engine.batch, odd),
        Publisher(producer, topics, offsets.note, budget.late_before),
        offsets,
        Recovery(kafka, topic_ids, consumer, store, pointer, alive, odd),
        store,
        watch,
        leave,
        transactional=transactional,
    )
    link.join(inputs)
    return link


def service(
    settings: ServiceSettings,
    outside: Outside,
    deciding: Deciding,
    store: RedisStore,
    budget: LatencyBudget,
    link: KafkaLink,
    heard: tuple[Heard, ...],
) -> Service:
    """Return a worker made of its parts."""
    log, metrics, fallback = outside.log, outside.metrics, deciding.fallback
    model = ModelInUse(deciding.strategy, deciding.swap, log, deciding.users, link.swap_model)
    metrics.registry.register(model.refusals)
    reporter = Reporter(link, fallback, budget, outside.watch, metrics, outside.health, log)
    upkeep = Upkeep(link, fallback, model, store.copies, metrics, log)
    backlog = partial(Backlog, settings.kafka, wiring.codec(settings, ANY_TIME), link.recovery.ids, odd=outside.odd)
    catch_up = CatchUp(
        fallback, link, store, partial(Job, deciding.engine, store, backlog, path_timeout(settings)), model.swap, log
    )
    pages = listen(settings, metrics, outside.health)
    return Service(link, fallback, model, heard, reporter, upkeep, catch_up, store, log, pages, settings.kafka.group)


def listen(settings: ServiceSettings, metrics: Metrics, health: Health) -> Pages | None:
    """Return a process's pages, None when the settings ask for none."""
    serving = settings.serving
    return Pages(serving.host, serving.http, metrics, health) if serving.http >= 0 else None


def input_log(settings: ServiceSettings) -> InputLog:
    """Return what the workers of a site have taken in.

    Raises:
        SettingsError: when no broker answers or a topic does not exist.
    """
    topics = Topics.of(settings.kafka)
    topic_ids = ids(settings.kafka, (topics.transactions, topics.known))
    return InputLog(settings.kafka, topic_ids, wiring.codec(settings, ANY_TIME))


def rebuild(settings: ServiceSettings, folder: Path) -> Rebuild:
    """Return a rebuilding of the state store, begun; `folder` is where a copy is kept of how far it has come.

    Raises:
        StateError: when the store is not empty, or workers are at work.
    """
    store, scratch = open_store(settings, site=site_of(settings.kafka)), MemoryStore()
    name = f"{settings.kafka.prefix}{settings.kafka.group}.rebuild"
    made = Made(scratch, wiring.extractor_of(scratch, settings), folder / name)
    job = Rebuild(input_log(settings), store, made, partial(need_alone, settings.kafka))
    job.begin()
    return job


def reencode(settings: ServiceSettings) -> Reencode:
    """Return the making of histories for the model of the settings, begun.

    Raises:
        ArtifactError: when the model does not exist or does not fit this release.
        StateError: when the store holds histories of its encoder already, or the release in force reads them.
    """
    scratch = MemoryStore()
    extractor = wiring.extractor_of(scratch, settings)
    scorer = wiring.scorer(settings.model.name, settings, extractor.version)
    need_unread(settings, scorer.encoder)
    job = Reencode(settings.model.name, scorer, input_log(settings), scratch, extractor, open_store(settings))
    job.begin()
    return job
