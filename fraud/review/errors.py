"""What the console refuses: each error is one sentence for the person who asked, its class the kind of refusal."""

from fraud.core.errors import FraudError


class ReviewError(FraudError):
    """Base of what the console refuses."""


class UnknownError(ReviewError):
    """There is no such case, payment, view, account or version, or it is not this person's to see."""


class ForbiddenError(ReviewError):
    """This person may not do that: the role is too low, or another person has to."""


class ConflictError(ReviewError):
    """Somebody else was first: it is locked, decided, changed or used up in the meantime."""


class GoneError(ReviewError):
    """It was possible once and is no more: an undo after its time, an invite that has expired."""


class InvalidError(ReviewError):
    """What was given cannot be done as it stands: a value out of range, a cap, a rule with a fault."""


class UnavailableError(ReviewError):
    """What this needs from elsewhere does not answer; later it may."""


class TooManyError(ReviewError):
    """Tried too often; `seconds` says how long until the next try counts."""

    def __init__(self, message: str, seconds: int) -> None:
        """Take the sentence and the seconds to wait."""
        super().__init__(message)
        self.seconds = seconds
