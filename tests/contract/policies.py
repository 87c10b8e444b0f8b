"""Every implementation of the Policy port, each with its defaults and with other numbers."""

from typing import NamedTuple

import msgspec

from fraud.core.policy import CapacityPolicy, CostPolicy, ThresholdPolicy, fit_capacity
from fraud.core.records import Action
from fraud.core.stakes import Held


class PolicyCase(NamedTuple):
    """One policy of an implementation; its fields are the thresholds or costs that it is made of."""

    name: str
    implementation: type
    policy: CostPolicy | ThresholdPolicy | Held

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of what it is made of."""
        return self.policy.__struct_fields__

    def changed(self, field: str) -> CostPolicy | ThresholdPolicy | Held:
        """Return the policy with one number a little higher, or with another policy or action in it."""
        value = getattr(self.policy, field)
        if isinstance(value, CostPolicy | Action):
            other: object = Action.CHALLENGE if isinstance(value, Action) else ThresholdPolicy()
        else:
            other = value + 1 if isinstance(value, int) else value + 1e-9
        return msgspec.structs.replace(self.policy, **{field: other})


POLICIES = [
    PolicyCase("thresholds", ThresholdPolicy, ThresholdPolicy()),
    PolicyCase("strict thresholds", ThresholdPolicy, ThresholdPolicy(0.0, 0.1, 0.5)),
    PolicyCase("capacity", CapacityPolicy, fit_capacity([number / 1_000 for number in range(1_000)], share=0.02)),
    PolicyCase("costs", CostPolicy, CostPolicy()),
    PolicyCase("costs, held payments declined at last", Held, Held(CostPolicy(), Action.DECLINE)),
    PolicyCase("other costs", CostPolicy, CostPolicy(fraud_fixed=0.0, review_fixed=900.0, decline_share=0.3)),
]
