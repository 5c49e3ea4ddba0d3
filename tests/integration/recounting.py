"""Counts and improvements of a study from all its rows, to which the totals of the told iterations must lead."""

import math
from typing import Any

import psycopg

# The columns of the view ledger.counts, counted without the totals.
_COUNTED = """
select
  (select count(*) from ledger.iteration where study_id = %(study)s and told_at is not null) as iterations_told,
  count(*) filter (where is_proposed) as proposed,
  count(*) filter (where is_proposed and finished_at is not null) as ended,
  count(*) filter (where state = 'complete') as complete,
  count(*) filter (where state = 'running') as running,
  count(*) filter (where state = 'pending') as pending,
  count(*) filter (where state = 'paused') as paused,
  count(*) filter (where state = 'pruned') as pruned,
  count(*) filter (where state = 'failed') as failed,
  count(*) filter (where state = 'cancelled') as cancelled,
  coalesce(sum(attempts), 0) as attempts,
  coalesce(sum(failures), 0) as failures,
  coalesce(sum(crashes), 0) as crashes,
  coalesce(sum(lost), 0) as lost,
  max(number) filter (where state = 'complete') as last_complete
from (
  select trial.*, trial.source = 'proposed' and trial.round = iteration.round as is_proposed
  from ledger.trial
  join ledger.iteration on iteration.study_id = trial.study_id and iteration.number = trial.iteration
  where trial.study_id = %(study)s) as each
"""


def check_totals(connection: psycopg.Connection[Any], study_id: int) -> None:
    """Check that the views ledger.counts and ledger.improvements agree with all trials of a study."""
    of_study = {"study": study_id}
    counted = connection.execute(_COUNTED, of_study)
    names = [column.name for column in counted.description or ()]
    read = connection.execute(f"select {', '.join(names)} from ledger.counts where study_id = %(study)s", of_study)
    assert dict(zip(names, read.fetchone() or (), strict=True)) == dict(
        zip(names, counted.fetchone() or (), strict=True)
    )
    improvements = []
    lowest = math.inf
    losses = (
        "select trial, loss, value from ledger.trials where study_id = %(study)s and loss is not null order by trial"
    )
    for number, loss, value in connection.execute(losses, of_study):
        if loss < lowest:
            improvements.append((number, loss, value))
            lowest = loss
    read = connection.execute(
        "select trial, loss, value from ledger.improvements where study_id = %(study)s order by trial", of_study
    )
    assert read.fetchall() == improvements
