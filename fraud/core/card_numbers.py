"""Card numbers at the edge: what looks like one is exchanged for a token before anything is kept or said of it.

A card number (PAN) is 13 to 19 digits that pass the Luhn check (ISO/IEC 7812-1), together or in groups with a space or
a dash between them; zeros before it do not count. Its token is a keyed hash (HMAC-SHA256), so the same card has the
same token everywhere and nobody without the key can find the number by trying all of them, of which there are few.

A token is `pan_`, four letters that name the key, and 24 letters of the hash: 96 bits, so among 10^9 cards two share
one with a chance of 6e-12. No digit of the number is kept. Letters alone, so that no token looks like a number.

A new key goes over the old ones: the token of a number is the hash, under the new key, of its token under the old one.
So who has the keys brings any older token up to date without the number, wherever it lies: in a label that comes late,
a block, a list of a rule.
"""

import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

from fraud.core.errors import CardNumberError, SettingsError
from fraud.core.fields import Secret, Section, setting

PREFIX = "pan_"
KEY_LETTERS, HASH_LETTERS = 4, 24
LEAST_DIGITS, MOST_DIGITS = 13, 19
LEAST_KEY = 32
"""Characters that a key has at least: 128 bits where they are hexadecimal digits."""
MOST_FORMER = 100_000
"""Tokens of which the one before is remembered: of cards seen lately, whose rows may still lie under it."""

_OTHERS = bytes(set(range(256)) - set(b"0123456789"))
_RUN = re.compile(r"[0-9]+(?:[ -][0-9]+)*")
_GROUP = re.compile(r"[0-9]+")
_TOKEN = re.compile(rf"{PREFIX}[a-p]{{{KEY_LETTERS}}}_[a-p]{{{HASH_LETTERS}}}")
LEAST_GROUP, MOST_GROUPS = 3, 5
"""Digits of a group, the last one aside, and how many there may be: 4-4-4-4, 4-6-5 and 4-4-4-4-3 are in use."""
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))


class CardsSection(Section, frozen=True):
    """Card numbers in what comes in."""

    numbers: Annotated[
        Literal["token", "refuse", "allow"],
        setting(
            "What looks like a card number in card, text and text attributes is exchanged for a token, refused, or, "
            "where a site's own tokens look so, left as it is."
        ),
    ] = "token"
    key: Annotated[
        Secret, setting("Key of the tokens, 32 characters or more; fraud token --make-key FILE makes one.", "secret")
    ] = Secret("")
    previous: Annotated[
        tuple[Secret, ...], setting("Keys before it, oldest first: they stay, see docs/card-numbers.md.", "secret")
    ] = ()


class CardNumbers:
    """What becomes of card numbers. `rotated` says that there are keys before the one in use."""

    def __init__(self, section: CardsSection | None = None) -> None:
        """Take the keys; raise SettingsError where one is too short, or there are two alike."""
        section = section or CardsSection()
        self._numbers = section.numbers
        self._keys = keys_of(section)
        self._names = [name_of_key(key) for key in self._keys]
        if len(set(self._names)) < len(self._names):
            msg = f"cards.key and cards.previous name the key {repeated(self._names)} twice: each has to be another one"
            raise SettingsError(msg)
        self._former: OrderedDict[str, str] = OrderedDict()

    @property
    def rotated(self) -> bool:
        """Tell whether there are keys before the one in use."""
        return len(self._keys) > 1

    @property
    def version(self) -> str:
        """Return what tokens depend on: the names of the keys, `""` without one."""
        return "-".join(self._names)

    def card(self, name: str) -> str:
        """Return a card's name as it goes by here: a number as its token, an older token as the one in use.

        Raises:
            CardNumberError: when it holds a number, and the settings refuse it or there is no key.
        """
        return name if len(name) < LEAST_DIGITS else self.text(name, "card")

    def text(self, text: str, field: str = "text") -> str:
        """Return a text with the token of each card number in its place; `field` is for the error.

        Raises:
            CardNumberError: when there is one, and the settings refuse it or there is no key.
        """
        if self._numbers == "allow" or len(text) < LEAST_DIGITS:
            return text
        text = self.brought_up(text)
        if not worth_a_look(text):
            return text
        if text.isdecimal() and text.isascii():
            return self._token(text, field) if is_number(text) else text
        return replaced(text, lambda number: self._token(number, field))

    def brought_up(self, text: str) -> str:
        """Return a text with each token of an earlier key replaced by the one in use."""
        if not self.rotated or PREFIX not in text:
            return text
        return _TOKEN.sub(lambda token: self._in_use(token[0]), text)

    def attrs(self, attrs: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return attributes with the tokens of card numbers in their texts, at any depth; raise CardNumberError."""
        return attrs and {name: self._attr(value) for name, value in attrs.items()}

    def names(self, card: str) -> tuple[str, ...]:
        """Return the names under which something of a card may lie, the one in use first; raise CardNumberError."""
        name = self.card(card)
        return name, *self.former(name)

    def former(self, card: str) -> tuple[str, ...]:
        """Return the tokens of a card under earlier keys, the newest first, as far as they were met lately."""
        older: list[str] = []
        while (before := self._former.get(older[-1] if older else card)) is not None:
            older.append(before)
        return tuple(older)

    def shows(self, content: Any) -> bool:
        """Tell whether a value holds a card number that is not to be shown: a text, or texts in a list or an object."""
        return self._numbers != "allow" and any(True for text in texts_of(content) for _ in found(text))

    def masked(self, text: str) -> str:
        """Return a text with stars for the digits of each card number."""
        return text if self._numbers == "allow" else masked(text)

    def _attr(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value, "attrs")
        if isinstance(value, dict):
            return self.attrs(value)
        return [self._attr(each) for each in value] if isinstance(value, list) else value

    def _token(self, number: str, field: str) -> str:
        if self._numbers == "refuse" or not self._keys:
            raise CardNumberError(refusal(field, refuses=self._numbers == "refuse"))
        return self._over(digits_of(number), 0)

    def _in_use(self, token: str) -> str:
        """Return the token in use of a card whose token, under this key or an earlier one, is given."""
        name = token[len(PREFIX) :][:KEY_LETTERS]
        return self._over(token, self._names.index(name) + 1) if name in self._names else token

    def _over(self, name: str, first: int) -> str:
        """Return the hash of a name under each key from a number on, one over the other."""
        for key, mark in zip(self._keys[first:], self._names[first:], strict=True):
            before, name = name, f"{PREFIX}{mark}_{letters(key, name, HASH_LETTERS)}"
            if before.startswith(PREFIX):
                self._remember(name, before)
        return name

    def _remember(self, token: str, before: str) -> None:
        self._former[token] = before
        if len(self._former) > MOST_FORMER:
            self._former.popitem(last=False)


def keys_of(section: CardsSection) -> list[bytes]:
    """Return the keys, oldest first; raise SettingsError where one is too short, or the newest is missing."""
    given = [*section.previous, section.key] if section.key or section.previous else []
    for secret in given:
        if len(secret.plain) < LEAST_KEY:
            what = "there is none" if not secret.plain else f"one has {len(secret.plain)} characters"
            msg = (
                f"cards.key and each of cards.previous need {LEAST_KEY} characters or more, {what}: "
                "'fraud token --make-key FILE' writes one, which cards.key = { file = \"FILE\" } takes"
            )
            raise SettingsError(msg)
    return [secret.plain.encode() for secret in given]


def name_of_key(key: bytes) -> str:
    """Return the letters by which tokens say under which key they were made."""
    return letters(key, "name of this key", KEY_LETTERS)


def letters(key: bytes, text: str, many: int) -> str:
    """Return so many letters of the keyed hash of a text, four bits each."""
    return hmac.digest(key, text.encode(), "sha256").hex()[:many].translate(_LETTERS)


def repeated(names: Sequence[str]) -> str:
    """Return the first name that stands twice."""
    return next(name for at, name in enumerate(names) if name in names[:at])


def refusal(field: str, *, refuses: bool) -> str:
    """Return why a card number is refused, by the settings or for want of a key, and the repair; never the number."""
    what = f"{field} holds what looks like a card number"
    if refuses:
        return f"{what}, and cards.numbers is 'refuse': send a token ('fraud token -' makes one where a key is set)"
    return (
        f"{what}, and there is no key to make its token with: run 'fraud token --make-key FILE' and set "
        'cards.key = { file = "FILE" }, or FRAUD_CARDS__KEY_FILE; or cards.numbers = "allow" where it is none'
    )


def worth_a_look(text: str) -> bool:
    """Tell whether a text has as many digits as a card number has: few texts do, and this takes a third of a us."""
    return len(text.encode("utf-8", "replace").translate(None, _OTHERS)) >= LEAST_DIGITS


def found(text: str) -> Iterator[tuple[int, int]]:
    """Yield where card numbers stand in a text, in order: begin and end, groups and what is between them included."""
    for run in _RUN.finditer(text):
        if run.end() - run.start() >= LEAST_DIGITS:
            yield from _found_in(text, [group.span() for group in _GROUP.finditer(text, *run.span())])


def _found_in(text: str, groups: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the card numbers among groups of digits: of those that begin at a group the longest."""
    first = 0
    while first < len(groups):
        begin = groups[first][0]
        ends = [stop for stop in _ends(groups, first) if is_number(text[begin : groups[stop - 1][1]])]
        if ends:
            yield begin, groups[ends[-1] - 1][1]
        first = ends[-1] if ends else first + 1


def _ends(groups: Sequence[tuple[int, int]], first: int) -> Iterator[int]:
    """Yield behind which groups a number may end that begins at one, by its digits."""
    digits = 0
    for stop in range(first + 1, min(first + MOST_GROUPS, len(groups)) + 1):
        size = groups[stop - 1][1] - groups[stop - 1][0]
        digits += size
        if digits > MOST_DIGITS:
            return
        if digits >= LEAST_DIGITS:
            yield stop
        if size < LEAST_GROUP:
            return


def is_number(text: str) -> bool:
    """Tell whether a text of digits, perhaps in groups, is a card number."""
    digits = digits_of(text)
    return LEAST_DIGITS <= len(digits) <= MOST_DIGITS and passes_luhn(digits)


def digits_of(number: str) -> str:
    """Return the digits of a card number, without zeros before it.

    >>> digits_of("0004111-1111 11111111")
    '4111111111111111'
    """
    return number.replace(" ", "").replace("-", "").lstrip("0")


def passes_luhn(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    codes = digits.encode()
    odd, even = codes[-1::-2], codes[-2::-2]
    return (sum(odd) - len(odd) * ord("0") + sum(even.translate(_DOUBLED))) % 10 == 0


def masked(text: str) -> str:
    """Return a text with stars for the digits of each card number.

    >>> masked("paid with 4111 1111 1111 1111, ref 4111111111111112")
    'paid with **** **** **** ****, ref 4111111111111112'
    """
    return replaced(text, lambda number: _GROUP.sub(lambda group: "*" * len(group[0]), number))


def replaced(text: str, by: Callable[[str], str]) -> str:
    """Return a text with each card number replaced by what `by` returns for it."""
    pieces, end = list[str](), 0
    for begin, stop in found(text):
        pieces += text[end:begin], by(text[begin:stop])
        end = stop
    return "".join((*pieces, text[end:])) if end else text


def texts_of(content: Any) -> Iterator[str]:
    """Yield the texts in a value, at any depth."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for each in content.values():
            yield from texts_of(each)
    elif isinstance(content, list):
        for each in content:
            yield from texts_of(each)


KEYLESS = CardNumbers()
"""Has no key, so it takes no card number."""
