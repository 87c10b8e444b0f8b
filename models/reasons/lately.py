"""The reason that tells of what was learned since a model was trained, beside the model's own.

Those stay exactly what they are without it: what a payment's own facts say, and what labels have taught since, are told
apart.
"""

from collections.abc import Mapping

import msgspec

from fraud.core.evidence import as_kept
from fraud.core.learning.outcomes import log_odds, probability
from fraud.core.records import Explanation, Reason, Values, Verdict
from models.reasons.catalogue import INTERACTION, LEARNED, MATERIAL
from models.reasons.reading import Lately, Reading


def lately_of(labels: Mapping[str, int], since: int) -> Lately:
    """Return what was learned since then (UTC ns), from counts by `SOURCE/VERDICT`."""
    frauds = sum(count for name, count in labels.items() if name.endswith(f"/{Verdict.FRAUD}"))
    return Lately(sum(labels.values()), frauds, since)


def with_lately(
    told: Explanation, values: Values, lately: Lately, effect: float, base: float | None = None
) -> Explanation:
    """Return what a model tells and this reason, at its place by effect; without it where it has not raised the score.

    `values` is float32 (features,), the vector that they speak of; `base` the model's log-odds before what was learned.
    What would be without a group is moved as the score was.
    """
    if not effect:
        return told
    reasons = tuple(moved(reason, effect) for reason in told.reasons)
    evidence = told.evidence
    if evidence is not None:
        evidence = msgspec.structs.replace(evidence, effects=(*evidence.effects, (LEARNED.name, as_kept(effect))))
    text = LEARNED.words(Reading({}, values, lately=lately))
    if effect < MATERIAL or text is None:
        return Explanation(reasons, evidence)
    place = sum(reason.effect >= effect for reason in reasons if reason.code != INTERACTION.name)
    one = Reason(LEARNED.name, text, effect, None if base is None else probability(base))
    return Explanation((*reasons[:place], one, *reasons[place:]), evidence)


def moved(reason: Reason, effect: float) -> Reason:
    """Return a reason whose probability without its group is moved by what was learned, log-odds."""
    without = reason.without
    if without is None or not 0.0 < without < 1.0:
        return reason
    return msgspec.structs.replace(reason, without=probability(log_odds(without) + effect))
