"""A result that the database refuses fails its trial, and the worker continues."""

import os

import pytest

from ledger.database import studies
from ledger.database import trials as recorded
from ledger.database.retry import RetryPolicy
from ledger.database.session import ReconnectingSession, ValuesRefused
from ledger.settings import Settings
from ledger.worker.options import WorkerOptions
from ledger.worker.supervisor import Supervisor
from tests.integration.ledgers import propose, spec

OBJECTIVE = """
def loss(params):
    if params["C"] == 3:
        raise ValueError("unwelcome")
    return params["C"]
"""


def test_a_refused_result_fails_its_trial_and_the_worker_goes_on(url, db, connection, tmp_path, monkeypatch):
    (tmp_path / "refusable.py").write_text(OBJECTIVE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    connection.execute("alter table ledger.trial add constraint small check (loss < 100)")
    connection.execute("alter table ledger.attempt add constraint polite check (error not like '%unwelcome%')")
    settings = {**spec(5, max_failures=1), "objective": {"function": "refusable:loss"}}
    row = studies.create(db, "s", settings, "0" * 64, 5, {})
    assert row is not None
    propose(db, row, 0, [{"C": value} for value in (1.0, 200.0, 3.0, 4.0, 500.0)])
    assert Supervisor(url, WorkerOptions("s", max_trials=5, allowed=["refusable"]), Settings.from_environment()).run()
    assert [(trial.loss, trial.state) for trial in recorded.all_of(db, row.id)] == [
        (1.0, "complete"),
        (None, "failed"),
        (None, "failed"),
        (4.0, "complete"),
        (None, "failed"),
    ]
    errors = connection.execute("select trial, error from ledger.attempt where error is not null order by trial")
    said = dict(errors.fetchall())
    assert said.keys() == {1, 2, 4}
    for trial, what in ((1, "result"), (2, "error"), (4, "result")):
        assert said[trial].startswith(f"the database refused the {what} of this attempt: new row for relation ")
        assert "\n" not in said[trial]


@pytest.mark.parametrize(
    "statement",
    [
        "select 'x'::int",
        "select jsonb_build_object('a', repeat('x', 10)) || jsonb_object(array[null, 'x'])",
        "do $$ begin raise exception 'too large' using errcode = 'check_violation'; end $$",
        "do $$ begin raise exception 'too long' using errcode = 'program_limit_exceeded'; end $$",
    ],
)
def test_a_refusal_of_values_is_no_outage(url, statement):
    pauses: list[float] = []
    session = ReconnectingSession(url, "test", 60.0, RetryPolicy(60.0), lambda connection: None, pauses.append)
    with pytest.raises(ValuesRefused) as caught:
        session.call(lambda connection: connection.execute(statement))
    assert "\n" not in str(caught.value)
    assert pauses == []
    assert session.call(lambda connection: connection.execute("select 1").fetchone()) == (1,)
    session.close()
