"""The terms of work: how long each kind of alert waits, and what is done with a held payment after that."""

from collections.abc import Mapping

import msgspec

from fraud.core.actions import Remedy
from fraud.core.stakes import Hold
from fraud.review.settings import ReviewSection
from fraud.review.words import AlertKind

AFTER = {"approve": Remedy.RELEASE, "challenge": Remedy.STEP_UP, "decline": Remedy.DECLINE}


class Terms(msgspec.Struct, frozen=True):
    """How long alerts wait by kind (ns), what then becomes of a held payment, and what is kept for how long (ns).

    `blind_lapse` is how long a verdict of the blind sample waits for the second look at it.
    """

    due: Mapping[AlertKind, int]
    timed_out: Remedy
    sample_share: float
    keep_payments: int
    blind_lapse: int

    @classmethod
    def of(cls, review: ReviewSection, hold: Hold) -> "Terms":
        """Return the terms of settings: held payments wait as long as whoever holds them waits."""
        due = {
            AlertKind.HELD: int(hold.delay),
            AlertKind.DECLINED: int(review.due_declined),
            AlertKind.CHALLENGED: int(review.due_challenged),
            AlertKind.SAMPLE: int(review.due_sample),
        }
        return cls(due, AFTER[hold.action], review.sample_share, int(review.keep_payments), int(review.blind_lapse))
