"""The tables of artifacts and their contents, as SQLAlchemy metadata."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import UUID

from ledger.database.schema import moment
from ledger.database.tables import metadata

artifact_content = Table(
    "artifact_content",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True, comment="Random id, which no other content ever gets."),
    Column("store", Text, comment="URL of the store that keeps the content; null if the ledger itself keeps it."),
    Column("sha256", Text, nullable=False, comment="SHA-256 of the content, in hexadecimal."),
    Column("size", BigInteger, nullable=False, comment="Number of bytes."),
    moment("begun_at", nullable=False, comment="Time when a worker began to write the content."),
    moment("stored_at", comment="Time when the content was complete; null while a worker writes the content."),
    moment(
        "discarded_at",
        comment="Time when the content was discarded; null until it is discarded. No artifact can refer to a "
        "discarded content, and a command deletes the content from its store.",
    ),
    CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256_is_hexadecimal"),
    CheckConstraint("size >= 0", name="size_is_natural"),
    CheckConstraint("store is not null or discarded_at is null", name="discarded_in_a_store"),
    Index("artifact_content_sha256", "sha256"),
    Index("artifact_content_discarded", "store", "id", postgresql_where=text("discarded_at is not null")),
    comment="One row for each content of artifacts. Artifacts with the same content can share the row.",
)

artifact_piece = Table(
    "artifact_piece",
    metadata,
    Column(
        "content",
        UUID(as_uuid=True),
        ForeignKey("ledger.artifact_content.id", ondelete="CASCADE"),
        primary_key=True,
        comment="The content.",
    ),
    Column("number", Integer, primary_key=True, comment="Number of the piece within the content, from 0."),
    Column(
        "bytes",
        LargeBinary,
        nullable=False,
        comment="The bytes of the piece. Every piece except the last piece has 1,048,576 bytes.",
    ),
    CheckConstraint("number >= 0", name="number_is_natural"),
    CheckConstraint("octet_length(bytes) <= 1048576", name="piece_is_not_too_large"),
    comment="One row for each piece of a content that the ledger itself keeps.",
)

artifact = Table(
    "artifact",
    metadata,
    Column("study_id", Integer, primary_key=True, comment="The study."),
    Column("trial", Integer, primary_key=True, comment="The number of the trial."),
    Column("attempt", Integer, primary_key=True, comment="The number of the attempt within the trial."),
    Column(
        "name",
        Text,
        primary_key=True,
        comment="Name within the attempt, of 1 to 100 characters (A-Z, a-z, 0-9, dot, underscore and hyphen). The name "
        "of a checkpoint consists of .checkpoint- and its step.",
    ),
    Column("sha256", Text, comment="SHA-256 of the artifact, in hexadecimal; null until the artifact is saved."),
    Column("size", BigInteger, comment="Number of bytes; null until the artifact is saved."),
    Column("store", Text, comment="URL of the store that keeps the artifact; null if the ledger itself keeps it."),
    Column(
        "content",
        UUID(as_uuid=True),
        ForeignKey("ledger.artifact_content.id"),
        comment="Id of the content; null before the artifact is saved, and after the artifact is removed.",
    ),
    Column(
        "uploading",
        UUID(as_uuid=True),
        ForeignKey("ledger.artifact_content.id"),
        comment="Id of the content that the worker is writing for this artifact; null if the worker is writing no "
        "content.",
    ),
    moment("saved_at", comment="Time when the worker last saved the artifact; null until the artifact is saved."),
    moment(
        "removed_at",
        comment="Time when a user or the manager removed the artifact; null unless the artifact is removed.",
    ),
    Column(
        "step",
        BigInteger,
        Computed("(case when left(name, 12) = '.checkpoint-' then substr(name, 13)::bigint end)", persisted=True),
        comment="Step of the training at which the trial kept this checkpoint; null if the artifact is no checkpoint; "
        "taken from the text in name.",
    ),
    ForeignKeyConstraint(
        ["study_id", "trial", "attempt"],
        ["ledger.attempt.study_id", "ledger.attempt.trial", "ledger.attempt.number"],
        ondelete="CASCADE",
        name="artifact_attempt_fkey",
    ),
    CheckConstraint("(saved_at is null) = (sha256 is null)", name="sha256_when_saved"),
    CheckConstraint("(saved_at is null) = (size is null)", name="size_when_saved"),
    CheckConstraint(
        "(content is null) = (saved_at is null or removed_at is not null)", name="content_when_saved_and_not_removed"
    ),
    CheckConstraint("removed_at is null or saved_at is not null", name="removed_after_saved"),
    Index("artifact_of_content", "content", postgresql_where=text("content is not null")),
    # The function ledger.remove_beaten_artifacts uses this index to find the artifacts whose content is still stored.
    Index("artifact_present", "study_id", "trial", postgresql_where=text("content is not null")),
    # The functions ledger.last_checkpoints and ledger.remove_checkpoints use this index to find checkpoints.
    Index("artifact_checkpoints", "study_id", "trial", "attempt", "step", postgresql_where=text("step is not null")),
    Index("artifact_uploading", "uploading", postgresql_where=text("uploading is not null")),
    comment="One row for each artifact and each checkpoint of an attempt. Read the table through the views "
    "ledger.artifacts and ledger.checkpoints.",
)
