"""SQLAlchemy metadata of the views in sql/views/ that the Python code reads."""

from typing import Any

from sqlalchemy import Boolean, Column, DateTime, Double, Integer, Interval, Table, TableClause, Text, column, table
from sqlalchemy.dialects.postgresql import ARRAY

from ledger.database import annotation_tables, artifact_tables, code_tables, report_tables, tables, verdict_tables


def _view(view: str, of: Table, *more: Column[Any], **renamed: str) -> TableClause:
    """Return the metadata of a view. The argument `of` is a table. The view has all columns of the table, except the
    column `claim`. The view also has the columns in `more`.

    Parameters
    ----------
    renamed : str
        A column can have different names in the table and in the view. The name of a keyword argument is a column's
        name in the table. The value of the keyword argument is the name of this column in the view. For example, each
        view has the number of a trial in the column `trial`. In the metadata, the key of a column is the column's name
        in the table. Therefore the Python code uses only one name for each column.
    """
    columns = []
    for each in (*of.columns, *more):
        if each.name != "claim":
            shown = column(renamed.get(each.name, each.name), each.type)
            shown.key = each.name
            columns.append(shown)
    return table(view, *columns, schema=tables.SCHEMA)


def _of_values(*names: str) -> list[Column[Any]]:
    return [Column(name, Double) for name in names]


studies = _view(
    "studies",
    tables.study,
    Column("tags", ARRAY(Text)),
    *(Column(name, Text) for name in ("objective_name", "dataset")),
    id="study_id",
    name="study",
)
annotations = _view("annotations", annotation_tables.trial_annotation)
iterations = _view("iterations", tables.iteration, *_of_values("mean_value", "best_value"), number="iteration")
trials = _view("trials", tables.trial, *_of_values("value", "seconds"), number="trial")
attempts = _view("attempts", tables.attempt, *_of_values("value"), number="attempt")
cutoffs = _view("cutoffs", verdict_tables.cutoff)
verdicts = _view("verdicts", verdict_tables.verdict, Column("promoted_at", DateTime(timezone=True)))
promotions = _view("promotions", verdict_tables.promotion)
reports = _view("reports", report_tables.report, *_of_values("value", "seconds"), Column("is_replaced", Boolean))
workers = _view(
    "workers",
    tables.worker,
    Column("alive", Boolean),
    Column("study", Text),
    Column("trial", Integer),
    name="worker",
)
refusals = _view("refusals", tables.refusal, Column("study", Text))
code_versions = _view("code_versions", code_tables.code_version)
sources = _view("sources", code_tables.source)
artifacts = table(
    "artifacts",
    *(
        column(each.name, each.type)
        for each in artifact_tables.artifact.columns
        if each.name not in ("uploading", "step")
    ),
    schema=tables.SCHEMA,
)
progress = table(
    "progress",
    *(column(name, Text) for name in ("study", "state", "reason", "direction", "metric", "stopped_by")),
    *(column(name, Integer) for name in ("budget", "patience", "proposed", "ended", "iterations_told", "attempts")),
    *(column(name, Integer) for name in ("complete", "running", "paused", "pending", "pruned", "failed")),
    column("cancelled", Integer),
    *(column(name, Double) for name in ("best_value", "best_loss", "best_score", "target", "timeout_seconds")),
    *(column(name, DateTime(timezone=True)) for name in ("created_at", "archived_at")),
    column("elapsed", Interval),
    column("tags", ARRAY(Text)),
    schema=tables.SCHEMA,
)
