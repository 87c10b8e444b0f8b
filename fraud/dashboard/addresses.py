"""Addresses of queues: a query as the parameters of a page, and back.

What people type stands there as they typed it: amounts in major units, ages in minutes. So a form, a link and a saved
view are one thing.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, get_args
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import msgspec

from fraud.core.records import MINUTE, Action
from fraud.review.errors import InvalidError
from fraud.review.remarks import plain_tag
from fraud.review.views import Named, Order, QueueFilter, QueuePage, QueueQuery, Shelf, Work

CENTS = 100
WORDS = ("channel", "merchant", "card", "reason", "took", "tag")
AMOUNTS = ("least", "most")
CHOICES = {"kind": get_args(Work), "shelf": get_args(Shelf), "order": get_args(Order), "took": (*Action, "")}
PLAIN = QueueQuery()


def queue_address(query: QueueQuery, path: str = "/queue", **change: Any) -> str:
    """Return the address of a queue; `change` replaces fields of the query, `filter` ones among them.

    Any other queue, order or filter begins at its first page again.
    """
    narrowed = {name: value for name, value in change.items() if name in QueueFilter.__struct_fields__}
    wanted = {name: value for name, value in change.items() if name not in narrowed}
    if change and not {"after", "before"} & set(change):
        wanted |= {"after": "", "before": ""}
    kept = msgspec.structs.replace(query.filter, **narrowed)
    told = parameters(msgspec.structs.replace(query, filter=kept, **wanted))
    return f"{path}?{urlencode(told)}" if told else path


def live_address(page: QueuePage) -> str:
    """Return the address of a page's live rows: those of its queue, from the change on that the page was made at."""
    address = queue_address(page.query, "/queue/live", after="", before="")
    return f"{address}{'&' if '?' in address else '?'}since={page.newest}"


def parameters(query: QueueQuery) -> dict[str, str]:
    """Return what a form or an address says of a query: only what differs from the plain queue."""
    told: dict[str, str] = {}
    for name in ("kind", "shelf", "order", "after", "before", "view", "limit"):
        value = getattr(query, name)
        if value != getattr(PLAIN, name):
            told[name] = str(value)
    narrowed = query.filter
    told |= {name: f"{getattr(narrowed, name) / CENTS:.2f}" for name in AMOUNTS if getattr(narrowed, name) is not None}
    told |= {name: getattr(narrowed, name) for name in WORDS if getattr(narrowed, name)}
    if narrowed.assignee is not None:
        told["assignee"] = str(narrowed.assignee)
    if narrowed.older_than is not None:
        told["older"] = str(narrowed.older_than // MINUTE)
    return told


def queue_of(given: Mapping[str, str]) -> QueueQuery:
    """Return the query that parameters ask for; empty ones ask for nothing, others than ours are passed over.

    Raises:
        InvalidError: a value that means nothing here.
    """
    asked = {name: value.strip() for name, value in given.items() if value.strip()}
    for name, choices in CHOICES.items():
        if asked.get(name, choices[0]) not in choices:
            msg = f"{name} is {asked[name]!r}; it can be {', '.join(word for word in choices if word)}"
            raise InvalidError(msg)
    fields: dict[str, Any] = {
        name: asked[name] for name in ("kind", "shelf", "order", "after", "before") if name in asked
    }
    fields |= {name: _whole(name, asked[name], least=1) for name in ("view", "limit") if name in asked}
    fields["limit"] = min(fields.get("limit", PLAIN.limit), 4 * PLAIN.limit)
    return QueueQuery(filter=_filter(asked), **fields)


def _filter(asked: Mapping[str, str]) -> QueueFilter:
    narrowed: dict[str, Any] = {name: asked[name] for name in WORDS if name in asked}
    if "tag" in asked:
        narrowed["tag"] = plain_tag(asked["tag"])
    narrowed |= {name: _minor(name, asked[name]) for name in AMOUNTS if name in asked}
    if "assignee" in asked:
        narrowed["assignee"] = _whole("assignee", asked["assignee"])
    if "older" in asked:
        narrowed["older_than"] = _whole("older", asked["older"]) * MINUTE
    return QueueFilter(**narrowed)


def _minor(name: str, text: str) -> int:
    try:
        value = Decimal(text.replace(",", ""))
        if value.is_finite() and 0 <= value < Decimal(10) ** 15:
            return int(value * CENTS)
    except InvalidOperation:
        pass
    msg = f"{name} is {text!r}; it is an amount from 0 on, as 50 or 50.25"
    raise InvalidError(msg)


def _whole(name: str, text: str, least: int = 0) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 12 and int(text) >= least:
        return int(text)
    msg = f"{name} is {text!r}; it is a whole number from {least} on"
    raise InvalidError(msg)


def entity_address(entity: Named) -> str:
    """Return the address of the page of a card, merchant or device."""
    return f"/entities/{entity.kind}/{quote(entity.key, safe='')}"


def case_address(case: int, alert: int | None = None, taken: str = "", **more: str) -> str:
    """Return the address of a case, with one of its alerts in focus; `taken` is the queue that one goes on with."""
    told = {"alert": str(alert) if alert is not None else "", "queue": taken, **more}
    told = {name: value for name, value in told.items() if value}
    return f"/cases/{case}?{urlencode(told)}" if told else f"/cases/{case}"


def queue_text(queue: QueueQuery | None) -> str:
    """Return a queue as a parameter; empty for all of one kind of work in its usual order: that needs no saying."""
    if queue is None:
        return ""
    told = parameters(msgspec.structs.replace(queue, after="", before="", view=None, limit=PLAIN.limit))
    return urlencode(told) if told.keys() - {"kind", "shelf"} else ""


def queue_in(text: str) -> QueueQuery | None:
    """Return the queue of such a parameter, None for none; raise InvalidError for a value that means nothing here."""
    return queue_of(dict(parse_qsl(text))) if text else None


def graph_address(place: tuple[int, int | None], at: str, hops: int) -> str:
    """Return the address of the connections of a case, by its number and the alert in focus."""
    case, alert = place
    return f"/cases/{case}/graph?at={at}&hops={hops}" + (f"&alert={alert}" if alert is not None else "")


def place_of(address: str) -> tuple[int, int | None]:
    """Return the case that an address of one of its parts is of, and the alert in focus where it names one."""
    parts = urlsplit(address)
    alert = parse_qs(parts.query).get("alert")
    return int(parts.path.split("/")[2]), int(alert[0]) if alert else None
