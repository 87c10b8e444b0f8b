"""Tables that the projector writes: payments, alerts, cases, labels, sums and marks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Make them."""
    _alert()
    _case()
    _change()
    _counter()
    _entity()
    _evidence()
    _label_trace()
    _learner_event()
    _live_refresh()
    _mark()
    _payment()
    _peer()
    _reason()
    _refresh()


def downgrade() -> None:
    """Drop them."""
    for name in [
        "refresh",
        "reason",
        "peer",
        "payment",
        "mark",
        "live_refresh",
        "learner_event",
        "label_trace",
        "evidence",
        "entity",
        "counter",
        "change",
        "case",
        "alert",
    ]:
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(sa.schema.DropSequence(sa.Sequence("payment_id_seq")))


def _alert() -> None:
    op.create_table(
        "alert",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("tx_id", sa.Text(), server_default="", nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("case_id", ID, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("card", sa.BigInteger(), nullable=False),
        sa.Column("merchant", sa.BigInteger(), nullable=False),
        sa.Column("device", sa.BigInteger(), nullable=True),
        sa.Column("action", sa.SmallInteger(), nullable=False),
        sa.Column("score", sa.REAL(), nullable=False),
        sa.Column("model_score", sa.REAL(), nullable=True),
        sa.Column("amount", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("currency", sa.Text(), server_default="", nullable=False),
        sa.Column("base_amount", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("channel", sa.Text(), server_default="", nullable=False),
        sa.Column("mcc", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.Column("expected_loss", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("at_stake", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("arrived_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("happened_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("verdict", sa.SmallInteger(), nullable=True),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("rules", sa.Text(), server_default="", nullable=False),
        sa.Column("policy", sa.Text(), server_default="", nullable=False),
        sa.Column("release_id", sa.Text(), server_default="", nullable=False),
        sa.Column("seen_before", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("evidence_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="alert_pkey"),
        sa.UniqueConstraint("uid", name="alert_uid_key"),
    )
    _alert_indexes()


def _alert_indexes() -> None:
    op.create_index("alert_card", "alert", ["card", sa.text("id DESC")], unique=False)
    op.create_index("alert_case", "alert", ["case_id"], unique=False)
    op.create_index("alert_decided", "alert", ["decided_at"], unique=False)
    op.create_index("alert_device", "alert", ["device", sa.text("id DESC")], unique=False)
    op.create_index(
        "alert_locked",
        "alert",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("status = 1"),
        postgresql_where=sa.text("status = 1"),
    )
    op.create_index("alert_merchant", "alert", ["merchant", sa.text("id DESC")], unique=False)
    op.create_index(
        "alert_open_due",
        "alert",
        ["kind", "due_at", "id"],
        unique=False,
        sqlite_where=sa.text("status = 0"),
        postgresql_where=sa.text("status = 0"),
    )
    op.create_index(
        "alert_open_loss",
        "alert",
        ["kind", sa.text("expected_loss DESC"), sa.text("id DESC")],
        unique=False,
        sqlite_where=sa.text("status = 0"),
        postgresql_where=sa.text("status = 0"),
    )
    op.create_index(
        "alert_open_stake",
        "alert",
        ["kind", sa.text("at_stake DESC"), sa.text("id DESC")],
        unique=False,
        sqlite_where=sa.text("status = 0"),
        postgresql_where=sa.text("status = 0"),
    )
    op.create_index("alert_tx", "alert", ["tx_id", "version"], unique=False)


def _case() -> None:
    op.create_table(
        "case",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("owner", ID, nullable=True),
        sa.Column("assignee", ID, nullable=True),
        sa.Column("kind_second", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lock_until", sa.BigInteger(), nullable=True),
        sa.Column("snooze_until", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("at_stake", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("alerts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="case_pkey"),
    )
    op.create_index("case_assignee", "case", ["assignee"], unique=False)
    op.create_index("case_card", "case", ["card_id", sa.text("id DESC")], unique=False)
    op.create_index("case_decided", "case", ["decided_at"], unique=False)
    op.create_index(
        "case_locked",
        "case",
        ["lock_until"],
        unique=False,
        sqlite_where=sa.text("lock_until IS NOT NULL"),
        postgresql_where=sa.text("lock_until IS NOT NULL"),
    )
    op.create_index(
        "case_open_card",
        "case",
        ["card_id"],
        unique=True,
        sqlite_where=sa.text("state IN (0, 1)"),
        postgresql_where=sa.text("state IN (0, 1)"),
    )
    op.create_index("case_owner", "case", ["owner"], unique=False)
    op.create_index(
        "case_second",
        "case",
        ["kind_second", "id"],
        unique=False,
        sqlite_where=sa.text("kind_second != 0"),
        postgresql_where=sa.text("kind_second != 0"),
    )
    op.create_index(
        "case_snoozed",
        "case",
        ["snooze_until"],
        unique=False,
        sqlite_where=sa.text("snooze_until IS NOT NULL"),
        postgresql_where=sa.text("snooze_until IS NOT NULL"),
    )


def _change() -> None:
    op.create_table(
        "change",
        sa.Column("seq", ID, autoincrement=False, nullable=False),
        sa.Column("alert_id", ID, nullable=False),
        sa.Column("what", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="change_pkey"),
    )
    op.create_index("change_at", "change", ["at"], unique=False)


def _counter() -> None:
    op.create_table(
        "counter",
        sa.Column("name", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("bucket", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("name", "bucket", "part", name="counter_pkey"),
    )


def _entity() -> None:
    op.create_table(
        "entity",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("payments", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("declined", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("alerts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("frauds", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="entity_pkey"),
        sa.UniqueConstraint("kind", "name", name="entity_kind_name_key"),
    )


def _evidence() -> None:
    op.create_table(
        "evidence",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("decision", sa.LargeBinary(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("effects", sa.LargeBinary(), nullable=False),
        sa.Column("graph", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="evidence_pkey"),
    )


def _label_trace() -> None:
    op.create_table(
        "label_trace",
        sa.Column("tx_id", sa.Text(), nullable=False),
        sa.Column("source", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("happened_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.SmallInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.Column("known_at", sa.BigInteger(), nullable=True),
        sa.Column("known_offset", sa.BigInteger(), nullable=True),
        sa.Column("applied_at", sa.BigInteger(), nullable=True),
        sa.Column("live_in_model", sa.Text(), nullable=True),
        sa.Column("live_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tx_id", "source", "happened_at", name="label_trace_pkey"),
    )
    op.create_index("label_trace_happened", "label_trace", ["happened_at"], unique=False)
    op.create_index(
        "label_trace_not_live",
        "label_trace",
        ["source", "seen_at"],
        unique=False,
        sqlite_where=sa.text("live_at IS NULL"),
        postgresql_where=sa.text("live_at IS NULL"),
    )


def _learner_event() -> None:
    op.create_table(
        "learner_event",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("content", JSON, nullable=False),
        sa.PrimaryKeyConstraint("key", name="learner_event_pkey"),
    )
    op.create_index("learner_event_at", "learner_event", ["at"], unique=False)


def _live_refresh() -> None:
    op.create_table(
        "live_refresh",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), server_default="", nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("pinned", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="live_refresh_pkey"),
        sa.UniqueConstraint("base", "at", "version", name="live_refresh_base_at_version_key"),
    )


def _mark() -> None:
    op.create_table(
        "mark",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source_offset", sa.BigInteger(), server_default=sa.text("-1"), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", name="mark_pkey"),
    )


def _payment() -> None:
    number: list[sa.schema.SchemaItem] = [sa.Column("id", ID, primary_key=True, autoincrement=True)]
    if op.get_bind().dialect.name == "postgresql":
        # A part a day, which is dropped whole. No number is unique over all parts without the day, so none is a key.
        op.execute(sa.schema.CreateSequence(sa.Sequence("payment_id_seq", data_type=sa.BigInteger())))
        number = [sa.Column("id", ID, server_default=sa.text("nextval('payment_id_seq')"), nullable=False)]
    op.create_table(
        "payment",
        *number,
        sa.Column("tx_id", sa.Text(), server_default="", nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("card", sa.BigInteger(), nullable=False),
        sa.Column("merchant", sa.BigInteger(), nullable=False),
        sa.Column("device", sa.BigInteger(), nullable=True),
        sa.Column("happened_at", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("score", sa.REAL(), nullable=False),
        sa.Column("bin", sa.SmallInteger(), nullable=True),
        sa.Column("action", sa.SmallInteger(), nullable=False),
        sa.Column("verdict", sa.SmallInteger(), nullable=True),
        sa.Column("verdict_source", sa.SmallInteger(), nullable=True),
        postgresql_partition_by="RANGE (happened_at)",
    )
    if op.get_bind().dialect.name == "postgresql":
        # What a key would be elsewhere: the oldest payment is asked for by it.
        op.create_index("payment_id", "payment", ["id"], unique=False)
    op.create_index("payment_card", "payment", ["card", sa.text("happened_at DESC")], unique=False)
    op.create_index(
        "payment_device",
        "payment",
        ["device", sa.text("happened_at DESC")],
        unique=False,
        sqlite_where=sa.text("device IS NOT NULL"),
        postgresql_where=sa.text("device IS NOT NULL"),
    )
    op.create_index("payment_merchant", "payment", ["merchant", sa.text("happened_at DESC")], unique=False)
    op.create_index("payment_tx", "payment", ["tx_id"], unique=False)


def _peer() -> None:
    op.create_table(
        "peer",
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("channel", sa.Text(), server_default="", nullable=False),
        sa.Column("mcc", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("happened_at", sa.BigInteger(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("slot", name="peer_pkey"),
    )
    op.create_index("peer_amount", "peer", ["channel", "mcc", "amount"], unique=False)


def _reason() -> None:
    op.create_table(
        "reason",
        sa.Column("alert_id", ID, autoincrement=False, nullable=False),
        sa.Column("place", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), server_default="", nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.Column("effect", sa.REAL(), nullable=False),
        sa.Column("without", sa.REAL(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id", "place", name="reason_pkey"),
    )
    op.create_index("reason_code", "reason", ["code", "alert_id"], unique=False)


def _refresh() -> None:
    op.create_table(
        "refresh",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("promoted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("content", JSON, nullable=False),
        sa.PrimaryKeyConstraint("version", name="refresh_pkey"),
    )
    op.create_index("refresh_at", "refresh", ["base", "at"], unique=False)
