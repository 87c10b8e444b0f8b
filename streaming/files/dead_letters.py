"""Dead letters on disk: what could not be read, why, and its original bytes; listed, shown, driven in again."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from fraud.common.files import make_private
from fraud.core.errors import DataError
from fraud.core.records import Answer, Reject
from streaming.files.decisions import delivered


class Letter(msgspec.Struct, frozen=True):
    """A dead letter, or (with `redriven` set) the note that it was driven in again; see `Reject` for the rest."""

    id: str
    topic: str
    partition: int
    offset: int
    code: str
    reason: str
    seen_at: int
    original: str
    redriven: bool = False
    masked: bool = False
    length: int = 0
    sha256: str = ""
    content: str = ""

    def bytes(self) -> bytes:
        """Return the original bytes."""
        return base64.b64decode(self.original)


def letter_of(reject: Reject) -> Letter:
    """Return a reject as a letter; its id is its position, so that a second delivery makes no second letter.

    That of a file's row names the file's content too: two days' exports may have one name.
    """
    at = reject.position
    original = base64.b64encode(reject.original).decode()
    return Letter(
        id=f"{at.topic}-{at.partition}-{at.offset}" + (f"@{reject.content}" if reject.content else ""),
        topic=at.topic,
        partition=at.partition,
        offset=at.offset,
        code=reject.code,
        reason=reject.reason,
        seen_at=reject.seen_at,
        original=original,
        masked=reject.masked,
        length=reject.length,
        sha256=reject.sha256,
        content=reject.content,
    )


MASKED = "it held card numbers, which were masked: send it again from where it came, or give the whole of it with --as"
"""Why a masked letter is not driven in: that would not be what came."""


class DeadLetterFile:
    """An append-only file of dead letters; also a sink that takes the rejects and lets the answers pass."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is made with the first letter."""
        self._path = path
        self.count = 0

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Append the rejects; raise DeliveryError when they cannot be written."""
        del answers
        if rejects:
            self._append([letter_of(reject) for reject in rejects])
            self.count += len(rejects)

    def flush(self) -> None:
        """Do nothing: every write has gone to the operating system when it returns."""

    def close(self) -> None:
        """Do nothing: every write is complete."""

    def letters(self) -> dict[str, Letter]:
        """Return the letters by id, in order, `redriven` set on those driven in again.

        Raises:
            DataError: when a line is no letter.
        """
        held: dict[str, Letter] = {}
        for letter in self._lines():
            held[letter.id] = (
                letter
                if letter.id not in held
                else msgspec.structs.replace(held[letter.id], redriven=held[letter.id].redriven or letter.redriven)
            )
        return held

    def mark(self, letters: Sequence[Letter]) -> None:
        """Note that letters were driven in again."""
        self._append([msgspec.structs.replace(letter, redriven=True) for letter in letters])

    def _append(self, letters: Sequence[Letter]) -> None:
        with delivered(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            make_private(self._path)
        with delivered(self._path), self._path.open("ab") as file:
            file.write(b"".join(msgspec.json.encode(letter) + b"\n" for letter in letters))

    def _lines(self) -> Iterator[Letter]:
        if not self._path.exists():
            return
        for number, line in enumerate(self._path.read_bytes().splitlines()):
            try:
                yield msgspec.json.decode(line, type=Letter)
            except msgspec.MsgspecError as error:
                msg = f"{self._path}, line {number + 1}, is no dead letter: {error}"
                raise DataError(msg) from error
