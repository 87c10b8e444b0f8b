"""What a console that is killed reads from and writes to, and the process itself: topics in a folder, or in Kafka."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from fraud.cli.audit import everything
from fraud.review.intake.terms import Terms
from infra.services import KafkaServer, RedisServer
from streaming.feeds.kafka import KafkaFeed, open_outlet
from streaming.feeds.topic_log import TopicLog
from streaming.kafka.topics import Topics, create
from streaming.messages.envelope import Outgoing
from streaming.messages.feed import Feed, Outlet, Record
from streaming.settings import KafkaSection, ServiceSettings
from tests.review.taken import TERMS

FOLDER, KAFKA = "folder", "kafka"
PLAIN = msgspec.structs.replace(TERMS, sample_share=0.01)


class Lines(Protocol):
    """Topics, and what is started on them."""

    partitions: int
    terms: Terms
    """By which the process raises alerts."""

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Append messages, each once."""

    def feed(self, topics: Sequence[str]) -> Feed:
        """Return a reader of topics that the console reads."""

    def labels(self) -> list[Record]:
        """Return what the console has written to topic `labels`."""

    def start(self, url: str, keys: Path) -> "subprocess.Popen[bytes]":
        """Start what works on a database; `keys` is a folder for its secrets."""

    def kill(self) -> bool:
        """End the brokers as a crash does, and start them again; False where there are none."""

    def close(self) -> None:
        """End all of it."""


class FolderLines:
    """Topics in a folder, and a process of projector and publisher alone."""

    partitions, terms = 1, PLAIN

    def __init__(self, folder: Path) -> None:
        """Take the folder."""
        self._folder = folder
        self._outlet: Outlet = TopicLog(folder).outlet()

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Append messages, each once."""
        self._outlet.send(messages)

    def feed(self, topics: Sequence[str]) -> Feed:
        """Return a reader of topics that the console reads."""
        return TopicLog(self._folder).feed(topics)

    def labels(self) -> list[Record]:
        """Return what the console has written to topic `labels`."""
        return list(everything(TopicLog(self._folder / "out").feed([Topics().labels])))

    def start(self, url: str, keys: Path) -> "subprocess.Popen[bytes]":
        """Start projector and publisher."""
        command = [sys.executable, "-m", "tests.crash.console_process", url, str(self._folder)]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def kill(self) -> bool:
        """Say that there is nothing to kill."""
        return False

    def close(self) -> None:
        """Release the topics."""
        self._outlet.close()


class KafkaLines:
    """Topics of a real Kafka, and the console as people start it: `fraud console`."""

    partitions, terms = 4, Terms.of(ServiceSettings().review, ServiceSettings().policy.hold)

    def __init__(self, folder: Path) -> None:
        """Start a broker, and a Redis, which the console asks for releases."""
        self._kafka = KafkaServer(folder / "kafka").start(tied=True)
        self._redis = RedisServer(folder / "redis").start(tied=True)
        self._section = KafkaSection(bootstrap=self._kafka.bootstrap)
        create(self._section, partitions=self.partitions)
        self._outlet: Outlet | None = None

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Append messages, each once: the broker lives while they are sent."""
        if self._outlet is None:
            self._outlet = open_outlet(self._section)
        self._outlet.send(messages)

    def feed(self, topics: Sequence[str]) -> Feed:
        """Return a reader of topics that the console reads."""
        return KafkaFeed(self._section, topics)

    def labels(self) -> list[Record]:
        """Return what the console has written to topic `labels`."""
        return list(everything(self.feed([Topics().labels])))

    def start(self, url: str, keys: Path) -> "subprocess.Popen[bytes]":
        """Start a console."""
        command = [sys.executable, "-m", "fraud", "console", "--database", url, "--keys", str(keys), "--port", "0"]
        command += ["--bootstrap", self._section.bootstrap, "--store", self._redis.url]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> bool:
        """End the broker as a crash does, and start it again."""
        if self._outlet is not None:
            self._outlet.close()
            self._outlet = None
        self._kafka.kill()
        self._kafka.start(tied=True)
        return True

    def close(self) -> None:
        """End the servers."""
        if self._outlet is not None:
            self._outlet.close()
        self._kafka.kill()
        self._redis.kill()


def lines_of(feed: str, folder: Path) -> Lines:
    """Return the topics of a kind, in a folder of their own."""
    return FolderLines(folder / "topics") if feed == FOLDER else KafkaLines(folder)
