"""A history's vectors, and what a network reads beside them, from the cache or extracted now."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from fraud.core.errors import DataError, SettingsError
from fraud.core.settings import Settings
from fraud.training import dataset
from fraud.training.dataset import Dataset, Identity, Row
from models import registry
from streaming import wiring
from streaming.files.table import Table, file_hash
from streaming.files.values import mapping
from streaming.replay.extraction import Extraction
from streaming.settings import card_numbers, declared, fingerprint, gate_of, rates

if TYPE_CHECKING:
    from fraud.training.recording import HistoryLog, Recording

Say = Callable[[str], None]
"""Told in a sentence what is waited for, or where vectors come from."""
Progress = Callable[[int | None], AbstractContextManager[dataset.Progress]]
"""Given the number of payments, where the file tells it, returns what is told how many are done."""


class ExtractionRequest(NamedTuple):
    """A file of payments and how it is read.

    `delay` is how long after a payment its verdict is known, ns, None for no labels; it varies by up to `spread`, a
    share.
    """

    data: Path
    mapping: str
    delay: int | None
    settings: Settings
    spread: float = 0.0

    def table(self) -> Table:
        """Return the file as a table of payments."""
        return Table(self.data, mapping.load(self.mapping), rates(self.settings), card_numbers(self.settings))

    def identity(self, table: Table) -> Identity:
        """Return what the vectors depend on."""
        text = msgspec.json.encode(table.mapping).decode() + fingerprint(self.settings)
        version = wiring.extraction(table, self.delay, self.settings).spec_version
        delay = -1 if self.delay is None else self.delay
        own = declared(self.settings).definitions
        return Identity(file_hash(self.data), version, delay, text, self.spread, gate_of(self.settings), own)

    def declared(self) -> "ExtractionRequest":
        """Return it under settings that declare the mapping's own columns; raise SettingsError as `wiring.under`."""
        return self._replace(settings=wiring.under(self.settings, self.mapping))


def silent(text: str) -> None:
    """Say nothing."""
    del text


def no_progress(rows: int | None) -> AbstractContextManager[dataset.Progress]:
    """Show no progress."""
    del rows
    return nullcontext(lambda done: None)


def extracted(
    request: ExtractionRequest,
    cache: Path,
    *,
    histories: bool = False,
    say: Say = silent,
    progress: Progress = no_progress,
) -> Dataset:
    """Return the vectors of a history, from the cache when it holds them; with `histories` these are recorded too.

    Raises SettingsError for a spread that is no share: labels would come before their payments.
    """
    if not 0 <= request.spread < 1:
        msg = f"--delay-spread {request.spread:g}: expected a share from 0 to below 1, such as 0.3 for 30 % sooner or "
        raise SettingsError(msg + "later")
    request = request.declared()
    table = request.table()
    rows = table.count() if request.data.exists() else None
    table.rows()
    identity = request.identity(table)
    name = f"{request.data.name} with labels {registry.said(identity.label_delay)}"
    if (held := _held(cache, identity, histories)) is None:
        wait = f"another process extracts {name} into {cache}; waiting for it"
        with dataset.alone(cache, identity, lambda: say(wait)):
            held = _held(cache, identity, histories)
            if held is None:
                with progress(rows) as step:
                    return _extract(table, request, cache, identity, step, histories)
    say(f"vectors of {name}: {held.meta.rows:,} rows, from {cache}")
    return held


def _held(cache: Path, identity: Identity, histories: bool) -> Dataset | None:
    return dataset.cached(cache, identity) if not histories or history_folder(cache, identity).exists() else None


def _extract(
    table: Table, request: ExtractionRequest, cache: Path, identity: Identity, step: dataset.Progress, histories: bool
) -> Dataset:
    with _recording(cache, identity) if histories else nullcontext() as recorder:
        extraction = wiring.extraction(table, request.delay, request.settings, recorder, request.spread)
        return dataset.write(cache, identity, extraction.names, converted(extraction), step, table.account.snapshot)


def _recording(cache: Path, identity: Identity) -> "Recording":
    from fraud.training.recording import Recording

    return Recording(history_folder(cache, identity))


def converted(extraction: Extraction) -> Iterator[Row]:
    """Yield extracted payments as the data set takes them; scenarios by number, in order of first appearance."""
    codes: dict[str, int] = {"": 0}
    for item in extraction:
        code = int(item.scenario) if item.scenario.isdigit() else codes.setdefault(item.scenario, len(codes))
        yield Row(item.tx, item.values, item.verdict, code)


def history_folder(cache: Path, identity: Identity) -> Path:
    """Return where the histories of a data set are recorded; another layout of the recording is another folder."""
    from fraud.training import recording

    layout = hashlib.sha256(repr((recording.OPERATION.descr, recording.LOOK.descr)).encode()).hexdigest()[:6]
    return cache / f"{identity.key}-histories-{layout}"


def histories(data: Dataset, cache: Path) -> "HistoryLog":
    """Return the recorded histories of a data set; raise DataError when they do not belong to it."""
    from fraud.training.recording import HistoryLog

    folder = history_folder(cache, data.meta.identity)
    log = HistoryLog(folder)
    if len(log) != data.meta.rows:
        message = f"{folder} holds {len(log):,} payments, its vectors {data.meta.rows:,}; remove it and extract again."
        raise DataError(message)
    return log


def newest_tokens(data: Dataset, cache: Path, count: int) -> dict[str, Any]:
    """Return the tokens of the newest payments, codes by no encoder (zero), and which rows they are of."""
    log = histories(data, cache)
    rows = np.arange(max(data.meta.rows - count, 0), data.meta.rows)
    codes = np.zeros((len(log.blocks()), 32), np.float32)
    batches = [batch for _, batch in log.batches(rows, codes)]
    parts = {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in batches[0]._fields}
    return {"rows": rows, **parts}
