"""Tables that the projector writes; see `tables.py`."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

from fraud.review.columns import Id, Json, Ordered, Real, count, flag, metadata, named, number, time, word
from fraud.review.words import OPEN_CASES, AlertStatus

entity = Table(
    "entity",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    word("kind"),
    Column("name", Ordered, nullable=False),
    time("first_at"),
    time("last_at"),
    count("payments"),
    count("declined"),
    count("alerts"),
    count("frauds"),
    UniqueConstraint("kind", "name"),
)

# PostgreSQL keeps a part a day of `happened_at`; see migrations. There `id` has an index and no primary key.
payment = Table(
    "payment",
    metadata,
    number(),
    named("tx_id"),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("card", BigInteger, nullable=False),
    Column("merchant", BigInteger, nullable=False),
    Column("device", BigInteger),
    time("happened_at"),
    count("amount"),
    Column("score", Real, nullable=False),
    Column("bin", SmallInteger),
    word("action"),
    word("verdict", optional=True),
    word("verdict_source", optional=True),
)
Index("payment_card", payment.c.card, payment.c.happened_at.desc())
Index("payment_merchant", payment.c.merchant, payment.c.happened_at.desc())
_known = payment.c.device.isnot(None)
Index("payment_device", payment.c.device, payment.c.happened_at.desc(), sqlite_where=_known, postgresql_where=_known)
Index("payment_tx", payment.c.tx_id)

alert = Table(
    "alert",
    metadata,
    number(),
    Column("uid", Text, nullable=False, unique=True),
    named("tx_id"),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("case_id", Id, nullable=False),
    word("kind"),
    word("status", default=AlertStatus.OPEN),
    Column("card", BigInteger, nullable=False),
    Column("merchant", BigInteger, nullable=False),
    Column("device", BigInteger),
    word("action"),
    Column("score", Real, nullable=False),
    Column("model_score", Real),
    count("amount"),
    named("currency"),
    count("base_amount"),
    named("channel"),
    Column("mcc", Integer, nullable=False, server_default=text("0")),
    named("text"),
    count("expected_loss"),
    count("at_stake"),
    time("arrived_at"),
    time("due_at"),
    time("happened_at"),
    time("decided_at", optional=True),
    word("verdict", optional=True),
    named("model"),
    named("rules"),
    named("policy"),
    named("release_id"),
    count("seen_before"),
    Column("evidence_id", Id, nullable=False),
)
# Conditions of partial indexes, written out: SQLite uses such an index only where a query has the very same words.
IS_OPEN = alert.c.status == literal_column(str(int(AlertStatus.OPEN)))
for _name, _columns in {
    "alert_open_stake": (alert.c.kind, alert.c.at_stake.desc(), alert.c.id.desc()),
    "alert_open_due": (alert.c.kind, alert.c.due_at, alert.c.id),
    "alert_open_loss": (alert.c.kind, alert.c.expected_loss.desc(), alert.c.id.desc()),
}.items():
    Index(_name, *_columns, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)
_is_locked = alert.c.status == literal_column(str(int(AlertStatus.LOCKED)))
Index("alert_locked", alert.c.due_at, sqlite_where=_is_locked, postgresql_where=_is_locked)
Index("alert_card", alert.c.card, alert.c.id.desc())
Index("alert_merchant", alert.c.merchant, alert.c.id.desc())
Index("alert_device", alert.c.device, alert.c.id.desc())
Index("alert_tx", alert.c.tx_id, alert.c.version)
Index("alert_case", alert.c.case_id)
Index("alert_decided", alert.c.decided_at)

evidence = Table(
    "evidence",
    metadata,
    number(),
    Column("decision", LargeBinary, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("effects", LargeBinary, nullable=False),
    Column("graph", Json, nullable=False),
)

reason = Table(
    "reason",
    metadata,
    Column("alert_id", Id, primary_key=True, autoincrement=False),
    Column("place", SmallInteger, primary_key=True, autoincrement=False),
    named("code"),
    named("text"),
    Column("effect", Real, nullable=False),
    Column("without", Real),
)
Index("reason_code", reason.c.code, reason.c.alert_id)

case = Table(
    "case",
    metadata,
    number(),
    Column("card_id", BigInteger, nullable=False),
    word("state", default=0),
    Column("owner", Id, index=True),
    Column("assignee", Id, index=True),
    word("kind_second", default=0),
    time("lock_until", optional=True),
    time("snooze_until", optional=True),
    time("opened_at"),
    time("decided_at", optional=True),
    time("due_at"),
    count("at_stake"),
    count("alerts"),
)
IS_OPEN_CASE = case.c.state.in_([literal_column(str(int(state))) for state in OPEN_CASES])
Index("case_open_card", case.c.card_id, unique=True, sqlite_where=IS_OPEN_CASE, postgresql_where=IS_OPEN_CASE)
Index("case_card", case.c.card_id, case.c.id.desc())
Index("case_decided", case.c.decided_at)
IS_SECOND = case.c.kind_second != literal_column("0")
Index("case_second", case.c.kind_second, case.c.id, sqlite_where=IS_SECOND, postgresql_where=IS_SECOND)
IS_SNOOZED = case.c.snooze_until.isnot(None)
Index("case_snoozed", case.c.snooze_until, sqlite_where=IS_SNOOZED, postgresql_where=IS_SNOOZED)
_locked = case.c.lock_until.isnot(None)
Index("case_locked", case.c.lock_until, sqlite_where=_locked, postgresql_where=_locked)

# A label by who said it when; `version` counts the console's changes of one verdict. Of a payment's labels that with
# the highest `known_offset` holds, for all that is known of a card is in one partition.
label_trace = Table(
    "label_trace",
    metadata,
    Column("tx_id", Text, primary_key=True),
    Column("source", SmallInteger, primary_key=True, autoincrement=False),
    Column("happened_at", BigInteger, primary_key=True, autoincrement=False),
    Column("version", Integer),
    word("verdict"),
    time("sent_at", optional=True),
    time("seen_at", optional=True),
    time("known_at", optional=True),
    Column("known_offset", BigInteger),
    time("applied_at", optional=True),
    named("live_in_model", optional=True),
    time("live_at", optional=True),
)
_not_live = label_trace.c.live_at.is_(None)
Index("label_trace_not_live", label_trace.c.source, label_trace.c.seen_at, sqlite_where=_not_live,
      postgresql_where=_not_live)  # fmt: skip
Index("label_trace_happened", label_trace.c.happened_at)

# A snapshot of the learner; and every time that payments got another one. `body` is the snapshot as it was published,
# with its parameters: of the newest ones, and of those that payments get, so that an alert can be scored as of today.
refresh = Table(
    "refresh",
    metadata,
    Column("version", Text, primary_key=True),
    Column("base", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    time("at"),
    flag("promoted"),
    Column("content", Json, nullable=False),
    Column("body", LargeBinary),
)
Index("refresh_at", refresh.c.base, refresh.c.at)
live_refresh = Table(
    "live_refresh",
    metadata,
    number(),
    Column("base", Text, nullable=False),
    named("version"),
    Column("seq", BigInteger, nullable=False),
    time("at"),
    named("why"),
    flag("pinned"),
    UniqueConstraint("base", "at", "version"),
)
learner_event = Table(
    "learner_event",
    metadata,
    Column("key", Text, primary_key=True),
    time("at"),
    named("kind"),
    Column("content", Json, nullable=False),
)
Index("learner_event_at", learner_event.c.at)

# Approved payments to compare with, a random choice; `happened_at` and amounts of one channel and group of merchants.
peer = Table(
    "peer",
    metadata,
    Column("slot", Integer, primary_key=True, autoincrement=False),
    named("channel"),
    Column("mcc", Integer, nullable=False),
    count("amount"),
    time("happened_at"),
    Column("vector", LargeBinary, nullable=False),
)
Index("peer_amount", peer.c.channel, peer.c.mcc, peer.c.amount)

# Sums that pages show, by names of `counters.py`. The projector writes `part` 0, the desk 1, so that neither waits for
# the other; a reader adds the two.
counter = Table(
    "counter",
    metadata,
    Column("name", Ordered, primary_key=True),
    Column("bucket", BigInteger, primary_key=True, autoincrement=False),
    Column("part", SmallInteger, primary_key=True, autoincrement=False),
    count("value"),
)

# What has changed on screens that show alerts, for an hour. `seq` is drawn late in a transaction from a row that stays
# locked to its end (`noted`), so that a higher number is never seen before a lower one.
change = Table(
    "change",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("alert_id", Id, nullable=False),
    word("what"),
    time("at"),
)
Index("change_at", change.c.at)

# How far a partition was read. For a topic of the feed `next_offset` is what comes next; for a topic of payments,
# named with its id, `source_offset` is the newest payment whose decision is in. `stream` is one row of its own: the
# highest time of a payment, in `next_offset`.
mark = Table(
    "mark",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("source_offset", BigInteger, nullable=False, server_default=text("-1")),
    Column("next_offset", BigInteger, nullable=False, server_default=text("0")),
)
