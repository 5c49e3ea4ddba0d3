"""The views of sql/views/ that Python reads, as SQLAlchemy metadata."""

from typing import Any

from sqlalchemy import Boolean, Column, DateTime, Double, Integer, Interval, Table, TableClause, Text, column, table
from sqlalchemy.dialects.postgresql import ARRAY

from ledger.database import annotation_tables, code_tables, tables


def _view(name: str, of: Table, *more: Column[Any]) -> TableClause:
    """Return the metadata of a view that has the columns of the table `of` except `claim`, and the columns `more`."""
    columns = [*of.columns, *more]
    return table(
        name, *(column(each.name, each.type) for each in columns if each.name != "claim"), schema=tables.SCHEMA
    )


def _of_values(*names: str) -> list[Column[Any]]:
    return [Column(name, Double) for name in names]


studies = _view(
    "studies",
    tables.study,
    Column("tags", ARRAY(Text)),
    *(Column(name, Text) for name in ("objective_name", "dataset")),
)
annotations = _view("annotations", annotation_tables.trial_annotation)
iterations = _view("iterations", tables.iteration, *_of_values("mean_value", "best_value"))
trials = _view("trials", tables.trial, *_of_values("value", "seconds"))
attempts = _view("attempts", tables.attempt, *_of_values("value"))
workers = _view("workers", tables.worker, Column("alive", Boolean), Column("study", Text), Column("trial", Integer))
refusals = _view("refusals", tables.refusal, Column("study", Text))
code_versions = _view("code_versions", code_tables.code_version)
sources = _view("sources", code_tables.source)
progress = table(
    "progress",
    *(column(name, Text) for name in ("study", "state", "reason", "direction", "metric", "stopped_by")),
    *(column(name, Integer) for name in ("budget", "patience", "proposed", "ended", "iterations_told", "attempts")),
    *(column(name, Integer) for name in ("complete", "running", "pending", "failed", "cancelled")),
    *(column(name, Double) for name in ("best_value", "best_loss", "best_score", "target", "timeout_seconds")),
    *(column(name, DateTime(timezone=True)) for name in ("created_at", "archived_at")),
    column("elapsed", Interval),
    column("tags", ARRAY(Text)),
    schema=tables.SCHEMA,
)
