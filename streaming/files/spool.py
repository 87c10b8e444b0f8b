"""Decisions of a run that can be cut off: kept beside its snapshots, made into the file asked for at the end.

Parquet cannot be continued after a crash and a killed process leaves decisions behind that its last snapshot does not
know of; so they are spooled as JSON Lines, and a run that goes on first cuts the spool back to the snapshot's length.
"""

import os
import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec

from fraud.common.files import draft_of, make_private, publish
from fraud.core.errors import DeliveryError, StateError
from fraud.core.records import Answer, Decision, Reject
from streaming.files.decisions import JsonLines, ParquetRows, delivered, writer_kind

NAME = "decisions.jsonl"
ABSENT = -1
"""The length that stands in a snapshot of a run that wrote no decisions."""
ROWS = 8_192


class Spool:
    """The Sink port over a spool in the folder of the snapshots; what is flushed survives a power cut."""

    def __init__(self, folder: Path, out: Path) -> None:
        """Name the spool and the file to be made of it; raise DataError for an unknown suffix."""
        self._kind = writer_kind(out)
        self._path, self._out = folder / NAME, out
        self._encoder = msgspec.json.Encoder()
        self._file: BinaryIO | None = None

    def start(self, length: int = 0) -> None:
        """Go on behind the first `length` bytes.

        Raises:
            StateError: when the spool does not hold as many: the snapshot was made without it, or it was removed.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        held = self._path.stat().st_size if self._path.exists() else 0
        if not 0 <= length <= held:
            msg = (
                f"--out {self._out}: the decisions before the snapshot are not in {self._path} "
                "(the run began without --out, or the file was removed): leave --out out or use another --state folder"
            )
            raise StateError(msg)
        make_private(self._path)
        self._file = self._path.open("r+b" if held else "wb")
        self._file.truncate(length)
        self._file.seek(length)

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Append the decisions; raise DeliveryError when they cannot be written."""
        del rejects
        lines = [self._encoder.encode(answer.decision) + b"\n" for answer in answers]
        with delivered(self._path):
            self._opened.write(b"".join(lines))

    def flush(self) -> None:
        """Bring everything to the disk; raise DeliveryError when it does not take it."""
        with delivered(self._path):
            self._opened.flush()
            os.fsync(self._opened.fileno())

    def length(self) -> int:
        """Return how many bytes have been written; after `flush` all of them are safely on disk."""
        return self._opened.tell()

    def close(self) -> None:
        """Flush, and let the spool go; it stays on disk."""
        if self._file is None:
            return
        file = self._file
        try:
            self.flush()
        finally:
            self._file = None
            with delivered(self._path):
                file.close()

    def publish(self) -> None:
        """Make the file asked for, complete or not at all; raise DeliveryError when that fails."""
        with delivered(self._out):
            part = draft_of(self._out)
            make_private(part)
            if self._kind is JsonLines:
                shutil.copyfile(self._path, part)
            else:
                to_parquet(self._path, part)
            publish(part, self._out)

    @property
    def _opened(self) -> BinaryIO:
        if self._file is None:
            msg = f"the spool {self._path} is not open: call start() before write(), flush() or length()"
            raise DeliveryError(msg)
        return self._file


def to_parquet(spool: Path, path: Path) -> None:
    """Write the decisions of a spool as Parquet, some thousand at a time."""
    rows, decoder = ParquetRows(path), msgspec.json.Decoder(Decision)
    with spool.open("rb") as file:
        while lines := list(islice(file, ROWS)):
            rows.write([decoder.decode(line) for line in lines])
    rows.close()
