"""A compiled rule file: the RuleBook that the engine asks.

Precedence: a block list declines and nothing else is asked; an allow list holds the action at approve and silences the
rules; otherwise every rule that matches gives its reason, the highest floor and the hardest action count.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import msgspec
import numpy as np

from fraud.core.errors import nearest
from fraud.core.ports import RuleOutcome
from fraud.core.records import Action, Kind, Reason, Transaction, Values
from fraud.core.rules.checker import Checker, Listing
from fraud.core.rules.expressions import Row, Typed
from fraud.core.rules.faults import Fault, FaultAt, RulesError, Source, Span
from fraud.core.rules.lists import listing_of
from fraud.core.rules.parser import Parser, parse
from fraud.core.rules.tree import FileTree, Literal, RuleTree
from fraud.core.rules.vocabulary import Vocabulary
from fraud.core.rules.words import Sentence

KINDS = {kind.value: kind for kind in Kind}
NOTHING = RuleOutcome()


class Rule(msgspec.Struct, frozen=True):
    """One compiled rule. `kinds` are the messages that it is asked about; `action` None leaves the action alone."""

    name: str
    kinds: frozenset[Kind]
    condition: Typed
    sentence: Sentence
    floor: float = 0.0
    action: Action | None = None

    def matches(self, tx: Transaction, row: Row) -> bool:
        """Tell whether the rule speaks."""
        return tx.kind in self.kinds and bool(self.condition.run(tx, row))

    def __str__(self) -> str:
        """Return the rule in one line."""
        floor = [f"floor {self.floor:g}"] if self.floor else []
        effects = ", ".join([*([self.action.value] if self.action else []), *floor]) or "note"
        return f"{self.name}: when {self.condition.label} then {effects}"


class Listed(msgspec.Struct, frozen=True):
    """An allow or block list."""

    name: str
    listing: Listing
    vocabulary: Vocabulary

    def holds(self, tx: Transaction) -> bool:
        """Tell whether the transaction is listed, and not expired, when it was seen."""
        value = self.vocabulary.fields[self.listing.field].read(tx)
        return tx.seen_at < self.listing.entries.get(value, 0)

    def reason(self, tx: Transaction, word: str) -> Reason:
        """Return what an analyst reads."""
        value = self.vocabulary.fields[self.listing.field].read(tx)
        shown = f"{value:g}" if isinstance(value, float) else value
        return Reason(f"list:{self.name}", f"{self.listing.field} {shown} is on the {word} list '{self.name}'")


class RuleSet:
    """The RuleBook port over one compiled file; `compile_rules` makes it."""

    def __init__(self, version: str, rules: Sequence[Rule], places: Sequence[int], lists: Mapping[str, list[Listed]]):
        """Take compiled parts; `places` are the vector places of the features that the rules read."""
        self._version = version
        self.rules = tuple(rules)
        self._places = np.array(places, np.intp)
        self.allow, self.block = tuple(lists.get("allow", ())), tuple(lists.get("block", ()))

    @property
    def version(self) -> str:
        """Return a hash of the rules' text and of their list files."""
        return self._version

    def judge(self, tx: Transaction, values: Values) -> RuleOutcome:
        """Return the joint outcome of every list and rule that matches."""
        for listed in self.block:
            if listed.holds(tx):
                return RuleOutcome((listed.reason(tx, "block"),), at_least=Action.DECLINE)
        for listed in self.allow:
            if listed.holds(tx):
                return RuleOutcome((listed.reason(tx, "allow"),), at_most=Action.APPROVE)
        row: Row = values[self._places].tolist()
        spoken = [rule for rule in self.rules if rule.matches(tx, row)]
        return joint(spoken, tx, row) if spoken else NOTHING

    def describe(self) -> Iterator[str]:
        """Yield every list and rule in one line."""
        for word, lists in (("allow", self.allow), ("block", self.block)):
            for listed in lists:
                yield f"{listed.name}: {word} list of {listed.listing.field}, {len(listed.listing.entries)} entries"
        yield from map(str, self.rules)

    @cached_property
    def lists(self) -> int:
        """Return how many allow and block lists there are."""
        return len(self.allow) + len(self.block)


def joint(spoken: Sequence[Rule], tx: Transaction, row: Row) -> RuleOutcome:
    """Return what several rules say together."""
    reasons = tuple(Reason(f"rule:{rule.name}", rule.sentence.filled(tx, row)) for rule in spoken)
    actions = [rule.action for rule in spoken if rule.action is not None]
    hardest = max(actions, key=lambda action: action.rank, default=None)
    return RuleOutcome(reasons, max(rule.floor for rule in spoken), at_least=hardest)


def list_files(text: str) -> list[str]:
    """Return the names of the list files that a rule file reads; of a faulty file, those that can be seen."""
    trees = parse(Source(text), [])
    return [str(tree.file.value) for tree in trees.lists if tree.file is not None]


def compile_rules(
    text: str, vocabulary: Vocabulary, name: str = "rules.fr", files: Mapping[str, str] | None = None
) -> RuleSet:
    """Return the compiled rules of a text; `files` are the texts of its list files by name.

    Raises:
        RulesError: with every fault of the file, each with its place.
    """
    files = files or {}
    return Compiler(Source(text, name), vocabulary, files).compiled()


class Compiler:
    """Turns one source into a rule set, or into its faults."""

    def __init__(self, source: Source, vocabulary: Vocabulary, files: Mapping[str, str]) -> None:
        """Take what is compiled and what it may name."""
        self._source, self._vocabulary, self._files = source, vocabulary, files
        self._faults: list[Fault] = []
        self._taken: set[str] = set()

    def compiled(self) -> RuleSet:
        """Return the rule set; raise RulesError with all faults."""
        trees = parse(self._source, self._faults)
        listings = self._listings(trees)
        checker = Checker(self._source, self._vocabulary, listings, self._faults)
        rules = [rule for tree in trees.rules if (rule := self._rule(tree, checker)) is not None]
        if self._faults:
            raise RulesError(self._faults)
        effects: dict[str, list[Listed]] = {}
        for tree in trees.lists:
            if tree.effect:
                effects.setdefault(tree.effect, []).append(Listed(tree.name, listings[tree.name], self._vocabulary))
        return RuleSet(self._version(), rules, checker.places, effects)

    def _version(self) -> str:
        texts = [self._source.text, *(f"{name}\n{text}" for name, text in sorted(self._files.items()))]
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]

    def _listings(self, trees: FileTree) -> dict[str, Listing]:
        found: dict[str, Listing] = {}
        for tree in trees.lists:
            try:
                self._take(tree.name, tree.at, "list")
                found[tree.name] = listing_of(tree, self._vocabulary, self._files, self._faults)
            except FaultAt as fault:
                found.setdefault(tree.name, Listing(tree.field.name, {}))
                self._fault(fault)
        return found

    def _rule(self, tree: RuleTree, checker: Checker) -> Rule | None:
        try:
            self._take(tree.name, tree.at, "rule")
            condition = checker.condition(tree.condition)
            floor, action = effects_of(tree)
            return Rule(tree.name, kinds_of(tree), condition, self._sentence(tree, condition, checker), floor, action)
        except FaultAt as fault:
            self._fault(fault)
            return None

    def _sentence(self, tree: RuleTree, condition: Typed, checker: Checker) -> Sentence:
        if tree.sentence is None:
            read = [part for item in condition.reads for part in (f", {item.label} ", item)]
            return Sentence((tree.name.replace("_", " "), *read))
        return Sentence(tuple(self._parts(tree.sentence, checker)))

    def _parts(self, sentence: Literal, checker: Checker) -> Iterator[str | Typed]:
        """Yield the texts of a sentence and the expressions in its braces."""
        at, end = sentence.span.begin + 1, sentence.span.end - 1
        text = self._source.text
        while at < end:
            opened = text.find("{", at, end)
            if opened < 0:
                break
            closed = text.find("}", opened, end)
            if closed < 0:
                raise FaultAt(Span(opened, end), "a brace in a sentence is not closed: expected {an expression}")
            yield text[at:opened]
            yield checker.typed(Parser(self._source, opened + 1, closed).expression())
            at = closed + 1
        yield text[at:end]

    def _take(self, name: str, at: Span, what: str) -> None:
        if name in self._taken:
            raise FaultAt(at, f"a {what} named '{name}' stands above: names are used once")
        if name in self._vocabulary.names:
            raise FaultAt(at, f"'{name}' is a feature or field: choose another name")
        self._taken.add(name)

    def _fault(self, fault: FaultAt) -> None:
        self._faults.append(self._source.fault(fault.span, fault.message))


def kinds_of(tree: RuleTree) -> frozenset[Kind]:
    """Return the kinds of message a rule is asked about, payments where it names none."""
    for name in tree.kinds:
        if name.name not in KINDS:
            raise FaultAt(
                name.span,
                f"unknown kind '{name.name}': expected payment, refund or reversal.{nearest(name.name, KINDS)}",
            )
    return frozenset(KINDS[name.name] for name in tree.kinds) or frozenset({Kind.PAYMENT})


def effects_of(tree: RuleTree) -> tuple[float, Action | None]:
    """Return a rule's floor and action; raise FaultAt for two of a kind or a floor that is no probability."""
    floor, action = 0.0, None
    for effect in tree.effects:
        if effect.floor is not None:
            value = effect.floor.value
            if isinstance(value, bool | str) or effect.floor.unit or not 0.0 < value <= 1.0:
                raise FaultAt(effect.floor.span, "a floor is a probability: expected a number above 0, at most 1")
            floor = max(floor, float(value))
        elif effect.word != "note":
            if action is not None:
                raise FaultAt(effect.span, f"a rule has one action, and '{action}' stands before")
            action = Action(effect.word)
    return floor, action
