"""The content of datasets from files, so that a worker needs the database's address and nothing else.

And the views that named every score an accuracy name it a score, since there are other metrics now.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


BEFORE = "What is minimised, finite; for the built-in models 1 - accuracy. Null unless complete."
NOW = "What is minimised, finite; for the built-in models mostly 1 - score. Null unless complete."


def upgrade() -> None:
    op.alter_column("trial", "loss", comment=NOW, schema="ledger")
    op.create_table(
        "dataset",
        sa.Column(
            "sha256",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of the content, in hexadecimal, by which a study's objective names it.",
        ),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="Name of the file that it was first read from, without its folder.",
        ),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="The file, byte for byte; at most 64 MB."),
        sa.Column(
            "bytes",
            sa.Integer(),
            sa.Computed("(octet_length(content))", persisted=True),
            nullable=False,
            comment="Size of the content.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When it was stored, by the database's clock.",
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("dataset_pkey")),
        sa.CheckConstraint("sha256 = encode(sha256(content), 'hex')", name=op.f("dataset_sha256_is_of_the_content")),
        sa.CheckConstraint("octet_length(content) <= 67108864", name=op.f("dataset_content_is_not_too_large")),
        schema="ledger",
        comment="Files that studies train on, which never change. Read it through the view ledger.datasets.",
    )
    # workers read it piece by piece, which compressed content would be unpacked for from its beginning each time
    op.execute("alter table ledger.dataset alter column content set storage external")

    # what is built on them stays
    for view, before, now in (("progress", "best_accuracy", "best_score"), ("best_trials", "accuracy", "score")):
        op.execute(
            f"""
            do $$
            begin
              if exists (
                select from pg_attribute where attrelid = to_regclass('ledger.{view}') and attname = '{before}'
              ) then
                alter view ledger.{view} rename column {before} to {now};
              end if;
            end
            $$
            """
        )


def downgrade() -> None:
    op.alter_column("trial", "loss", comment=BEFORE, schema="ledger")
    # every upgrade makes them again
    op.execute("drop view if exists ledger.progress")
    op.execute("drop view if exists ledger.best_trials")
    op.execute("drop view if exists ledger.datasets")
    op.execute("drop function if exists ledger.dataset(text, int, int)")
    op.execute("drop function if exists ledger.keep_dataset(text, bytea)")
    op.drop_table("dataset", schema="ledger")
    op.execute("drop function if exists ledger.refuse_change_of_dataset()")
