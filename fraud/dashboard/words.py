"""Words and marks of the console: what a code of a record is called on a page. Colour never says it alone."""

from typing import NamedTuple

from fraud.core.records import SECOND
from fraud.review import saved
from fraud.review.views import Badge, QueueQuery


class Sign(NamedTuple):
    """A mark and the word beside it, which is always there."""

    mark: str
    word: str


SIGNS = {
    # what was done with a payment
    "decline": Sign("■", "declined"),
    "review": Sign("◆", "held"),
    "challenge": Sign("▲", "challenged"),
    "approve": Sign("●", "approved"),
    # what somebody says of it, or what became known
    "fraud": Sign("✕", "fraud"),
    "genuine": Sign("✓", "genuine"),
    "unsure": Sign("?", "unsure"),
    "escalated": Sign("↑", "escalated"),
    "withdrawn": Sign("·", "withdrawn"),
}
NONE_KNOWN = Sign("·", "none known")

VERDICTS = (
    ("fraud", "Fraud", "1"),
    ("genuine", "Genuine", "2"),
    ("unsure", "Unsure", "3"),
    ("escalated", "Escalate", "4"),
)
"""Verdicts as their buttons say them: code, word, key. None comes before the others, and none is set beforehand."""

QUEUES = {
    "held": "Held, needs a verdict",
    "declined": "Declined, second look",
    "challenged": "Challenged",
    "sample": "Sample of approvals",
    "mine": "Mine",
    "second": "Second person",
    "disputes": "Disagreements",
    "overturned": "Overturned",
}
SECONDS = {
    "four_eyes": ("Four eyes, for the amount", "second"),
    "blind": ("Second look, of the sample", "second"),
    "dispute": ("Disagreement", "disputes"),
    "escalated": ("Passed on to a lead", "disputes"),
}
"""What a case waits for another person for, and the queue that it stands in."""
NOTHING = {
    "held": "Nothing is held.",
    "declined": "No declined payment is worth a second look.",
    "challenged": "No challenge waits.",
    "sample": "No sampled approval waits.",
    "mine": "No case is yours.",
    "second": "Nothing waits for a second person.",
    "disputes": "Nobody disagrees.",
    "overturned": "No chargeback contradicts a verdict of yours.",
}
MINE = QueueQuery(shelf="mine")
STALE = 30 * SECOND
"""A console that has heard of no decision for so long says so."""

FILTERS: dict[str, tuple[str, object, str]] = {
    "least": ("least", None, "amount from"),
    "most": ("most", None, "amount to"),
    "channel": ("channel", "", "channel"),
    "merchant": ("merchant", "", "merchant"),
    "card": ("card", "", "card"),
    "reason": ("reason", "", "reason"),
    "took": ("took", "", "was"),
    "assignee": ("assignee", None, "person"),
    "older": ("older_than", None, "older than, minutes"),
    "tag": ("tag", "", "tag"),
}
"""Parameters that narrow a queue: the field each sets, what it is without, and what it is called."""

ORDERS = {"at_stake": "At stake", "expected_loss": "Expected loss", "due": "Time left", "newest": "Newest"}

SAID = {
    # what is done after a verdict
    "release": "release",
    "decline": "decline",
    "step_up": "ask for a second factor",
    "block_card": "decline, block card",
    "none": "nothing",
    # where a case or an alert stands
    "open": "open",
    "locked": "open, locked",
    "pending_second": "waits for a second person",
    "decided": "decided",
    "reopened": "reopened",
    "timed_out": "timed out",
    # why a second look
    "four_eyes": "A second person has to look, for the amount",
    "blind": "A second look, of a sample",
    "dispute": "Two people disagree",
    "escalated": "Escalated to a lead",
    # where a verdict came from
    "chargeback": "chargeback",
    "analyst": "analyst",
    "silence": "silence",
    # measures of the velocity table
    "count": "payments",
    "sum": "spent",
    "max": "largest",
    "mean": "mean",
    "distinct": "counterparts",
    "frauds": "frauds known",
    "declined": "declined",
}
MEASURES = {"card": {"distinct": "merchants"}, "merchant": {"distinct": "cards"}, "device": {"distinct": "cards"}}
AMOUNTS = ("sum", "max", "mean")
"""Measures that are money, in major units."""

COLUMNS = dict(
    zip(
        saved.COLUMNS,
        (
            "Risk",
            "State",
            "At stake",
            "Amount",
            "Card, merchant",
            "Why",
            "Channel",
            "Model",
            "With",
            "Seen",
            "Time left",
        ),
        strict=True,
    )
)
FIXED = saved.FIXED
"""Columns of the queue as they are called, and those that are always there."""

QUEUE_KEYS = (
    ("J K", "down, up"),
    ("Enter", "open"),
    ("N", "lock the next and open it"),
    ("X", "select; Shift J K select on the way"),
    ("B", "decide the selected"),
    ("L", "show new ones"),
    ("F", "filter"),
    ("V", "columns, keep this queue"),
)
CASE_KEYS = (
    ("1 2 3", "fraud, genuine, unsure"),
    ("4", "escalate to a lead"),
    ("Enter", "confirm with the action shown, open the next"),
    ("A 1-5", "another action"),
    ("Space", "leave the alert in focus out"),
    ("- +", "not worth a review, worth one"),
    ("U", "undo, for ten seconds"),
    ("S", "skip"),
    ("M T R", "note, graph as a table, reveal the card"),
    ("[ ]", "connections a day back, on"),
    ("H", "one or two hops"),
)
PAGE_KEYS = (
    ("G Q", "queue"),
    ("G C", "my cases"),
    ("G T", "team"),
    ("G M", "model"),
    ("G R", "rules"),
    ("/", "search"),
    ("?", "these keys"),
)


def sign(code: str | None) -> Sign:
    """Return mark and word of what was done, said or known; an unknown code is its own word."""
    return SIGNS.get(code, Sign("·", code)) if code else NONE_KNOWN


def said(code: str) -> str:
    """Return what a code is called in running text."""
    known = SIGNS.get(code)
    return SAID.get(code) or (known.word if known else code.replace("_", " "))


def measure(entity: str, name: str) -> str:
    """Return what a measure is called for a card, merchant or device."""
    return MEASURES.get(entity, {}).get(name, said(name))


def queue_name(badge: Badge) -> str:
    """Return what a queue is called."""
    return QUEUES[badge.kind if badge.shelf == "kind" and badge.kind else badge.shelf]
