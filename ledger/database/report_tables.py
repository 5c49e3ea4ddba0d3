"""SQLAlchemy metadata of the table of reports, and of the trial's column with the hash of its reports.

The table of the reports has no foreign keys. With a foreign key, PostgreSQL would check and lock a row of another table
for each new report. A trigger in sql/functions/unchanging_reports.sql deletes the reports of a deleted study.
"""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Integer, LargeBinary, Table
from sqlalchemy.dialects.postgresql import JSONB

from ledger.database.schema import metadata, moment

report = Table(
    "report",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False, comment="The study."),
    Column("trial", Integer, primary_key=True, autoincrement=False, comment="The number of the trial."),
    Column("attempt", Integer, primary_key=True, autoincrement=False, comment="Number of the attempt, from 1."),
    Column(
        "step",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Step of the training, such as an epoch, from 0.",
    ),
    Column(
        "loss",
        Double,
        comment="Loss, which follows from the value that the objective reported at the step; null if the value was"
        " NaN or an infinity.",
    ),
    Column(
        "metrics",
        JSONB(none_as_null=True),
        comment="Metrics at the step, as an object of at most 10,000 bytes; null without metrics.",
    ),
    moment("reported_at", nullable=False, comment="Time when the report was recorded, by the database's clock."),
    Column(
        "after_step",
        BigInteger,
        comment="Highest step that the attempt had reported before this lower step; null if the attempt had reported no"
        " higher step.",
    ),
    CheckConstraint("step >= 0", name="step_is_not_negative"),
    CheckConstraint("after_step > step", name="after_step_is_higher"),
    comment="One row for each report of an intermediate value. A report never changes. Read the table through the "
    "view ledger.reports.",
)


def trial_column() -> Column[Any]:
    """Return a new column for the table `trial`."""
    return Column(
        "reports_sha256",
        LargeBinary,
        comment="SHA-256 of the trial's reports, without their times, and of its arrivals at rungs, recorded when "
        "the trial ended. Empty if the trial has reports, and has not ended. Null if the trial has no reports.",
    )
