"""What can be done beside a verdict, by kind of work, and what is shown with a verdict before one chooses another.

`block_card` of a held payment declines it too. A payment that went through by itself can only be answered by its card.
"""

from collections.abc import Sequence

from fraud.review.errors import InvalidError
from fraud.review.views import ActionWord, VerdictWord
from fraud.review.words import AlertKind, Finding, Order, of_word

POSSIBLE: dict[AlertKind, tuple[Order, ...]] = {
    AlertKind.HELD: (Order.RELEASE, Order.DECLINE, Order.STEP_UP, Order.BLOCK_CARD, Order.NONE),
    AlertKind.DECLINED: (Order.RELEASE, Order.BLOCK_CARD, Order.NONE),
    AlertKind.CHALLENGED: (Order.RELEASE, Order.DECLINE, Order.BLOCK_CARD, Order.NONE),
    AlertKind.SAMPLE: (Order.BLOCK_CARD, Order.NONE),
}
SETTLES = Order.RELEASE, Order.DECLINE, Order.BLOCK_CARD
"""After one of these nothing is left of a held payment that could time out."""


def usual(kind: AlertKind, finding: Finding) -> Order:
    """Return the action that is shown with a verdict."""
    if finding is Finding.FRAUD:
        return Order.BLOCK_CARD
    return Order.RELEASE if finding is Finding.GENUINE and kind is AlertKind.HELD else Order.NONE


def usual_words(kind: AlertKind) -> dict[VerdictWord, ActionWord]:
    """Return these by verdict, in words."""
    return {finding.word: usual(kind, finding).word for finding in Finding}  # type: ignore[misc]


def possible_words(kinds: Sequence[AlertKind]) -> tuple[ActionWord, ...]:
    """Return what can be done about at least one of some alerts, in words."""
    found = {order: None for kind in kinds for order in POSSIBLE[kind]}
    return tuple(order.word for order in sorted(found, key=lambda order: order or len(Order)))  # type: ignore[misc]


def chosen(word: str, finding: Finding, kinds: Sequence[AlertKind]) -> list[Order]:
    """Return the action for each of some alerts: the one asked for where its kind has it, else none.

    Raises:
        InvalidError: when it can be done about none of them, or is no action.
    """
    if not word:
        return [usual(kind, finding) for kind in kinds]
    try:
        order = of_word(Order, word)
    except ValueError as error:
        raise InvalidError(str(error)) from error
    found = [order if order in POSSIBLE[kind] else Order.NONE for kind in kinds]
    if order is not Order.NONE and not any(found):
        can = ", ".join(possible_words(kinds))
        msg = f"{word} cannot be done about {kinds[0].word} payments: expected one of {can}"
        raise InvalidError(msg)
    return found
