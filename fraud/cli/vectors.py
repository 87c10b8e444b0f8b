"""A history's vectors, and what a network reads beside them, from the cache or extracted now."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fraud.cli import options, output
from fraud.core.errors import SettingsError

if TYPE_CHECKING:
    from fraud.core.settings import Settings
    from fraud.training.dataset import Dataset, Identity, Row
    from fraud.training.recording import HistoryLog, Recording
    from streaming.files.table import Table


def extracted(
    data: Path, mapping: str, label_delay: str, cache: Path, settings: "Settings", *, histories: bool = False,
    spread: float = 0.0,
) -> "Dataset":  # fmt: skip
    """Return the vectors of a history, from the cache when it holds them; with `histories` these are recorded too.

    Raises SettingsError for a `spread` that is no share: labels would come before their payments.
    """
    from fraud.training import dataset
    from streaming import wiring
    from streaming.files import mapping as mappings
    from streaming.files.table import Table
    from streaming.replay.extraction import file_hash
    from streaming.settings import fingerprint, rates

    delay = options.duration(label_delay)
    if not 0 <= spread < 1:
        msg = f"--delay-spread {spread:g}: expected a share from 0 to below 1, such as 0.3 for 30 % sooner or later"
        raise SettingsError(msg)
    table = Table(data, mappings.load(mapping), rates(settings))
    rows = table.count() if data.exists() else None
    table.rows()
    text = msgspec.json.encode(table.mapping).decode() + fingerprint(settings)
    version = wiring.extraction(table, delay, settings).spec_version
    identity = dataset.Identity(file_hash(data), version, -1 if delay is None else delay, text, spread)
    if (held := _held(cache, identity, histories)) is None:
        wait = f"another process extracts {data.name} with labels {label_delay} late into {cache}; waiting for it"
        with dataset.alone(cache, identity, lambda: output.say(wait)):
            held = _held(cache, identity, histories)
            if held is None:
                with output.progress("extract", rows, "payments") as step:
                    return _extract(table, delay, settings, cache, identity, step, histories)
    output.say(f"vectors of {data.name} with labels {label_delay} late: {held.meta.rows:,} rows, from {cache}")
    return held


def _held(cache: Path, identity: "Identity", histories: bool) -> "Dataset | None":
    from fraud.training import dataset

    return dataset.cached(cache, identity) if not histories or history_folder(cache, identity).exists() else None


def _extract(
    table: "Table", delay: int | None, settings: "Settings", cache: Path, identity: "Identity", step: Any,
    histories: bool,
) -> "Dataset":  # fmt: skip
    from fraud.training import dataset
    from streaming import wiring

    with _recording(cache, identity) if histories else nullcontext() as recorder:
        extraction = wiring.extraction(table, delay, settings, recorder, identity.label_spread)
        return dataset.write(cache, identity, extraction.names, converted(extraction), step)


def _recording(cache: Path, identity: "Identity") -> "Recording":
    from fraud.training.recording import Recording

    return Recording(history_folder(cache, identity))


def converted(extraction: Any) -> "Iterator[Row]":
    """Yield extracted payments as the data set takes them; scenarios by number, in order of first appearance."""
    from fraud.training.dataset import Row

    codes: dict[str, int] = {"": 0}
    for item in extraction:
        code = int(item.scenario) if item.scenario.isdigit() else codes.setdefault(item.scenario, len(codes))
        yield Row(item.tx, item.values, item.verdict, code)


def history_folder(cache: Path, identity: "Identity") -> Path:
    """Return where the histories of a data set are recorded; another layout of the recording is another folder."""
    import hashlib

    from fraud.training import recording

    layout = hashlib.sha256(repr((recording.OPERATION.descr, recording.LOOK.descr)).encode()).hexdigest()[:6]
    return cache / f"{identity.key}-histories-{layout}"


def histories(data: "Dataset", cache: Path) -> "HistoryLog":
    """Return the recorded histories of a data set; raise DataError when they do not belong to it."""
    from fraud.core.errors import DataError
    from fraud.training.recording import HistoryLog

    folder = history_folder(cache, data.meta.identity)
    log = HistoryLog(folder)
    if len(log) != data.meta.rows:
        message = f"{folder} holds {len(log):,} payments, its vectors {data.meta.rows:,}; remove it and extract again."
        raise DataError(message)
    return log
