"""Tables that record the workers, the workers' refusals, and the datasets that the workers read."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from ledger.database.schema import metadata, moment

worker = Table(
    "worker",
    metadata,
    Column("name", Text, primary_key=True, comment="Unique name, made of host, process id and four random digits."),
    Column("host", Text, nullable=False, comment="Name of the worker's machine."),
    Column("pid", Integer, nullable=False, comment="Process id of the worker on its machine."),
    Column("versions", JSONB, nullable=False, comment="Versions of the packages that the worker trains with."),
    moment("started_at", nullable=False, comment="Time of the worker's first announcement."),
    moment(
        "last_seen_at",
        nullable=False,
        comment="Time of the worker's last announcement.",
    ),
    moment("stopped_at", comment="Time when the worker stopped; null if the worker is running or died."),
    # If a worker claims several trials in one call, the function `ledger.claim` uses the index `worker_here` to count
    # the live workers.
    Index("worker_here", "last_seen_at", postgresql_where=text("stopped_at is null")),
    postgresql_with={"fillfactor": 70},
    comment="One row for each worker, including workers that have stopped. Read the table through the view "
    "ledger.workers.",
)

refusal = Table(
    "refusal",
    metadata,
    Column(
        "worker",
        Text,
        ForeignKey("ledger.worker.name", ondelete="CASCADE"),
        primary_key=True,
        comment="Name of the worker that cannot load the study's objective.",
    ),
    Column(
        "study_id", Integer, ForeignKey("ledger.study.id", ondelete="CASCADE"), primary_key=True, comment="The study."
    ),
    Column("reason", Text, nullable=False, comment="Reason of the refusal, at most 1000 characters."),
    moment("refused_at", nullable=False, comment="Time of the worker's last refusal of the study."),
    comment="One row for each study that a worker refuses. The row is deleted when the worker can load the objective, "
    "or when the worker stops. Read the table through the view ledger.refusals.",
)

dataset = Table(
    "dataset",
    metadata,
    Column(
        "sha256",
        Text,
        primary_key=True,
        comment="SHA-256 of the file's content, in hexadecimal. A study's objective refers to the file by this hash.",
    ),
    Column(
        "name",
        Text,
        nullable=False,
        comment="Name of the file when it was first stored, without the folder.",
    ),
    Column("content", LargeBinary, nullable=False, comment="Content of the file, at most 64 MB."),
    Column(
        "bytes",
        Integer,
        Computed("(octet_length(content))", persisted=True),
        nullable=False,
        comment="Size of the content.",
    ),
    Column(
        "created_at",
        DateTime(timezone=True),
        nullable=False,
        comment="Time when the file was stored, by the database's clock.",
    ),
    CheckConstraint("sha256 = encode(sha256(content), 'hex')", name="sha256_is_of_the_content"),
    CheckConstraint("octet_length(content) <= 67108864", name="content_is_not_too_large"),
    comment="One row for each file that studies train on. A stored file never changes. Read the table through the "
    "view ledger.datasets.",
)
