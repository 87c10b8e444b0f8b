"""What the rules of a file may cost a payment: by what they compare, the same on every machine."""

import pytest

from fraud.core.rules.budget import CONTAINS_NS, MOST_NS, NODE_NS, cost_of
from fraud.core.rules.faults import RulesError, Source
from fraud.core.rules.parser import parse
from fraud.core.rules.ruleset import compile_rules
from streaming.rule_file import DEFAULT
from tests.core.rules.asking import WORDS


def cost(condition: str) -> int:
    """Return what a condition costs."""
    (tree,) = parse(Source(f"rule r : when {condition} then note"), []).rules
    return cost_of(tree.condition)


def many(condition: str, count: int) -> str:
    """Return so many rules, numbers in place of `#`."""
    return "\n".join(f"rule r{n} : when {condition.replace('#', str(n))} then note" for n in range(count))


@pytest.mark.parametrize(
    ("condition", "nodes", "texts"),
    [
        ("amount > 1", 1, 0),
        ('text contains "x"', 0, 1),
        ('amount > 1 and not (text contains "x" or merchant in {"a", "b"})', 5, 1),
        ("amount / 3 + 2 > 7", 3, 0),
    ],
)
def test_condition_costs_what_it_is_made_of(condition: str, nodes: int, texts: int) -> None:
    assert cost(condition) == nodes * NODE_NS + texts * CONTAINS_NS


def test_file_that_costs_too_much_is_refused_at_the_rule_that_is_too_much() -> None:
    most = MOST_NS // CONTAINS_NS
    compile_rules(many('text contains "a#"', most), WORDS)
    with pytest.raises(RulesError, match=rf"rules.fr:{most + 1}:6: with this rule .* over 1 ms a payment") as caught:
        compile_rules(many('text contains "a#"', 5_000), WORDS)
    assert len(caught.value.faults) == 1


def test_list_costs_the_same_however_long_it_is() -> None:
    files = {"a.txt": "\n".join(f"C{n}" for n in range(50_000))}
    compile_rules('list stolen card from "a.txt"\nrule r : when card in stolen then decline', WORDS, files=files)


def test_shipped_rules_take_a_small_part_of_it() -> None:
    trees = parse(Source(DEFAULT.read_text()), []).rules
    assert sum(cost_of(tree.condition) for tree in trees) < MOST_NS / 20
