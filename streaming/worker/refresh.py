"""Learned parameters: what is live is heard on a thread, made ready beside the path, swapped between two batches.

The topic of model updates is read without a group: every worker hears all of it. What cannot be used (damaged, of
another model or spec) is refused and told, and what is in force stays; without a topic or a learner the worker goes on
as it is, and the age that it shows grows.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple, Protocol

import msgspec

from fraud.core.engine import Strategy
from fraud.core.errors import ArtifactError
from fraud.core.ports import Scorer
from fraud.core.records import SECOND, Level
from streaming import clock
from streaming.kafka.updates import LIVE, PERIOD, SNAPSHOT
from streaming.messages.envelope import UNREADABLE
from streaming.observe.logs import Log
from streaming.worker.listener import Listener

WAIT_MS = 200
RECENT = 8
"""Snapshots that are kept as they came: the one that goes live comes just before it is named."""


class Updates(Protocol):
    """What follows the topic."""

    def poll(self, wait_ms: int) -> Sequence[tuple[str, bytes]]:
        """Return keys and values of what is new, in order."""

    def close(self) -> None:
        """Release the consumer."""


class Topic(NamedTuple):
    """How the topic is read: `follow` stands behind what is there, `in_force` finds what is live on a base by key."""

    follow: Callable[[], Updates]
    in_force: Callable[[str], Mapping[str, bytes]]


class Live(msgspec.Struct, frozen=True):
    """What is read of a record that says what is live: version (`""`: none), number, since when (UTC ns)."""

    version: str
    seq: int
    at: int


class Period(msgspec.Struct, frozen=True):
    """What is read of a record that says that a period has ended: when (UTC ns)."""

    at: int


class Ready(NamedTuple):
    """A version of parameters, made ready for payments: the base it belongs to, its number, its scorers by level."""

    base: str
    version: str
    seq: int
    scorers: Mapping[Level, Scorer]


Make = Callable[[bytes], Ready]
"""Makes a published snapshot ready, warm; raises ArtifactError when it must not be used."""


class Refresh(Listener):
    """Keeps a worker's parameters as fresh as the topic is.

    `make` gives what makes snapshots ready for a strategy's model, None where that has nothing to learn; `use` takes
    the strategy that decides from now on. `wall` says that periods end by the wall's clock.
    """

    def __init__(
        self,
        strategy: Strategy,
        topic: Topic,
        make: Callable[[Strategy], Make | None],
        use: Callable[[Strategy], None],
        log: Log,
        *,
        wall: bool = True,
    ) -> None:
        """Begin without parameters; nothing is read before `begin`."""
        super().__init__("parameters", log)
        self._strategy, self._topic, self._make, self._use = strategy, topic, make, use
        self._heard = Heard(log, wall=wall)
        self._ready: deque[Ready] = deque(maxlen=1)
        self._taken: Ready | None = None

    # ---- on the path

    def follow(self, strategy: Strategy) -> None:
        """Go on with another model, as it was trained until its own parameters are found.

        Where rules and policy alone are others, the parameters in force stay.
        """
        same = strategy.scorer is self._strategy.scorer
        self._strategy = strategy
        if same and self._taken is not None:
            self._use(by(strategy, self._taken))
        elif not same:
            self._taken = None
            self._heard.another_model()

    def swap(self) -> None:
        """Between two batches, go on by the parameters that have become ready, if some have."""
        if not self._ready:
            return
        ready, strategy = self._ready.popleft(), self._strategy
        if ready.base != strategy.scorer.version:
            return
        self._use(by(strategy, ready))
        self._heard.in_force(ready, self._taken.version if self._taken else "")
        self._taken = ready

    def collect(self) -> Iterator[Any]:
        """Yield the metrics, as Prometheus's client asks for them."""
        return self._heard.collect()

    # ---- on the thread

    def _listen(self) -> None:
        with closing(self._topic.follow()) as updates:
            self._hear(updates)

    def _trouble(self, fault: str) -> None:
        """Tell it; a worker that starts does not wait any longer."""
        self._heard.trouble(fault)
        self._looked.set()

    def _hear(self, updates: Updates) -> None:
        follower: Follower | None = None
        while not self._stopped.is_set():
            if follower is None or follower.strategy.scorer is not self._strategy.scorer:
                strategy = self._strategy
                follower = Follower(strategy, self._make(strategy), self._topic.in_force, self._heard)
                self._offer(follower.look())
                self._looked.set()
            for key, value in updates.poll(WAIT_MS):
                self._offer(follower.take(key, value))

    def _offer(self, ready: Ready | None) -> None:
        if ready is not None:
            self._ready.append(ready)


def by(strategy: Strategy, ready: Ready) -> Strategy:
    """Return a strategy that decides by parameters that are ready."""
    versions = {ready.version: ready.scorers} if ready.version else {}
    return msgspec.structs.replace(strategy, parameters=ready.version, versions=versions)


class Follower:
    """Knows what is live on the base of one strategy. It is used by the thread alone."""

    def __init__(
        self,
        strategy: Strategy,
        make: Make | None,
        in_force: Callable[[str], Mapping[str, bytes]],
        heard: "Heard",
    ) -> None:
        """Know of nothing yet."""
        self.strategy = strategy
        self._base, self._make, self._in_force, self._heard = strategy.scorer.version, make, in_force, heard
        self._recent: dict[str, bytes] = {}
        self._last: str | None = None  # whoever listens anew may have missed that it went back to none
        self._lost = ""

    def look(self) -> Ready | None:
        """Return what is live as of now, None where that is the model as it was trained."""
        found = self._in_force(self._base) if self._make is not None else {}
        self._recent = {key: value for key, value in found.items() if key.startswith(SNAPSHOT)}
        live = found.get(LIVE + self._base)
        return self.take(LIVE + self._base, live) if live is not None else None

    def take(self, key: str, value: bytes) -> Ready | None:
        """Take in a record; return what is live, made ready, where it changes that."""
        if key.startswith(SNAPSHOT):
            self._recent[key] = value
            if len(self._recent) > RECENT:
                del self._recent[next(iter(self._recent))]
        elif value and self._make is not None:
            try:
                if key == PERIOD + self._base:
                    self._heard.period(msgspec.json.decode(value, type=Period).at)
                elif key == LIVE + self._base:
                    return self._made(msgspec.json.decode(value, type=Live), self._make)
            except (ArtifactError, *UNREADABLE) as error:
                self._heard.refuse(str(error))
        return None

    def _made(self, live: Live, make: Make) -> Ready | None:
        """Return what is named as live, made ready, unless it is in force.

        Raises:
            ArtifactError: when it must not be used.
        """
        self._heard.period(live.at)
        if live.version == self._last:
            return None
        ready = make(self._snapshot(live.version)) if live.version else Ready(self._base, "", live.seq, {})
        if ready.version != live.version:
            msg = f"parameters {live.version} are live, but the snapshot under that name holds {ready.version}"
            raise ArtifactError(msg)
        self._last = live.version
        return ready

    def _snapshot(self, version: str) -> bytes:
        """Return a snapshot as it was published, one that came long ago as well; raise ArtifactError without one."""
        key = SNAPSHOT + version
        body = self._recent.get(key)
        if not body and version != self._lost:
            body = self._in_force(self._base).get(key)
        if not body:
            self._lost = version  # looking for it means reading all that there is: once
            msg = f"parameters {version} are live, but the topic does not hold their snapshot: publish it again"
            raise ArtifactError(msg)
        return body


class Heard:
    """What a worker tells of its refreshes: number and age in metrics, refusals and troubles in the log."""

    def __init__(self, log: Log, *, wall: bool) -> None:
        """Have heard nothing; `wall` as in `Refresh`."""
        self._log, self._wall = log, wall
        self._at = clock.now_ns()
        self._seq = self._refused = 0

    def period(self, at: int) -> None:
        """Note a sign of life of the learner: a period has ended at that time, by its clock (UTC ns)."""
        now = clock.now_ns()
        self._at = max(self._at, min(at, now)) if self._wall else now

    def another_model(self) -> None:
        """Note that payments get a model as it was trained, until parameters of its own are taken up."""
        self._seq = 0

    def in_force(self, ready: Ready, before: str) -> None:
        """Note what payments get from now on; tell when learning begins or ends to have a say."""
        self._seq = ready.seq if ready.version else 0
        if bool(ready.version) != bool(before):
            event = "parameters taken up" if ready.version else "parameters frozen"
            self._log.say(event, model=ready.base, parameters=ready.version)

    def refuse(self, fault: str) -> None:
        """Count parameters that must not be used, and tell why."""
        self._refused += 1
        self._log.say_once("parameters refused", fault)

    def trouble(self, fault: str) -> None:
        """Tell that the topic cannot be read now."""
        self._log.say_once("model updates not heard", fault)

    def collect(self) -> Iterator[Any]:
        """Yield the metrics."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        age = max(clock.now_ns() - self._at, 0) / SECOND
        yield GaugeMetricFamily("fraud_refresh_seq", "Number of the learned parameters in force, 0: none", self._seq)
        yield GaugeMetricFamily(
            "fraud_refresh_age_seconds", "Since the end of the newest period told of, or the start", age
        )
        yield CounterMetricFamily("fraud_refresh_refused", "Learned parameters that were not used", self._refused)
