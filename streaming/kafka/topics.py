"""The topics: names, how they are made, and the ids that tell a recreated one from its namesake."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from threading import Event, Thread
from typing import Any

import msgspec

from fraud.core.errors import KafkaUnavailableError, SettingsError, StateError, TopicReplacedError, nearest
from fraud.core.fields import Secret, plain
from streaming import clock
from streaming.kafka.client import Commit, Span
from streaming.kafka.offsets import commit_mark_in
from streaming.settings import CLIENT_TABLES, KafkaSection

RETENTION_DAYS = 32
"""The longest window and its lateness: from a topic kept that long an empty store can be rebuilt."""
DAY_MS = 86_400_000
CONFIGS = {"retention.ms": str(RETENTION_DAYS * DAY_MS), "max.message.bytes": "1048576"}
COMPACTED = {"cleanup.policy": "compact,delete", "segment.ms": str(DAY_MS)}
"""For what was learned: of each key the newest is kept, no longer than anything else. Cleaned are whole segments."""
PARTITIONS = 4
MASK = "[masked]"
CONNECT_MS = 10_000
METADATA_NS = 30_000_000_000
WATCH_SECONDS, WATCH_STOP_SECONDS = 5.0, 1.0
"""How often topics are asked for their ids; what is read of a new one until then is read again."""
GONE_ASKED, GONE_SECONDS = 50, 0.2
"""How often a topic that is not there is asked for, and how long after each: whoever makes it anew takes a moment."""


class Topics(msgspec.Struct, frozen=True):
    """The names of one site's topics."""

    transactions: str = "transactions"
    labels: str = "labels"
    known: str = "labels.known"
    applied: str = "labels.applied"
    decisions: str = "decisions"
    alerts: str = "alerts"
    dead: str = "transactions.dead"
    actions: str = "actions"
    updates: str = "model-updates"

    @classmethod
    def of(cls, kafka: KafkaSection) -> "Topics":
        """Return the names with the site's prefix."""
        return cls(*(kafka.prefix + name for name in cls()))

    def __iter__(self) -> Any:
        """Yield the names."""
        return iter(msgspec.structs.astuple(self))

    def unprefixed(self) -> dict[str, str]:
        """Return the names without the site's prefix, by name."""
        return dict(zip(self, Topics(), strict=True))


def client_options(kafka: KafkaSection, kind: Any) -> dict[str, Any]:
    """Return what a client of kafka-python is made with: addresses, and what the site passes to clients of its kind.

    `kind` is the client's class. Of `[kafka.client]` an option that other kinds have and this one lacks goes to those
    alone; what stands in the table of its own role goes before that.

    Raises:
        SettingsError: when no kind of client has an option, or the one has not that it is given to.
    """
    from kafka import KafkaConsumer, KafkaProducer
    from kafka.admin import KafkaAdminClient

    roles = {"consumer": KafkaConsumer, "producer": KafkaProducer, "admin": KafkaAdminClient}
    known = {role: set(each.DEFAULT_CONFIG) for role, each in roles.items()}
    _need_known("client", kafka.client, set().union(*known.values()))
    for role, names in known.items():
        _need_known(role, getattr(kafka, role), names)
    common = {name: value for name, value in kafka.client.items() if name in kind.DEFAULT_CONFIG}
    own = getattr(kafka, next(role for role, each in roles.items() if each is kind))
    passed = {name: plain(value) for name, value in {**common, **own}.items()}
    return {"bootstrap_servers": kafka.bootstrap.split(","), **passed}


def _need_known(table: str, given: Mapping[str, object], known: set[str]) -> None:
    for name in given:
        if name not in known:
            who = "no client" if table == "client" else f"no {table}"
            msg = f"[kafka.{table}] {name}: {who} has this option.{nearest(name, known)}"
            raise SettingsError(msg)


class Heard(logging.Handler):
    """Hears why kafka-python could not connect: it tries again, writes that to its log, and in the end says nothing."""

    def __init__(self) -> None:
        """Hear warnings."""
        super().__init__(logging.WARNING)
        self.why: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Note the first error in the log, or the first that is about the user."""
        for each in record.args if isinstance(record.args, tuple) else ():
            if isinstance(each, Exception) and (self.why is None or "Authentication" in type(each).__name__):
                self.why = each


class Masking(logging.Filter):
    """Takes passwords out of what kafka-python logs: at DEBUG it shows its configuration, and each request's bytes."""

    def __init__(self, passwords: Iterable[str]) -> None:
        """Take the passwords; they are looked for as they are and as Python shows them, as text or as bytes."""
        super().__init__()
        self._forms = {form for one in passwords for form in (one, repr(one)[1:-1], repr(one.encode())[2:-1])}

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask a record; none is left out."""
        text = record.getMessage()
        if any(form in text for form in self._forms):
            for form in self._forms:
                text = text.replace(form, MASK)
            record.msg, record.args = text, ()
        return True


def mask_passwords(kafka: KafkaSection) -> None:
    """Let no logger of kafka-python, which each have filters of their own, tell a password of the settings."""
    tables: list[Mapping[str, object]] = [getattr(kafka, name) for name in CLIENT_TABLES]
    passwords = [plain(value) for table in tables for value in table.values() if isinstance(value, Secret) and value]
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "kafka"] if passwords else []
    for logger in map(logging.getLogger, names):
        for held in [each for each in logger.filters if isinstance(each, Masking)]:
            logger.removeFilter(held)
        logger.addFilter(Masking(passwords))


def connected(kafka: KafkaSection, kind: Any, options: Mapping[str, Any]) -> Any:
    """Return a connected client of kafka-python; what the site passes goes before `options`.

    Raises:
        SettingsError: when no broker answers, or none takes the user.
    """
    from kafka.errors import KafkaError

    from streaming.kafka.library import batches

    batches.install()
    given = {"bootstrap_timeout_ms": CONNECT_MS, **options, **client_options(kafka, kind)}
    mask_passwords(kafka)
    heard, log = Heard(), logging.getLogger("kafka.net.manager")
    log.addHandler(heard)
    try:
        return kind(**given)
    except KafkaError as error:
        raise unconnected(kafka, heard.why or error) from error
    finally:
        log.removeHandler(heard)


def unconnected(kafka: KafkaSection, why: object) -> SettingsError:
    """Return what is raised when no broker took a client in, with the repair and without a password.

    Where none is there it may be there later; a user that none takes is for somebody to mend.
    """
    user, checks = kafka.client.get("sasl_plain_username"), ["[kafka] bootstrap, whether the brokers run"]
    login = "sasl_mechanism, sasl_plain_username and sasl_plain_password in [kafka.client]"
    if user is not None and "authenticat" in str(why).lower():
        return SettingsError(f"Kafka at {kafka.bootstrap} does not take user {user!r} ({why}): check {login}")
    if "SSL" in str(kafka.client.get("security_protocol", "")):
        checks.append("ssl_cafile in [kafka.client]")
    if user is not None:
        # Seen with SCRAM: the other side hangs up before it is heard why.
        checks.append(f"{login}, for brokers hang up on a wrong password of user {user!r}")
    return KafkaUnavailableError(f"no Kafka at {kafka.bootstrap} ({why}): check {', and '.join(checks)}")


def admin(kafka: KafkaSection) -> Any:
    """Return a connected admin client; raise SettingsError when no broker answers."""
    from kafka.admin import KafkaAdminClient

    return connected(kafka, KafkaAdminClient, {})


def create(kafka: KafkaSection, partitions: int = PARTITIONS, replication: int = -1) -> list[str]:
    """Create the topics that are missing; return their names. Transactions and labels share a number of partitions."""
    client, topics = admin(kafka), Topics.of(kafka)
    try:
        present = set(client.list_topics())
        missing = [name for name in topics if name not in present]
        options: dict[str, Any] = {"num_partitions": partitions, "replication_factor": replication, "configs": CONFIGS}
        updates = options | {"num_partitions": 1, "configs": CONFIGS | COMPACTED}
        if missing:
            wanted = {name: updates if name == topics.updates else options for name in missing}
            client.create_topics(wanted, wait_for_metadata=True)
        return missing
    finally:
        client.close()


def need_whole(topic: str, partition: int, read: int, span: Span) -> None:
    """Raise StateError when a log ends before the offset up to which it was read: what comes next would be skipped."""
    if read > span.end:
        name = topic.partition("@")[0]
        msg = (
            f"{name} partition {partition} ends at offset {span.end}, but was read up to {read}: its log was cut (a "
            "broker lost its newest records, or another one leads without them), or the topic was made anew; what is "
            f"sent now would be taken for what was answered before. Stop its senders, delete topic {name}, make it "
            "with 'fraud topics create', start again, and send what is missing"
        )
        raise StateError(msg)


def described(kafka: KafkaSection, names: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Return what the broker says of the topics that exist, by name."""
    client = admin(kafka)
    try:
        wanted = set(names)
        return {topic["name"]: topic for topic in client.describe_topics() if topic["name"] in wanted}
    finally:
        client.close()


def ids(kafka: KafkaSection, names: Iterable[str]) -> dict[str, str]:
    """Return a short id of each topic, another one when it is deleted and made again.

    Raises:
        SettingsError: when one does not exist.
    """
    wanted = list(names)
    found = described(kafka, wanted)
    missing = [name for name in wanted if name not in found]
    if missing:
        msg = f"no topic {', '.join(missing)} at {kafka.bootstrap}: make them with 'fraud topics create'"
        raise SettingsError(msg)
    return {name: short_id(found[name]) for name in wanted}


def need_same(kafka: KafkaSection, began_with: Mapping[str, str]) -> None:
    """Raise TopicReplacedError where a topic is not the one of this id, by name; one that is away is waited for."""
    found: dict[str, str] = {}
    for _ in range(GONE_ASKED if began_with else 0):
        found = ids_in(described(kafka, began_with).values())
        if len(found) == len(began_with):
            break
        clock.sleep(GONE_SECONDS)
    for name, before in began_with.items():
        if (now := found.get(name, "gone")) != before:
            raise TopicReplacedError(replaced(name, before, now))


def replaced(name: str, before: str, now: str) -> str:
    """Return what is said of a topic that is another one than a process began with."""
    return (
        f"topic {name} was deleted and made again (its id was {before} and is {now}) while this process ran: starting "
        "again, at the beginning of the one that is there"
    )


class TopicWatch:
    """Asks, in a thread of its own, whether topics are still those that a process began with.

    A topic that is deleted and made again has the same name, and offsets that mean something else. Clients go on in it
    as if nothing had been: some skip what it holds, others begin at its beginning, and nobody raises anything.
    """

    by_rules = True
    """It is asked too while the store is gone and rules alone decide."""

    def __init__(self, kafka: KafkaSection, began_with: Mapping[str, str], every: float = WATCH_SECONDS) -> None:
        """Take the ids of the topics by name; nothing is asked before `begin`."""
        self._kafka, self._ids, self._every = kafka, dict(began_with), every
        self._stopped = Event()
        self._thread = Thread(target=self._watch, daemon=True, name="topics")
        self._fault = ""

    def begin(self) -> None:
        """Ask from now on."""
        self._thread.start()

    def swap(self) -> None:
        """Between two batches, raise TopicReplacedError when a topic was made anew; one that is away is waited for."""
        if self._fault:
            raise TopicReplacedError(self._fault)

    def close(self) -> None:
        """Ask no more; the last question is not waited for long."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(WATCH_STOP_SECONDS)

    def _watch(self) -> None:
        client: Any = None
        while not self._stopped.wait(self._every):
            try:
                client = client or admin(self._kafka)
                found = ids_in(client.describe_topics(list(self._ids)))
            except Exception:
                # Brokers that do not answer are told of by whoever needs them.
                close(client)
                client = None
                continue
            for name, now in found.items():
                if now != self._ids[name] and not self._fault:
                    self._fault = replaced(name, self._ids[name], now)
        close(client)


def close(client: Any) -> None:
    """Close a client, if there is one."""
    if client is not None:
        client.close()


def ids_in(described: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the ids of the topics that are there, by name."""
    return {each["name"]: short_id(each) for each in described if not each.get("error_code")}


def short_id(described: Mapping[str, Any]) -> str:
    """Return the beginning of a topic's id, enough to tell it from a namesake."""
    return str(described["topic_id"]).replace("-", "")[:12]


def need_own(kafka: KafkaSection) -> None:
    """Look at a site's topics before a worker reads them: their partitions, and whether they are its own.

    Whose they are is asked where its group has committed nothing yet: another group answers all of it once more.

    Raises:
        SettingsError: when partitions do not correspond, or workers of another group have answered what is there.
    """
    from kafka.errors import KafkaError

    topics = Topics.of(kafka)
    with closing(admin(kafka)) as client:
        found = {each["name"]: len(each["partitions"]) for each in client.describe_topics(list(topics))}
        for fault in partition_faults(topics, found):
            raise SettingsError(fault)
        others: list[str] = []
        # Who may not ask for groups is not kept from working.
        with suppress(KafkaError):
            others = other_groups(client, kafka)
    if others:
        raise SettingsError(shared(topics.transactions, others, kafka.group))


def partition_faults(topics: Topics, found: Mapping[str, int]) -> Iterator[str]:
    """Yield what is wrong with numbers of partitions: an answer goes to the partition of what it answers."""
    many = found.get(topics.transactions, 0)
    for name in (topics.known, topics.decisions, topics.applied):
        if many and (held := found.get(name, many)) != many:
            fewer, more = (name, many) if held < many else (topics.transactions, held)
            yield (
                f"topic {name} has {held} partitions and {topics.transactions} {many}: what is known of a payment, and "
                f"what answers it, go to the partition of its number; add the missing ones ('kafka-topics.sh --alter "
                f"--topic {fewer} --partitions {more}')"
            )


def other_groups(client: Any, kafka: KafkaSection) -> list[str]:
    """Return the groups of other workers in a site's topics, none where its own has committed something."""
    topic = Topics.of(kafka).transactions
    if any(of_worker(client.list_group_offsets([kafka.group]), topic)):
        return []
    names = [each["group_id"] for each in client.list_groups() if each["group_id"] != kafka.group]
    return sorted(set(of_worker(client.list_group_offsets(names), topic))) if names else []


def of_worker(found: Mapping[str, Mapping[Any, Any]], topic: str) -> Iterator[str]:
    """Yield the groups that have committed in a topic as workers do, by what their commits carry."""
    for group, offsets in found.items():
        for place, commit in offsets.items():
            if place.topic == topic and commit_mark_in(Commit(commit.offset, commit.metadata)).birth:
                yield group


def shared(topic: str, others: Iterable[str], group: str) -> str:
    """Return what is said of topics that another site's workers read."""
    names = ", ".join(f"'{each}'" for each in others)
    return (
        f"workers of group {names} answer topic {topic}, and those of group '{group}' would answer it once more: give "
        "this site a kafka.prefix of its own, or the same kafka.group; where that group is no more, delete it "
        "('kafka-consumer-groups.sh --delete --group ...')"
    )


def need_as_many(kafka: KafkaSection, name: str, source: str) -> None:
    """Raise SettingsError unless a topic has the partitions of another, whose numbers its records go by."""
    found = described(kafka, (name, source))
    many, needed = (len(found[each]["partitions"]) for each in (name, source))
    if many < needed:
        msg = (
            f"topic {name} has {many} partitions, {source} {needed}: a label goes to the partition of its payment; add "
            f"the missing ones ('kafka-topics.sh --alter --topic {name} --partitions {needed}')"
        )
        raise SettingsError(msg)


def await_topics(consumer: Any, names: Iterable[str]) -> None:
    """Return when a consumer's own metadata has the topics: another broker may hear of a new one a little later.

    Raises:
        SettingsError: when it does not hear of one in time.
    """
    wanted, until = set(names), clock.monotonic_ns() + METADATA_NS
    while missing := wanted - consumer.topics():
        if clock.monotonic_ns() >= until:
            msg = f"the brokers do not tell of topic {', '.join(sorted(missing))}: check 'fraud check' and their health"
            raise KafkaUnavailableError(msg)
        clock.sleep(0.05)
