"""The site of a demo, whose payments are held: what analysts order is carried out, shown and reported."""

from collections.abc import Callable
from typing import Any

from fraud.cli.panel import Board
from fraud.cli.screen import when
from fraud.core.actions import CaseAction, Remedy
from fraud.core.records import Decision
from fraud.simulate.site import Done, Site


class Till:
    """Lets held payments through or refuses them, as ordered; `report` is told which went through, and when.

    That is in ns of the stream's time.
    """

    def __init__(self, board: Board, report: Callable[[str, int], object]) -> None:
        """Take where it is shown; no payment is known yet."""
        self._board, self._report = board, report
        self._site = Site()

    def hear(self, decision: Decision) -> None:
        """Take a decision on one of the site's payments."""
        self._site.decided(decision)

    def obey(self, order: CaseAction) -> None:
        """Carry out an order, where it is about a payment of this site."""
        if (done := self._site.obey(order)) is None:
            return
        if done.went_through:
            self._report(order.tx_id, done.at)
        self._board.event(when(done.at), done.what, told(done), of="site")

    def result(self) -> dict[str, Any]:
        """Return what the last line tells of orders."""
        counts = self._site.counts
        return {"released": counts[Remedy.RELEASE], "refused": counts[Remedy.DECLINE]}


def told(done: Done) -> str:
    """Return what was done, in a sentence."""
    decision, order = done.decision, done.order
    amount = f"{decision.base_amount / 100:,.2f}"
    return f"{amount} of {decision.card} at {decision.merchant}, ordered by {order.by}: {order.reason}"
