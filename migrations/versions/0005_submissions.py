"""which submission an attempt is part of."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("submission", sa.String(length=256), server_default="", nullable=False))
    op.execute("UPDATE attempts SET submission = token")


def downgrade() -> None:
    op.drop_column("attempts", "submission")
