"""Every implementation of the Policy port, each with its defaults and with other numbers."""

from typing import NamedTuple

import msgspec

from fraud.core.policy import CapacityPolicy, CostPolicy, ThresholdPolicy, fit_capacity


class PolicyCase(NamedTuple):
    """One policy of an implementation; its fields are the thresholds or costs that it is made of."""

    name: str
    implementation: type
    policy: CostPolicy | ThresholdPolicy

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of its numbers."""
        return self.policy.__struct_fields__

    def changed(self, field: str) -> CostPolicy | ThresholdPolicy:
        """Return the policy with one number a little higher."""
        value = getattr(self.policy, field)
        return msgspec.structs.replace(self.policy, **{field: value + 1 if isinstance(value, int) else value + 1e-9})


POLICIES = [
    PolicyCase("thresholds", ThresholdPolicy, ThresholdPolicy()),
    PolicyCase("strict thresholds", ThresholdPolicy, ThresholdPolicy(0.0, 0.1, 0.5)),
    PolicyCase("capacity", CapacityPolicy, fit_capacity([number / 1_000 for number in range(1_000)], share=0.02)),
    PolicyCase("costs", CostPolicy, CostPolicy()),
    PolicyCase("other costs", CostPolicy, CostPolicy(fraud_fixed=0.0, review_fixed=900.0, decline_share=0.3)),
]
