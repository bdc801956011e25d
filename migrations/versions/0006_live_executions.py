"""an index of the executions that have not ended."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    live = sa.text("ended_at IS NULL")
    op.create_index("ix_executions_live", "executions", ["repository", "ref"], sqlite_where=live, postgresql_where=live)


def downgrade() -> None:
    op.drop_index("ix_executions_live", "executions")
