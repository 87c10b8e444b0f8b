"""Verdicts of the blind sample say whether they held without the second look."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = depends_on = None


def upgrade() -> None:
    """Add it; none has so far."""
    op.add_column("verdict", sa.Column("unreviewed", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("verdict", "unreviewed")
