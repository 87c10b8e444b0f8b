"""`fraud token`: what a card number goes by here; and the key that makes it so."""

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli import options, output
from fraud.common.files import new_private
from fraud.core.errors import SettingsError

if TYPE_CHECKING:
    from fraud.core.settings import Settings

KEY_BYTES = 32

CARD = (
    "The card as payments name it, or its number; '-' reads that from standard input, which no list of processes shows."
)
Number = Annotated[
    str,
    typer.Argument(help="The card's number, or an earlier token of it; '-' reads it from standard input, a line each."),
]


def token(
    card: Number = "",
    make_key: Annotated[
        Path | None, typer.Option("--make-key", help="Write a new key to this file, for its owner alone, and end.")
    ] = None,
    settings: options.SettingsFile = None,
) -> None:
    """Print the token by which payments name a card, with the key of the settings (cards.key).

    An argument stands in the list of processes for everybody on the machine to read, and in the history of the shell:
    give '-', and the number on standard input. A name that is no card number is printed as it is.
    """
    if make_key is not None:
        new_private(make_key, secrets.token_hex(KEY_BYTES) + "\n", "a key of tokens")
        output.last_line({"key": str(make_key)})
        return
    from streaming.settings import card_numbers

    if not card:
        msg = "name a card: fraud token - reads its number from standard input, fraud token CARD from the command line"
        raise SettingsError(msg)
    cards = card_numbers(options.settings(settings))
    for name in given(card):
        output.show(cards.card(name))


def given(card: str) -> list[str]:
    """Return what an argument names: itself, or for '-' what stands on standard input, a line each."""
    return [line.strip() for line in sys.stdin if line.strip()] if card == "-" else [card]


def only(card: str) -> str:
    """Return the one card that an argument names; raise SettingsError where standard input has none, or several."""
    names = given(card)
    if len(names) != 1:
        msg = f"{len(names)} cards stand on standard input: expected one, on a line of its own"
        raise SettingsError(msg)
    return names[0]


def names_of(card: str, settings: "Settings") -> list[str]:
    """Return every name under which something of the one card may lie that an argument names.

    Of a number those are its tokens, and itself, for what releases before tokens have kept. Raises SettingsError.
    """
    from streaming.settings import card_numbers

    name = only(card)
    return list(dict.fromkeys((*card_numbers(settings).names(name), name)))
