"""What the link and the label service ask of a client library.

`kafka_python` and `confluent` stand behind these two protocols. A place is a partition: topic and
number. What a producer could not deliver is a DeliveryError, whatever the library calls it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from fraud.core.errors import DeliveryError
from streaming.messages.bounds import MOST_SENT
from streaming.messages.envelope import Outgoing

Place = tuple[str, int]
UNPACKED = "unpacked"
"""The header of records without a value that stand for some that were not unpacked; it says why."""
Heard = Callable[[str], None]
"""Hears how a commit ended: nothing said, or why it was refused."""
STOP_SECONDS = 3.0
"""How long an end waits for the brokers, each time that it has to."""


def heartbeat_ms(session_ms: int) -> int:
    """Return how often a member says that it is there, at least each second: it hears of a rebalance then."""
    return min(max(session_ms // 10, 100), 1_000)


class Commit(NamedTuple):
    """What is committed for one partition."""

    offset: int
    metadata: str = ""


class Span(NamedTuple):
    """A partition's log: the offset of its oldest record, and the offset after its newest."""

    begin: int
    end: int


class Record(Protocol):
    """One record as it was read, in the words that client libraries share."""

    @property
    def topic(self) -> str:
        """Return its topic."""

    @property
    def partition(self) -> int:
        """Return its partition."""

    @property
    def offset(self) -> int:
        """Return its offset."""

    @property
    def timestamp(self) -> int:
        """Return when it was sent, in milliseconds since the epoch."""

    @property
    def headers(self) -> Iterable[tuple[str, bytes | None]]:
        """Return its headers, in order; a value may be null."""

    @property
    def value(self) -> bytes | None:
        """Return its bytes."""


class Member(Protocol):
    """Who joins a group; both methods are called while it polls."""

    def take_partitions(self, places: Sequence[Place]) -> None:
        """Note partitions that were assigned."""

    def give_partitions(self, places: Sequence[Place]) -> None:
        """Give partitions up; the commit is sent when this returns."""


class Consumer(Protocol):
    """Reads and commits."""

    def subscribe(self, topics: Sequence[str], member: Member) -> None:
        """Join the group; partitions come with the polls. Raise SettingsError when a topic is not heard of in time."""

    def assign(self, topics: Sequence[str]) -> list[Place]:
        """Take all partitions of some topics without a group's help; return them in order."""

    def places(self, topics: Sequence[str]) -> list[Place]:
        """Return all partitions of some topics, in order."""

    def poll(self, wait_ms: int, most: int) -> Mapping[Place, Sequence[Record]]:
        """Return what is there, by partition; what a member raised meanwhile is raised as it is."""

    def seek(self, place: Place, offset: int) -> None:
        """Read a partition from an offset on."""

    def committed(self, place: Place) -> Commit | None:
        """Return what the group has committed, None for nothing."""

    def commit(self, commits: Mapping[Place, Commit], heard: Heard, *, wait: bool) -> None:
        """Commit; `heard` is told how that ended, once, by a later poll, or before this returns if asked to wait."""

    def spans(self, places: Collection[Place]) -> dict[Place, Span]:
        """Ask the brokers where the logs of some partitions begin and end."""

    def end(self, place: Place) -> int | None:
        """Return the offset after the newest record that the client has heard of, None before the first answer."""

    def group(self) -> Any:
        """Return what a producer's transaction needs to know of the group; for this library only."""

    def close(self) -> None:
        """Leave the broker's connections."""


class Producer(Protocol):
    """Sends in order, one request in flight."""

    def send(self, message: Outgoing) -> Any:
        """Take a message to send; return what `wait` takes.

        It may leave at once, and leaves with `push` at the latest.
        """

    def push(self) -> None:
        """Let everything that was sent leave, in as few requests as the client can make of it."""

    def wait(self, sent: Any) -> int:
        """Return the offset of a message, once it is acknowledged; raise DeliveryError when it is not."""

    def begin(self) -> None:
        """Begin a transaction; raise DeliveryError when another process has taken its id over."""

    def end(self, commits: Mapping[Place, Commit] | None, group: Any) -> None:
        """Commit the transaction, and with it a group's offsets; raise DeliveryError when that fails."""

    def close(self) -> None:
        """Leave the broker's connections."""


def undelivered(error: Exception, heard: str = "") -> DeliveryError:
    """Return what is raised for a client's error; `heard` is what it said of its connections."""
    why = f"{error!r}; {heard}" if heard else repr(error)
    repair = ""
    if "TooLarge" in why or "MSG_SIZE_TOO_LARGE" in why:
        repair = (
            f"; messages of ours have up to {MOST_SENT} bytes: let the topics take them (max.message.bytes), and the "
            "writers ([kafka.producer] max_request_size)"
        )
    return DeliveryError(f"messages were not acknowledged ({why}): stopping without a commit{repair}")
