"""what gates said, and the refs that they compare with."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("targets", sa.Text(), server_default="[]", nullable=False))
    op.create_table(
        "verdicts",
        sa.Column("execution", sa.String(length=128), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("gate", sa.Text(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=True),
        sa.Column("bound", sa.Float(precision=53), nullable=True),
        sa.Column("baseline", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["execution"], ["executions.id"], name=op.f("fk_verdicts_execution")),
        sa.PrimaryKeyConstraint("execution", "position", name=op.f("pk_verdicts")),
    )


def downgrade() -> None:
    op.drop_table("verdicts")
    op.drop_column("executions", "targets")
