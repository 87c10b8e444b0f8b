"""The systems of a site that hold payments, played: what they do with decisions, and with the orders of analysts.

What is to be reviewed waits there. An order to release lets a payment through, one to decline refuses it, or reverses
it where it went through; `docs/actions.md` says what such systems have to do, and to report.
"""

from typing import NamedTuple

from fraud.core.actions import CaseAction, Remedy
from fraud.core.records import Action, Decision

CARRIED_OUT = Remedy.RELEASE, Remedy.DECLINE


class Done(NamedTuple):
    """An order that was carried out: about which payment, when (ns UTC, the stream's time), after which order before.

    `before` is None where it is the first one.
    """

    order: CaseAction
    decision: Decision
    at: int
    before: Remedy | None = None

    @property
    def went_through(self) -> bool:
        """Tell whether the payment went through, which is to be reported."""
        return self.order.action is Remedy.RELEASE

    @property
    def what(self) -> str:
        """Return what was done, in a word."""
        if self.went_through:
            return "released"
        return "refused" if self.before is None else "reversed"


class Site:
    """Knows the payments that were not approved, and does with them what is ordered; the newest order counts.

    Its time is that of the newest payment.
    """

    def __init__(self) -> None:
        """Know no payment."""
        self._known: dict[str, Decision] = {}
        self._done: dict[str, Remedy] = {}
        self.now = 0
        self.counts = dict.fromkeys(CARRIED_OUT, 0)

    def decided(self, decision: Decision) -> None:
        """Take a decision: an approved payment goes on its way, others are kept in mind."""
        self.now = max(self.now, decision.happened_at)
        if decision.action is not Action.APPROVE:
            self._known[decision.tx_id] = decision

    def obey(self, order: CaseAction) -> Done | None:
        """Carry out an order; None where that is not this site's to do, or is done already."""
        decision, before = self._known.get(order.tx_id), self._done.get(order.tx_id)
        if decision is None or order.action not in CARRIED_OUT or order.action is before:
            return None
        self._done[order.tx_id] = order.action
        self.counts[order.action] += 1
        return Done(order, decision, self.now, before)
