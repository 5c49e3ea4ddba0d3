"""Artifacts of attempts, and their contents."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "artifact_content",
        sa.Column("id", postgresql.UUID(), nullable=False, comment="Random id, which no other content ever gets."),
        sa.Column(
            "store",
            sa.Text(),
            nullable=True,
            comment="URL of the store that keeps the content; null if the ledger itself keeps it.",
        ),
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of the content, in hexadecimal."),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="Number of bytes."),
        sa.Column(
            "begun_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time when a worker began to write the content.",
        ),
        sa.Column(
            "stored_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when the content was complete; null while a worker writes the content.",
        ),
        sa.Column(
            "discarded_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when the content was discarded; null until it is discarded. No artifact can refer to a "
            "discarded content, and a command deletes the content from its store.",
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("artifact_content_sha256_is_hexadecimal")),
        sa.CheckConstraint("size >= 0", name=op.f("artifact_content_size_is_natural")),
        sa.CheckConstraint(
            "store is not null or discarded_at is null", name=op.f("artifact_content_discarded_in_a_store")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("artifact_content_pkey")),
        schema="ledger",
        comment="One row for each content of artifacts. Artifacts with the same content can share the row.",
    )
    op.create_index("artifact_content_sha256", "artifact_content", ["sha256"], schema="ledger")
    op.create_index(
        "artifact_content_discarded",
        "artifact_content",
        ["store", "id"],
        schema="ledger",
        postgresql_where=sa.text("discarded_at is not null"),
    )
    op.create_table(
        "artifact_piece",
        sa.Column("content", postgresql.UUID(), nullable=False, comment="The content."),
        sa.Column("number", sa.Integer(), nullable=False, comment="Number of the piece within the content, from 0."),
        sa.Column(
            "bytes",
            sa.LargeBinary(),
            nullable=False,
            comment="The bytes of the piece. Every piece except the last piece has 1,048,576 bytes.",
        ),
        sa.CheckConstraint("number >= 0", name=op.f("artifact_piece_number_is_natural")),
        sa.CheckConstraint("octet_length(bytes) <= 1048576", name=op.f("artifact_piece_piece_is_not_too_large")),
        sa.ForeignKeyConstraint(
            ["content"],
            ["ledger.artifact_content.id"],
            name=op.f("artifact_piece_content_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("content", "number", name=op.f("artifact_piece_pkey")),
        schema="ledger",
        comment="One row for each piece of a content that the ledger itself keeps.",
    )
    # Models and checkpoints are rarely compressible, so an attempt to compress each piece would only take time.
    op.execute("alter table ledger.artifact_piece alter column bytes set storage external")
    op.create_table(
        "artifact",
        sa.Column("study_id", sa.Integer(), nullable=False, comment="The study."),
        sa.Column("trial", sa.Integer(), nullable=False, comment="The number of the trial."),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="The number of the attempt within the trial."),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="Name within the attempt, of 1 to 100 characters (A-Z, a-z, 0-9, dot, underscore and hyphen).",
        ),
        sa.Column(
            "sha256",
            sa.Text(),
            nullable=True,
            comment="SHA-256 of the artifact, in hexadecimal; null until the artifact is saved.",
        ),
        sa.Column("size", sa.BigInteger(), nullable=True, comment="Number of bytes; null until the artifact is saved."),
        sa.Column(
            "store",
            sa.Text(),
            nullable=True,
            comment="URL of the store that keeps the artifact; null if the ledger itself keeps it.",
        ),
        sa.Column(
            "content",
            postgresql.UUID(),
            nullable=True,
            comment="Id of the content; null before the artifact is saved, and after the artifact is removed.",
        ),
        sa.Column(
            "uploading",
            postgresql.UUID(),
            nullable=True,
            comment="Id of the content that the worker is writing for this artifact; null if the worker is writing no "
            "content.",
        ),
        sa.Column(
            "saved_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when the worker last saved the artifact; null until the artifact is saved.",
        ),
        sa.Column(
            "removed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time when a user or the manager removed the artifact; null unless the artifact is removed.",
        ),
        sa.CheckConstraint("(saved_at is null) = (sha256 is null)", name=op.f("artifact_sha256_when_saved")),
        sa.CheckConstraint("(saved_at is null) = (size is null)", name=op.f("artifact_size_when_saved")),
        sa.CheckConstraint(
            "(content is null) = (saved_at is null or removed_at is not null)",
            name=op.f("artifact_content_when_saved_and_not_removed"),
        ),
        sa.CheckConstraint("removed_at is null or saved_at is not null", name=op.f("artifact_removed_after_saved")),
        sa.ForeignKeyConstraint(
            ["study_id", "trial", "attempt"],
            ["ledger.attempt.study_id", "ledger.attempt.trial", "ledger.attempt.number"],
            name="artifact_attempt_fkey",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["content"], ["ledger.artifact_content.id"], name=op.f("artifact_content_fkey")),
        sa.ForeignKeyConstraint(["uploading"], ["ledger.artifact_content.id"], name=op.f("artifact_uploading_fkey")),
        sa.PrimaryKeyConstraint("study_id", "trial", "attempt", "name", name=op.f("artifact_pkey")),
        schema="ledger",
        comment="One row for each artifact of an attempt. Read the table through the view ledger.artifacts.",
    )
    for column, index in (("content", "artifact_of_content"), ("uploading", "artifact_uploading")):
        op.create_index(index, "artifact", [column], schema="ledger", postgresql_where=sa.text(f"{column} is not null"))
    op.create_index(
        "artifact_present",
        "artifact",
        ["study_id", "trial"],
        schema="ledger",
        postgresql_where=sa.text("content is not null"),
    )


def downgrade() -> None:
    # The next upgrade creates the view again that depends on the tables.
    for table in ("artifact", "artifact_piece", "artifact_content"):
        op.execute(f"drop table ledger.{table} cascade")
