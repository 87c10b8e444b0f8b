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


def outcome_of(tx_id: str, base: float, *, fraud: bool, told: float = 1.0, easy_share: float = EASY_SHARE) -> Outcome:
    """Return what a verdict says when it is learned; `told` is F, 1 where somebody looked (an analyst).

    `base` is the base probability at decision time. A told fraud is kept whatever the hash says; its slope still
    asks at which chance it would have been kept untold.
    """
    kept = kept_share(tx_id, base, easy_share=easy_share)
    return Outcome(fraud, told, kept or easy_share if fraud else kept)
