"""What is kept of a learning loop beside gate and refresher, as plain records."""

import msgspec

from fraud.core.learning.guard import Losses


class Served(msgspec.Struct, array_like=True):
    """Which version payments get, and got before; `""` is the base. What is `pinned`, None when the guard decides."""

    version: str = ""
    before: str = ""
    pinned: str | None = None
    told: str | None = None
    """What was pinned when that was last said to others."""


class Sums(msgspec.Struct, array_like=True):
    """What everything that was learned has cost, nats, by who said it before; how many labels and frauds that was."""

    labels: int = 0
    frauds: int = 0
    frozen: float = 0.0
    mixture: float = 0.0
    served: float = 0.0


class Settled(msgspec.Struct, frozen=True, array_like=True):
    """A fraud whose deadline has passed, how long after the payment it was told, ns, and what the base had said."""

    tx_id: str
    channel: str
    told_after: int
    base: float | None = None
    paid_at: int = 0


class LoopState(msgspec.Struct, array_like=True):
    """What is kept of a loop beside gate and refresher; times are ns UTC.

    `since` is when learning on this base began, `previous` the base before. `seq` and `version` are of the last
    snapshot. `fresh`: something is learned that is not published. `counts` counts events by kind, and labels.
    """

    base: str = ""
    previous: str = ""
    since: int = 0
    seq: int = 0
    version: str = ""
    events: int = 0
    fresh: bool = False
    refused: bool = False
    step_rms: float = 0.0
    guard: bytes = b""
    served: Served = msgspec.field(default_factory=Served)
    sums: Sums = msgspec.field(default_factory=Sums)
    counts: dict[str, int] = msgspec.field(default_factory=dict)


def add(sums: Sums, losses: Losses, *, refreshed: bool) -> None:
    """Add what one label cost; `refreshed` says that the payment was decided by what was learned."""
    sums.labels += 1
    sums.frauds += losses.fraud
    sums.frozen += losses.frozen
    sums.mixture += losses.candidate
    sums.served += losses.candidate if refreshed else losses.frozen
