"""The service on a real Kafka and a real Redis, run as a user runs it."""

import json
import re
import signal
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from shutil import copytree, rmtree

import msgspec
import pytest
import redis
from typer.testing import CliRunner

from features.state.tables import entity_keys, pair_key
from features.stores.redis import RedisStore
from fraud.cli import app
from fraud.core.records import DAY, Decision, Label, Mark, Transaction, Verdict
from fraud.simulate import fdh
from infra.services import RedisServer
from streaming.kafka.offsets import commit_mark_in
from streaming.messages import envelope, schema
from streaming.service_wiring import consumer_of
from tests.crash.kills import judged
from tests.links import LIBRARIES
from tests.redis_rows import stored_rows
from tests.site import Site, sites, until

Make = Callable[..., Site]
both = pytest.mark.parametrize("library", LIBRARIES)


@pytest.fixture
def make(kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Make]:
    """A maker of sites, each ended with the test."""
    with sites(kafka, redis_url, tmp_path, partial(unique, "live")) as build:
        yield build


def payments(count: int, seed: int = 5) -> list[Transaction]:
    traffic = fdh.generate(fdh.Fdh(cards=60, terminals=60, days=30, seed=seed, radius=30.0))
    return list(islice(traffic.transactions(), count))


def http(site: Site, page: str) -> tuple[int, str]:
    """Return status and text of a worker's page."""
    until(lambda: '"http_port"' in site.log(), "the worker tells its port")
    port = re.search(r'"http_port":(\d+)', site.log())
    assert port
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}{page}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@both
def test_every_transaction_gets_one_decision_and_sigterm_leaves_in_order(make: Make, library: str) -> None:
    site = make(library=library)
    worker = site.worker()
    sent = payments(600)
    site.send(sent)
    site.wait_for(600)
    until(lambda: http(site, "/readyz")[0] == 200, "ready")
    metrics = http(site, "/metrics")[1]
    assert 'fraud_events_total{topic="transactions"} 600.0' in metrics
    assert http(site, "/livez") == (200, "ok\n")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    read = site.read()
    assert (len(read.answers), read.doubles, read.raw) == (600, 0, 600)
    assert {answer.decision.tx_id for answer in read.answers} == {tx.id for tx in sent}
    assert not {tx.card for tx in sent} & set(re.findall(r"\w+", site.log()))


def test_bad_messages_go_to_the_dead_letters_with_reason_and_original_bytes(make: Make) -> None:
    site = make()
    site.worker()
    good = payments(50)
    bad = [b"{", b"[]", b'{"id":"x"}', b"\xff\xfe", b"", b'{"id":"x","card":"c","merchant":"m","amount":-1}']
    site.put(site.topics.transactions, [(b"k", value) for value in bad])
    site.send(good)
    site.wait_for(50)
    until(lambda: site.ends(site.topics.dead) == len(bad), "dead letters")
    letters = site.records(site.topics.dead)
    assert sorted(letter.value for letter in letters) == sorted(bad)
    assert all(envelope.header(letter.headers, envelope.REASON) for letter in letters)
    assert all(envelope.header(letter.headers, envelope.SOURCE) for letter in letters)


def test_dead_letters_are_listed_repaired_and_driven_in_again(make: Make) -> None:
    site = make()
    site.worker()
    tx = payments(1)[0]
    bad = msgspec.json.encode({**msgspec.json.decode(schema.of_transaction(tx)), "amount": "much"})
    site.put(site.topics.transactions, [(b"k", bad)])
    until(lambda: site.ends(site.topics.dead) == 1, "the letter")
    where = ["--bootstrap", site.settings.bootstrap, "--prefix", site.settings.prefix]
    listed = CliRunner().invoke(app, ["dead", "list", *where], catch_exceptions=False).stdout
    assert "amount is 'much'" in listed
    assert json.loads(listed.splitlines()[-1]) == {"letters": 1, "dead": 1}
    driven = CliRunner().invoke(app, ["dead", "redrive", *where, "--set", "amount=500"], catch_exceptions=False)
    assert json.loads(driven.stdout.splitlines()[-1]) == {"redriven": 1, "dead": 0}
    site.wait_for(1)
    assert site.read().answers[0].decision.base_amount == 500
    listed = CliRunner().invoke(app, ["dead", "list", *where], catch_exceptions=False).stdout
    assert json.loads(listed.splitlines()[-1]) == {"letters": 1, "dead": 0}


def test_transaction_sent_again_gets_its_first_answer_under_its_own_offset(make: Make) -> None:
    site = make()
    site.worker()
    tx = payments(1)[0]
    site.send([tx])
    site.wait_for(1)
    site.send([tx, tx])
    site.wait_for(3)
    first, second, third = site.read().answers
    assert first.repeat_of is None
    assert second.repeat_of == third.repeat_of == first.position
    assert stored(first.decision) == stored(second.decision) == stored(third.decision)


def stored(decision: Decision) -> Decision:
    """Return a decision as its first answer is stored: what became late on the way says so in the published one."""
    return msgspec.structs.replace(decision, marks=tuple(mark for mark in decision.marks if mark != Mark.OVERDUE))


def test_a_reused_id_is_decided_on_its_own_by_a_worker(make: Make, tmp_path: Path) -> None:
    """A verdict by the id is of the first payment, one by its own name of the second."""
    rules = tmp_path / "big.fr"
    rules.write_text('rule big "{amount} is a lot" :\n    when amount > 100000\n    then decline\n')
    site = make(model="rules", extra=("--rules", str(rules)))
    site.book()
    site.worker()
    first = msgspec.structs.replace(payments(1)[0], amount=100, base_amount=100)
    changes = {"card": "OTHER", "merchant": "ELSEWHERE", "amount": 99_999_900, "base_amount": 99_999_900}
    for number, tx in enumerate((first, msgspec.structs.replace(first, **changes)), 1):
        site.send([tx])
        site.wait_for(number)
    one, two = sorted((answer.decision for answer in site.read().answers), key=lambda decision: decision.base_amount)
    told = [(each.tx_id, each.action, Mark.ID_REUSED in each.marks) for each in (one, two)]
    assert told == [(first.id, "approve", False), (first.id, "decline", True)]
    names, at = (first.id, two.known_as), first.happened_at + DAY
    site.send_labels(Label(tx_id=name, verdict=Verdict.FRAUD, happened_at=at, seen_at=0) for name in names)
    until(lambda: site.ends(site.topics.known) >= 2, "both verdicts known")
    known = [envelope.known_in(record.value) for record in site.records(site.topics.known)]
    assert {(label.tx_id, label.card) for label in known} == {(first.id, first.card), (two.known_as, "OTHER")}


def test_cloud_events_and_trace_context_are_carried_through(make: Make) -> None:
    site = make()
    site.worker()
    tx = payments(1)[0]
    body = {**msgspec.json.decode(json.dumps({"card": "C1", "merchant": "M1", "amount": 100}))}
    body["happened_at"] = tx.happened_at
    event = {"specversion": "1.0", "id": "E1", "type": "payment", "source": "/pos", "data": body}
    headers = [("content-type", envelope.STRUCTURED), ("traceparent", b"00-1-2-01")]
    site._producer.send(site.topics.transactions, key=b"C1", value=json.dumps(event).encode(), headers=headers)
    binary = [("ce_specversion", b"1.0"), ("ce_id", b"E2")]
    site._producer.send(site.topics.transactions, key=b"C1", value=json.dumps(body).encode(), headers=binary)
    site._producer.flush()
    site.wait_for(2)
    answers = site.read().answers
    assert [answer.decision.tx_id for answer in answers] == ["E1", "E2"]
    assert answers[0].headers == (("traceparent", b"00-1-2-01"),)


def test_label_comes_back_as_known_and_changes_the_state_of_card_and_merchant(make: Make, redis_url: str) -> None:
    site = make()
    site.worker()
    site.book()
    sent = payments(40)
    site.send(sent)
    site.wait_for(40)
    labels = [
        Label(tx_id=tx.id, verdict=Verdict.FRAUD, happened_at=tx.happened_at + DAY, seen_at=0) for tx in sent[:10]
    ]
    site.send_labels(labels)
    site.send_labels(labels)
    until(lambda: site.ends(site.topics.applied) >= 10, "labels applied")
    known = [envelope.known_in(record.value) for record in site.records(site.topics.known)]
    applied = [envelope.known_in(record.value) for record in site.records(site.topics.applied)]
    assert sorted(label.tx_id for label in known) == sorted(label.tx_id for label in labels)
    assert sorted(label.tx_id for label in applied) == sorted(label.tx_id for label in labels)
    by_id = {tx.id: tx for tx in sent}
    assert all(label.card == by_id[label.tx_id].card for label in known)
    assert sum(RedisStore(redis_url).applied_offsets().values()) > 0


@both
@pytest.mark.parametrize("delivery", ["fast", "transactional"])
def test_worker_killed_and_restarted_loses_and_doubles_nothing(make: Make, delivery: str, library: str) -> None:
    site = make(extra=("--delivery", delivery), library=library)
    worker = site.worker()
    sent = payments(1_500)
    site.send(sent[:500])
    site.wait_for(200)
    worker.kill()
    worker.wait()
    site.send(sent[500:])
    worker = site.worker()
    until(lambda: site.decided() >= 900, "some more")
    worker.kill()
    worker.wait()
    site.worker()
    until(lambda: site.decided() >= 1_500, "all")
    read = site.read()
    assert (len(read.answers), read.doubles) == (1_500, 0)
    assert {answer.decision.tx_id for answer in read.answers} == {tx.id for tx in sent}


def test_emptied_store_is_refused_and_rebuilt_from_the_topics(make: Make, redis_url: str) -> None:
    site = make()
    worker = site.worker()
    sent = payments(300)
    site.send(sent)
    site.wait_for(300)
    worker.send_signal(signal.SIGTERM)
    worker.wait(20)
    before = rows(redis_url, sent)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    refused = site.worker()
    assert refused.wait(30) == 2
    assert "fraud state rebuild" in site.log()
    kafka = site.settings
    where = ["--bootstrap", kafka.bootstrap, "--prefix", kafka.prefix, "--group", kafka.group, "--store", redis_url]
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    rebuilt = CliRunner().invoke(app, ["state", "rebuild", *where], catch_exceptions=False)
    assert json.loads(rebuilt.stdout.splitlines()[-1])["records"] == 300
    assert rows(redis_url, sent) == before
    site.worker()
    site.send(payments(310)[300:])
    site.wait_for(310)
    forgotten = CliRunner().invoke(app, ["state", "forget", sent[0].card, "--store", redis_url], catch_exceptions=False)
    assert json.loads(forgotten.stdout.splitlines()[-1])["records"] >= 2


def test_a_store_emptied_under_a_live_worker_ends_it_with_the_repair(make: Make, redis_url: str) -> None:
    site = make(model="rules")
    worker = site.worker()
    site.send(payments(200))
    site.wait_for(200)
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    site.send(payments(300)[200:])
    assert worker.wait(60) == 2
    assert "fraud state rebuild" in site.log()


@both
def test_an_older_copy_of_the_store_is_noticed_and_filled_from_the_log(
    make: Make, fresh_redis: Callable[..., RedisServer], tmp_path: Path, library: str
) -> None:
    server = fresh_redis()
    site = make(model="rules", library=library)
    site.redis_url = server.url
    worker = site.worker()
    sent = payments(650)
    site.send(sent[:300])
    site.wait_for(300)
    worker.send_signal(signal.SIGTERM)
    worker.wait(20)
    server.stop()
    copytree(server.folder / "appendonlydir", tmp_path / "older")
    server.start(tied=True)
    site.worker()
    site.send(sent[300:600], rate=100)
    site.wait_for(600)
    until(lambda: promised(site) == site.ends(site.topics.transactions), "commits that say what the store has applied")
    server.kill()
    rmtree(server.folder / "appendonlydir")
    copytree(tmp_path / "older", server.folder / "appendonlydir")
    server.start(tied=True)
    until(lambda: '"store is an older copy"' in site.log(), lambda: f"the copy is noticed; log: {site.log()[-2000:]}")
    site.send(sent[600:])
    until(lambda: site.decided() >= 650, "all")
    assert set(judged(site, sent, []).values()) == {0}


def promised(site: Site) -> int:
    """Return how many payments the commits say the store had applied, long enough ago to be on its disk."""
    with closing(consumer_of(site.settings, site.settings.group)) as reader:
        marks = [commit_mark_in(reader.committed((site.topics.transactions, number))) for number in range(4)]
    return sum(mark.applied + 1 for mark in marks)


def rows(redis_url: str, sent: Sequence[Transaction]) -> dict[str, bytes]:
    """Return the bytes of every row of some payments."""
    entities = sorted({key for tx in sent for key in entity_keys(tx)})
    pairs = sorted({pair_key(tx.card, tx.merchant) for tx in sent})
    found = stored_rows(redis_url, entities, lambda cache: cache.entities)
    return found | stored_rows(redis_url, pairs, lambda cache: cache.pairs)


@both
def test_label_book_killed_again_and_again_publishes_each_label_once(make: Make, library: str) -> None:
    site = make(model="rules", library=library)
    site.worker()
    sent = payments(1_200)
    labels = [Label(tx_id=tx.id, verdict=Verdict.FRAUD, happened_at=tx.happened_at + DAY, seen_at=0) for tx in sent]
    site.send(sent)
    site.send_labels(labels[:400])
    book = site.book()
    for goal, begin in ((1, 400), (500, 800)):
        until(lambda goal=goal: site.ends(site.topics.known) >= goal, "some labels known")  # type: ignore[misc]
        book.kill()
        book.wait()
        site.send_labels(labels[begin : begin + 400])
        book = site.book()
    until(lambda: len(known(site)) >= 1_200, "all labels known")
    until(lambda: site.ends(site.topics.applied) >= 1_200, "all labels applied")
    assert sorted(known(site)) == sorted(tx.id for tx in sent)


def known(site: Site) -> list[str]:
    """Return the transactions of the labels that are known."""
    return [envelope.known_in(record.value).tx_id for record in site.records(site.topics.known)]


@both
def test_worker_goes_on_by_rules_while_redis_is_gone_and_makes_it_good(
    make: Make, fresh_redis: Callable[..., RedisServer], library: str
) -> None:
    server = fresh_redis()
    site = make(library=library)
    site.redis_url = server.url
    site.worker()
    sent = payments(900)
    site.send(sent[:300])
    site.wait_for(300)
    server.kill()
    site.send(sent[300:600])
    site.wait_for(600)
    assert http(site, "/readyz")[0] == 503
    server.start(tied=True)
    until(lambda: '"store back"' in site.log(), lambda: f"the store is back; log: {site.log()[-2000:]}", 20)
    site.send(sent[600:])
    until(lambda: site.decided() >= 900, "all")
    read = site.read()
    assert (len(read.answers), read.doubles) == (900, 0)
    assert sum("store-down" in answer.decision.marks for answer in read.answers) >= 250
    until(lambda: "fraud_degraded 0.0" in http(site, "/metrics")[1], "the metric to follow")
    assert judged(site, sent, [])["state_differs"] == 0
