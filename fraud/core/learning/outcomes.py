"""What a label says to a learner: told fraud, genuine, or untold so far; and which payments are kept to learn from.

At some age M a payment on which nobody has spoken is genuine only in part: of frauds a share F < 1 is told by then. Of
payments below `HARD` only a share is kept. With p the probability of fraud, r the chance that a payment without a
told fraud was kept (told frauds always are), and D = F p + r (1 - F p) the chance that a payment is kept at all,

    P(told | kept) = F p / D,    P(untold | kept) = r (1 - F p) / D.

Their derivatives by the log-odds of p are what `slope` returns. With r = 1 they are q - 1 and F q (1 - q) / (1 - F q),
q = p (delayed feedback, Chapelle, KDD 2014). With F = 1 they are those of a logistic regression whose log-odds carry
the offset -ln r (King and Zeng, Political Analysis 2001). Both at once need the general form: untold frauds were
thinned like genuine payments, so an offset alone counts them 1 / r times.
"""

import hashlib
import math
from typing import NamedTuple

import msgspec

from fraud.core.errors import StateError
from fraud.core.learning.journal import UNREADABLE

HARD = 0.01
"""Payments at least so probable are all kept to learn from."""
EASY_SHARE = 0.05
"""The share of the others that is kept: 7 % of all were, at an exact prior (without its correction: AP -.014)."""
LEAST, MOST = 1e-6, 1 - 1e-6
"""Probabilities are clipped to this before a loss is taken, so that one label cannot cost more than 14 nats."""


class Outcome(NamedTuple):
    """What is known of a payment when it is learned.

    `fraud`: it was told to be fraud. Else nobody has told so by an age at which the share `told` of all frauds is told;
    1 means surely genuine. `kept` is the chance at which such a payment was kept.
    """

    fraud: bool
    told: float = 1.0
    kept: float = 1.0


def slope(outcome: Outcome, logit: float) -> float:
    """Return the derivative of the negative log-likelihood by the log-odds of fraud; in [-1, 1].

    Formula: see the module's docstring.
    """
    fraud, told, kept = outcome
    p = probability(logit)
    among = kept + (1 - kept) * told * p
    if fraud:
        return -probability(-logit) * kept / among
    return told * p * probability(-logit) / ((1 - told * p) * among) if told < 1 else p / among


def loss(outcome: Outcome, p: float) -> float:
    """Return the log-loss of a probability, in nats: -ln p for a told fraud, -ln(1 - F p) for one untold.

    Not thinned: whoever compares experts sees every label, not only those that are kept to learn from.
    """
    clipped = min(max(p, LEAST), MOST)
    return -math.log(clipped) if outcome.fraud else -math.log1p(-outcome.told * clipped)


def probability(logit: float) -> float:
    """Return the probability of a log-odds, without overflow."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    e = math.exp(max(logit, -700.0))
    return e / (1 + e)


def log_odds(p: float) -> float:
    """Return the log-odds of a probability, clipped to +-27.6 (1e-12)."""
    clipped = min(max(p, 1e-12), 1 - 1e-12)
    return math.log(clipped / (1 - clipped))


def kept_share(tx_id: str, base: float, *, easy_share: float = EASY_SHARE) -> float:
    """Return the chance at which a payment without a told fraud was kept to learn from; 0: it was not.

    `base` is the base probability at decision time. Decided by a hash of the id, so that every learner, at every
    restart, keeps the same payments.
    """
    if base >= HARD:
        return 1.0
    draw = int.from_bytes(hashlib.blake2b(tx_id.encode(), digest_size=6, person=b"keep").digest()) / 2**48
    return easy_share if draw < easy_share else 0.0


class ToldCounts(msgspec.Struct, frozen=True, array_like=True):
    """Of one channel's frauds whose deadline has passed: how many were told by the age of learning, and in all."""

    by_age: int = 0
    in_all: int = 0


class ToldShare:
    """F: the share of frauds that is told by the age at which a payment is learned, by channel, as the book saw it.

    Counted over payments whose deadline has passed: there it is known how many were told late. Frauds that are never
    told are in no book, so F is a share of those that ever will be. Before the book has seen enough, F leans on
    `prior`, worth `weight` frauds.
    """

    def __init__(self, *, prior: float = 0.5, weight: float = 20.0) -> None:
        """Start without counts."""
        self._prior, self._weight = prior, weight
        self._counts: dict[str, ToldCounts] = {}

    def closed(self, channel: str, told_after: int, age: int) -> None:
        """Count a fraud whose deadline has passed: it was told `told_after` ns after the payment; `age` is M, ns."""
        had = self._counts.get(channel, ToldCounts())
        self._counts[channel] = ToldCounts(had.by_age + (told_after <= age), had.in_all + 1)

    def share(self, channel: str) -> float:
        """Return F for a channel, in (0, 1)."""
        had = self._counts.get(channel, ToldCounts())
        return (had.by_age + self._prior * self._weight) / (had.in_all + self._weight)

    def shares(self) -> dict[str, float]:
        """Return F of every channel of which there is a count."""
        return {channel: self.share(channel) for channel in sorted(self._counts)}

    def snapshot(self) -> bytes:
        """Return the counts."""
        return msgspec.msgpack.encode(self._counts)

    def restore(self, snapshot: bytes) -> None:
        """Replace the counts; raise StateError for bytes that are none."""
        try:
            self._counts = msgspec.msgpack.decode(snapshot, type=dict[str, ToldCounts])
        except UNREADABLE as error:
            msg = f"the counts of told frauds cannot be read ({error}): restore what `snapshot` returned"
            raise StateError(msg) from error


def outcome_of(tx_id: str, base: float, *, fraud: bool, told: float = 1.0, easy_share: float = EASY_SHARE) -> Outcome:
    """Return what a verdict says when it is learned; `told` is F, 1 where somebody looked (an analyst).

    `base` is the base probability at decision time. A told fraud is kept whatever the hash says; its slope still
    asks at which chance it would have been kept untold.
    """
    kept = kept_share(tx_id, base, easy_share=easy_share)
    return Outcome(fraud, told, kept or easy_share if fraud else kept)
