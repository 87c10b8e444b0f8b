"""Is what a site runs on set up so that nothing gets lost? Brokers and store are asked, and nothing is written."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

from fraud.core.errors import StateError
from streaming.kafka.kafka_python import committed
from streaming.kafka.offsets import commit_mark_in
from streaming.kafka.topics import (
    DAY_MS,
    Topics,
    admin,
    ids,
    need_as_many,
    other_groups,
    partition_faults,
    shared,
)
from streaming.service_wiring import site_of, unopened_store
from streaming.settings import KafkaSection, ServiceSettings

LEAST_RETENTION_MS = DAY_MS
"""An outage, an older copy of the store and a learner that was away are made good from the topics: a day is little."""
MESSAGE_BYTES = 1_000_000
"""The longest message that a site sends."""


def need_sound_topics(kafka: KafkaSection) -> str:
    """Return what Kafka holds.

    Raises:
        SettingsError: when it does not answer, or a topic is missing.
        StateError: when a topic is set up so that something would get lost; a sentence for each fault.
    """
    topics = Topics.of(kafka)
    ids(kafka, list(topics))
    faults, described, configs, brokers = topic_facts(kafka)
    counts = {name: len(each["partitions"]) for name, each in described.items()}
    faults += partition_faults(topics, counts)
    for name in topics:
        faults += setting_faults(name, configs[name], compacted=name == topics.updates)
        faults += replica_faults(name, described[name]["partitions"], configs[name], brokers)
    if faults:
        raise StateError("; ".join(faults))
    need_as_many(kafka, topics.labels, topics.transactions)
    return f"{len(described)} topics at {kafka.bootstrap}, {counts[topics.transactions]} partitions, {brokers} brokers"


def topic_facts(kafka: KafkaSection) -> tuple[list[str], dict[str, Any], dict[str, dict[str, str]], int]:
    """Return whose else the topics are, what the brokers say of them and of their settings, and how many they are."""
    from kafka.admin import ConfigResource, ConfigResourceType
    from kafka.errors import KafkaError

    topics, faults = Topics.of(kafka), list[str]()
    with closing(admin(kafka)) as client:
        described = {each["name"]: each for each in client.describe_topics(list(topics))}
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
        told = client.describe_configs(wanted, config_filter="all")
        brokers = len(client.describe_cluster()["brokers"])
        with suppress(KafkaError):
            if others := other_groups(client, kafka):
                faults.append(shared(topics.transactions, others, kafka.group))
    configs = {
        name: {key: str(value["value"]) for key, value in found.items()}
        for kind in told.values()
        for name, found in kind.items()
    }
    return faults, described, configs, brokers


def setting_faults(name: str, config: Mapping[str, str], *, compacted: bool) -> Iterator[str]:
    """Yield what is wrong with the settings of a topic, with the repair."""
    policy, retention = config.get("cleanup.policy", "delete"), int(config.get("retention.ms", -1))
    if compacted and "compact" not in policy:
        yield f"{name} has cleanup.policy {policy}, so it forgets versions that are in force: set compact,delete"
    if not compacted and policy != "delete":
        yield f"{name} has cleanup.policy {policy}, so all but the newest message of a key is dropped: set delete"
    if 0 <= retention < LEAST_RETENTION_MS:
        hours = retention / 3_600_000
        yield (
            f"{name} keeps messages for {hours:.3g} h: what is read again after an outage would be gone; set "
            f"retention.ms to {LEAST_RETENTION_MS} or more, as 'fraud topics create' does with 32 days"
        )
    if (most := int(config.get("max.message.bytes", MESSAGE_BYTES))) < MESSAGE_BYTES:
        yield f"{name} takes messages of {most} bytes, and {MESSAGE_BYTES} are sent: raise its max.message.bytes"


def replica_faults(
    name: str, partitions: Sequence[Mapping[str, Any]], config: Mapping[str, str], brokers: int
) -> Iterator[str]:
    """Yield what is wrong with the copies of a topic, with the repair."""
    copies = min(len(each["replica_nodes"]) for each in partitions)
    in_sync = min(len(each["isr_nodes"]) for each in partitions)
    needed = int(config.get("min.insync.replicas", 1))
    if copies < 2 <= brokers:
        yield f"{name} has one copy on {brokers} brokers, so one disk takes it along: raise its replication"
    if in_sync < needed:
        yield f"{name} has {in_sync} copies in sync and wants {needed} before it takes a message: look at its brokers"


def need_sound_store(settings: ServiceSettings) -> str:
    """Return the state's name, or that there is none yet.

    Raises:
        StateError: when the store is set up so that it may lose state, or holds the state of another site.
        StoreUnavailableError: when it does not answer.
    """
    from fraud.core.releases import release_in

    with closing(unopened_store(settings)) as store:
        store.look()
        faults = [*store.faults(), *owner_faults(store.site(), settings.kafka)]
        if faults:
            raise StateError("; ".join(faults))
        live = release_in(store.in_use()[1])
        born = f"state born {store.birth}" if store.birth else "no state yet"
        return f"{born}, {(live and f'release {live.id} in force') or 'no release in force'}"


def owner_faults(held: str, kafka: KafkaSection) -> Iterator[str]:
    """Yield that a state is another site's, if it is: `held` says whose, empty when nobody has used it."""
    if held not in ("", mine := site_of(kafka)):
        yield (
            f"it holds the state of the site with {held}, and this is the one with {mine}: give this one "
            "store.namespace or a store.url of its own"
        )


def need_same_state(settings: ServiceSettings) -> str:
    """Return that commits and state belong together.

    Raises:
        StateError: when the commits speak of another state than the store holds.
    """
    with closing(unopened_store(settings)) as store:
        store.look()
        birth = store.birth
    kafka = settings.kafka
    marks = [commit_mark_in(each) for each in committed(kafka, (Topics.of(kafka).transactions,)).values()]
    strange = sorted({mark.birth for mark in marks} - {"", birth})
    if strange:
        msg = (
            f"workers have committed with the state born {strange[-1]}, and the store holds "
            f"{f'the one born {birth}' if birth else 'none'}: put the former back, or empty the store and fill it with "
            "'fraud state rebuild'"
        )
        raise StateError(msg)
    return "the commits go with the state" if any(mark.birth for mark in marks) else "nothing committed yet"
