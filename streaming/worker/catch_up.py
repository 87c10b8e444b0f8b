"""After an outage: what rules decided meanwhile is taken into the store beside the path, in pieces.

Rules go on deciding until the store lacks next to nothing; then the engine begins again there. All that an outage
answered lies in the topic of decisions, so nothing of it waits in memory but a piece, however long it took.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from threading import Event, Thread

from fraud.core.errors import StoreRestartedError, StoreUnavailableError
from streaming import clock
from streaming.kafka.backlog import Backlog, Piece
from streaming.kafka.client import Place
from streaming.kafka.link import KafkaLink
from streaming.kafka.offsets import answer_id
from streaming.kafka.recovery import Reached
from streaming.observe.logs import Log
from streaming.run import Handler
from streaming.worker.fallback import FallbackEngine, LosableStore

NEAR = 128
"""Answers that the store may lack when the engine begins again: a few batches."""
BATCH = 32
PATIENT_SECONDS, STOP_SECONDS = 5.0, 2.0
PATIENCE_NS = 10_000_000_000
"""What does not come nearer for so long will not: the engine begins again where it is."""

Open = Callable[[Mapping[Place, Reached]], Backlog]


class Job:
    """One catching up, in a thread of its own: while it runs nobody else uses store and engine.

    `reached` is how far it is, in the `life` of the store; `lost` says that the store went away again.
    """

    def __init__(
        self,
        engine: Handler,
        store: LosableStore,
        open_backlog: Open,
        path_timeout: float,
        starts: Mapping[Place, Reached],
    ) -> None:
        """Begin at `starts`; the path waits for the store for `path_timeout` seconds."""
        self._engine, self._store, self._open = engine, store, open_backlog
        self._path_timeout = path_timeout
        self._starts = starts
        self._stopped = Event()
        self.life, self.reached = store.life, dict(starts)
        self.absorbed = 0
        self.lost = False
        self.fault: Exception | None = None
        self._thread = Thread(target=self._run, daemon=True, name="catch-up")
        self._thread.start()

    @property
    def running(self) -> bool:
        """Tell whether it is still at it."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Leave it, when the piece in hand is through."""
        self._stopped.set()

    def join(self) -> None:
        """Return when it has ended; a store that hangs is not waited for long."""
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            # Beside the path there is time, and a write that is cut off costs more than a wait.
            self._store.wait_for(PATIENT_SECONDS)
            with closing(self._open(self._starts)) as backlog:
                self._catch_up(backlog)
            self._store.wait_for(self._path_timeout)
        except (StoreUnavailableError, StoreRestartedError):
            with suppress(StoreUnavailableError, StoreRestartedError):
                self._store.wait_for(self._path_timeout)
            self.lost = True
        except Exception as error:
            self.fault = error

    def _catch_up(self, backlog: Backlog) -> None:
        least, since = backlog.left(), clock.monotonic_ns()
        while not self._stopped.is_set():
            self._absorb(backlog.piece())
            self.reached = backlog.reached()
            now, left = clock.monotonic_ns(), backlog.left()
            if left <= NEAR or now - since > PATIENCE_NS:
                return
            if left < least:
                least, since = left, now

    def _absorb(self, piece: Piece) -> None:
        """Make answers the first ones, absorb what they answer, and let them age: they are published and on disk."""
        self._store.put_answers(piece.answers)
        for first in range(0, len(piece.arrivals), BATCH):
            self._engine.handle(piece.arrivals[first : first + BATCH])
        self._store.settle([answer_id(answer) for answer in piece.answers])
        self.absorbed += len(piece.arrivals)


class CatchUp:
    """Brings a store that is back up to date, and lets the engine begin again."""

    def __init__(
        self,
        fallback: FallbackEngine,
        link: KafkaLink,
        store: LosableStore,
        job: Callable[[Mapping[Place, Reached]], Job],
        swap: Callable[[], None],
        log: Log,
    ) -> None:
        """Take whose store it is; `swap` takes up the model that the store points to.

        What a job has done is not done again, unless the store has begun another life.
        """
        self._fallback, self._link, self._store = fallback, link, store
        self._make, self._swap, self._log = job, swap, log
        self._job: Job | None = None
        self._done: Job | None = None
        self._places: Sequence[Place] = ()
        self._began = 0

    def turn(self) -> None:
        """Between two batches, begin or end what is to be done.

        Raises:
            FraudError: when the store is not the one that was lost, or what is read cannot be used.
        """
        if not self._fallback.back:
            return
        held = sorted(self._link.held)
        if self._job is None:
            self._begin(held)
        elif self._job.running:
            if held != self._places:
                self._job.stop()  # while it runs no other may begin
        else:
            self._end(self._job, whole=held == self._places)

    def close(self) -> None:
        """Leave what is under way."""
        if self._job is not None:
            self._job.stop()
            self._job.join()

    def _begin(self, held: Sequence[Place]) -> None:
        self._swap()
        self._places, self._began = held, clock.monotonic_ns()
        try:
            applied = self._store.applied_offsets()
        except (StoreUnavailableError, StoreRestartedError):
            self._fallback.lose()
            return
        starts, done = self._link.recovery.committed(held, applied), self._done
        if done is not None and done.life == self._store.life:
            starts |= {place: at for place, at in done.reached.items() if place in starts}
        self._job = self._make(starts)

    def _end(self, job: Job, *, whole: bool) -> None:
        """Begin the engine again, or, where the store went away or partitions did, this."""
        self._job, self._done = None, job
        if job.fault is not None:
            raise job.fault
        if job.lost:
            self._fallback.lose()
        if job.lost or not whole:
            self._log.say("catching up cut off", transactions=job.absorbed)
            return
        self._done = None
        self._link.recovery.caught = job.reached
        self._fallback.caught_up()
        seconds = round((clock.monotonic_ns() - self._began) / 1e9, 2)
        self._log.say("caught up", transactions=job.absorbed, seconds=seconds)
