"""What analysts have done about payments and cards, beside the verdict; and the head of their audit log.

Records of the topic `actions`. Who writes them, and who obeys, is described in `docs/actions.md`.
"""

import enum

import msgspec


class Remedy(enum.StrEnum):
    """What is to be done about a payment, or about its card."""

    RELEASE = "release"
    """Let a payment go through that was held, challenged or declined."""
    DECLINE = "decline"
    STEP_UP = "step_up"
    """Ask the cardholder to prove who pays."""
    BLOCK_CARD = "block_card"
    """Decline whatever the card pays from now on, until it is unblocked."""
    UNBLOCK_CARD = "unblock_card"

    @property
    def is_of_card(self) -> bool:
        """Tell whether it is about the card, so that it needs no payment."""
        return self in (Remedy.BLOCK_CARD, Remedy.UNBLOCK_CARD)


class CaseAction(msgspec.Struct, frozen=True, kw_only=True):
    """An order that an analyst gave in a case; one that comes twice has the same `id`.

    `tx_id` and `version` name the payment, empty where only the card is meant. `at` is when it was given by the wall
    clock (UTC ns): it is about what people did, not about when payments happened.
    """

    id: str
    action: Remedy
    card: str
    at: int
    by: str
    tx_id: str = ""
    version: int = 0
    case: str = ""
    reason: str = ""


class AuditHead(msgspec.Struct, frozen=True, kw_only=True):
    """How far the console's audit log had grown at `at` (UTC ns, wall clock): its last row and that row's seal, hex.

    Published outside of the database, so that a log that was cut off or written anew there is found.
    """

    seq: int
    mac: str
    at: int
