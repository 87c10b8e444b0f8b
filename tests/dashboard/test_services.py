"""The console on services that ask for passwords, while they are away, and two of it on one database."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import pytest
from sqlalchemy import insert

from fraud.cli.audit import everything
from fraud.core.records import Label, LabelSource, Verdict
from fraud.review.database import Database
from fraud.review.tables import outbox
from fraud.review.words import Parcel
from infra.services import KafkaServer, PostgresServer, RedisServer
from streaming.feeds.kafka import KafkaFeed
from streaming.kafka.topics import Topics, create
from streaming.settings import KafkaSection
from tests.dashboard.consoles import figures, set_up, started
from tests.services import scratch
from tests.site import until

pytestmark = pytest.mark.slow

SECRETS = {"kafka": "k4fka-horse", "redis": "r3dis-horse", "postgres": "p0stgres-horse"}
SECONDS = 120.0


class Services(NamedTuple):
    """Servers that ask for passwords, and what a console is started with."""

    kafka: KafkaServer
    postgres: PostgresServer
    words: tuple[str, ...]
    environment: dict[str, str]

    @property
    def open_kafka(self) -> KafkaSection:
        """Return the port that asks for no password."""
        return KafkaSection(bootstrap=self.kafka.bootstrap)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Servers of the test's own; the passwords stand in the environment and in files, none on a command line."""
    with ExitStack() as ends:
        kafka = KafkaServer(tmp_path / "kafka", password=SECRETS["kafka"])
        redis = RedisServer(tmp_path / "redis", password=SECRETS["redis"])
        postgres = PostgresServer(scratch("postgres"), password=SECRETS["postgres"])
        for server in (kafka, redis, postgres):
            ends.callback(server.kill)
            server.start(tied=True)
        create(KafkaSection(bootstrap=kafka.bootstrap), partitions=2)
        file = tmp_path / "fraud.toml"
        file.write_text(
            f'[kafka.client]\nsecurity_protocol = "SASL_SSL"\nssl_cafile = "{kafka.certificate}"\n'
            'sasl_mechanism = "SCRAM-SHA-256"\nsasl_plain_username = "fraud"\n'
            f'sasl_plain_password = {{ file = "{secret(tmp_path / "kafka.secret", SECRETS["kafka"])}" }}\n'
        )
        environment = {
            "FRAUD_SETTINGS": str(file), "FRAUD_STORE__URL": redis.url,
            "FRAUD_CONSOLE__DATABASE_FILE": secret(tmp_path / "database.secret", postgres.url),
        }  # fmt: skip
        database = Database(postgres.url)
        database.migrate()
        database.close()
        yield Services(
            kafka, postgres, ("--bootstrap", kafka.secure_bootstrap, "--keys", str(tmp_path / "keys")), environment
        )


def secret(path: Path, text: str) -> str:
    """Write a secret for its owner alone, and return where it is."""
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


def verdict(services: Services, version: int) -> None:
    """Put a verdict's label into the outbox, due at once."""
    label = Label(
        tx_id="tx1", verdict=Verdict.FRAUD, happened_at=1_700_000_000_000_000_000, seen_at=0, version=version,
        source=LabelSource.ANALYST,
    )  # fmt: skip
    database = Database(services.postgres.url)
    with database.write() as connection:
        connection.execute(insert(outbox).values(kind=int(Parcel.LABEL), body=msgspec.json.encode(label), send_after=0))
    database.close()


def sent(services: Services) -> list[int]:
    """Return the versions of the labels that have left."""
    feed = KafkaFeed(services.open_kafka, [Topics().labels])
    return [int(msgspec.json.decode(record.value)["version"]) for record in everything(feed)]


def said(address: str) -> str:
    """Return what a console says when it is asked whether it is ready."""
    return httpx.get(f"{address}/readyz").text.strip()


def test_console_takes_passwords_from_environment_and_file_and_shows_none(services: Services) -> None:
    with started(*services.words, environment=services.environment) as (process, told):
        until(lambda: said(told["address"]) == "ready", lambda: said(told["address"]), SECONDS)
        verdict(services, 1)
        until(lambda: sent(services) == [1], lambda: f"a label that left over TLS: {figures(told['address'])}", SECONDS)
        command = Path(f"/proc/{process.pid}/cmdline").read_text()
        shown = httpx.get(f"{told['address']}/metrics").text + str(told)
    assert not [secret for secret in SECRETS.values() if secret in command + shown]


def test_console_outlives_kafka_and_its_database_and_another_console_goes_on(services: Services) -> None:
    with ExitStack() as held:
        process, told = held.enter_context(started(*services.words, environment=services.environment))
        address, person = told["address"], set_up(told)
        held.callback(person.close)
        until(lambda: follows(address) == 1, "that it follows", SECONDS)
        _, other = held.enter_context(started(*services.words, environment=services.environment))
        assert other["set_up"] == ""
        without_kafka(services, address, person)
        without_database(services, address, person)
        both = told["address"], other["address"]
        until(lambda: sum(map(follows, both)) == 1, lambda: f"that one follows: {[*map(follows, both)]}", SECONDS)
        if follows(address):
            process.kill()
            until(lambda: follows(other["address"]) == 1, "that the other one follows", SECONDS)
        verdict(services, 3)
        until(lambda: 3 in sent(services), "what is sent by whoever is left", SECONDS)


def follows(address: str) -> int:
    """Tell, as 1 or 0, whether a console's projector is the one that writes."""
    return int(figures(address)["projector_follows"])


def without_kafka(services: Services, address: str, person: httpx.Client) -> None:
    """See what holds while Kafka is away: pages work, verdicts wait, and it is told; later all goes on."""
    services.kafka.kill()
    verdict(services, 2)
    until(lambda: figures(address)["send_failures_total"] > 0, "that sending fails", SECONDS)
    until(lambda: "the feed" in said(address), "that the feed is missed", SECONDS)
    assert person.get("/queue.json").status_code == 200
    services.kafka.start(tied=True)
    until(lambda: said(address) == "ready", lambda: said(address), SECONDS)
    until(lambda: 2 in sent(services), "the verdict that waited", SECONDS)


def without_database(services: Services, address: str, person: httpx.Client) -> None:
    """See what holds while the database is away: the process lives and says so; later everybody is still signed in."""
    services.postgres.kill()
    until(lambda: said(address) == "waits for the database", lambda: said(address), SECONDS)
    assert httpx.get(f"{address}/livez").status_code == 200
    refused = person.get("/queue.json")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert re.search("database does not answer", refused.json()["detail"])
    services.postgres.start(tied=True)
    until(lambda: said(address) == "ready", lambda: said(address), SECONDS)
    assert person.get("/queue.json").status_code == 200
