"""Card numbers sent to a service that runs: where they lie afterwards, what is refused, and what another key does."""

import json
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from typer.testing import CliRunner

from features.spec import spec
from fraud.cli import app
from fraud.core.card_numbers import CardNumbers, CardsSection
from fraud.core.fields import Secret
from fraud.core.records import Action, Answer, Label, Verdict
from streaming import wiring
from streaming.messages import envelope, schema
from streaming.replay.job import Request
from streaming.settings import ServiceSettings, changed
from tests.site import Site, sites, until

OLD, NEW = "old" * 12, "new" * 12
FIRST = CardNumbers(CardsSection(key=Secret(OLD)))
SECOND = CardNumbers(CardsSection(key=Secret(NEW), previous=(Secret(OLD),)))
KEYED = {"FRAUD_CARDS__KEY": OLD}
ROTATED = {"FRAUD_CARDS__KEY": NEW, "FRAUD_CARDS__PREVIOUS": f'["{OLD}"]'}
PANS = "4111111111111111", "5555555555554444", "378282246310005"
BLOCKED = "6011111111111117"
FORMS = [form for pan in (*PANS, BLOCKED) for form in (pan, f"{pan[:4]} {pan[4:8]}", f"{pan[:4]}-{pan[4:8]}")]
NOW = time.time_ns()

Make = Callable[..., Site]


@pytest.fixture
def make(kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Make]:
    """A maker of sites, each ended with the test."""
    with sites(kafka, redis_url, tmp_path, partial(unique, "pan")) as build:
        yield build


def paid(number: int, card: str, **fields: Any) -> tuple[bytes, bytes]:
    """Return key and value of a payment, as a sender keys it: by what it calls the card."""
    body = {"id": f"t{number}", "card": card, "merchant": "m", "amount": 1_000 + number}
    return card.encode(), msgspec.json.encode({**body, "happened_at": NOW - (1_000 - number) * 10**9, **fields})


def grouped(pan: str) -> str:
    return f"{pan[:4]} {pan[4:8]} {pan[8:12]} {pan[12:]}"


def ordered(remedy: str, card: str) -> tuple[bytes, bytes]:
    order = {"kind": "case", "id": "a1", "action": remedy, "card": card, "at": NOW, "by": "anna"}
    return card.encode(), msgspec.json.encode(order)


def shown(*parts: bytes) -> list[str]:
    """Return the forms of the numbers that stand in some bytes."""
    return [form for form in FORMS if any(form.encode() in part for part in parts)]


def stored(url: str) -> Iterator[bytes]:
    """Yield every key of a Redis, and what lies under it."""
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter():
            yield key
            yield client.dump(key) or b""
            kind = client.type(key)
            yield repr(
                client.hgetall(key) if kind == b"hash" else client.get(key) if kind == b"string" else ""
            ).encode()


def published(site: Site) -> Iterator[bytes]:
    """Yield keys, values and headers of what the service has written."""
    topics = site.topics
    for topic in (topics.decisions, topics.alerts, topics.dead, topics.known, topics.applied):
        for record in site.records(topic):
            yield record.key or b""
            yield record.value or b""
            yield from (value for _, value in record.headers)


def files(folder: Path) -> Iterator[bytes]:
    """Yield the content of every file: logs, the label book and what SQLite keeps beside it."""
    return (path.read_bytes() for path in folder.rglob("*") if path.is_file())


def by_id(answers: Iterable[Answer]) -> dict[str, Answer]:
    return {answer.decision.tx_id: answer for answer in answers}


def count_of(answer: Answer) -> float:
    """Return how many payments of its card a payment was scored with."""
    assert answer.vector is not None
    return float(answer.vector.values[spec().names.index("card_count_30d")])


def test_card_number_lies_nowhere_in_clear_behind_the_edge(make: Make, redis_url: str) -> None:
    site = make(environment=KEYED)
    site.put(site.topics.actions, [ordered("block_card", grouped(BLOCKED))])
    site.worker()
    site.book()
    sent = [paid(n, PANS[n % 3], text=f"CARD {PANS[n % 3]}", attrs={"pan": PANS[n % 3]}) for n in range(9)]
    sent += [paid(9, grouped(PANS[0])), paid(10, BLOCKED)]
    broken = [paid(11, PANS[0] + "\x07"), (b"k", b'{"card":"' + PANS[0].encode()), paid(12, PANS[1], amount=-1)]
    site.put(site.topics.transactions, [*sent, *broken])
    site.wait_for(len(sent))
    until(lambda: site.ends(site.topics.dead) == len(broken), "letters")
    site.send_labels([Label(tx_id=f"t{n}", verdict=Verdict.FRAUD, happened_at=NOW, seen_at=0) for n in range(9)])
    until(lambda: site.ends(site.topics.applied) == 9, lambda: f"labels applied; {site.log('book')[-1_000:]}")

    assert shown(*published(site)) == []
    assert shown(*stored(redis_url)) == []
    assert shown(*files(site.folder)) == []

    answers = by_id(site.read().answers)
    assert {answers[f"t{n}"].decision.card for n in (0, 3, 6, 9)} == {FIRST.card(PANS[0])}
    assert count_of(answers["t9"]) == 3
    assert answers["t10"].decision.action is Action.DECLINE
    assert answers["t10"].decision.reasons[0].code == "blocked:card"
    assert all(envelope.header(letter.headers, envelope.MASKED) for letter in site.records(site.topics.dead))
    # Each label is where its payment is, though one is keyed by a token and the other by the number.
    sources = [(schema.decision_in(one.value).tx_id, one.partition) for one in site.records(site.topics.decisions)]
    places = dict(sources)
    for record in site.records(site.topics.known):
        assert record.partition == places[envelope.known_in(record.value).tx_id]


def test_number_without_a_key_is_a_masked_letter_that_stays_dead(make: Make, redis_url: str) -> None:
    site = make()
    site.worker()
    site.put(site.topics.transactions, [paid(0, PANS[0]), paid(1, "C1", text=f"x {grouped(PANS[1])}"), paid(2, "C1")])
    site.wait_for(1)
    until(lambda: site.ends(site.topics.dead) == 2, "letters")
    assert [answer.decision.tx_id for answer in site.read().answers] == ["t2"]
    assert shown(*published(site), *stored(redis_url), *files(site.folder)) == []
    where = ["--bootstrap", site.settings.bootstrap, "--prefix", site.settings.prefix]
    listed = CliRunner().invoke(app, ["dead", "list", *where], catch_exceptions=False).stdout
    assert listed.count("masked") == 2
    assert "--make-key FILE" in listed
    driven = CliRunner().invoke(app, ["dead", "redrive", *where], catch_exceptions=False)
    assert json.loads(driven.stdout.splitlines()[-1]) == {"redriven": 0, "dead": 0}
    assert site.ends(site.topics.transactions) == 3


def test_another_key_takes_history_blocks_and_labels_along(make: Make, redis_url: str) -> None:
    site = make(environment=KEYED)
    site.put(site.topics.actions, [ordered("block_card", BLOCKED)])
    worker, _ = site.worker(), site.book()
    site.put(site.topics.transactions, [*(paid(n, PANS[0]) for n in range(5)), paid(5, BLOCKED)])
    site.wait_for(6)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    site.environment |= ROTATED
    site.worker()
    site.put(site.topics.transactions, [paid(6, PANS[0]), paid(7, BLOCKED)])
    site.wait_for(8)
    answers = by_id(site.read().answers)
    old, new = FIRST.card(PANS[0]), SECOND.card(PANS[0])
    assert [answers[name].decision.card for name in ("t4", "t6")] == [old, new]
    assert (count_of(answers["t4"]), count_of(answers["t6"])) == (4, 5)
    assert answers["t7"].decision.action is Action.DECLINE
    site.send_labels([Label(tx_id="t0", verdict=Verdict.FRAUD, happened_at=NOW, seen_at=0)])
    until(lambda: site.ends(site.topics.applied) == 1, "the label is applied")
    (applied,) = site.records(site.topics.applied)
    assert envelope.known_in(applied.value).card == new
    site.put(site.topics.transactions, [paid(8, PANS[0])])
    site.wait_for(9)
    vector = by_id(site.read().answers)["t8"].vector
    assert vector is not None
    assert vector.values[spec().names.index("card_frauds_30d")] == 1
    with redis.Redis.from_url(redis_url) as client:  # first answers name it for a while, as they were given
        assert list(client.scan_iter(f"*{old}*")) == []


class Kept:
    """A sink that keeps the decisions."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def write(self, answers: Iterable[Answer], rejects: object) -> None:
        self.answers += answers

    def flush(self) -> None: ...

    def close(self) -> None: ...


def test_replay_of_numbers_in_a_file_decides_as_the_service_did(make: Make, tmp_path: Path) -> None:
    site = make(environment=KEYED)
    site.worker()
    sent = [paid(n, PANS[n % 3] if n % 2 else grouped(PANS[n % 3]), text=f"by {PANS[n % 2]}") for n in range(30)]
    site.put(site.topics.transactions, [(b"one partition", value) for _, value in sent])
    site.wait_for(30)
    live = by_id(site.read().answers)
    (tmp_path / "paid.jsonl").write_bytes(b"\n".join(value for _, value in sent))
    (tmp_path / "mapping.toml").write_text(
        '[columns]\ntime = "happened_at"\nid = "id"\ncard = "card"\nmerchant = "merchant"\namount = "amount"\n'
        'text = "text"\n[time]\nunit = "ns"\n[amount]\nunit = "minor"\n'
    )
    settings = changed(ServiceSettings(cards=CardsSection(key=Secret(OLD))), "model", name="demo")
    kept, file = Kept(), tmp_path / "paid.jsonl"
    request = Request(
        data=file, mapping=str(tmp_path / "mapping.toml"), delay=None, settings=settings, out=None, state=None, every=0
    )
    wiring.replay(request, kept).run(lambda done: None)
    replayed = by_id(kept.answers)
    assert len(replayed) == 30
    for name, answer in replayed.items():
        mine, theirs = answer.decision, live[name].decision
        assert (mine.card, mine.text, mine.action, mine.score) == (
            theirs.card,
            theirs.text,
            theirs.action,
            theirs.score,
        )
