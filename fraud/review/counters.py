"""Names of the sums in table `counter`; each has one bucket a span of time, or one alone.

`part` 0 is the projector's, 1 is the desk's (`words` of who writes): a reader adds both.
"""

from fraud.review.words import AlertKind

PROJECTOR, DESK = 0, 1

ALL, BINS = 0, 20
"""The bucket of a sum without a span of time; how many bins calibration has, of equal width in probability."""


def waiting(kind: AlertKind) -> str:
    """Return the badge of a kind: alerts that are open or locked. Bucket 0."""
    return f"waiting/{kind.word}"


def at_stake(kind: AlertKind) -> str:
    """Return the badge of money at stake in alerts that are open or locked, minor units. Bucket 0."""
    return f"at-stake/{kind.word}"


def came(kind: AlertKind) -> str:
    """Return alerts that arrived, by hour of the wall clock (hours since the epoch)."""
    return f"came/{kind.word}"


def decided(kind: AlertKind) -> str:
    """Return alerts on which a verdict was given, by hour of the wall clock; written by the desk."""
    return f"decided/{kind.word}"


def timed_out(kind: AlertKind) -> str:
    """Return alerts that nobody looked at in time, by hour of the wall clock."""
    return f"timed-out/{kind.word}"


def payments(action: str) -> str:
    """Return decisions by action, by hour of the stream (hours since the epoch)."""
    return f"payments/{action}"


def calibration(model: str, bin_: int) -> str:
    """Return payments of a model (as decisions name it) whose score was in a bin, by day of the stream."""
    return f"calibration/{model}/{bin_:02}"


def calibration_known(model: str, bin_: int, verdict: str) -> str:
    """Return those of a bin that are known to be `fraud` or `genuine`, by day of the payment."""
    return f"calibration/{model}/{bin_:02}/{verdict}"


def stage(name: str, bin_: int) -> str:
    """Return batches whose stage took a time of a bin (`stage_bin`), by minute of the wall clock."""
    return f"stage/{name}/{bin_:03}"
