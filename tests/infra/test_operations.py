"""The operator's page, done: a site made, checked, run, looked at and repaired by the commands that stand there."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from fraud.cli import app
from fraud.core.errors import REPAIR
from infra.services import RedisServer
from streaming.kafka.topics import Topics, described
from tests.crash.kills import payments
from tests.site import Site, until


def called(site: Site, line: str) -> tuple[int, str]:
    """Run a command of the page against a site; return its status and output."""
    kafka = site.settings
    given = {
        "FRAUD_KAFKA__BOOTSTRAP": kafka.bootstrap, "FRAUD_KAFKA__PREFIX": kafka.prefix,
        "FRAUD_KAFKA__GROUP": kafka.group, "FRAUD_KAFKA__SESSION_TIMEOUT": "6s", "FRAUD_STORE__URL": site.redis_url,
    }  # fmt: skip
    result = CliRunner().invoke(app, line.split()[1:], env=given)
    told = f"{result.output}{result.exception}"
    return result.exit_code, told


def last(told: str) -> dict[str, int]:
    """Return the JSON of a command's last line."""
    found: dict[str, int] = json.loads(next(line for line in reversed(told.splitlines()) if line.startswith("{")))
    return found


def test_site_is_made_checked_run_and_rebuilt_by_the_commands_of_the_page(
    kafka: str, fresh_redis: Callable[..., RedisServer], tmp_path: Path, unique: Callable[[str], str]
) -> None:
    name, redis = unique("operated"), fresh_redis()
    site = Site(kafka, redis.url, tmp_path / name, name, model="rules")
    site.environment["FRAUD_KAFKA__SESSION_TIMEOUT"] = "6s"
    try:
        assert called(site, "fraud topics create --partitions 4")[0] == 0
        assert len(described(site.settings, Topics.of(site.settings))) == 9
        status, told = called(site, "fraud check --model rules")
        assert (status, "\nready\n" in told) == (0, True), told
        worker, sent = site.worker(), payments(120, 5)
        site.book()
        site.send(sent)
        site.put(site.topics.transactions, [(b"k", b"{")])
        site.wait_for(120)
        until(lambda: site.ends(site.topics.dead) == 1, "the letter")
        assert last(called(site, f"fraud dead list --bootstrap {kafka}")[1]) == {"letters": 1, "dead": 1}
        assert last(called(site, "fraud state upgrade")[1]) == {"rows": 0}
        assert "the state store is not empty" in called(site, "fraud state rebuild")[1]
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
        redis.kill()
        for part in (redis.folder / "appendonlydir").iterdir():
            part.unlink()
        redis.start(tied=True)
        assert site.worker().wait(60) == REPAIR
        status, told = called(site, f"fraud state rebuild --work {tmp_path / 'work'}")
        assert (status, last(told)["records"]) == (0, 120), told
        site.worker()
        site.send(payments(130, 5)[120:])
        site.wait_for(130)
    finally:
        site.close()
