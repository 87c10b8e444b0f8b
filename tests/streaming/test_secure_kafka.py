"""Kafka over TLS with a password: both libraries read and publish, and what does not fit is said at once."""

import logging
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fraud.core.errors import DeliveryError, SettingsError
from fraud.core.records import Transaction
from infra.services import KafkaServer
from infra.services.certificate import make_certificate
from streaming import service_wiring
from streaming.kafka import confluent, topics
from streaming.messages.envelope import Outgoing
from streaming.settings import ClientValue, KafkaSection
from tests.contract.driving import answer
from tests.contract.sources import payments
from tests.links import LIBRARIES, LinkSite, read_until
from tests.tree import ROOT

PASSWORD, WRONG = "correct-horse", "battery-staple"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A Kafka whose second port speaks TLS and asks for a password."""
    made = KafkaServer(tmp_path_factory.mktemp("secure"), password=PASSWORD).start(tied=True)
    yield made
    made.kill()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients give up connecting sooner than they do."""
    monkeypatch.setattr(topics, "CONNECT_MS", 2_000)
    monkeypatch.setattr(confluent, "ANSWER_SECONDS", 2.0)
    monkeypatch.setattr(confluent, "ACK_SECONDS", 2.0)


def client(server: KafkaServer, mechanism: str = "PLAIN", password: str = PASSWORD) -> dict[str, ClientValue]:
    """Return what docs/settings.md says to set."""
    return {
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(server.certificate),
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "fraud",
        "sasl_plain_password": password,
    }


def refused(server: KafkaServer, library: str, mechanism: str = "PLAIN") -> KafkaSection:
    """Return settings with a wrong password."""
    return KafkaSection(
        bootstrap=server.secure_bootstrap,
        library=library,  # type: ignore[arg-type]
        client=client(server, mechanism, WRONG),
    )


def test_the_page_of_the_settings_says_what_is_tried_here(server: KafkaServer) -> None:
    found = (ROOT / "docs/settings.md").read_text().split("```toml")[1].split("```")[0]
    assert tomllib.loads(found)["kafka"]["client"].keys() == client(server).keys()


@pytest.mark.parametrize(("library", "mechanism", "delivery"), [
    ("kafka-python", "PLAIN", "fast"), ("kafka-python", "SCRAM-SHA-256", "transactional"),
    ("confluent", "PLAIN", "transactional"), ("confluent", "SCRAM-SHA-256", "fast"),
])  # fmt: skip
def test_source_and_sink_work_over_tls_with_a_password(
    server: KafkaServer, library: str, mechanism: str, delivery: str
) -> None:
    site = LinkSite(delivery, library=library, server=server, client=client(server, mechanism))
    sent = payments(12)
    site.pay(sent)
    link = site.link()
    arrivals = [arrival for intake in read_until(link, 12) for arrival in intake.arrivals]
    answers = [answer(each.event, each.position) for each in arrivals if isinstance(each.event, Transaction)]
    link.write(answers, ())
    link.commit(answers)
    link.close()
    assert len(site.records(site.topics.decisions)) == len(sent)


@pytest.mark.parametrize("tables", [["client"], ["admin", "consumer"]], ids=" and ".join)
def test_no_log_of_kafka_python_holds_the_password(
    server: KafkaServer, caplog: pytest.LogCaptureFixture, tables: list[str]
) -> None:
    """At DEBUG the client shows its configuration, its requests, and the bytes that it sends."""
    words = {table: client(server) for table in tables}
    section = KafkaSection(bootstrap=server.secure_bootstrap, **words)  # type: ignore[arg-type]
    with caplog.at_level(logging.DEBUG, "kafka"):
        topics.admin(section).close()
        service_wiring.consumer_of(section, "g").close()
    texts = [record.getMessage() for record in caplog.records]
    assert any("SaslAuthenticate" in text for text in texts)
    assert any(topics.MASK in text for text in texts)
    assert [text for text in texts if PASSWORD in text] == []


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_wrong_password_is_refused_with_user_and_repair_and_without_the_secret(
    server: KafkaServer, library: str, mechanism: str
) -> None:
    settings = refused(server, library, mechanism)
    for connect in (topics.admin, lambda kafka: service_wiring.consumer_of(kafka, "g").assign(["transactions"])):
        with pytest.raises(SettingsError, match=r"user 'fraud'") as caught:
            connect(settings)
        assert "sasl_plain_password" in str(caught.value)
        assert WRONG not in str(caught.value)


@pytest.mark.usefixtures("soon")
def test_a_password_changed_while_it_runs_ends_confluent_with_the_reason(server: KafkaServer) -> None:
    producer = service_wiring.producer_of(refused(server, "confluent"))
    with pytest.raises(DeliveryError, match="authentication error"):
        producer.wait(producer.send(Outgoing("transactions", b"k", b"v", (), 0)))


@pytest.mark.usefixtures("soon")
def test_a_certificate_of_another_authority_is_refused_with_the_repair(server: KafkaServer, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    settings = refused(server, "kafka-python")
    wrong = {**settings.client, "ssl_cafile": str(tmp_path / "tls.crt")}
    with pytest.raises(SettingsError, match=r"certificate verify failed.*ssl_cafile"):
        topics.admin(msgspec.structs.replace(settings, client=wrong))
