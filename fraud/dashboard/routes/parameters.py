"""Parameters that several addresses take, with what they may be."""

from typing import Annotated, Literal, NamedTuple

from fastapi import Depends, Form, Path, Query
from pydantic import Field

from fraud.review.errors import InvalidError
from fraud.review.views import ActionWord, Column, VerdictWord

LARGEST = 2**63 - 1
MOST_TEXT, MOST_WORD, MOST_RULES, MOST_LISTS, MOST_ALERTS = 4_000, 200, 1_000_000, 100, 2_000

Number = Annotated[int, Path(ge=1, le=LARGEST)]
Token = Annotated[str, Path(min_length=1, max_length=MOST_WORD)]
Alert = Annotated[int | None, Query(ge=1, le=LARGEST)]
Moment = Annotated[int | None, Query(ge=0, le=LARGEST)]
Key = Annotated[str, Query(max_length=MOST_WORD)]

OneAlert = Annotated[int, Field(ge=1, le=LARGEST)]
Alerts = Annotated[list[OneAlert], Form(min_length=1, max_length=MOST_ALERTS)]
SomeAlerts = Annotated[list[OneAlert] | None, Form(max_length=MOST_ALERTS)]
Verdict = Annotated[VerdictWord, Form()]
Action = Annotated[ActionWord | Literal[""], Form()]
"""Empty: the one that the page shows with the verdict."""
Text = Annotated[str, Form(max_length=MOST_TEXT)]
Word = Annotated[str, Form(max_length=MOST_WORD)]
RulesText = Annotated[str, Form(max_length=MOST_RULES)]
Yes = Annotated[bool, Form()]
Columns = Annotated[list[Column] | None, Form(max_length=MOST_LISTS)]
Taken = Annotated[str, Form(alias="queue", max_length=MOST_TEXT)]
"""The queue that a case was taken from, as `addresses.queue_text` writes it."""
TakenKey = Annotated[str, Query(alias="queue", max_length=MOST_TEXT)]
Id = Annotated[int, Form(ge=1, le=LARGEST)]


ListNames = Annotated[
    list[Annotated[str, Field(max_length=MOST_WORD)]] | None, Form(alias="list", max_length=MOST_LISTS)
]
ListLines = Annotated[
    list[Annotated[str, Field(max_length=MOST_RULES)]] | None, Form(alias="lines", max_length=MOST_LISTS)
]


class Draft(NamedTuple):
    """Rules as a form sends them: their text, and the list files by name."""

    text: str
    lists: dict[str, str]


def draft(text: RulesText, names: ListNames = None, lines: ListLines = None) -> Draft:
    """Return the rules of a form: `list` names files one by one, `lines` are their texts in the same order.

    Raises:
        InvalidError: there are more of one than of the other.
    """
    names, lines = names or [], lines or []
    if len(names) != len(lines):
        msg = f"{len(names)} fields `list` and {len(lines)} fields `lines`; expected one text for each file."
        raise InvalidError(msg)
    return Draft(text, dict(zip(names, lines, strict=True)))


Drafted = Annotated[Draft, Depends(draft)]
