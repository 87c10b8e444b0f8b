"""A replay as a job: source, engine, sinks, snapshots; resumed where a killed run left off."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from fraud.core.errors import StateError
from fraud.core.ports import Scorer, Sink
from fraud.core.records import Answer, Intake, Reject
from fraud.core.second_half import Learning
from fraud.core.settings import Settings
from streaming import clock
from streaming.files.dead_letters import DeadLetterFile
from streaming.files.decisions import FileSink, Tee
from streaming.files.labels import LabelFile
from streaming.files.spool import ABSENT, Spool
from streaming.files.table import Table, file_hash
from streaming.files.values import mapping
from streaming.files.values.account import Account
from streaming.replay import snapshots
from streaming.replay.digest import Digest
from streaming.replay.history import HistorySource, by_rules, history, ordered, told
from streaming.run import Parts, run
from streaming.settings import fingerprint

COUNTED = {"refreshes": "refreshed", "promoted": "promoted", "reverted": "reverted"}
"""What the last line of a run that learns counts, and the events that it counts."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be replayed, and how.

    `delay` is that of the labels that the data names, in nanoseconds, None for none of them; `labels` is a file of
    labels with times of their own. Payments before `rules_until` (ns) are decided by rules alone; those before `since`
    (ns) are too, and only add to the state: their decisions are not written.
    """

    data: Path
    mapping: str
    delay: int | None
    settings: Settings
    out: Path | None
    state: Path | None
    every: int
    labels: Path | None = None
    rules_until: int = 0
    since: int = 0

    @property
    def inputs(self) -> str:
        """Return what the answers depend on, as text; a snapshot of other inputs is refused.

        Files and the mapping are named by their content: under the same name may be another.
        """
        features = fingerprint(self.settings)
        labels = "" if self.labels is None else f" {file_hash(self.labels)}"
        learning = self.settings.refresh, self.settings.learning
        learned = f" {learning}" if self.settings.refresh.enabled else ""
        rules = f" {self.rules_until}" if self.rules_until else ""
        rules += f" since {self.since}" if self.since else ""
        read_by = hashlib.sha256(msgspec.json.encode(mapping.load(self.mapping))).hexdigest()
        return f"{file_hash(self.data)} {read_by} {self.delay}{labels}{rules} {features}{learned}"


class Ledger:
    """The sink that counts and digests decisions."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.alerts = self.rejects = 0
        self.digest = Digest()

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Take in what one batch gave."""
        self.digest.add([answer.decision for answer in answers])
        self.alerts += sum(answer.alert is not None for answer in answers)
        self.rejects += len(rejects)

    def snapshot(self) -> bytes:
        """Return where this ledger stands."""
        return msgspec.msgpack.encode((self.alerts, self.rejects, self.digest.snapshot()))

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot."""
        self.alerts, self.rejects, digest = msgspec.msgpack.decode(snapshot, type=tuple[int, int, bytes])
        self.digest.restore(digest)

    def flush(self) -> None:
        """Do nothing: what was written is counted."""

    def close(self) -> None:
        """Do nothing: nothing is open."""


class Later:
    """The Sink port over another one, which gets answers on payments made at `since` (ns) or later, and all rejects."""

    def __init__(self, sink: Sink, since: int, until: int) -> None:
        """Take a sink; `seen` counts answers that it gets on payments until `until`, ns."""
        self._sink, self._since, self._until = sink, since, until
        self.seen = 0

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Pass on what is late enough."""
        kept = [answer for answer in answers if answer.decision.happened_at >= self._since]
        self.seen += sum(answer.decision.happened_at <= self._until for answer in kept)
        self._sink.write(kept, rejects)

    def flush(self) -> None:
        """Flush it."""
        self._sink.flush()

    def close(self) -> None:
        """Close it."""
        self._sink.close()


class Replay:
    """One replay. `total` is the number of payments and labels where the file tells, for a progress bar."""

    def __init__(self, request: Request, table: Table, parts: Parts, also: Sink | None = None) -> None:
        """Take the file and an embedded engine that nobody else uses; labels are read here, the data by `run`.

        `also` is one more sink, which a run that goes on does not begin again.
        """
        self._request, self._table, self._parts = request, table, parts
        self._labels = None if request.labels is None else LabelFile(request.labels)
        rows = table.count() if request.data.exists() else None
        self.total = rows and rows * (1 if request.delay is None else 2) + len(self._labels or ())
        self._ledger = Ledger()
        self._dead = DeadLetterFile(Path(request.settings.paths.dead))
        self._file = self._output()
        sinks = Tee(self._ledger, self._dead, *[one for one in (self._file, also) if one])
        self._sink = Later(sinks, request.since, getattr(getattr(self.scorer, "card", None), "until", 0))
        self._saved_at = 0

    @property
    def learning(self) -> Learning | None:
        """Return what learns, None where nothing does."""
        return self._parts.learning

    @property
    def scorer(self) -> Scorer:
        """Return the model in use."""
        return self._parts.strategy.scorer

    @property
    def account(self) -> Account:
        """Return what became of the file's rows."""
        return self._table.account

    @property
    def seen(self) -> int:
        """Return how many payments were decided, by this process, that the model in use was fitted on or before."""
        return self._sink.seen

    def run(self, step: Callable[[int], None]) -> dict[str, Any]:
        """Replay to the end; return the last line's content. `step` is told the events done."""
        began = clock.monotonic_ns()
        source = self._source()
        start = source.read_items
        run(source, self._parts.engine, self._sink, lambda intake, _: self._between(source, step, intake))
        if self._file:
            self._file.publish()
        seconds = (clock.monotonic_ns() - began) / 1e9
        return self._result(source.read_items, start, seconds)

    def _source(self) -> HistorySource:
        rows = ordered(self._table.rows())
        events = history(rows, self._request.delay) if self._labels is None else told(rows, self._labels)
        events = by_rules(events, max(self._request.rules_until, self._request.since))
        saved = snapshots.newest(self._request.state) if self._request.state else None
        if saved is None:
            self._start_spool(0)
            return HistorySource(events, self._request.settings.engine.batch)
        if saved.inputs != self._inputs:
            msg = (
                f"--state {self._request.state} holds snapshots of another replay ({saved.inputs}; "
                f"now {self._inputs}): use another folder"
            )
            raise StateError(msg)
        self._start_spool(saved.spooled)
        self._parts.engine.restore(saved.engine)
        self._ledger.restore(saved.digest)
        self._saved_at = saved.events
        return HistorySource(events, self._request.settings.engine.batch, skip=saved.events)

    def _output(self) -> FileSink | Spool | None:
        """Return what takes the decisions; a run with snapshots spools them, so that it can go on."""
        out, state = self._request.out, self._request.state
        if out is None:
            return None
        return FileSink(out) if state is None else Spool(state, out)

    def _start_spool(self, length: int) -> None:
        if isinstance(self._file, Spool):
            self._file.start(length)

    @cached_property
    def _asked(self) -> str:
        return self._request.inputs

    @property
    def _inputs(self) -> str:
        """Return all that the answers depend on: another model, policy or rules would not continue the same run."""
        strategy = self._parts.strategy
        return f"{self._asked} {strategy.scorer.version} {strategy.policy.version} {strategy.rules.version}"

    def _between(self, source: HistorySource, step: Callable[[int], None], intake: Intake) -> bool:
        del intake
        step(source.read_items)
        if self._request.state and source.read_items - self._saved_at >= self._request.every:
            self._save(source.read_items)
        return True

    def _save(self, events: int) -> None:
        """Save a snapshot of what is acknowledged: all that was written, after a flush."""
        self._sink.flush()
        saved = snapshots.Saved(
            events=events,
            digest=self._ledger.snapshot(),
            engine=self._parts.engine.snapshot(),
            inputs=self._inputs,
            spooled=self._file.length() if isinstance(self._file, Spool) else ABSENT,
        )
        snapshots.save(Path(str(self._request.state)), saved)
        self._saved_at = events

    def _learned(self) -> dict[str, int]:
        """Return what became of learning, where there is any: refreshes, switches, labels that an alarm holds."""
        if (learning := self._parts.learning) is None:
            return {}
        figures = learning.figures()
        counts = {name: figures["counts"].get(kind, 0) for name, kind in COUNTED.items()}
        return counts | {"held": sum(figures["held"].values())}

    def _result(self, events: int, start: int, seconds: float) -> dict[str, Any]:
        ledger, read = self._ledger, self._table.account
        return {
            "events": events,
            "decisions": ledger.digest.count,
            "alerts": ledger.alerts,
            **({"absorbed": read.read - read.rejects.total() - ledger.digest.count} if self._request.since else {}),
            **self._table.account.figures(),
            "seconds": round(seconds, 3),
            "events_per_second": round((events - start) / seconds) if seconds else None,
            "labels": self._parts.book.counts() if self._parts.book else {},
            **self._learned(),
            "sha256": ledger.digest.hexdigest(),
        }
