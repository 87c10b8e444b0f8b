"""What an explainer finds: the reasons that are told, and the numbers behind them."""

from typing import NamedTuple

from fraud.core.evidence import Evidence, SideEvent, as_kept
from fraud.core.records import Explanation, Parts, Reason
from models.reasons.catalogue import F64, GROUPS, INTERACTION, Told

ROUNDING = 1e-6
"""Effects below are what arithmetic leaves of none."""


class Grounds(NamedTuple):
    """Reasons, the effects of all groups by code, and the events of the histories that mattered, by side."""

    reasons: tuple[Reason, ...]
    effects: Parts
    events: tuple[tuple[SideEvent, ...], ...] = ()

    def explanation(self, spec: str, model: str, *, evidence: bool) -> Explanation:
        """Return them as a scorer does: with the numbers, of a spec and a model, if those are asked for."""
        return Explanation(self.reasons, Evidence(spec, model, self.effects, self.events) if evidence else None)


def by_code(groups: F64, remainder: float = 0.0) -> Parts:
    """Return effects by code, as evidence keeps them: those of groups, float64 (groups,), and what none does alone."""
    named = [(code.name, effect) for code, effect in zip(GROUPS, groups.tolist(), strict=True)]
    felt = [(name, effect) for name, effect in [*named, (INTERACTION.name, remainder)] if abs(effect) >= ROUNDING]
    return tuple((name, as_kept(effect)) for name, effect in felt)


def reason_of(told: Told, groups: F64, without: float) -> Reason:
    """Return the reason of a group that is told of."""
    return Reason(GROUPS[told.place].name, told.text, float(groups[told.place]), without)
