"""The console's tables, for SQLite and PostgreSQL.

Times are UTC ns, sums minor units of the base currency (`amount` alone is as sent), small numbers those of `words.py`.
`payment`, `alert` and what the projector writes with them have no foreign keys: they are written 5,000 a second, and
`entity.id` is a hash of kind and name (`entity_id`), so that a row can name an entity without looking it up.

Rules of use: pages go by key (`(at_stake, id) < (:s, :i)`), never by offset; badges come from `counter`, never from
`count(*)`; words are searched in notes only, by full text.
"""

from fraud.review.columns import metadata
from fraud.review.ids import entity_id
from fraud.review.projected import (
    IS_OPEN,
    IS_OPEN_CASE,
    IS_SECOND,
    IS_SNOOZED,
    alert,
    case,
    change,
    counter,
    entity,
    evidence,
    label_trace,
    learner_event,
    live_refresh,
    mark,
    payment,
    peer,
    reason,
    refresh,
)
from fraud.review.written import (
    IS_TO_SEND,
    account,
    action_log,
    attachment_ref,
    attempt,
    audit,
    invite,
    note,
    outbox,
    release,
    rule_version,
    saved_view,
    session,
    spent,
    step,
    tag,
    verdict,
)

__all__ = [
    "IS_OPEN",
    "IS_OPEN_CASE",
    "IS_SECOND",
    "IS_SNOOZED",
    "IS_TO_SEND",
    "account",
    "action_log",
    "alert",
    "attachment_ref",
    "attempt",
    "audit",
    "case",
    "change",
    "counter",
    "entity",
    "entity_id",
    "evidence",
    "invite",
    "label_trace",
    "learner_event",
    "live_refresh",
    "mark",
    "metadata",
    "note",
    "outbox",
    "payment",
    "peer",
    "reason",
    "refresh",
    "release",
    "rule_version",
    "saved_view",
    "session",
    "spent",
    "step",
    "tag",
    "verdict",
]
