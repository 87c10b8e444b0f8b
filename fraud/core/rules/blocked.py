"""Cards that are blocked while a service runs: a set in front of a rule book, which is not asked about them then.

Whoever owns the set changes it between two batches, so that a batch is judged by one state of it. What a decision says
of a block is all that a replay needs (`as_decided`): when somebody heard of it stands in no log.
"""

from datetime import UTC, datetime

import msgspec

from fraud.core.actions import CaseAction, Remedy
from fraud.core.errors import StateError
from fraud.core.ports import RuleBook, RuleOutcome, blocked_by
from fraud.core.records import BLOCKED, SECOND, Reason, Transaction, Values

MOST = 100_000
"""Cards that may be blocked at once, unless told otherwise."""


class BlockedCards:
    """The RuleBook port over another one: payments of blocked cards are declined, of others the book is asked.

    Cards are known by their exact name. Beyond `most` of them a block is refused: none of those that hold is given up
    for it.
    """

    def __init__(self, book: RuleBook, most: int = MOST) -> None:
        """Block nothing."""
        self.book, self.most = book, most
        self._blocks: dict[str, CaseAction] = {}

    @property
    def version(self) -> str:
        """Return the version of the book: what is blocked is named by the reason."""
        return self.book.version

    def __len__(self) -> int:
        """Return how many cards are blocked."""
        return len(self._blocks)

    def judge(self, tx: Transaction, values: Values) -> RuleOutcome:
        """Return the decline of a blocked card, otherwise what the book says."""
        block = self._blocks.get(tx.card)
        return self.book.judge(tx, values) if block is None else blocked_by(reason_of(block))

    def take(self, action: CaseAction) -> bool:
        """Block or unblock as an analyst has ordered, and leave all else alone; return False where there is no room."""
        if action.action is Remedy.BLOCK_CARD:
            return self.block(action)
        if action.action is Remedy.UNBLOCK_CARD:
            self.unblock(action.card)
        return True

    def block(self, action: CaseAction) -> bool:
        """Block a card, or name another action for it; return False where there is no room."""
        if action.card not in self._blocks and len(self._blocks) >= self.most:
            return False
        self._blocks[action.card] = action
        return True

    def unblock(self, card: str) -> None:
        """Let a card's payments through to the book again."""
        self._blocks.pop(card, None)

    def over(self, book: RuleBook) -> "BlockedCards":
        """Return the same set in front of another book: whoever changes one of the two changes both."""
        made = BlockedCards(book, self.most)
        made._blocks = self._blocks
        return made

    def snapshot(self) -> bytes:
        """Return the whole set."""
        return msgspec.msgpack.encode(list(self._blocks.values()))

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole set; raise StateError when the snapshot is none."""
        try:
            blocks = msgspec.msgpack.decode(snapshot, type=list[CaseAction])
        except msgspec.MsgspecError as error:
            msg = f"{len(snapshot)} bytes are no snapshot of blocked cards ({error}): begin without, block them anew"
            raise StateError(msg) from error
        self._blocks.clear()
        self._blocks.update((block.card, block) for block in blocks)


def reason_of(block: CaseAction) -> Reason:
    """Return what an analyst reads of a block."""
    at = f"{datetime.fromtimestamp(block.at // SECOND, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return Reason(BLOCKED, f"card {block.card} was blocked by {block.by} at {at} (action {block.id})")


def book_under(rules: RuleBook) -> RuleBook:
    """Return the book that stands behind a set of blocked cards, if one does."""
    return rules.book if isinstance(rules, BlockedCards) else rules
