"""Tables that people write; see `tables.py`."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    false,
    text,
)

from fraud.review.columns import Id, Json, Real, count, flag, metadata, named, number, time, word
from fraud.review.words import AccountState

# `second_factor` is a salt (`second_factor.py`), `second_step` the last code that was used; `subject` is who a provider
# of identities says that it is.
account = Table(
    "account",
    metadata,
    number(),
    named("name"),
    Column("email", Text, nullable=False, unique=True),
    named("password"),
    word("role"),
    word("state", default=AccountState.ACTIVE),
    named("second_factor"),
    count("second_step"),
    named("subject", optional=True),
    named("theme", default="system"),
    flag("compact"),
    flag("keys_off"),
    named("zone", default="UTC"),
    named("columns"),
    time("created"),
    time("last_at", optional=True),
)
Index("account_subject", account.c.subject, unique=True)

session = Table(
    "session",
    metadata,
    Column("token_sha256", LargeBinary, primary_key=True),
    Column("account_id", Id, ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True),
    time("created"),
    time("seen"),
    time("expires"),
    named("csrf"),
    word("waits", default=0),
)

# Sign-ins by a provider that have come to an end: none does twice.
spent = Table(
    "spent",
    metadata,
    Column("key_sha256", LargeBinary, primary_key=True),
    time("at"),
)
Index("spent_at", spent.c.at)

invite = Table(
    "invite",
    metadata,
    Column("token_sha256", LargeBinary, primary_key=True),
    named("email"),
    named("name"),
    word("role"),
    Column("created_by", Id),
    time("created"),
    time("expires"),
    time("used_at", optional=True),
)

# Tries to sign in, by account or network and the window of time that they fall in.
attempt = Table(
    "attempt",
    metadata,
    Column("key", Text, primary_key=True),
    Column("window", BigInteger, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False, server_default=text("0")),
)

# `token` names all that one confirmation did, so that it is undone as one. `unreviewed`: somebody was to look a second
# time, and nobody did.
verdict = Table(
    "verdict",
    metadata,
    number(),
    Column("alert_id", Id, nullable=False),
    Column("case_id", Id, nullable=False),
    Column("by", Id, nullable=False),
    word("verdict"),
    word("action", default=0),
    Column("second_of", Id),
    flag("blind"),
    flag("unreviewed"),
    Column("worth_review", SmallInteger),
    time("at"),
    time("happened_at"),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("seconds_spent", Real),
    Column("keys", Integer),
    Column("superseded_by", Id),
    named("note"),
    named("token"),
)
Index("verdict_alert", verdict.c.alert_id, verdict.c.id)
Index("verdict_by", verdict.c.by, verdict.c.at)
Index("verdict_case", verdict.c.case_id)
Index("verdict_token", verdict.c.token)
Index("verdict_at", verdict.c.at)

action_log = Table(
    "action_log",
    metadata,
    number(),
    Column("case_id", Id, nullable=False),
    Column("alert_id", Id),
    Column("card_id", BigInteger, nullable=False),
    word("kind"),
    word("state", default=0),
    Column("by", Id),
    time("at"),
    named("token"),
)
Index("action_log_case", action_log.c.case_id, action_log.c.id)
Index("action_log_card", action_log.c.card_id, action_log.c.id.desc())
Index("action_log_token", action_log.c.token)

# What one confirmation did, so that it can be undone until `until`, also after a restart.
step = Table(
    "step",
    metadata,
    Column("token", Text, primary_key=True),
    Column("by", Id, nullable=False),
    time("at"),
    time("until"),
    Column("body", Json, nullable=False),
    time("undone_at", optional=True),
)
Index("step_until", step.c.until)

# Records to be sent, each once it is due and not undone: `body` is JSON of a label, an order or the head of the audit,
# by `kind`. `action_id` is the row of `action_log` that is then sent.
outbox = Table(
    "outbox",
    metadata,
    number("seq"),
    word("kind"),
    Column("body", LargeBinary, nullable=False),
    time("send_after"),
    time("sent_at", optional=True),
    flag("undone"),
    named("token"),
    Column("case_id", Id),
    Column("alert_id", Id),
    Column("action_id", Id),
    sqlite_autoincrement=True,
)
IS_TO_SEND = outbox.c.sent_at.is_(None) & (outbox.c.undone == false())
Index("outbox_due", outbox.c.send_after, outbox.c.seq, sqlite_where=IS_TO_SEND, postgresql_where=IS_TO_SEND)
Index("outbox_token", outbox.c.token)

# Notes have full text beside them (migrations), which `search.py` asks.
note = Table(
    "note",
    metadata,
    number(),
    Column("case_id", Id, index=True),
    Column("card_id", BigInteger, index=True),
    Column("by", Id, nullable=False),
    time("at"),
    named("text"),
)

tag = Table(
    "tag",
    metadata,
    Column("case_id", Id, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("by", Id, nullable=False),
    time("at"),
)
Index("tag_name", tag.c.name, tag.c.case_id.desc())

attachment_ref = Table(
    "attachment_ref",
    metadata,
    number(),
    Column("case_id", Id, nullable=False, index=True),
    named("name"),
    named("address"),
    named("sha256"),
    Column("by", Id, nullable=False),
    time("at"),
)

saved_view = Table(
    "saved_view",
    metadata,
    number(),
    Column("owner", Id, ForeignKey("account.id", ondelete="CASCADE"), index=True),
    flag("team"),
    named("name"),
    Column("filter", Json, nullable=False),
    named("order"),
    Column("columns", Json, nullable=False, server_default=text("'[]'")),
    flag("is_default"),
)

rule_version = Table(
    "rule_version",
    metadata,
    Column("version", Text, primary_key=True),
    named("text"),
    Column("lists", Json, nullable=False, server_default=text("'{}'")),
    Column("author", Id),
    time("at"),
    named("note"),
    named("parent"),
    Column("faults", Json, nullable=False, server_default=text("'[]'")),
)

release = Table(
    "release",
    metadata,
    Column("id", Text, primary_key=True),
    named("model"),
    named("rules"),
    named("policy"),
    Column("share", Real, nullable=False, server_default=text("1")),
    word("state", default=0),
    Column("by", Id),
    time("at"),
    named("report_id"),
)
Index("release_at", release.c.at)

# Append only. `mac` chains each row to the one before, with a key that is not in the database.
audit = Table(
    "audit",
    metadata,
    Column("seq", Id, primary_key=True, autoincrement=False),
    time("at"),
    named("actor"),
    named("action"),
    named("object"),
    named("before", optional=True),
    named("after", optional=True),
    Column("prev", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
)
Index("audit_object", audit.c.object, audit.c.seq)
Index("audit_actor", audit.c.actor, audit.c.seq)
Index("audit_at", audit.c.at)
