"""`fraud state rebuild`: what workers took in and nothing else, beside no worker, gone on with after kill -9."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import redis
from kafka.admin import MemberToRemove

from features.extractor import OnlineExtractor
from features.state.tables import entity_keys, pair_key
from features.stores.memory import MemoryStore
from features.stores.redis import RedisStore
from fraud.core.errors import StateError
from fraud.core.fields import Address, Duration
from fraud.core.records import HOUR, SECOND, Answer, Intake, KnownLabel, Transaction
from streaming import clock, service_wiring
from streaming.kafka import kafka_python
from streaming.kafka.topics import admin
from streaming.messages import schema
from streaming.rebuild import state
from streaming.rebuild.progress import load
from streaming.settings import KafkaSection, ServiceSettings, StoreSection
from tests.contract.driving import answer
from tests.crash.kills import payments
from tests.links import PARTITIONS, LinkSite, Store, known
from tests.parity.live import own_partition
from tests.redis_rows import stored_rows
from tests.site import until

PAYMENTS, LABELS = 1_500, 40
DIES = """
    import os, signal, sys
    from pathlib import Path
    from features.stores.redis import RedisStore
    from streaming.rebuild import state
    from streaming.settings import read_settings
    from streaming import service_wiring

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    state.SAVE_EVERY = state.SAVE_SHARE = 0
    job = service_wiring.rebuild(read_settings(), Path(sys.argv[1]))
    if sys.argv[2] == "writing":
        RedisStore.put_marks = die
    job.run(lambda done: done >= 700 and sys.argv[2] == "reading" and die())
"""
"""A rebuilding that is killed when half is read, or when all but the marks is written."""


@pytest.fixture
def site() -> LinkSite:
    """A site whose worker has taken in payments and verdicts, and refused one from the future; it has ended."""
    made = LinkSite()
    sent = payments(PAYMENTS, 3)
    future = msgspec.structs.replace(sent[0], id="ahead", card="AHEAD", happened_at=clock.now_ns() + HOUR)
    pay(made, [*sent, future])
    made.tell(LABELS, 1)
    with closing(made.link(Applying())) as link:
        take_in(link, PAYMENTS + LABELS + 1)
    leave(made.section)
    return made


def pay(site: LinkSite, sent: Sequence[Transaction]) -> None:
    """Send payments, those of a card to one partition."""
    for number in range(PARTITIONS):
        site.put((schema.of_transaction(tx) for tx in sent if own_partition(tx.card) == number), number)


class Applying(Store):
    """A store whose state was born somewhere."""

    birth = "170.5"


def take_in(link: object, count: int) -> None:
    """Answer so many records, as a worker does."""
    done = 0

    def through() -> bool:
        nonlocal done
        intake: Intake | None = link.read()  # type: ignore[attr-defined]
        assert intake is not None
        arrivals = [each for each in intake.arrivals if isinstance(each.event, Transaction)]
        answers: list[Answer] = [answer(each.event, each.position) for each in arrivals]  # type: ignore[arg-type]
        link.write(answers, intake.rejects)  # type: ignore[attr-defined]
        link.commit(answers)  # type: ignore[attr-defined]
        done += len(intake.arrivals) + len(intake.rejects)
        return done >= count

    until(through, lambda: f"{count} records, found {done}")
    link.flush()  # type: ignore[attr-defined]


def leave(section: KafkaSection) -> None:
    """Have the worker that has ended be no member any more: its session would last for ten seconds."""
    with closing(admin(section)) as client:
        client.remove_group_members(section.group, [MemberToRemove(group_instance_id="one")])


def settings_of(site: LinkSite, redis_url: str) -> ServiceSettings:
    return ServiceSettings(kafka=site.section, store=StoreSection(url=Address(redis_url)))


def expected() -> dict[str, bytes]:
    """Return the rows that the worker's records make."""
    store = MemoryStore()
    extractor = OnlineExtractor(store)
    extractor.open([])
    for tx in payments(PAYMENTS, 3):
        extractor.absorb(tx, None)
    for number in range(LABELS):
        extractor.apply(known(f"t{number}"), None)
    extractor.close([])
    return dict(store.entities.items()) | {f"pair {key}": row for key, row in store.pairs.items()}


def held(redis_url: str) -> dict[str, bytes]:
    """Return the same rows as Redis holds them."""
    events: list[Transaction | KnownLabel] = [*payments(PAYMENTS, 3), known("t0")]
    entities = sorted({key for event in events for key in entity_keys(event)})
    pairs = sorted({pair_key(event.card, event.merchant) for event in events})
    found = stored_rows(redis_url, entities, lambda cache: cache.entities)
    return found | {f"pair {k}": v for k, v in stored_rows(redis_url, pairs, lambda cache: cache.pairs).items()}


def killed(site: LinkSite, redis_url: str, folder: Path, place: str) -> None:
    """Run a rebuilding that is killed at a place."""
    kafka = site.section
    given = {"KAFKA__BOOTSTRAP": kafka.bootstrap, "KAFKA__PREFIX": kafka.prefix, "KAFKA__GROUP": kafka.group}
    every = {f"FRAUD_{name}": value for name, value in (given | {"STORE__URL": redis_url}).items()}
    words = [sys.executable, "-c", textwrap.dedent(DIES), str(folder), place]
    done = subprocess.run(words, check=False, capture_output=True, timeout=120, env={**os.environ, **every})
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2_000:]


def test_rebuild_makes_what_workers_took_in_and_leaves_out_what_they_refused(
    site: LinkSite, redis_url: str, tmp_path: Path
) -> None:
    """A payment sent from the future is in time by now: it was refused all the same."""
    told: list[int] = []
    job = service_wiring.rebuild(settings_of(site, redis_url), tmp_path)
    assert job.total == PAYMENTS + 1
    done = job.run(told.append)
    assert (done["records"], done["resumed"]) == (PAYMENTS, 0)
    assert held(redis_url) == expected()
    assert not any(stored_rows(redis_url, ["cAHEAD"], lambda cache: cache.entities)["cAHEAD"])
    store = RedisStore(redis_url)
    assert store.birth == Applying.birth
    assert len(store.applied_offsets()) == 5
    assert max(told) == PAYMENTS
    assert list(tmp_path.iterdir()) == []
    store.close()


@pytest.mark.parametrize("place", ["reading", "writing"])
def test_rebuild_that_was_killed_is_gone_on_with(site: LinkSite, redis_url: str, tmp_path: Path, place: str) -> None:
    killed(site, redis_url, tmp_path, place)
    job = service_wiring.rebuild(settings_of(site, redis_url), tmp_path)
    assert 0 < job.resumed <= PAYMENTS
    done = job.run(lambda done: None)
    assert done["records"] == PAYMENTS
    assert held(redis_url) == expected()


def test_rebuild_beside_live_workers_is_refused_and_writes_nothing(
    site: LinkSite, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a new store while they work on the old one it once left a silent gap."""
    monkeypatch.setattr(kafka_python, "LEFT_NS", 0)
    soon = msgspec.structs.replace(site.section, session_timeout=Duration(SECOND))
    link = site.link(Applying())
    try:
        until(lambda: bool(link.read()) and link.assigned > 0, "partitions")
        site.section = soon
        with pytest.raises(StateError, match=rf"workers of group '{soon.group}' are at work \(one\).*end them first"):
            service_wiring.rebuild(settings_of(site, redis_url), tmp_path)
    finally:
        link.close()
    with redis.Redis.from_url(redis_url) as client:
        assert not [key for key in client.keys() if b"{" in key]


def test_workers_started_while_it_runs_end_a_rebuild_which_is_gone_on_with(
    site: LinkSite, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "SAVE_EVERY", 0)
    monkeypatch.setattr(kafka_python, "LEFT_NS", 0)
    section = site.section
    site.section = msgspec.structs.replace(section, session_timeout=Duration(SECOND))
    job = service_wiring.rebuild(settings_of(site, redis_url), tmp_path)
    site.section = section
    link = site.link(Applying())
    pay(site, payments(PAYMENTS + 8, 3)[PAYMENTS:])
    take_in(link, 8)
    with pytest.raises(StateError, match="are at work"):
        job.run(lambda done: None)
    link.close()
    leave(section)
    job = service_wiring.rebuild(settings_of(site, redis_url), tmp_path)
    assert job.resumed > 0
    assert job.run(lambda done: None)["records"] == PAYMENTS + 8


def test_store_that_is_not_empty_is_refused(site: LinkSite, redis_url: str, tmp_path: Path) -> None:
    service_wiring.rebuild(settings_of(site, redis_url), tmp_path).run(lambda done: None)
    with pytest.raises(StateError, match="not empty: rebuild into an empty one"):
        service_wiring.rebuild(settings_of(site, redis_url), tmp_path)


def test_what_is_kept_of_another_site_is_not_gone_on_with(site: LinkSite, redis_url: str, tmp_path: Path) -> None:
    killed(site, redis_url, tmp_path, "reading")
    (file,) = tmp_path.iterdir()
    assert load(file, ("another",), ()) is None
