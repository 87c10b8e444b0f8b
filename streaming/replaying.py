"""A replay as a job: source, engine, sinks, snapshots; resumed where a killed run left off."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fraud.core.errors import StateError
from fraud.core.records import Answer, Intake, Reject
from streaming import clock, mapping, snapshots
from streaming.deadletters import DeadLetterFile
from streaming.digest import Digest, line_of
from streaming.files import Table
from streaming.outputs import FileSink, Tee
from streaming.replay import HistorySource, history, ordered
from streaming.run import run
from streaming.wiring import build

LINES = "decisions.lines"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be replayed, and how. `delay` is in nanoseconds, None for no labels."""

    data: Path
    mapping: str
    delay: int | None
    model: str
    models: Path
    rules: Path | None
    dead: Path
    out: Path | None
    batch: int
    state: Path | None
    every: int

    @property
    def inputs(self) -> str:
        """Return what the answers depend on, as text; a snapshot of other inputs is refused."""
        return f"{self.data.resolve()} {self.mapping} {self.delay} {self.model} {self.rules}"


class Ledger:
    """The sink that counts and digests decisions; with a folder it keeps their lines, so that a digest can resume."""

    def __init__(self, folder: Path | None) -> None:
        """Start with nothing; the folder's lines are kept or cut by `resume`."""
        self.decisions = self.alerts = self.rejects = 0
        self._digest = Digest()
        self._path = folder / LINES if folder else None
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab") if self._path else None

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Take in what one batch gave."""
        lines = b"".join([line_of(answer.decision) for answer in answers])
        self._digest.add(lines)
        if self._file:
            self._file.write(lines)
        self.decisions += len(answers)
        self.alerts += sum(answer.alert is not None for answer in answers)
        self.rejects += len(rejects)

    def mark(self) -> bytes:
        """Return where this ledger stands, for a snapshot."""
        size = 0
        if self._file:
            self._file.flush()
            size = self._file.tell()
        return msgspec.msgpack.encode((self.decisions, self.alerts, self.rejects, size))

    def resume(self, mark: bytes) -> None:
        """Go back to a mark: cut the lines written after it, digest the others again."""
        self.decisions, self.alerts, self.rejects, size = msgspec.msgpack.decode(mark, type=tuple[int, int, int, int])
        if self._path is None or self._file is None or self._path.stat().st_size < size:
            msg = f"{self._path} is shorter than the snapshot says: remove the --state folder to start afresh"
            raise StateError(msg)
        self._file.truncate(size)
        with self._path.open("rb") as file:
            while piece := file.read(1 << 20):
                self._digest.add(piece)

    def close(self) -> None:
        """Finish the lines."""
        if self._file:
            self._file.close()

    def hexdigest(self) -> str:
        """Return the digest so far."""
        return self._digest.hexdigest()


class Replay:
    """One replay. `total` is the number of payments and labels where the file tells, for a progress bar."""

    def __init__(self, request: Request) -> None:
        """Read the mapping and put the parts together; the data is opened by `run`."""
        self._request = request
        self._table = Table(request.data, mapping.load(request.mapping))
        rows = self._table.count() if request.data.exists() else None
        self.total = rows and rows * (1 if request.delay is None else 2)
        self._parts = build(model=request.model, models=request.models, rules=request.rules)
        self._ledger = Ledger(request.state)
        self._dead = DeadLetterFile(request.dead)
        self._saved_at = 0

    def run(self, step: Callable[[int], None]) -> dict[str, Any]:
        """Replay to the end; return the last line's content. `step` is told the events done."""
        began = clock.monotonic_ns()
        source = self._source()
        start = source.read_items
        extra = (FileSink(self._request.out),) if self._request.out else ()
        sink = Tee(self._ledger, self._dead, *extra)
        run(source, self._parts.engine, sink, lambda intake, _: self._between(source, step, intake))
        seconds = (clock.monotonic_ns() - began) / 1e9
        return self._result(source.read_items, start, seconds)

    def _source(self) -> HistorySource:
        events = history(ordered(self._table.rows()), self._request.delay)
        saved = snapshots.newest(self._request.state) if self._request.state else None
        if saved is None:
            if self._request.state:
                self._ledger.resume(Ledger(None).mark())
            return HistorySource(events, self._request.batch)
        if saved.inputs != self._request.inputs:
            msg = (
                f"--state {self._request.state} holds snapshots of another replay ({saved.inputs}): use another folder"
            )
            raise StateError(msg)
        self._parts.engine.restore(saved.engine)
        self._ledger.resume(saved.digest)
        self._saved_at = saved.events
        return HistorySource(events, self._request.batch, skip=saved.events)

    def _between(self, source: HistorySource, step: Callable[[int], None], intake: Intake) -> bool:
        del intake
        step(source.read_items)
        if self._request.state and source.read_items - self._saved_at >= self._request.every:
            self._save(source.read_items)
        return True

    def _save(self, events: int) -> None:
        saved = snapshots.Saved(
            events=events,
            digest=self._ledger.mark(),
            engine=self._parts.engine.snapshot(),
            inputs=self._request.inputs,
        )
        snapshots.save(Path(str(self._request.state)), saved)
        self._saved_at = events

    def _result(self, events: int, start: int, seconds: float) -> dict[str, Any]:
        ledger = self._ledger
        return {
            "events": events,
            "decisions": ledger.decisions,
            "alerts": ledger.alerts,
            "rejects": ledger.rejects,
            "seconds": round(seconds, 3),
            "events_per_second": round((events - start) / seconds) if seconds else None,
            "sha256": ledger.hexdigest(),
        }
