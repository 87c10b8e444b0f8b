"""A compiled rule file: the RuleBook that the engine asks.

Precedence: a block list declines and nothing else is asked; an allow list holds the action at approve and silences the
rules; otherwise every rule that matches gives its reason, the highest floor and the hardest action count.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ParamSpec, TypeVar

import msgspec
import numpy as np

from fraud.core.errors import nearest
from fraud.core.ports import RuleOutcome, blocked_by
from fraud.core.records import Action, Kind, Reason, Transaction, Values
from fraud.core.rules.budget import need_affordable
from fraud.core.rules.bundle import bundled, text_hash
from fraud.core.rules.checker import Checker, Listing
from fraud.core.rules.expressions import FOREVER, Row, Typed
from fraud.core.rules.faults import Fault, FaultAt, RulesError, Source, Span
from fraud.core.rules.lists import listing_of
from fraud.core.rules.parser import Parser, parse
from fraud.core.rules.tracing import Clause, Traced, failed
from fraud.core.rules.tree import FileTree, ListTree, Literal, RuleTree
from fraud.core.rules.vocabulary import Type, Value, Vocabulary
from fraud.core.rules.words import Sentence, number, shown

P = ParamSpec("P")
T = TypeVar("T")
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

    def traced(self, tx: Transaction, row: Row, silenced_by: str = "") -> Traced:
        """Return what came of the rule, where `silenced_by` is a list that had decided before."""
        clause = self._failed(tx, row)
        holds = clause is None
        return Traced(
            name=self.name,
            holds=holds,
            spoke=holds and not silenced_by,
            clause="" if clause is None else clause.text,
            value="" if clause is None else clause.value,
            action=self.action,
            floor=self.floor,
            sentence=self.sentence.filled(tx, row) if holds else "",
            silenced_by=silenced_by,
        )

    def _failed(self, tx: Transaction, row: Row) -> Clause | None:
        if tx.kind not in self.kinds:
            return Clause(f"for {', '.join(sorted(self.kinds))}", tx.kind)
        return failed(self.condition, tx, row)

    def __str__(self) -> str:
        """Return the rule in one line."""
        floor = [f"floor {self.floor:g}"] if self.floor else []
        effects = ", ".join([*([self.action.value] if self.action else []), *floor]) or "note"
        return f"{self.name}: when {self.condition.label} then {effects}"


class Listed(msgspec.Struct, frozen=True):
    """A list: `effect` is allow, block, or empty for one that only conditions name."""

    name: str
    effect: str
    listing: Listing
    read: Callable[[Transaction], Value]

    def holds(self, tx: Transaction) -> bool:
        """Tell whether the transaction is listed, and not expired, when it was seen."""
        return tx.seen_at < self.listing.entries.get(self.read(tx), 0)

    def reason(self, tx: Transaction) -> Reason:
        """Return what an analyst reads."""
        value = self.read(tx)
        shown = number(value) if isinstance(value, float) else value
        return Reason(f"list:{self.name}", f"{self.listing.field} {shown} is on the {self.effect} list '{self.name}'")

    @property
    def action(self) -> Action | None:
        """Return what the list decides, None for one that only conditions name."""
        return {"block": Action.DECLINE, "allow": Action.APPROVE}.get(self.effect)

    def traced(self, tx: Transaction, silenced_by: str = "") -> Traced:
        """Return what came of the list, where `silenced_by` is one that had decided before."""
        holds, value = self.holds(tx), self.read(tx)
        return Traced(
            name=self.name,
            holds=holds,
            spoke=holds and bool(self.effect) and not silenced_by,
            clause="" if holds else f"{self.listing.field} in {self.name}",
            value=shown(value, Type.NUMBER if isinstance(value, float) else Type.TEXT),
            action=self.action,
            sentence=self.reason(tx).text if holds and self.effect else "",
            is_list=True,
            silenced_by=silenced_by,
        )

    def __str__(self) -> str:
        """Return the list in one line."""
        entries, word = self.listing.entries.values(), f"{self.effect} list".strip()
        ending = sum(end != FOREVER for end in entries)
        return f"{self.name}: {word} of {self.listing.field}, {len(entries)} entries, {ending} of them with an end"


class RuleSet:
    """The RuleBook port over one compiled file; `compile_rules` makes it."""

    def __init__(self, version: str, rules: Sequence[Rule], places: Sequence[int], lists: Sequence[Listed]) -> None:
        """Take compiled parts; `places` are the vector places of the features that the rules read."""
        self._version, self.rules, self.lists = version, tuple(rules), tuple(lists)
        self._places = np.array(places, np.intp)
        self._allow = tuple(listed for listed in lists if listed.effect == "allow")
        self._block = tuple(listed for listed in lists if listed.effect == "block")

    @property
    def version(self) -> str:
        """Return a hash of the rules' text and of their list files."""
        return self._version

    def judge(self, tx: Transaction, values: Values) -> RuleOutcome:
        """Return the joint outcome of every list and rule that matches."""
        for listed in self._block:
            if listed.holds(tx):
                return blocked_by(listed.reason(tx))
        for listed in self._allow:
            if listed.holds(tx):
                return RuleOutcome((listed.reason(tx),), at_most=Action.APPROVE)
        row: Row = values[self._places].tolist()
        spoken = [rule for rule in self.rules if rule.matches(tx, row)]
        return joint(spoken, tx, row) if spoken else NOTHING

    def trace(self, tx: Transaction, values: Values) -> tuple[Traced, ...]:
        """Return what came of each list and rule: those that `judge` gives reasons of, and why the others are silent.

        Lists come first, in the order in which they are asked. It asks clause by clause, so it is for people who look
        at a decision afterwards, never for the live path.
        """
        row: Row = values[self._places].tolist()
        plain = [listed for listed in self.lists if not listed.effect]
        found: list[Traced] = []
        decided = ""
        for listed in (*self._block, *self._allow):
            found.append(listed.traced(tx, decided))
            decided = decided or (listed.name if found[-1].holds else "")
        found += [listed.traced(tx) for listed in plain]
        found += [rule.traced(tx, row, decided) for rule in self.rules]
        return tuple(found)

    def describe(self) -> Iterator[str]:
        """Yield every list and rule in one line."""
        yield from map(str, self.lists)
        yield from map(str, self.rules)


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
    text: str,
    vocabulary: Vocabulary,
    name: str = "rules.fr",
    files: Mapping[str, str] | None = None,
    version: str = "",
) -> RuleSet:
    """Return the compiled rules of a text; `files` are the texts of its list files by name.

    They go by `version` where the text is known under another one than its own hash.

    Raises:
        RulesError: with every fault of the file, each with its place.
    """
    files = files or {}
    return Compiler(Source(text, name), vocabulary, files, version).compiled()


class Compiler:
    """Turns one source into a rule set, or into its faults."""

    def __init__(self, source: Source, vocabulary: Vocabulary, files: Mapping[str, str], version: str = "") -> None:
        """Take what is compiled and what it may name; `version` is the hash of the text unless told."""
        self._source, self._vocabulary, self._files = source, vocabulary, files
        self._told = version
        self._faults: list[Fault] = []
        self._taken: set[str] = set()

    def compiled(self) -> RuleSet:
        """Return the rule set; raise RulesError with all faults."""
        trees = parse(self._source, self._faults)
        listings = self._listings(trees)
        checker = Checker(self._source, self._vocabulary, listings, self._faults)
        rules = [rule for tree in trees.rules if (rule := self._rule(tree, checker)) is not None]
        self._tried(need_affordable, trees.rules)
        if self._faults:
            raise RulesError(sorted(self._faults, key=self._order))
        lists = [self._listed(tree, listings[tree.name]) for tree in trees.lists]
        return RuleSet(self._told or self._version(), rules, checker.places, lists)

    def _listed(self, tree: ListTree, listing: Listing) -> Listed:
        return Listed(tree.name, tree.effect, listing, self._vocabulary.fields[listing.field].read)

    def _order(self, fault: Fault) -> tuple[bool, str, int, int]:
        """Return the key that puts faults in order of place, those of list files last."""
        return fault.name != self._source.name, fault.name, fault.line, fault.column

    def _version(self) -> str:
        return text_hash(bundled(self._source.text, self._files))

    def _listings(self, trees: FileTree) -> dict[str, Listing]:
        found = {name: Listing("", {}) for name in trees.begun}
        for tree in trees.lists:
            if self._tried(self._take, tree.name, tree.at):
                listing = self._tried(listing_of, tree, self._vocabulary, self._files, self._faults)
                found[tree.name] = listing or found[tree.name]
        return found

    def _rule(self, tree: RuleTree, checker: Checker) -> Rule | None:
        """Return a compiled rule, None when something of it is faulty; the faults of all its parts are told."""
        taken = self._tried(self._take, tree.name, tree.at)
        kinds = self._tried(kinds_of, tree)
        condition = self._tried(checker.condition, tree.condition)
        parts = self._tried(self._sentence, tree.sentence, checker)
        effects = self._tried(effects_of, tree)
        if taken is None or kinds is None or condition is None or parts is None or effects is None:
            return None
        return Rule(tree.name, kinds, condition, Sentence(parts or plain_sentence(tree.name, condition)), *effects)

    def _tried(self, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what is made, None after noting its fault."""
        try:
            return make(*args, **kwargs)
        except FaultAt as fault:
            self._faults.append(self._source.fault(fault.span, fault.message))
            return None

    def _sentence(self, sentence: Literal | None, checker: Checker) -> tuple[str | Typed, ...]:
        return tuple(self._parts(sentence, checker)) if sentence else ()

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
            yield self._tried(self._inserted, opened + 1, closed, checker) or ""
            at = closed + 1
        yield text[at:end]

    def _inserted(self, begin: int, end: int, checker: Checker) -> Typed:
        return checker.typed(Parser(self._source, begin, end).expression())

    def _take(self, name: str, at: Span) -> str:
        if name in self._taken:
            raise FaultAt(at, f"the name '{name}' is taken above: names are used once")
        if name in self._vocabulary.names:
            raise FaultAt(at, f"'{name}' is a feature or field: choose another name")
        self._taken.add(name)
        return name


def plain_sentence(name: str, condition: Typed) -> tuple[str | Typed, ...]:
    """Return what a rule without a sentence says: its name, and what its condition read."""
    return name.replace("_", " "), *(part for item in condition.reads for part in (f", {item.label} ", item))


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
