"""What a person gets for bad input: one line on standard error, the exit code, and nothing written."""

import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from ledger.cli import main
from ledger.database import protocol
from ledger.resources import folder
from tests.integration.ledgers import make_study, take

_VARIABLES = [
    *("MODEL_CHOICE", "NUM_ITERATIONS", "NUM_HYPERPARAM_SETS", "SEED", "BASE_ESTIMATOR", "ACQ_FUNC", "STUDY_NAME"),
    *("DATABASE_URL", "LEDGER_ALLOW", "LEDGER_LOG_FORMAT", "LEDGER_LOG_LEVEL"),
]
Run = Callable[..., tuple[int, str, str]]

STUDY = '[objective]\nmodel = "svm"\n'


@pytest.fixture
def run(monkeypatch, capfd, tmp_path) -> Iterator[Run]:
    """Runs the program in this process: exit code, standard output, standard error."""
    for name in _VARIABLES:
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
        (["run", "--model", "tree"], "'tree' is not one of 'svm', 'xgb', 'lgbm'"),
        (["run", "--base-estimator", "GBRT"], "'GBRT' is not one of"),
        (["run", "--acq-func", "UCB"], 'unknown acq_func "UCB"'),
        (["run", "--acq-func", "gp_hedge"], "its gains are memory that the ledger does not hold"),
        (["run", "--iterations", "0"], "'--iterations'"),
        (["manager", "--points", "0"], "'--points'"),
        (["run", "--points", "two"], "'two' is not a valid integer"),
        (["run", "--seed", "-1"], "seed"),
        (["run", "--name", "a b"], "name"),
        (["run", "--workers", "0"], "'--workers'"),
        (["run", "none.toml"], "none.toml: No such file or directory"),
        (["worker", "--max-trials", "0"], "'--max-trials'"),
        (["export", "s", "--format", "xml"], "'xml' is not one of"),
        (["export", "s", "--format", "files"], "name it with --output"),
        (["study", "list", "--database-url", "postgres:/me:secret@host"], "the database URL cannot be parsed"),
        (["nonsense"], "No such command 'nonsense'"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(run, tmp_path, arguments, said):
    code, _, error = run(*arguments)
    assert code == 2
    assert said in error
    assert "secret" not in error
    assert error.count("\n") == 1
    assert not (tmp_path / "home").exists(), "nothing is written"


@pytest.mark.parametrize("name", ["NUM_ITERATIONS", "NUM_HYPERPARAM_SETS", "MODEL_CHOICE", "ACQ_FUNC"])
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
        f"ledger: there is no ledger in {tmp_path / 'home'}: `ledger run` makes one, or name a server with"
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
def there(run: Run, url, store, monkeypatch) -> Run:
    """The program on a ledger with the study svm-1 of four pending trials."""
    make_study(store, "svm-1")
    monkeypatch.setenv("DATABASE_URL", url)
    return run


@pytest.mark.parametrize(
    "command", [["study", "show"], ["study", "pause"], ["study", "cancel"], ["export"], ["resume"], ["study", "delete"]]
)
def test_an_unknown_study_is_named_with_the_nearest(there, command):
    assert there(*command, "svm-2")[::2] == (1, "ledger: there is no study 'svm-2': did you mean svm-1?\n")


def test_a_study_is_listed_shown_paused_cancelled_and_deleted(there, store):
    assert "svm-1" in there("study", "list")[1]
    assert "4 pending" in there("study", "show", "svm-1")[1]
    assert there("study", "pause", "svm-1")[0] == 0
    assert store.study("svm-1").state == "paused"
    assert there("study", "cancel", "svm-1")[0] == 0
    code, _, error = there("study", "pause", "svm-1")
    assert (code, error) == (1, "ledger: study svm-1 is cancelled, so it cannot be paused\n")
    code, _, error = there("resume", "svm-1")
    assert (code, "was cancelled, which is for good" in error) == (1, True)
    code, _, error = there("study", "delete", "svm-1")
    assert (code, "say --yes" in error) == (2, True)
    assert there("study", "delete", "svm-1", "--yes")[0] == 0
    assert store.find("svm-1") is None


def test_an_export_to_a_folder_that_does_not_exist_is_refused(there, tmp_path):
    for arguments in (["--output", "no/a.json"], ["--format", "files", "--output", "no"]):
        code, _, error = there("export", "svm-1", *arguments)
        assert (code, error.count("\n")) == (2, 1)
        assert "make it first" in error
    assert not (tmp_path / "no").exists()


def test_a_smaller_budget_is_refused(there, store):
    store.extend(store.study("svm-1").id, 5)
    code, _, error = there("resume", "svm-1", "--iterations", "2")
    assert (code, "a budget only grows" in error) == (1, True)


def test_every_ready_query_runs(there, store, connection):
    protocol.complete(connection, take(connection, "svm-1"), 0.25, {"accuracy": 0.75}, 1.0)
    protocol.fail(connection, take(connection, "svm-1"), "Traceback\nValueError: no", 1.0)
    protocol.announce(connection, "w", "host", 7, {})
    files = sorted((folder("sql") / "queries").glob("*.sql"))
    assert len(files) >= 5
    for file in files:
        assert file.read_text().startswith("-- "), "says what it answers"
        for chosen in ([], ["-v", "study=svm-1"]):
            code, out, error = there("db", "psql", "-v", "ON_ERROR_STOP=1", *chosen, "-f", str(file))
            assert (code, error) == (0, ""), error
            assert "svm-1" in out or "host" in out
