"""How long a decision takes from its publication to the screens that show alerts, and what each open page costs.

    python -m tests.bench.console.screen [--feed folder kafka] [--database sqlite|postgresql] [--rate 50] [--viewers 50]
                                         [--seconds 20] [--rounds 2] [--alerts 0.1]

A console of its own process follows a topic that decisions are written to, `--rate` a second, a share of them alerts.
The wall clock is read before an alert is sent, and again when the server-sent event about it is there. In turns one
page listens and `--viewers` pages do; percentiles are of the turns with many, and `viewers_share` is what the others
take of a core: the difference between the two. All on one machine, this bench with its pages included.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from features.spec import spec
from fraud.core.records import Action, Answer, FeatureVector, Position, Raised
from fraud.dashboard.security import SESSION
from fraud.review.accounts import Accounts
from fraud.review.audit import Audit
from fraud.review.database import Database
from fraud.review.passwords import Passwords
from fraud.review.people import Role
from infra.services import KafkaServer, PostgresServer, RedisServer
from streaming.feeds.kafka import open_outlet
from streaming.feeds.topic_log import TopicLog
from streaming.kafka import topics
from streaming.messages.envelope import Outgoing, decision_out
from streaming.messages.feed import Outlet
from streaming.settings import ServiceSettings, changed
from tests.bench.live.machine import cpu_seconds
from tests.dashboard.site import CHEAP, PASSWORD, TERMS
from tests.databases import POSTGRESQL, SQLITE
from tests.review.taken import decision, held

FOLDER, KAFKA = "folder", "kafka"
TOPIC = topics.Topics().decisions
WARM_SECONDS = 5.0
CARDS, MERCHANTS, DEVICES = 2_000, 200, 1_500


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.console.screen", description=__doc__)
    parser.add_argument("--feed", nargs="+", choices=[FOLDER, KAFKA], default=[FOLDER, KAFKA])
    parser.add_argument("--database", choices=[SQLITE, POSTGRESQL], default=SQLITE)
    parser.add_argument("--rate", type=float, default=50.0, help="decisions a second")
    parser.add_argument("--alerts", type=float, default=0.1, help="share of alerts")
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each kind")
    return parser.parse_args(words)


class Running(NamedTuple):
    """A console that follows a topic: its process, its port, tokens of sessions, and what writes to the topic."""

    process: "subprocess.Popen[bytes]"
    port: int
    tokens: Sequence[str]
    outlet: Outlet


class Traffic:
    """Decisions at a steady rate, on a thread of its own. Each alert has another sum at stake, which names it."""

    def __init__(self, outlet: Outlet, rate: float, alerts: float) -> None:
        """Take where decisions are written to, how many a second, and the share of alerts."""
        self._outlet, self._rate, self._alerts = outlet, rate, alerts
        self._draw = np.random.default_rng(5)
        self._values = np.linspace(0, 30, len(spec().names), dtype=np.float32)
        self.sent_at: dict[int, int] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send while a block runs."""
        stop = Event()
        thread = Thread(target=self._run, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _run(self, stop: Event) -> None:
        begun, number = time.monotonic(), 0
        while not stop.wait(max(begun + number / self._rate - time.monotonic(), 0.0)):
            number += 1
            message = self._message(number, raised=bool(self._draw.random() < self._alerts))
            self._outlet.send([message])

    def _message(self, number: int, *, raised: bool) -> Outgoing:
        card = int(self._draw.integers(CARDS))
        fields: dict[str, Any] = {
            "card": f"4000{card:08}", "merchant": f"M{int(self._draw.zipf(1.3)) % MERCHANTS:06}",
            "device": f"D{card % DEVICES:06}", "base_amount": int(self._draw.lognormal(8, 1)),
            "happened_at": time.time_ns(),
        }  # fmt: skip
        if raised:
            made = held(number, alert=Raised(f"alert-{number}", number, number), **fields)
            self.sent_at[number] = time.time_ns()
        else:
            made = decision(number, Action.APPROVE, **fields)
        vector = FeatureVector(made.tx_id, self._values, spec().version, 0)
        answer = Answer(decision=made, position=Position("transactions@1", 0, number), vector=vector)
        return decision_out(answer, TOPIC, b"decode=20 read=300 features=200 model=100 publish=50")


class Page:
    """An open page that hears live rows; `heard` has when each alert was heard of, by its sum at stake."""

    def __init__(self, port: int, token: str) -> None:
        """Take the console's port and the token of a session."""
        self._port, self._token = port, token
        self.heard: dict[int, int] = {}

    async def listen(self) -> None:
        """Listen until cancelled."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        cookie = f"fraud-{SESSION}={self._token}"
        writer.write(f"GET /queue/live HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
        status = await reader.readline()
        assert b" 200 " in status, status
        try:
            event = b""
            async for line in reader:
                name, _, value = line.strip().partition(b": ")
                if name == b"event":
                    event = value
                elif name == b"data" and event == b"added":
                    self.heard.setdefault(json.loads(value)["at_stake"], time.time_ns())
        finally:
            writer.close()


async def turn(running: Running, viewers: int, seconds: float) -> tuple[float, Page]:
    """Let so many pages listen for some time; return the console's share of a core, and one of the pages."""
    pages = [Page(running.port, token) for token in running.tokens[:viewers]]
    tasks = [asyncio.create_task(page.listen()) for page in pages]
    await asyncio.sleep(1.0)
    before, began = cpu_seconds(running.process.pid), time.monotonic()
    await asyncio.sleep(seconds)
    share = (cpu_seconds(running.process.pid) - before) / (time.monotonic() - began)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    return share, pages[0]


def measured(running: Running, given: argparse.Namespace) -> dict[str, Any]:
    """Return percentiles from publication to screen (ms), and what pages take."""
    traffic = Traffic(running.outlet, given.rate, given.alerts)
    alone, shared, heard = [], [], dict[int, int]()
    with traffic.running():
        time.sleep(WARM_SECONDS)
        for _ in range(given.rounds):
            alone.append(asyncio.run(turn(running, 1, given.seconds))[0])
            share, page = asyncio.run(turn(running, given.viewers, given.seconds))
            shared.append(share)
            heard |= page.heard
    took = sorted((at - traffic.sent_at[stake]) / 1e6 for stake, at in heard.items())
    return {
        "alerts": len(took), **{f"p{part}_ms": round(float(np.percentile(took, part)), 1) for part in (50, 95)},
        "viewers_share": round(float(np.mean(shared) - np.mean(alone)), 3),
        "console_share": round(float(np.mean(shared)), 3),
    }  # fmt: skip


@contextmanager
def console(feed: str, database: str, folder: Path, viewers: int) -> Iterator[Running]:
    """Run a console on a feed of its own while a block runs."""
    with ExitStack() as held:
        url = f"sqlite:///{folder / 'console.db'}"
        if database == POSTGRESQL:
            server = PostgresServer(folder / "postgres", sync=True).start(tied=True)
            held.callback(server.kill)
            url = server.url
        outlet, words = source(feed, folder, held)
        made = Database(url)
        held.callback(made.close)
        made.migrate()
        process = held.enter_context(started(["--database", url, *words], folder))
        told = json.loads(process.stdout.readline() if process.stdout is not None else b"")
        yield Running(process, urlsplit(told["address"]).port or 0, tokens_of(made, viewers), outlet)


def source(feed: str, folder: Path, held: ExitStack) -> tuple[Outlet, Sequence[str]]:
    """Return what writes decisions, and how the console is told where they are."""
    if feed == FOLDER:
        outlet: Outlet = TopicLog(folder / "log").outlet()
        held.callback(outlet.close)
        return outlet, ["--feed", str(folder / "log")]
    kafka, redis = KafkaServer(folder / "kafka").start(tied=True), RedisServer(folder / "redis").start(tied=True)
    held.callback(kafka.kill)
    held.callback(redis.kill)
    site = changed(ServiceSettings(), "kafka", bootstrap=kafka.bootstrap).kafka
    topics.create(site, 4)
    outlet = open_outlet(site)
    held.callback(outlet.close)
    return outlet, ["--bootstrap", kafka.bootstrap, "--store", redis.url]


@contextmanager
def started(words: Sequence[str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `fraud console` in a folder while a block runs."""
    command = [
        sys.executable,
        "-m",
        "fraud",
        "console",
        "--tied",
        "--port",
        "0",
        "--keys",
        str(folder / "keys"),
        *words,
    ]
    environment = os.environ | {"FRAUD_PATHS__RELEASES": str(folder / "releases")}
    with (folder / "console.log").open("wb") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, cwd=folder, env=environment
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def tokens_of(database: Database, count: int) -> list[str]:
    """Make accounts, and return the tokens of their sessions: of one session few pages may listen."""
    accounts, now = Accounts(database, Passwords(CHEAP), TERMS, Audit(b"k" * 32).append), time.time_ns()
    tokens = []
    for number in range(count):
        invite, email = accounts.invite(Role.VIEWER, now), f"p{number}@example.org"
        tokens.append(accounts.accept(invite, f"Person {number}", email, PASSWORD, now).token)
    return tokens


def main() -> None:
    """Run the bench."""
    given = parse()
    told: dict[str, Any] = {"rate": given.rate, "viewers": given.viewers, "database": given.database}
    for feed in given.feed:
        with tempfile.TemporaryDirectory(prefix="fraud-console-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            with console(feed, given.database, folder, given.viewers) as running:
                told[feed] = measured(running, given)
        print(f"{feed}: {json.dumps(told[feed])}", file=sys.stderr)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
