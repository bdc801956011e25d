"""what stands for each pipeline at a commit, also for those that the commit left alone."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "standings",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("repository", sa.String(length=256), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("trigger", sa.String(length=128), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("executions", sa.Text(), nullable=False),
        sa.Column("fresh", sa.Text(), nullable=False),
        sa.Column("marks", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_standings")),
        sa.UniqueConstraint(
            "repository", "ref", "commit", "trigger", name=op.f("uq_standings_repository_ref_commit_trigger")
        ),
    )
    op.create_index(op.f("ix_standings_repository_ref_id"), "standings", ["repository", "ref", "id"])
    op.create_index(op.f("ix_standings_commit"), "standings", ["commit"])


def downgrade() -> None:
    op.drop_table("standings")
