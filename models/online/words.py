"""Who has said what of a payment, as it is learned: analysts' last words, what others have told, what nobody has."""

from collections.abc import Iterable
from typing import NamedTuple

from fraud.core.learning.gate import Waiting
from fraud.core.pending import Claim, Pending
from fraud.core.records import LabelSource, Verdict

UNTOLD = "untold"
"""What counts of labels call a payment that nobody had spoken of at the age of learning."""


class Word(NamedTuple):
    """What an analyst says of a payment; `again`: one has spoken of it in an earlier period."""

    tx_id: str
    fraud: bool
    again: bool


class Told(NamedTuple):
    """What is known of a payment at the age of learning; `sure`: not only because frauds are told by then or not."""

    source: str
    fraud: bool
    sure: bool


def analysts_words(passed: Iterable[Waiting]) -> list[Word]:
    """Return what analysts say in what has come through, of each payment the last word; what is withdrawn is none."""
    said: dict[str, list[Waiting]] = {}
    for entry in passed:
        if entry.label is not None and entry.label.source is LabelSource.ANALYST:
            said.setdefault(entry.tx_id, []).append(entry)
    last = [(entries[0], entries[-1].label) for entries in said.values()]
    return [
        Word(first.tx_id, label.verdict is Verdict.FRAUD, by_analyst(first.before))
        for first, label in last
        if label is not None and label.verdict is not Verdict.WITHDRAWN
    ]


def first_told(passed: Iterable[Waiting]) -> list[tuple[str, int, int]]:
    """Return the frauds among payments that went through which were told for the first time, before their deadline.

    Of each its channel, when it was paid, and how long after that it was told, ns.
    """
    return [
        (item.channel, item.paid_at, label.happened_at - item.paid_at)
        for label, item in ((entry.label, entry.before) for entry in passed)
        if label is not None and label.verdict is Verdict.FRAUD and label.happened_at <= item.deadline
        if item.went_through and not any(claim.verdict is Verdict.FRAUD for claim in item.claims)
    ]


def by_analyst(item: Pending) -> bool:
    """Tell whether an analyst has spoken of a payment, and that was not thrown away."""
    return any(claim.source is LabelSource.ANALYST and not claim.thrown_away for claim in item.claims)


def told_by_others(item: Pending) -> Told | None:
    """Return what others than analysts have told of a payment, or that nobody has spoken; None where neither holds.

    A payment of which a word was thrown away is not one of which nobody has spoken.
    """
    told: dict[LabelSource, Claim] = {one.source: one for one in item.claims if one.verdict is not Verdict.WITHDRAWN}
    if (claim := told.get(LabelSource.CHARGEBACK) or told.get(LabelSource.SILENCE)) is not None:
        fraud = claim.verdict is Verdict.FRAUD
        return Told(claim.source, fraud, sure=not fraud)
    return None if item.claims or not item.went_through else Told(UNTOLD, fraud=False, sure=False)


def one_sided(item: Pending, told: Told) -> bool:
    """Tell whether a payment could be learned of as a fraud only, where most genuine ones are learned as untold.

    What did not go through is never learned as untold, nor is what an analyst has looked at; so a fraud that others
    tell of the one, or once more of the other, has no genuine payments beside it: probabilities would grow and grow.
    """
    same = any(claim.source is LabelSource.ANALYST and (claim.verdict is Verdict.FRAUD) is told.fraud
               for claim in item.claims if claim.verdict is not Verdict.WITHDRAWN)  # fmt: skip
    return not item.went_through or same
