"""SQLAlchemy metadata of the tables that contain the annotations of studies and trials."""

from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from ledger.database.schema import metadata, moment


def _parts(of: str) -> list[Column[object]]:
    """Return the columns that both annotation tables contain. The argument `of` is "study" or "trial"."""
    return [
        Column(
            "tags",
            ARRAY(Text),
            nullable=False,
            server_default=text("'{}'"),
            comment=f"Tags of the {of} in alphabetical order, at most 100.",
        ),
        Column("note", Text, comment=f"Note on the {of}, at most 10,000 characters; null without a note."),
        Column(
            "attributes",
            JSONB,
            nullable=False,
            server_default=text("'{}'"),
            comment=f"User attributes of the {of}, as an object of at most 10,000 bytes.",
        ),
        Column("annotated_by", Text, nullable=False, comment="Login that changed the annotation last."),
        moment("annotated_at", nullable=False, comment="Time of the last change of the annotation."),
    ]


study_annotation = Table(
    "study_annotation",
    metadata,
    Column(
        "study_id", Integer, ForeignKey("ledger.study.id", ondelete="CASCADE"), primary_key=True, comment="The study."
    ),
    *_parts("study"),
    comment="One row for each study that has tags, a note or user attributes. Read the table through the view "
    "ledger.annotations.",
)

trial_annotation = Table(
    "trial_annotation",
    metadata,
    Column("study_id", Integer, primary_key=True, comment="The study."),
    Column("trial", Integer, primary_key=True, comment="The number of the trial."),
    *_parts("trial"),
    ForeignKeyConstraint(
        ["study_id", "trial"],
        ["ledger.trial.study_id", "ledger.trial.number"],
        ondelete="CASCADE",
        name="trial_annotation_trial_fkey",
    ),
    comment="One row for each trial that has tags, a note or user attributes. Read the table through the view "
    "ledger.annotations.",
)
