"""SQLAlchemy metadata of the table of cancellations. The table contains the cancellation of a trial if another session
had locked the trial's row."""

from sqlalchemy import Column, ForeignKeyConstraint, Integer, Table, Text

from ledger.database.schema import metadata, moment

cancellation = Table(
    "cancellation",
    metadata,
    Column("study_id", Integer, primary_key=True, comment="The study."),
    Column("trial", Integer, primary_key=True, comment="The number of the trial."),
    Column("reason", Text, nullable=False, comment="Reason for the cancellation, for users."),
    moment("asked_at", nullable=False, comment="Time of the cancellation."),
    ForeignKeyConstraint(
        ["study_id", "trial"],
        ["ledger.trial.study_id", "ledger.trial.number"],
        ondelete="CASCADE",
        name="cancellation_trial_fkey",
    ),
    comment="One row for each trial that a user cancelled while another session had locked the trial's row. The trial "
    "ends when its worker next calls the database, or when a manager finds that the row is no longer locked.",
)
