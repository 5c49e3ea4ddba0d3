"""SQLAlchemy metadata of the tables that store the source code of objectives."""

from sqlalchemy import Boolean, CheckConstraint, Column, DateTime, ForeignKey, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from ledger.database.tables import metadata

code_version = Table(
    "code_version",
    metadata,
    Column(
        "study_id", Integer, ForeignKey("ledger.study.id", ondelete="CASCADE"), primary_key=True, comment="The study."
    ),
    Column(
        "number",
        Integer,
        primary_key=True,
        comment="Number of the version within the study, from 0. The version with the highest number is valid now.",
    ),
    Column(
        "first_trial",
        Integer,
        nullable=False,
        comment="Number of the first trial that had not ended when the version was recorded. A trial that a worker "
        "claimed before that moment was trained with an earlier version.",
    ),
    Column(
        "sha256",
        Text,
        nullable=False,
        comment="SHA-256, in hexadecimal, of the hashes that the column parts contains. Two codes with the same hash "
        "are equal.",
    ),
    Column(
        "parts",
        JSONB,
        nullable=False,
        comment="List of the functions, classes, values and files that the objective uses. Each entry contains a "
        "kind, a name, and the hash of a source (code) or of a value. If a value has no hash, the entry "
        "contains the type of the value (unwatched).",
    ),
    Column(
        "sources",
        JSONB,
        nullable=False,
        comment="JSON object that maps each file name to the SHA-256 of the file's source text. The texts are in the "
        "table ledger.source.",
    ),
    Column(
        "git_commit",
        Text,
        comment="Commit of the git repository that contains the code; null without a repository.",
    ),
    Column(
        "git_clean",
        Boolean,
        comment="Whether the code's files equal the files in the commit; null without a repository or without files.",
    ),
    Column(
        "versions",
        JSONB,
        nullable=False,
        comment="Versions of Python and of the packages that the code imports.",
    ),
    Column(
        "recorded_at",
        DateTime(timezone=True),
        nullable=False,
        comment="Time when the version was recorded, by the database's clock.",
    ),
    CheckConstraint("number >= 0 and first_trial >= 0", name="numbers_are_natural"),
    CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256_is_hexadecimal"),
    CheckConstraint("git_clean is null or git_commit is not null", name="clean_with_a_commit"),
    comment="One row for each version of the code of a study's objective. Read the table through the view "
    "ledger.code_versions.",
)

source = Table(
    "source",
    metadata,
    Column(
        "sha256",
        Text,
        primary_key=True,
        comment="SHA-256 of the text in UTF-8, in hexadecimal.",
    ),
    Column("text", Text, nullable=False, comment="Source text, at most 1,000,000 characters."),
    CheckConstraint("sha256 = encode(sha256(convert_to(text, 'UTF8')), 'hex')", name="sha256_is_of_the_text"),
    comment="One row for each source text of an objective's code. Studies with the same text share the row. Read the "
    "table through the view ledger.sources.",
)
