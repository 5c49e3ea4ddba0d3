"""Tags, notes and user attributes of studies and trials, and archived studies."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


# The views in which the name of a column changes, with the old and the new name. A view that a user has built on such a
# view stays, because the migration renames the column.
_RENAMED = (
    ("trials", "number", "trial"),
    ("iterations", "number", "iteration"),
    ("attempts", "number", "attempt"),
    ("studies", "id", "study_id"),
    ("studies", "name", "study"),
    ("workers", "name", "worker"),
    ("managers", "name", "manager"),
)


def upgrade() -> None:
    for view, old, new in _RENAMED:
        op.execute(_rename(view, old, new))
    op.add_column(
        "study",
        sa.Column(
            "archived_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when the study was archived; null unless the study is archived.",
        ),
        schema="ledger",
    )
    op.create_table(
        "study_annotation",
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        *_parts("study"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["ledger.study.id"], name=op.f("study_annotation_study_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", name=op.f("study_annotation_pkey")),
        schema="ledger",
        comment="One row for each study that has tags, a note or user attributes. Read the table through the view "
        "ledger.annotations.",
    )
    op.create_table(
        "trial_annotation",
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column("trial", sa.Integer(), nullable=False, comment="The number of the trial."),
        *_parts("trial"),
        sa.ForeignKeyConstraint(
            ["study_id", "trial"],
            ["ledger.trial.study_id", "ledger.trial.number"],
            name="trial_annotation_trial_fkey",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("study_id", "trial", name=op.f("trial_annotation_pkey")),
        schema="ledger",
        comment="One row for each trial that has tags, a note or user attributes. Read the table through the view "
        "ledger.annotations.",
    )


def downgrade() -> None:
    for view, old, new in _RENAMED:
        op.execute(_rename(view, new, old))
    # The next upgrade creates the views again that depend on the tables and on the column.
    op.execute("drop table ledger.trial_annotation cascade")
    op.execute("drop table ledger.study_annotation cascade")
    op.execute("alter table ledger.study drop column archived_at cascade")


def _rename(view: str, old: str, new: str) -> str:
    """Return the statement that renames the column of a view, if the view exists with this column."""
    return f"""
        do $$
        begin
          if exists (
            select from pg_attribute
            where attrelid = to_regclass('ledger.{view}') and attname = '{old}' and not attisdropped) then
            alter view ledger.{view} rename column {old} to {new};
          end if;
        end $$
    """


def _parts(of: str) -> list[sa.Column[object]]:
    return [
        sa.Column(
            "tags",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment=f"Tags of the {of} in alphabetical order, at most 100.",
        ),
        sa.Column(
            "note",
            sa.Text(),
            nullable=True,
            comment=f"Note on the {of}, at most 10,000 characters; null without a note.",
        ),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment=f"User attributes of the {of}, as an object of at most 10,000 bytes.",
        ),
        sa.Column("annotated_by", sa.Text(), nullable=False, comment="Login that changed the annotation last."),
        sa.Column(
            "annotated_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time of the last change of the annotation.",
        ),
    ]
