"""Words to trees. After a fault the parser goes on at the next `rule` or `list`: a file's faults come together."""

import math
from collections.abc import Callable

from fraud.core.fields import Duration
from fraud.core.records import SECOND
from fraud.core.rules.dates import end_of
from fraud.core.rules.faults import Fault, FaultAt, Source, Span
from fraud.core.rules.tokens import KEYWORDS, Kind, Token, tokens
from fraud.core.rules.tree import (
    DEEPEST,
    Binary,
    Call,
    EffectTree,
    Entry,
    Expression,
    FileTree,
    ListTree,
    Literal,
    Logic,
    Member,
    Name,
    RuleTree,
    Unary,
    too_deep,
)

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "contains")
ACTIONS = ("challenge", "review", "decline")
TOO_DEEP = f"nested more than {DEEPEST} deep, or a longer row of + - * /: split it into several rules"
ACTION_HINT = "an effect: challenge, review, decline, floor 0.6 or note"


class Parser:
    """A cursor over the words of one text."""

    def __init__(self, source: Source, begin: int = 0, end: int | None = None) -> None:
        """Read the words."""
        self._source = source
        self._words = list(tokens(source.text, begin, end))
        self._at = self._open = 0
        self.begun: set[str] = set()

    def expression(self) -> Expression:
        """Return the whole text as one expression; raise FaultAt when there is none, or more."""
        found = self.whole()
        if self.word.kind is not Kind.END:
            raise self.expected("an operator")
        return found

    def whole(self) -> Expression:
        """Return a condition that is no deeper than closures can be asked; raise FaultAt otherwise."""
        self._open = 0
        found = self.condition()
        if too_deep(found):
            raise FaultAt(found.span, TOO_DEEP)
        return found

    @property
    def word(self) -> Token:
        """Return the word under the cursor."""
        return self._words[self._at]

    def step(self) -> Token:
        """Return the word under the cursor and move on."""
        word = self.word
        self._at = min(self._at + 1, len(self._words) - 1)
        return word

    def sees(self, *texts: str) -> bool:
        """Tell whether the word is one of these signs or keywords."""
        return self.word.kind in (Kind.SIGN, Kind.NAME) and self.word.text in texts

    def take(self, *texts: str) -> Token | None:
        """Move on and return the word if it is one of these."""
        return self.step() if self.sees(*texts) else None

    def need(self, text: str) -> Token:
        """Move on over a sign or keyword; raise FaultAt when it is another."""
        if not self.sees(text):
            raise self.expected(f"'{text}'")
        return self.step()

    def need_kind(self, kind: Kind, what: str) -> Token:
        """Move on over a word of a kind; keywords are no names."""
        if self.word.kind is not kind or (kind is Kind.NAME and self.word.text in KEYWORDS):
            raise self.expected(what)
        return self.step()

    def expected(self, what: str) -> FaultAt:
        """Return the fault that something else was expected here."""
        return FaultAt(self.word.span, self.word.note or f"expected {what}, found {self.word}")

    def skip(self, *texts: str) -> None:
        """Move on to one of these words, or to the end."""
        self.step()
        while not self.sees(*texts) and self.word.kind is not Kind.END:
            self.step()

    # Expressions, weakest binding first.

    def condition(self) -> Expression:
        """Return `a or b or ...`."""
        return self._joined("or", lambda: self._joined("and", self._negation))

    def _inside(self, part: Callable[[], Expression]) -> Expression:
        """Return what is inside a bracket or a sign, unless too much is open around it."""
        if self._open >= DEEPEST:
            raise FaultAt(self.word.span, TOO_DEEP)
        self._open += 1
        found = part()
        self._open -= 1
        return found

    def _joined(self, sign: str, part: Callable[[], Expression]) -> Expression:
        parts = [part()]
        while self.take(sign):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Logic(parts[0].span.to(parts[-1].span), sign, tuple(parts))

    def _negation(self) -> Expression:
        if sign := self.take("not"):
            operand = self._inside(self._negation)
            return Unary(sign.span.to(operand.span), "not", operand)
        return self._comparison()

    def _comparison(self) -> Expression:
        left = self._sum()
        if sign := self.take(*COMPARISONS):
            right = self._sum()
            if self.sees(*COMPARISONS):
                raise FaultAt(self.word.span, "comparisons do not chain: write a < b and b < c")
            return Binary(left.span.to(right.span), sign.text, sign.span, left, right)
        negated = bool(self.take("not"))
        if negated and not self.sees("in"):
            raise self.expected("'in' after 'not'")
        return self._member(left, negated) if self.take("in") else left

    def _member(self, item: Expression, negated: bool) -> Expression:
        if self.sees("{"):
            among, span = self._literals()
            return Member(item.span.to(span), item, among, negated)
        word = self.need_kind(Kind.NAME, "the name of a list or { values }")
        return Member(item.span.to(word.span), item, Name(word.span, word.text), negated)

    def _literals(self) -> tuple[tuple[Literal, ...], Span]:
        first, found = self.need("{"), [self.literal()]
        while self.take(",") and not self.sees("}"):
            found.append(self.literal())
        return tuple(found), first.span.to(self.need("}").span)

    def _sum(self) -> Expression:
        left = self._product()
        while sign := self.take("+", "-"):
            right = self._product()
            left = Binary(left.span.to(right.span), sign.text, sign.span, left, right)
        return left

    def _product(self) -> Expression:
        left = self._factor()
        while sign := self.take("*", "/"):
            right = self._factor()
            left = Binary(left.span.to(right.span), sign.text, sign.span, left, right)
        return left

    def _factor(self) -> Expression:
        if sign := self.take("-"):
            operand = self._inside(self._factor)
            return Unary(sign.span.to(operand.span), "-", operand)
        if self.take("("):
            inside = self._inside(self.condition)
            self.need(")")
            return inside
        if self.sees("true", "false") or self.word.kind in (Kind.NUMBER, Kind.DURATION, Kind.TEXT, Kind.DATE):
            return self.literal()
        return self._name_or_call()

    def literal(self) -> Literal:
        """Return a number, text, truth value or duration."""
        if (sign := self.take("-")) and self.word.kind is Kind.NUMBER:
            word = self.step()
            return Literal(sign.span.to(word.span), -_number(word))
        if truth := self.take("true", "false"):
            return Literal(truth.span, truth.text == "true")
        if self.word.kind is Kind.NUMBER:
            word = self.step()
            return Literal(word.span, _number(word))
        if self.word.kind is Kind.DURATION:
            word = self.step()
            return Literal(word.span, _seconds(word), "s")
        word = self.need_kind(Kind.TEXT, 'a number, "text" or a duration such as 10m')
        return Literal(word.span, word.text[1:-1])

    def _name_or_call(self) -> Expression:
        word = self.step() if self.sees("missing") else self.need_kind(Kind.NAME, "a name or a value")
        if not self.take("("):
            return Name(word.span, word.text)
        arguments = []
        while not self.sees(")"):
            arguments.append(self._inside(self.condition))
            if not self.take(","):
                break
        return Call(word.span.to(self.need(")").span), word.text, word.span, tuple(arguments))

    # Lists and rules.

    def list_tree(self) -> ListTree:
        """Return a list, its keyword already under the cursor."""
        self.need("list")
        name = self.need_kind(Kind.NAME, "the list's name")
        self.begun.add(name.text)
        effect = self.take("allow", "block")
        field = self.need_kind(Kind.NAME, "allow, block or the field that the list is of, such as merchant")
        file: Literal | None = None
        entries: tuple[Entry, ...] = ()
        if self.take("from"):
            file = self._text('the name of a list file in "double quotes"')
        else:
            entries = self.entries()
        return ListTree(
            name.text, name.span, effect.text if effect else "", Name(field.span, field.text), entries, file
        )

    def entries(self) -> tuple[Entry, ...]:
        """Return `{ value until DATE, ... }`; it may be empty, and a comma may stand at its end."""
        self.need("{")
        found = []
        while not self.sees("}"):
            found.append(Entry(self.literal(), self.until()))
            if not self.take(","):
                break
        self.need("}")
        return tuple(found)

    def until(self) -> int | None:
        """Return the time an entry is valid before, UTC ns; a date includes its whole day; None without one."""
        if not self.take("until"):
            return None
        word = self.need_kind(Kind.DATE, "a date such as 2026-12-31 or 2026-12-31T18:00Z")
        try:
            return end_of(word.text)
        except ValueError as fault:
            raise FaultAt(word.span, f"'{word.text}' is no date: {fault}") from fault

    def rule_tree(self) -> RuleTree:
        """Return a rule, its keyword already under the cursor."""
        self.need("rule")
        name = self.need_kind(Kind.NAME, "the rule's name")
        sentence = self._text("the rule's sentence") if self.word.kind is Kind.TEXT else None
        kinds = self._kinds() if self.take("for") else ()
        self.need(":")
        self.need("when")
        condition = self.whole()
        if not self.sees("then"):
            raise self.expected("'and', 'or' or 'then'")
        self.need("then")
        effects = [self._effect()]
        while self.take(","):
            effects.append(self._effect())
        return RuleTree(name.text, name.span, sentence, kinds, condition, tuple(effects))

    def _kinds(self) -> tuple[Name, ...]:
        found: list[Name] = []
        while not found or self.take(","):
            word = self.need_kind(Kind.NAME, "payment, refund or reversal")
            found.append(Name(word.span, word.text))
        return tuple(found)

    def _effect(self) -> EffectTree:
        if word := self.take("floor"):
            floor = self.literal()
            return EffectTree(word.span.to(floor.span), "floor", floor)
        if word := self.take("note", *ACTIONS):
            return EffectTree(word.span, word.text)
        raise self.expected(ACTION_HINT)

    def _text(self, what: str) -> Literal:
        word = self.need_kind(Kind.TEXT, what)
        return Literal(word.span, word.text[1:-1])


def _number(word: Token) -> float:
    value = float(word.text)
    if not math.isfinite(value):
        raise FaultAt(word.span, "larger than any number: expected fewer digits")
    return value


def _seconds(word: Token) -> float:
    try:
        return Duration.parse(word.text) / SECOND
    except OverflowError as fault:
        raise FaultAt(word.span, "longer than any duration: expected fewer digits") from fault


def parse(source: Source, faults: list[Fault]) -> FileTree:
    """Return the trees of a file, adding what is wrong to `faults`."""
    parser = Parser(source)
    lists: list[ListTree] = []
    rules: list[RuleTree] = []
    while parser.word.kind is not Kind.END:
        try:
            _definition(parser, lists, rules)
        except FaultAt as fault:
            faults.append(source.fault(fault.span, fault.message))
            if not parser.sees("rule", "list"):
                parser.skip("rule", "list")
    return FileTree(tuple(lists), tuple(rules), frozenset(parser.begun))


def _definition(parser: Parser, lists: list[ListTree], rules: list[RuleTree]) -> None:
    if parser.sees("rule"):
        rules.append(parser.rule_tree())
    elif parser.sees("list"):
        lists.append(parser.list_tree())
    else:
        fault = parser.expected("'rule' or 'list'")
        parser.skip("rule", "list")
        raise fault
