"""The worker in psql of docs/worker-in-sql.md."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from ledger import embedded
from ledger.database import studies, trials
from ledger.manager.registration import register
from ledger.study.file import assemble
from tests.integration.ledgers import finish, managed, propose, spec
from tests.system.programs import wait_until

PAGE = (Path(__file__).parents[2] / "docs" / "worker-in-sql.md").read_text()
(STUDY,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)

Worker = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def worker(url: str, root: Path) -> Iterator[Worker]:
    """Return a function that starts a worker with the embedded server's psql. Workers stop by themselves."""
    started: list[subprocess.Popen[str]] = []

    def worker(*options: str) -> "subprocess.Popen[str]":
        command = [str(embedded.program("psql")), "-X", *options, "-f", "docs/worker.sql", url]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=root, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield worker
    for process in started:
        process.kill()
        process.communicate()


def test_the_page_shows_the_script_as_it_is(root: Path) -> None:
    assert re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL) == [(root / "docs" / "worker.sql").read_text()]


def test_the_page_has_every_function_with_its_arguments(connection) -> None:
    functions = connection.execute(
        "select format('ledger.%s(%s)', proname, array_to_string(proargnames[1:pronargs], ', ')) from pg_proc"
        " where pronamespace = 'ledger'::regnamespace"
        " and proname in ('claim', 'heartbeat', 'complete', 'fail', 'release', 'refuse', 'accept', 'announce', 'ended')"
    ).fetchall()
    assert len(functions) == 9
    for (function,) in functions:
        assert f"`{function}`" in PAGE


def test_the_script_uses_nothing_but_the_functions_of_the_page(root: Path) -> None:
    used = set(re.findall(r"\bledger\.(\w+)", (root / "docs" / "worker.sql").read_text()))
    assert used <= {"claim", "heartbeat", "complete", "fail", "release", "announce", "ended"}


def test_workers_in_psql_alone_complete_a_study(worker: Worker, db: Connection, connection, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    workers = [worker("-v", "study=toy"), worker()]
    row = managed(db, register(db, assemble({}, tmp_path / "study.toml"))).run()
    assert row.state == "complete"
    said = ""
    for process in workers:
        out, error = process.communicate(timeout=300)
        assert (process.returncode, error) == (0, "")
        said += out
    assert sorted(said.splitlines()) == [f"toy trial {number} attempt 1 recorded" for number in range(6)]
    losses = connection.execute("select loss, params from ledger.trial").fetchall()
    assert len(losses) == 6
    for loss, params in losses:
        assert loss == pytest.approx((params["x"] - 1) ** 2 + (params["y"] + 2) ** 2)
    assert connection.execute("select count(*), count(stopped_at) from ledger.worker").fetchall() == [(2, 2)]


def test_a_worker_in_psql_says_why_it_has_no_loss(worker: Worker, db: Connection) -> None:
    row = studies.create(db, "s", spec(max_failures=1), "0" * 64, 1, {})
    assert row is not None
    points: list[dict[str, Any]] = [{"x": 1.0}, {"x": "it's", "y": 2.0}, {"x": 1e200, "y": 2.0}]
    propose(db, row, 0, points)
    process = worker("-v", "study=s")
    wait_until(lambda: all(trial.state == "failed" for trial in trials.all_of(db, row.id)))
    finish(db, row, "failed", None)
    out, _ = process.communicate(timeout=300)
    assert out.splitlines() == [f"s trial {number} attempt 1 failed" for number in range(3)]
    assert [trial.error for trial in trials.all_of(db, row.id)] == [
        "the parameters x and y are needed",
        'invalid input syntax for type double precision: "it\'s"',
        "value out of range: overflow",
    ]
