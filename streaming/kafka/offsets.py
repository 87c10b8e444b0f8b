"""Where a worker stands in one input partition: what is published, what is durable, where to begin again.

Three offsets, in order: `absorb_from`, below which the store's promise holds; the committed one; and `resume`, below
which everything has been published. A worker begins at `absorb_from`, absorbs again what the store may have lost, and
publishes nothing below `resume`.
"""

from collections import deque
from collections.abc import Iterable

import msgspec


class Mark(msgspec.Struct, frozen=True):
    """What travels in a commit's metadata: where to begin, and where the answers since then begin in the output.

    `birth` names the state that holds what came before: on another one it would be missing. `encoder` names the
    histories that hold it; in those of another encoder it may be missing.
    """

    absorb_from: int
    output: int = 0
    birth: str = ""
    encoder: str = ""

    def text(self) -> str:
        """Return it as the metadata of a commit."""
        return msgspec.json.encode(self).decode()


def mark_in(metadata: str, offset: int) -> Mark:
    """Return the mark of a commit; of one that somebody else wrote, that nothing before its offset is missing."""
    try:
        return msgspec.json.decode(metadata, type=Mark)
    except (msgspec.MsgspecError, ValueError):
        return Mark(offset)


class Track:
    """One input partition."""

    def __init__(self, mark: Mark, resume: int, birth: str = "", encoder: str = "") -> None:
        """Begin at a mark; `resume` is the offset after the last published; state and encoder are those in use."""
        self.resume = self.next = max(resume, mark.absorb_from)
        self.output = mark.output
        self._durable = Mark(mark.absorb_from, mark.output, birth, encoder)
        self._steps: deque[tuple[int, Mark]] = deque()

    def publishes(self, offset: int) -> bool:
        """Tell whether the answer to an offset is still to be published."""
        return offset >= self.resume

    def done(self, now: int, after: int, outputs: Iterable[int] = ()) -> None:
        """Note that everything below `after` is stored and published; `outputs` are offsets of the answers."""
        self.output = max([self.output, *(offset + 1 for offset in outputs)])
        self.next = max(self.next, after)
        output = self.output if after >= self.resume else self._durable.output
        self._steps.append((now, msgspec.structs.replace(self._durable, absorb_from=after, output=output)))

    def commit(self, now: int, durable_after: int) -> tuple[int, Mark]:
        """Return the offset to commit, and the mark for its metadata; times in nanoseconds."""
        while self._steps and self._steps[0][0] <= now - durable_after:
            self._durable = self._steps.popleft()[1]
        return self.next, self._durable
