"""How the demo shows decisions."""

from collections.abc import Sequence
from datetime import UTC, datetime

from fraud.cli import output
from fraud.core.records import Action, Answer, Decision, Reject

STYLE = {Action.CHALLENGE: "yellow", Action.REVIEW: "dark_orange", Action.DECLINE: "red"}


class Screen:
    """The sink that prints alerts as they come; the history's are not shown."""

    def __init__(self) -> None:
        """Start in silence."""
        self.live = False

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Print every alert: time, amount, score, action and the reasons."""
        for answer in answers:
            if self.live and answer.decision.action is not Action.APPROVE:
                output.out.print(line(answer.decision))
        for reject in rejects:
            output.say(f"rejected: {reject.reason}")

    def flush(self) -> None:
        """Do nothing: what was printed is printed."""

    def close(self) -> None:
        """Do nothing: nothing is open."""


def line(decision: Decision) -> str:
    """Return one decision as a reader sees it."""
    style = STYLE[decision.action]
    amount = f"{decision.base_amount / 100:>9,.2f}"
    reasons = "; ".join(reason.text for reason in decision.reasons[:3]) or "no reason given"
    head = f"[{style}]{decision.action.upper():<9}[/] {decision.score:6.1%} {amount}  "
    head += f"{decision.card} at {decision.merchant}"
    return f"{head}  [dim]{reasons}[/]"


def when(at: int) -> str:
    """Return an instant of the stream, ns UTC, as people read it."""
    return datetime.fromtimestamp(at / 1e9, UTC).strftime("%a %d %b %H:%M")
