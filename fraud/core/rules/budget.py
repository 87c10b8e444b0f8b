"""What the rules of a file cost each payment, by what their conditions are made of. Too much of it is a fault.

A measured time would be refused on one machine, or at one moment, and not on another: workers must agree.
"""

from collections.abc import Iterable

from fraud.core.rules.faults import FaultAt
from fraud.core.rules.tree import Binary, Expression, RuleTree, children

NODE_NS, CONTAINS_NS = 250, 600
"""Of a comparison, a membership, a sign or an `and`; of `contains` over 60 characters. Measured: 230 to 450, 570."""
MOST_NS = 1_000_000
"""Of a budget of 50 ms a payment."""


def need_affordable(rules: Iterable[RuleTree]) -> None:
    """Raise FaultAt at the first rule with which a file costs too much."""
    spent = 0
    for rule in rules:
        spent += cost_of(rule.condition)
        if spent > MOST_NS:
            msg = (
                f"with this rule all of the file take over {MOST_NS / 1e6:g} ms a payment, by what they compare: name "
                "values of one field in a list (`card in stolen`), which costs the same however long it is, or ask for "
                "a narrower condition first in fewer rules"
            )
            raise FaultAt(rule.at, msg)


def cost_of(condition: Expression) -> int:
    """Return about how many nanoseconds asking a condition takes, all of its parts being asked."""
    cost, todo = 0, [condition]
    while todo:
        tree = todo.pop()
        inside = children(tree)
        if isinstance(tree, Binary) and tree.sign == "contains":
            cost += CONTAINS_NS
        elif inside:
            cost += NODE_NS
        todo += inside
    return cost
