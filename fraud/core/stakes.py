"""What is at stake where nobody looks at an alert: the expected cost of what then becomes of its payment."""

import hashlib
from functools import cached_property
from typing import Annotated, Literal

import msgspec

from fraud.core.fields import Duration, setting
from fraud.core.policy import CostPolicy, ThresholdPolicy
from fraud.core.records import MINUTE, Action


class Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of a held payment that nobody has looked at in time."""

    action: Annotated[
        Literal["approve", "challenge", "decline"],
        setting("What is done with a held payment that nobody has looked at: what is at stake is by its cost."),
    ] = "approve"
    delay: Annotated[Duration, setting("How long it is held; who holds payments keeps this time.", "duration")] = (
        Duration(30 * MINUTE)
    )


class Held(msgspec.Struct, frozen=True, dict=True):
    """The Policy port over another policy, for a site whose held payments do not pass by themselves at last."""

    policy: CostPolicy | ThresholdPolicy
    timed_out: Action

    @cached_property
    def version(self) -> str:
        """Return a hash of the policy's version and of what happens to what is held too long."""
        text = f"{type(self).__name__}\n{self.policy.version}\n{self.timed_out}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def action(self, score: float, base_amount: int) -> Action:
        """Return the policy's action."""
        return self.policy.action(score, base_amount)

    def expected_loss(self, score: float, base_amount: int) -> int:
        """Return the policy's expected loss."""
        return self.policy.expected_loss(score, base_amount)

    def at_stake(self, action: Action, score: float, base_amount: int) -> int:
        """Return the expected cost of leaving a payment alone; a held one ends with the time-out's action."""
        return self.policy.at_stake(action, score, base_amount, self.timed_out)
