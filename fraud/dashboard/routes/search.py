"""Searches, and the pages of cards, merchants and devices."""

from typing import Annotated

from fastapi import Path, Query, Request
from starlette.responses import Response

from fraud.dashboard.answers import shown
from fraud.dashboard.console import At, Who
from fraud.dashboard.routes.parameters import MOST_WORD, Key
from fraud.review.views import EntityKind

Asked = Annotated[str, Query(max_length=MOST_WORD)]
Name = Annotated[str, Path(min_length=1, max_length=MOST_WORD)]


def search(request: Request, at: At, who: Who, q: Asked = "") -> Response:
    """Find cards, merchants, devices, payments, alerts, cases and notes."""
    return shown(request, "search", at.desk.search(who.person, q, at.now()))


def entity(request: Request, at: At, who: Who, kind: EntityKind, name: Name, after: Key = "") -> Response:
    """Show the history of a card, merchant or device: payments, alerts, verdicts."""
    return shown(request, "entity", at.desk.entity(who.person, kind, name, at.now(), after))
