"""Releases in a folder, for an engine without a store: `moves.jsonl`, whose last line is in force, and the texts."""

from pathlib import Path

from fraud.common.files import write_atomic
from fraud.common.locks import locked
from fraud.core.releases import Release, need_whole, not_kept, overtaken, release_in
from fraud.core.rules.bundle import text_hash

MOVES, TEXTS = "moves.jsonl", "texts"


class FolderReleases:
    """The Releases port on files that are whole or not there; nothing is made before something is put or moved."""

    def __init__(self, folder: Path) -> None:
        """Take the folder."""
        self._folder = folder

    def put(self, text: str) -> str:
        """Keep a text, for good; return its hash."""
        name = text_hash(text)
        write_atomic(self._folder / TEXTS / name, text.encode())
        return name

    def text(self, name: str) -> str:
        """Return the text of a hash; raise ReleaseError when it is not kept, or is damaged."""
        try:
            held = (self._folder / TEXTS / name).read_bytes()
        except OSError as error:
            raise not_kept(name) from error
        return need_whole(held, name)

    def live(self) -> Release | None:
        """Return what is in force, None when nothing ever was."""
        return release_in(self._newest())

    def in_use(self) -> tuple[bytes, bytes]:
        """Return no pointer, and the release in force (empty when there never was one): what an engine follows."""
        return b"", self._newest()

    def moves(self) -> list[Release]:
        """Return every move, oldest first."""
        found = map(release_in, self._read().splitlines())
        return [move for move in found if move is not None]

    def move(self, to: Release, before: Release | None) -> None:
        """Put a release in force in place of another; raise ReleaseError when somebody else was quicker."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder):
            if (now := self.live()) != before:
                raise overtaken(now)
            write_atomic(self._folder / MOVES, self._read() + to.bytes() + b"\n")

    def close(self) -> None:
        """Do nothing: no file is kept open."""

    def _newest(self) -> bytes:
        return self._read().rpartition(b"\n")[0].rpartition(b"\n")[2]

    def _read(self) -> bytes:
        try:
            return (self._folder / MOVES).read_bytes()
        except FileNotFoundError:
            return b""
