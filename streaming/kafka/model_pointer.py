"""The pointer in the store: which model is in use, and from where on its histories lack something."""

import msgspec

from fraud.core.errors import StateError
from streaming.kafka.offsets import CommitMark


class Begin(msgspec.Struct, frozen=True):
    """Up to where the histories of one input partition are complete, and where the answers since then begin."""

    topic: str
    partition: int
    absorb_from: int
    output: int


class Pointer(msgspec.Struct, frozen=True):
    """The model in use. With no encoder (the empty string) there are no histories and nothing to begin at."""

    model: str
    version: str
    encoder: str = ""
    begins: tuple[Begin, ...] = ()

    def bytes(self) -> bytes:
        """Return it as the store keeps it."""
        return msgspec.json.encode(self)

    def reach_back(self, mark: CommitMark, topic: str, partition: int) -> CommitMark:
        """Return a commit's mark, moved back to what the histories lack when it was made without them."""
        if not self.encoder or mark.encoder == self.encoder:
            return mark
        for begin in self.begins:
            if (begin.topic, begin.partition) == (topic, partition):
                absorb_from, output = min(mark.absorb_from, begin.absorb_from), min(mark.output, begin.output)
                return msgspec.structs.replace(mark, absorb_from=absorb_from, output=output)
        return mark


def pointer_in(text: bytes) -> Pointer | None:
    """Return what a store's pointer says; None where there is none.

    Raises:
        StateError: when it cannot be read.
    """
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=Pointer)
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"the store's pointer to a model cannot be read ({error}): set it with 'fraud state reencode'"
        raise StateError(msg) from error
