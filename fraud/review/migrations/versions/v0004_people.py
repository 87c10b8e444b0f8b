"""Signing in by more than a password (codes by time, providers of identities), and the queue's columns of a person."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = depends_on = None


def upgrade() -> None:
    """Add what they need; nobody has any so far."""
    op.add_column("account", sa.Column("second_step", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("account", sa.Column("subject", sa.Text(), nullable=True))
    op.add_column("account", sa.Column("columns", sa.Text(), server_default="", nullable=False))
    op.create_index("account_subject", "account", ["subject"], unique=True)
    op.add_column("session", sa.Column("waits", sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "spent",
        sa.Column("key_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_sha256", name="spent_pkey"),
    )
    op.create_index("spent_at", "spent", ["at"])


def downgrade() -> None:
    """Drop it: who has signed in by a provider alone needs an invite then."""
    op.drop_table("spent")
    op.drop_column("session", "waits")
    op.drop_index("account_subject", "account")
    op.drop_column("account", "columns")
    op.drop_column("account", "subject")
    op.drop_column("account", "second_step")
