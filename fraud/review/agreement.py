"""How far people agree who look at the same case without knowing of each other: shares and Cohen's kappa."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fraud.core.intervals import wilson
from fraud.review.page_views import Share


class Pair(NamedTuple):
    """Two verdicts on one alert, in order."""

    first_by: int
    first: int
    second_by: int
    second: int


def share_of(part: int, whole: int) -> Share:
    """Return a share with its interval; of nothing there is none."""
    if whole <= 0:
        return Share(part, whole, None, None, None)
    found = wilson(part, whole)
    return Share(part, whole, found.estimate, found.low, found.high)


def agreement(pairs: Sequence[Pair]) -> Share:
    """Return how many pairs agree."""
    return share_of(sum(pair.first == pair.second for pair in pairs), len(pairs))


def kappa(pairs: Sequence[Pair]) -> float | None:
    """Return Cohen's kappa (Educational and Psychological Measurement, 1960): agreement beyond what chance gives.

    (observed - expected) / (1 - expected), expected from how often either said each word; None of no pairs, or where
    both have always said one same word, for chance alone would agree as well.
    """
    if not pairs:
        return None
    count = len(pairs)
    first, second = Counter(pair.first for pair in pairs), Counter(pair.second for pair in pairs)
    observed = sum(pair.first == pair.second for pair in pairs) / count
    expected = sum(first[word] * second[word] for word in first) / count**2
    return None if expected >= 1.0 else (observed - expected) / (1.0 - expected)


def of_person(pairs: Iterable[Pair], number: int) -> list[Pair]:
    """Return the pairs that somebody took part in."""
    return [pair for pair in pairs if number in (pair.first_by, pair.second_by)]
