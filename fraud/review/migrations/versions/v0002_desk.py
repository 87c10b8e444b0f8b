"""Tables that people write: accounts, verdicts, orders, notes, rules, releases, audit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Make them."""
    _account()
    _action_log()
    _attachment_ref()
    _attempt()
    _audit()
    _invite()
    _note()
    _outbox()
    _release()
    _rule_version()
    _step()
    _tag()
    _verdict()
    _saved_view()
    _session()
    _note_words()


def downgrade() -> None:
    """Drop them."""
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("note_words")
    for name in [
        "session",
        "saved_view",
        "verdict",
        "tag",
        "step",
        "rule_version",
        "release",
        "outbox",
        "note",
        "invite",
        "audit",
        "attempt",
        "attachment_ref",
        "action_log",
        "account",
    ]:
        op.drop_table(name)


def _account() -> None:
    op.create_table(
        "account",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), server_default="", nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("second_factor", sa.Text(), server_default="", nullable=False),
        sa.Column("theme", sa.Text(), server_default="system", nullable=False),
        sa.Column("compact", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("keys_off", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="account_pkey"),
        sa.UniqueConstraint("email", name="account_email_key"),
    )


def _action_log() -> None:
    op.create_table(
        "action_log",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("case_id", ID, nullable=False),
        sa.Column("alert_id", ID, nullable=True),
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("by", ID, nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="action_log_pkey"),
    )
    op.create_index("action_log_card", "action_log", ["card_id", sa.text("id DESC")], unique=False)
    op.create_index("action_log_case", "action_log", ["case_id", "id"], unique=False)
    op.create_index("action_log_token", "action_log", ["token"], unique=False)


def _attachment_ref() -> None:
    op.create_table(
        "attachment_ref",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("case_id", ID, nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("sha256", sa.Text(), server_default="", nullable=False),
        sa.Column("by", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="attachment_ref_pkey"),
    )
    op.create_index("attachment_ref_case_id", "attachment_ref", ["case_id"], unique=False)


def _attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("window", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("key", "window", name="attempt_pkey"),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", ID, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("action", sa.Text(), server_default="", nullable=False),
        sa.Column("object", sa.Text(), server_default="", nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("prev", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="audit_pkey"),
    )
    op.create_index("audit_actor", "audit", ["actor", "seq"], unique=False)
    op.create_index("audit_at", "audit", ["at"], unique=False)
    op.create_index("audit_object", "audit", ["object", "seq"], unique=False)


def _invite() -> None:
    op.create_table(
        "invite",
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("email", sa.Text(), server_default="", nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("created_by", ID, nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token_sha256", name="invite_pkey"),
    )


def _note() -> None:
    op.create_table(
        "note",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("case_id", ID, nullable=True),
        sa.Column("card_id", sa.BigInteger(), nullable=True),
        sa.Column("by", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="note_pkey"),
    )
    op.create_index("note_card_id", "note", ["card_id"], unique=False)
    op.create_index("note_case_id", "note", ["case_id"], unique=False)


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("seq", ID, autoincrement=True, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("send_after", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("undone", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("token", sa.Text(), server_default="", nullable=False),
        sa.Column("case_id", ID, nullable=True),
        sa.Column("alert_id", ID, nullable=True),
        sa.Column("action_id", ID, nullable=True),
        sa.PrimaryKeyConstraint("seq", name="outbox_pkey"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "outbox_due",
        "outbox",
        ["send_after", "seq"],
        unique=False,
        sqlite_where=sa.text("sent_at IS NULL AND undone = 0"),
        postgresql_where=sa.text("sent_at IS NULL AND NOT undone"),
    )
    op.create_index("outbox_token", "outbox", ["token"], unique=False)


def _release() -> None:
    op.create_table(
        "release",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("rules", sa.Text(), server_default="", nullable=False),
        sa.Column("policy", sa.Text(), server_default="", nullable=False),
        sa.Column("share", sa.REAL(), server_default=sa.text("1"), nullable=False),
        sa.Column("state", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("by", ID, nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("report_id", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="release_pkey"),
    )
    op.create_index("release_at", "release", ["at"], unique=False)


def _rule_version() -> None:
    op.create_table(
        "rule_version",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.Column("lists", JSON, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("author", ID, nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("parent", sa.Text(), server_default="", nullable=False),
        sa.Column("faults", JSON, server_default=sa.text("'[]'"), nullable=False),
        sa.PrimaryKeyConstraint("version", name="rule_version_pkey"),
    )


def _step() -> None:
    op.create_table(
        "step",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("by", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("body", JSON, nullable=False),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token", name="step_pkey"),
    )
    op.create_index("step_until", "step", ["until"], unique=False)


def _tag() -> None:
    op.create_table(
        "tag",
        sa.Column("case_id", ID, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("by", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "name", name="tag_pkey"),
    )
    op.create_index("tag_name", "tag", ["name", sa.text("case_id DESC")], unique=False)


def _verdict() -> None:
    op.create_table(
        "verdict",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("alert_id", ID, nullable=False),
        sa.Column("case_id", ID, nullable=False),
        sa.Column("by", ID, nullable=False),
        sa.Column("verdict", sa.SmallInteger(), nullable=False),
        sa.Column("action", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("second_of", ID, nullable=True),
        sa.Column("blind", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("worth_review", sa.SmallInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("happened_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("seconds_spent", sa.REAL(), nullable=True),
        sa.Column("keys", sa.Integer(), nullable=True),
        sa.Column("superseded_by", ID, nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("token", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="verdict_pkey"),
    )
    op.create_index("verdict_alert", "verdict", ["alert_id", "id"], unique=False)
    op.create_index("verdict_at", "verdict", ["at"], unique=False)
    op.create_index("verdict_by", "verdict", ["by", "at"], unique=False)
    op.create_index("verdict_case", "verdict", ["case_id"], unique=False)
    op.create_index("verdict_token", "verdict", ["token"], unique=False)


def _saved_view() -> None:
    op.create_table(
        "saved_view",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("owner", ID, nullable=True),
        sa.Column("team", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("filter", JSON, nullable=False),
        sa.Column("order", sa.Text(), server_default="", nullable=False),
        sa.Column("columns", JSON, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(["owner"], ["account.id"], name="saved_view_owner_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="saved_view_pkey"),
    )
    op.create_index("saved_view_owner", "saved_view", ["owner"], unique=False)


def _session() -> None:
    op.create_table(
        "session",
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("csrf", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="session_account_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_sha256", name="session_pkey"),
    )
    op.create_index("session_account_id", "session", ["account_id"], unique=False)


def _note_words() -> None:
    """Make the full text of notes; the database itself keeps it in step with them."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE note ADD COLUMN words tsvector GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED"
        )
        op.execute("CREATE INDEX note_words ON note USING gin (words)")
        return
    op.execute("CREATE VIRTUAL TABLE note_words USING fts5(text, content='note', content_rowid='id')")
    gone = "INSERT INTO note_words(note_words, rowid, text) VALUES ('delete', old.id, old.text);"
    here = "INSERT INTO note_words(rowid, text) VALUES (new.id, new.text);"
    op.execute(f"CREATE TRIGGER note_added AFTER INSERT ON note BEGIN {here} END")
    op.execute(f"CREATE TRIGGER note_gone AFTER DELETE ON note BEGIN {gone} END")
    op.execute(f"CREATE TRIGGER note_changed AFTER UPDATE ON note BEGIN {gone} {here} END")
