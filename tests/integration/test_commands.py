"""Bad input: one line on standard error, the exit code, and no change in the ledger."""

import json
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection

from ledger.cli import main
from ledger.database import protocol, studies, trials
from ledger.manager.registration import register
from ledger.study.file import assemble
from tests import variables
from tests.integration.ledgers import finish, make_study, managed, take, tell

Run = Callable[..., tuple[int, str, str]]

STUDY = '[objective]\nmodel = "svm"\n'


@pytest.fixture
def run(monkeypatch, capfd, tmp_path) -> Iterator[Run]:
    """Return a function that runs the program in this process, and returns exit code, output and errors."""
    for name in variables.ALL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ledger", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = capfd.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, out, error

    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--model", "tree"], 'unknown "tree"; choose svm, xgb, lgbm'),
        (["run", "--base-estimator", "GBRT"], '"GBRT" cannot be used: '),
        (["run", "--acq-func", "UCB"], 'unknown "UCB"'),
        (["run", "--acq-func", "gp_hedge"], "the ledger does not record the gains that gp_hedge needs"),
        (["run", "--iterations", "0"], "'--iterations'"),
        (["manager", "--batch-size", "0"], "'--batch-size'"),
        (["run", "--batch-size", "two"], "'two' is not a valid integer"),
        (["run", "--seed", "-1"], "seed"),
        (["run", "--name", "a b"], "name"),
        (["run", "--workers", "0"], "'--workers'"),
        (["run", "none.toml"], "none.toml: No such file or directory"),
        (["worker", "--max-trials", "0"], "'--max-trials'"),
        (["trial", "show", "s", "9" * 20], "'NUMBER'"),
        (["trial", "list", "s", "--after", "9" * 20], "'--after'"),
        (["study", "show", "s", "--iterations", "9" * 20], "'--iterations'"),
        (["export", "s", "--format", "xml"], "'xml' is not one of"),
        (["export", "s", "--format", "files"], "name the folder with --output"),
        (["study", "list", "--database-url", "postgres:/me:secret@host"], "the database URL cannot be parsed"),
        (["export", "s", "--format", "parquet"], "name the file with --output"),
        (["report", "s"], "Missing option '--output'"),
        (["report", "s", "--output", "r.png", "--format", "png"], "--format png and --plot belong together"),
        (["report", "s", "--output", "none/r.html"], "none is not a folder: make it first"),
        (["best"], "Missing argument 'NAME'. `ledger study list` shows the names of the studies"),
        (["resume", "--trials", "9"], "`ledger study list` shows the names of the studies"),
        (["study", "archive"], "`ledger study list` shows the names of the studies"),
        (["run", "--objective", "loss.py"], 'there is no option --objective: write function = "package.module:funct'),
        (["run", "--objective=train.py:loss"], 'write function = "train:loss" into the table [objective] of a study'),
        (["manager", "--objective", "train.loss"], "`ledger manager study.toml`"),
        (["run", "--function", "my.train:loss"], "`ledger run study.toml --allow my`"),
        (["nonsense"], 'there is no command "nonsense"'),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(run, tmp_path, arguments, said):
    code, _, error = run(*arguments)
    assert code == 2
    assert said in error
    assert "secret" not in error
    assert error.count("\n") == 1
    assert not (tmp_path / "home").exists(), "nothing is written"


@pytest.mark.parametrize("name", ["NUM_ITERATIONS", "NUM_HYPERPARAM_SETS", "MODEL_CHOICE", "LEDGER_ACQ_FUNC"])
def test_bad_environment_is_named(run, tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "nonsense")
    code, _, error = run("run")
    assert (code, error.count("\n")) == (2, 1)
    assert name in error
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[study\n", "line 1, column 7"),
        ("[stud]\n", "study"),
        ('[study]\nnmae = "x"\n', "name"),
        (STUDY + '[space]\nC = { type = "real", low = 2.0, high = 1.0 }\n', "[space] C"),
        (STUDY + '[space]\nC = { type = "real", low = 1.0, high = 1.0 }\n', "[space] C"),
        (STUDY + '[space]\nC = { type = "real", low = 1.0, high = inf }\n', "[space] C"),
        (STUDY + '[space]\nC = { type = "real", low = 0.0, high = 1.0, prior = "log-uniform" }\n', "[space] C"),
        (STUDY + '[space]\nC = { type = "real", low = 0.1, high = 1.0, prior = "normal" }\n', "unknown prior"),
        (STUDY + '[space]\nC = { type = "complex", low = 0.1, high = 1.0 }\n', "categorical"),
        (STUDY + '[space]\nC = { type = "integer", low = 0.5, high = 3 }\n', "[space] C"),
        (STUDY + "[space]\n", "[space]"),
        (STUDY + '[space]\nD = { type = "real", low = 0.1, high = 1.0 }\n', "D"),
        ('[objective]\nmodel = "xgb"\n[space]\nnum_leaves = { type = "integer", low = 2, high = 9 }\n', "num_leaves"),
        ('[objective]\nfunction = "nothing"\n[space]\nx = { type = "real", low = 0.1, high = 1.0 }\n', "function"),
        ("[limits]\nlease = 5.0\nheartbeat = 10.0\n", "heartbeat"),
    ],
)
def test_a_bad_study_file_is_one_line_with_its_place(run, tmp_path, text, said):
    (tmp_path / "study.toml").write_text(text)
    code, _, error = run("run", "study.toml")
    assert (code, error.count("\n")) == (2, 1), error
    assert "study.toml" in error
    assert said in error
    assert not (tmp_path / "home").exists()


def test_a_database_that_is_not_there_or_not_migrated_is_named(run, empty_url, tmp_path):
    assert run("study", "list")[::2] == (
        1,
        f"ledger: no ledger exists in {tmp_path / 'home'}: create a ledger with `ledger run`, or name a server with"
        " --database-url\n",
    )
    code, _, error = run("db", "check", "--database-url", "postgresql://me:secret@127.0.0.1:1/x")
    assert (code, error.count("\n")) == (1, 1)
    assert "Connection refused" in error
    assert "secret" not in error
    for command in (["study", "list"], ["manager"], ["worker"], ["db", "check"], ["db", "current"], ["resume", "s"]):
        assert run(*command, "--database-url", empty_url)[::2] == (
            1,
            "ledger: the database is not migrated: run `ledger db upgrade`\n",
        )


@pytest.fixture
def there(run: Run, url, db, monkeypatch) -> Run:
    """The program on a ledger with the study svm-1 of four pending trials."""
    make_study(db, "svm-1")
    monkeypatch.setenv("DATABASE_URL", url)
    return run


@pytest.mark.parametrize(
    "command", [["study", "show"], ["study", "pause"], ["study", "cancel"], ["export"], ["resume"], ["study", "delete"]]
)
def test_an_unknown_study_is_named_with_the_nearest(there, command):
    assert there(*command, "svm-2")[::2] == (1, "ledger: there is no study 'svm-2': did you mean svm-1?\n")


def test_a_study_is_listed_shown_paused_cancelled_and_deleted(there, db):
    assert "svm-1" in there("study", "list")[1]
    assert "4 pending" in there("study", "show", "svm-1")[1]
    assert there("study", "pause", "svm-1")[0] == 0
    assert studies.get(db, "svm-1").state == "paused"
    assert there("study", "cancel", "svm-1")[0] == 0
    code, _, error = there("study", "pause", "svm-1")
    assert (code, error) == (1, "ledger: study svm-1 is cancelled, so the command cannot pause the study\n")
    code, _, error = there("resume", "svm-1")
    assert (code, "was cancelled, which is final" in error) == (1, True)
    code, _, error = there("study", "delete", "svm-1")
    assert (code, "add --yes" in error) == (2, True)
    assert there("study", "delete", "svm-1", "--yes")[0] == 0
    assert studies.find(db, "svm-1") is None


def test_an_export_to_a_folder_that_does_not_exist_is_refused(there, tmp_path):
    for arguments in (["--output", "no/a.json"], ["--format", "files", "--output", "no"]):
        code, _, error = there("export", "svm-1", *arguments)
        assert (code, error.count("\n")) == (2, 1)
        assert "make it first" in error
    assert not (tmp_path / "no").exists()


def test_an_export_names_the_file_that_it_has_written(there):
    for form in ("csv", "json", "jsonl", "parquet"):
        assert there("export", "svm-1", "--format", form, "--output", "t") == (0, "", "trials written to t\n")


def test_a_smaller_budget_is_refused(there, db):
    studies.extend(db, studies.get(db, "svm-1").id, 9)
    code, _, error = there("resume", "svm-1", "--iterations", "2")
    assert (code, "the budget of a study cannot be reduced" in error) == (1, True)
    code, _, error = there("resume", "svm-1", "--trials", "4")
    assert (code, "the budget of a study cannot be reduced" in error) == (1, True)


def test_a_budget_in_iterations_and_in_trials_is_refused(there):
    said = "ledger: --iterations and --trials exclude each other; remove one of them\n"
    assert there("resume", "svm-1", "--iterations", "9", "--trials", "90")[::2] == (2, said)


@pytest.mark.parametrize(
    "command",
    [["trial", "list"], ["verify"], *(["trial", command] for command in ("show", "retry", "cancel"))],
    ids=" ".join,
)
def test_commands_of_trials_name_an_unknown_study_and_trial(there, command):
    numbers = ["7"] if command[-1] in ("show", "retry", "cancel") else []
    assert there(*command, "svm-2", *numbers)[::2] == (1, "ledger: there is no study 'svm-2': did you mean svm-1?\n")
    if numbers:
        said = "ledger: there is no trial 7: study svm-1 has trials 0 to 3\n"
        assert there(*command, "svm-1", *numbers)[::2] == (1, said)
        code, _, error = there(*command, "svm-1", "first")
        assert (code, error.count("\n")) == (2, 1)


def test_trials_are_listed_shown_retried_and_cancelled(there, connection):
    protocol.complete(connection, take(connection, "svm-1"), 0.25, {"accuracy": 0.75}, 1.5)
    for _ in range(3):
        protocol.fail(connection, take(connection, "svm-1"), "Traceback\nValueError: no", 0.5, "crashed")
    code, out, _ = there("trial", "list", "svm-1")
    header, *lines = out.splitlines()
    assert (code, len(lines)) == (0, 4)
    assert header.lower().split() == [
        *("trial", "iteration", "state", "value", "seconds", "c"),
        *("attempts", "failures", "crashes", "lost", "worker"),
    ]
    assert lines[0].split() == ["0", "0", "complete", "0.75", "1.5", "1", "1", "0", "0", "0", "w"]
    assert lines[3].split() == ["3", "0", "pending", "-", "-", "1.003", "0", "0", "0", "0", "-"]
    out = there("trial", "list", "svm-1", "--state", "failed")[1]
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["1"]
    assert there("trial", "list", "svm-1", "--state", "cancelled")[1] == "study svm-1 has no cancelled trials\n"

    code, out, _ = there("trial", "show", "svm-1", "1")
    assert code == 0
    counted = "3 attempts, 0 failures, 3 crashes"
    for said in ('{"C": 1.001}', "state       failed", counted, "ValueError: no", "  Traceback"):
        assert said in out
    assert out.count("crashed after 0.50 s by worker w") == 3
    for (claim,) in connection.execute("select claim::text from ledger.attempt").fetchall():
        assert claim not in out

    assert there("trial", "retry", "svm-1", "1")[1] == "trial 1 of study svm-1 is tried again as trial 4\n"
    assert "retried from trial 1" in there("trial", "show", "svm-1", "4")[1]
    assert there("trial", "cancel", "svm-1", "2", "4")[:2] == (
        0,
        "trial 2 of study svm-1 is cancelled\ntrial 4 of study svm-1 is cancelled\n",
    )
    for arguments, said in (
        (
            ["retry", "svm-1", "0"],
            "trial 0 of study svm-1 is complete: only a failed or cancelled trial can be retried",
        ),
        (["cancel", "svm-1", "3", "2"], "trial 2 of study svm-1 is cancelled already"),
    ):
        code, out, error = there("trial", *arguments)
        assert (code, out, error.count("\n")) == (1, "", 1)
        assert said in error
    assert connection.execute("select state from ledger.trial where number = 3").fetchone() == ("pending",)


def test_what_others_wrote_is_shown_printable(there, connection):
    protocol.fail(
        connection,
        take(connection, "svm-1", "w\x1b[2J"),
        "Traceback\n  in f\nValueError: \x1b[2J",
        0.5,
        "failed",
        "\x1b[2J",
    )
    protocol.announce(connection, "w\x1b[2J", "host", 7, {})
    for arguments in (["trial", "show", "svm-1", "0"], ["trial", "list", "svm-1"], ["worker", "list"]):
        code, out, _ = there(*arguments)
        assert (code, "w\\x1b[2J" in out, "\x1b" in out) == (0, True, False)


def test_a_retry_says_how_a_study_that_has_ended_goes_on(there, db, connection):
    row = studies.get(db, "svm-1")
    trials.cancel(db, row.id, [0], "test")
    for _ in range(3):
        protocol.complete(connection, take(connection, "svm-1"), 0.25, {}, 1.5)
    assert tell(db, row, 0, 0.25, 0.25) == "told"
    assert finish(db, row, "complete", None) == "finished"
    out = there("trial", "retry", "svm-1", "0")[1]
    assert "study svm-1 runs again: `ledger resume svm-1` continues the study" in out


def test_workers_are_listed_with_their_trials_and_states(there, connection, advance):
    assert there("worker", "list")[1] == "no worker has started yet: `ledger worker` starts a worker\n"
    for name in ("idle", "trains", "left", "lost"):
        protocol.announce(connection, name, "host", 7, {})
    protocol.announce(connection, "left", "host", 7, {}, stopped=True)
    take(connection, "svm-1", "trains")
    take(connection, "svm-1", "lost")

    def states() -> dict[str, list[str]]:
        code, out, _ = there("worker", "list")
        assert code == 0
        return {line.split()[0]: line.split(maxsplit=3)[2:] for line in out.splitlines()[1:]}

    assert {name: state for name, (state, _) in states().items()} == {
        "idle": "alive",
        "trains": "alive",
        "left": "stopped",
        "lost": "alive",
    }
    advance(20)
    assert connection.execute("select ledger.heartbeat(id, 0, claim) from ledger.study, ledger.trial where number = 0")
    advance(45)
    now = states()
    assert {name: state for name, (state, _) in now.items()} == {
        "idle": "gone",
        "trains": "alive",
        "left": "stopped",
        "lost": "gone",
    }
    assert now["trains"][1].startswith("svm-1 trial 0  ")
    assert "0:00:4" in now["idle"][1]


def test_options_of_a_worker_to_start_are_not_lost_on_the_list(there):
    code, _, error = there("worker", "--max-trials", "3", "list")
    assert (code, error.count("\n")) == (2, 1)
    assert "--max-trials is before list" in error


def propose(db: Connection) -> None:
    """The study s with the first iteration that its manager proposes."""

    class Proposed(Exception):
        pass

    row = register(db, assemble({"name": "s"}))

    def stop(_progress: Any) -> None:
        if trials.all_of(db, row.id):
            raise Proposed

    with pytest.raises(Proposed):
        managed(db, row, stop).run()


def test_a_study_is_verified_and_the_first_difference_named(run, url, db, connection, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", url)
    assert "exit code 1" in run("verify", "--help")[1]
    propose(db)
    code, out, error = run("verify", "s")
    assert (code, error) == (0, "")
    assert out.startswith(
        "the records of study s are consistent: 2 trials, 0 attempts, 1 iterations; 1 proposals recomputed, 0"
    )
    connection.execute("update ledger.trial set attempts = 1 where number = 1")
    code, out, error = run("verify", "s")
    assert (code, out) == (1, "")
    assert error == "ledger: study s, trial 1: the trial's row records 1 attempts, but 0 attempts exist\n"
    connection.execute("update ledger.trial set attempts = 0 where number = 1")
    connection.execute("""update ledger.iteration set environment = environment || '{"scipy": "1.0"}'""")
    code, out, _ = run("verify", "s")
    assert code == 0
    assert "0 proposals recomputed, 1 not comparable\niteration 0 is not comparable: scipy 1.0 recorded, " in out


def test_optuna_is_let_in_and_shut_out_and_told_where_the_ledger_is(there, url, monkeypatch):
    place = conninfo_to_dict(url)
    shut = (1, f"ledger: Optuna cannot read database {place['dbname']} at ")
    assert there("optuna", "status")[1] == "Optuna cannot read this ledger: run `ledger optuna enable`\n"
    for command in (["optuna", "url"], ["dashboard"]):
        code, out, error = there(*command)
        assert (code, out, error[: len(shut[1])], error.count("\n")) == (shut[0], "", shut[1], 1)
        assert "run `ledger optuna enable`" in error
    for again in ("", ", as before"):
        assert there("optuna", "enable")[1] == (
            f"Optuna can read this ledger{again}: `ledger dashboard` shows the ledger, and `ledger optuna url` prints"
            " the URL for Optuna\n"
        )
    code, out, _ = there("optuna", "status")
    assert (code, out) == (
        0,
        "Optuna can read this ledger; the ledger supports optuna 5.0 and optuna-dashboard 0.21\n",
    )
    assert json.loads(there("optuna", "status", "--json")[1]) == {
        "enabled": True,
        "optuna": "5.0",
        "optuna_dashboard": "0.21",
        "not_wholly_shown": [],
    }
    password = place.get("password") or "secret"
    monkeypatch.setenv("DATABASE_URL", make_conninfo(url, password=password))
    code, out, error = there("optuna", "url")
    assert (code, "options=-csearch_path%3Doptuna" in out) == (0, True)
    assert f":{password}@" not in out
    assert "password" not in out
    assert (
        error == "ledger: the printed URL does not contain the password: set the password in PGPASSWORD or ~/.pgpass\n"
    )
    for again in (" any more", ", as before"):
        assert there("optuna", "disable")[1] == f"Optuna cannot read this ledger{again}\n"


def test_a_schema_optuna_of_somebody_else_is_refused_and_stays(there, connection):
    connection.execute("create schema optuna create table studies (study_id int)")
    code, _, error = there("optuna", "enable")
    assert (code, error.count("\n")) == (1, 1)
    assert "the database has a schema optuna that `ledger optuna enable` did not make: rename the schema" in error
    code, _, error = there("optuna", "disable")
    assert (code, error) == (
        1,
        "ledger: schema optuna stays, because `ledger optuna enable` did not make it\n",
    )
    assert connection.execute("select * from optuna.studies").fetchall() == []


def test_what_is_missing_for_optuna_is_named(there, tmp_path, monkeypatch):
    there("optuna", "enable")
    for found, said in (
        ("4.9.0", "the supported version of optuna is 5.0, not 4.9.0: pip install 'optuna==5.0.*'"),
        (None, "optuna is not installed: pip install 'trial-ledger[dashboard]'"),
    ):
        monkeypatch.setattr("ledger.optuna.connect._installed_version", lambda _package, found=found: found)
        for command in (["dashboard"], ["export", "svm-1", "--format", "optuna", "--output", "study.db"]):
            assert there(*command)[::2] == (1, f"ledger: {said}\n")
        # the URL may be for Optuna on another machine
        assert there("optuna", "url")[0] == (1 if found else 0)
    assert not (tmp_path / "study.db").exists()


def test_a_study_is_exported_for_optuna(there, tmp_path):
    code, _, error = there("export", "svm-1", "--format", "optuna")
    assert (code, "name the file with --output, as in --output study.db" in error) == (2, True)
    assert there("export", "svm-1", "--format", "optuna", "--output", "study.db") == (
        0,
        "",
        "trials written to study.db\n",
    )
    code, _, error = there("export", "svm-1", "--format", "optuna", "--output", "study.db")
    assert (code, error.count("\n")) == (2, 1)
    assert "study.db exists, and may contain other studies: name a new file" in error
    assert there("export", "svm-1", "--format", "optuna", "--output", "no/study.db")[0] == 2
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["study.db"]


def test_a_port_that_is_taken_is_named(there):
    there("optuna", "enable")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, error = there("dashboard", "--port", str(port))
        assert (code, out) == (1, "")
        assert error == (
            f"ledger: the dashboard cannot listen on 127.0.0.1:{port}: Address already in use; choose another --port\n"
        )
        code, _, error = there("dashboard", "--host", "no such host")
        assert (code, error.count("\n")) == (1, 1)
