"""What a sentence tells, and whether it speaks for fraud.

Reasons are grounds to hold a payment, so nothing usual, small or free of fraud is told as one. Each sentence comes with
how far what it tells stands out, as one number, made where the sentence is made. A group that raised the score and of
which nothing stands out has no sentence, and is not told.
"""

from collections.abc import Container, Iterable
from typing import NamedTuple

STANDS_OUT = 1.5
"""A number is told when it is so many times the usual; a smaller one is within what is usual."""
PLAIN = 2.0
"""How far a fact stands out that has no number: something new, a place or a time of its own."""


class Fact(NamedTuple):
    """A sentence, how many times the usual it tells of, and the beginnings of the names of the features it tells of."""

    text: str
    times: float
    features: tuple[str, ...] = ()

    @property
    def speaks(self) -> bool:
        """Tell whether it is a ground to hold a payment."""
        return self.times >= STANDS_OUT


def plain(text: str, *features: str) -> Fact:
    """Return a fact without a number that is a ground to hold a payment."""
    return Fact(text, PLAIN, features)


def told(facts: Iterable[Fact | None], strongest: str = "", before: Container[str] = ()) -> str | None:
    """Return the sentence to tell of some facts: of those that speak for fraud, the one of the feature `strongest`.

    Where that feature has none it is the one that stands out most; None where none speaks. A sentence that was told
    `before` is not told again.
    """
    speaking = [fact for fact in facts if fact is not None and fact.speaks and fact.text not in before]
    of_strongest = [fact for fact in speaking if strongest.startswith(fact.features)]
    return max(of_strongest or speaking, key=lambda fact: fact.times).text if speaking else None
