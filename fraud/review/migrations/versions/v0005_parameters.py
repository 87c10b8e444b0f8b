"""What the learner has learned is kept while payments get it, so that an alert can be scored as of today."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = depends_on = None


def upgrade() -> None:
    """Add it; of what came before it is not there, and said to be so."""
    op.add_column("refresh", sa.Column("body", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("refresh", "body")
