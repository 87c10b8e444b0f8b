"""The topics: names, how they are made, and the ids that tell a recreated one from its namesake."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from fraud.core.errors import SettingsError, nearest
from fraud.core.fields import plain
from streaming import clock
from streaming.settings import KafkaSection

RETENTION_DAYS = 32
"""The longest window and its lateness: from a topic kept that long an empty store can be rebuilt."""
DAY_MS = 86_400_000
CONFIGS = {"retention.ms": str(RETENTION_DAYS * DAY_MS), "max.message.bytes": "1048576"}
COMPACTED = {"cleanup.policy": "compact,delete", "segment.ms": str(DAY_MS)}
"""For what was learned: of each key the newest is kept, no longer than anything else. Cleaned are whole segments."""
PARTITIONS = 4
CONNECT_MS = 10_000
METADATA_NS = 30_000_000_000


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


def connected(kafka: KafkaSection, kind: Any, options: Mapping[str, Any]) -> Any:
    """Return a connected client of kafka-python; what the site passes goes before `options`.

    Raises:
        SettingsError: when no broker answers, or none takes the user.
    """
    from kafka.errors import KafkaError

    from streaming.kafka.library import batches

    batches.install()
    given = {"bootstrap_timeout_ms": CONNECT_MS, **options, **client_options(kafka, kind)}
    heard, log = Heard(), logging.getLogger("kafka.net.manager")
    log.addHandler(heard)
    try:
        return kind(**given)
    except KafkaError as error:
        raise SettingsError(unconnected(kafka, heard.why or error)) from error
    finally:
        log.removeHandler(heard)


def unconnected(kafka: KafkaSection, why: object) -> str:
    """Return what is said when no broker took a client in, with the repair and without a password."""
    user, checks = kafka.client.get("sasl_plain_username"), ["[kafka] bootstrap, whether the brokers run"]
    login = "sasl_mechanism, sasl_plain_username and sasl_plain_password in [kafka.client]"
    if user is not None and "authenticat" in str(why).lower():
        return f"Kafka at {kafka.bootstrap} does not take user {user!r} ({why}): check {login}"
    if "SSL" in str(kafka.client.get("security_protocol", "")):
        checks.append("ssl_cafile in [kafka.client]")
    if user is not None:
        # Seen with SCRAM: the other side hangs up before it is heard why.
        checks.append(f"{login}, for brokers hang up on a wrong password of user {user!r}")
    return f"no Kafka at {kafka.bootstrap} ({why}): check {', and '.join(checks)}"


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
    return {name: str(found[name]["topic_id"]).replace("-", "")[:12] for name in wanted}


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
            raise SettingsError(msg)
        clock.sleep(0.05)
