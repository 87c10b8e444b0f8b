"""The reason that tells of what was learned since a model was trained, beside the model's own.

Those stay exactly what they are without it: what a payment's own facts say, and what labels have taught since, are told
apart.
"""

from collections.abc import Mapping

from fraud.core.records import Reason, Values, Verdict
from models.reasons.catalogue import INTERACTION, LEARNED
from models.reasons.reading import Lately, Reading

MATERIAL = 0.05
"""A smaller effect, in log-odds, is not told: 5 % in the odds."""


def lately_of(labels: Mapping[str, int], since: int) -> Lately:
    """Return what was learned since then (UTC ns), from counts by `SOURCE/VERDICT`."""
    frauds = sum(count for name, count in labels.items() if name.endswith(f"/{Verdict.FRAUD}"))
    return Lately(sum(labels.values()), frauds, since)


def with_lately(reasons: tuple[Reason, ...], values: Values, lately: Lately, effect: float) -> tuple[Reason, ...]:
    """Return a model's reasons and this one, at its place by effect; alone where it has not raised the score by much.

    `values` is float32 (features,), the vector that they speak of.
    """
    if effect < MATERIAL:
        return reasons
    groups = [reason for reason in reasons if reason.code != INTERACTION.name]
    place = sum(reason.effect >= effect for reason in groups)
    told = Reason(LEARNED.name, LEARNED.words(Reading({}, values, lately=lately)), effect)
    return (*reasons[:place], told, *reasons[place:])
