"""A judge of what reasons say: none of nothing, none twice, none more exact than what is known."""

import math
import re
from collections.abc import Sequence

from fraud.core.records import Reason
from tests.models.directions import MODEL_CODES, WHO, Vector

NOTHING = tuple(
    re.compile(pattern)
    for pattern in (
        r"usual is (about )?0(\.0*)? ",
        r"(?<![\d.])0(\.0*)? (spent|payments? by|payments? at|payments? on|known frauds?|frauds? among)",
        r"of 0 labelled",
        r"\b(last|of) 0 payments?",
        r"(median|mean [a-z ]+|typically|is) of (about )?-?0(\.0*)?(?![\d.])",
        r"Amount 0\.00\b",
        r"\b(nan|inf)\b",
        r"\de[+-]\d",
    )
)
"""What says nothing, whoever words it."""
ESTIMATES = re.compile(r"(?:median of|usual is) (?:about )?(\d[\d.]*)(?! in )(?!\d|\.\d| in )")
FIGURES = 2


def figures(number: str) -> int:
    """Return how many figures of a number in words are told."""
    digits = number.replace(".", "").lstrip("0")
    return len(digits if "." in number else digits.rstrip("0"))


def faults(reasons: Sequence[Reason], of: Vector) -> list[str]:
    """Return what is wrong with the sentences of a decision, those of rules left out but for repetition."""
    texts = [one.text for one in reasons]
    found = [f"twice: {text}" for text in sorted(set(texts)) if texts.count(text) > 1]
    for text in (one.text for one in reasons if not MODEL_CODES.match(one.code)):
        found += [f"nothing: {text}" for pattern in NOTHING if pattern.search(text)]
        found += [f"too exact: {text}" for number in ESTIMATES.findall(text) if figures(number) > FIGURES]
        found += [f"first seen: {text}" for entity in unseen(text) if math.isnan(of[f"{entity}_since_first"])]
        found += [f"no usual yet: {text}" for entity in compared(text) if of[f"{entity}_since_first"] < 86_400]
    return found


def unseen(text: str) -> list[str]:
    """Return the entities that a sentence tells to have been without payments for 30 days."""
    return [WHO[who] for who in re.findall(r"No payment (.+) in the 30 days before this one", text)]


def compared(text: str) -> list[str]:
    """Return the entities of which a sentence tells what is usual."""
    found = re.search(rf"({'|'.join(sorted(WHO, key=len, reverse=True))}) in [^;]+; usual is", text)
    return [WHO[found[1]]] if found else []
