"""Where the time of decisions went: a histogram a minute and stage, from the header that decisions carry."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from fraud.core.records import MINUTE
from fraud.review.counters import Sums, stage, stage_bin
from fraud.review.intake.seen import DecisionSeen


def count(decisions: Sequence[DecisionSeen]) -> Sums:
    """Return what decisions add to the histograms; what was decided together has one header, which is read once."""
    sums: Sums = defaultdict(int)
    alike = Counter((seen.stages, seen.arrived_at // MINUTE) for seen in decisions if seen.stages)
    for (header, minute), number in alike.items():
        for name, microseconds in stages_in(header):
            sums[stage(name, stage_bin(microseconds)), minute] += number
    return sums


def stages_in(header: bytes) -> list[tuple[str, int]]:
    """Return microseconds by stage; what cannot be read, from another release, is left out."""
    words = (word.partition("=") for word in header.decode(errors="replace").split())
    return [(name, int(spent)) for name, _, spent in words if name.isalpha() and spent.isdecimal()]
