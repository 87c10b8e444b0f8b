"""Every implementation of the RuleBook port, each with a way to make one of a text."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fraud.core.ports import RuleBook
from fraud.core.rules.blocked import BlockedCards
from fraud.core.rules.ruleset import RuleSet, compile_rules
from streaming.rule_file import ReloadingRules
from streaming.wiring import NoRules, vocabulary

RULES = """
list trusted allow card { "friend" }
list stolen block card { "thief" }

rule large "paid {amount}" :
    when amount >= 500
    then review, floor 0.6

rule burst "{count(card, 10m)} payments within 10 minutes" :
    when count(card, 10m) >= 3
    then challenge

rule refunded for refund :
    when amount > 1
    then note
"""


class RuleBookCase(NamedTuple):
    """One implementation; `make` compiles a text, which may be kept in an empty folder. `empty`: it has no rules."""

    name: str
    implementation: type
    make: Callable[[str, Path], RuleBook]
    empty: bool = False


def from_file(text: str, folder: Path) -> ReloadingRules:
    """Return the rules of a file that holds a text."""
    path = folder / "site.fr"
    path.write_text(text)
    return ReloadingRules(path, vocabulary())


RULE_BOOKS = [
    RuleBookCase("compiled", RuleSet, lambda text, folder: compile_rules(text, vocabulary())),
    RuleBookCase("file", ReloadingRules, from_file),
    RuleBookCase("blocked", BlockedCards, lambda text, folder: BlockedCards(compile_rules(text, vocabulary()))),
    RuleBookCase("none", NoRules, lambda text, folder: NoRules(), empty=True),
]
