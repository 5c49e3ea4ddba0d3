"""A user's data and functions with real workers, as docs/own-data.md and docs/own-objective.md describe them."""

import json
import os
import re
import statistics

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger import embedded
from ledger.access import database
from ledger.errors import LedgerError
from ledger.settings import Settings
from tests.system.programs import Program, wait_until

# Each test trains models on a user's data in several processes.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Run one embedded server for all tests of this file."""
    folder = tmp_path_factory.mktemp("own")
    made = Program(folder)
    with database(Settings(home=made.home), create=True):
        yield made


def test_workers_elsewhere_fetch_the_data_of_a_file_from_the_ledger(program, root):
    """Two workers without access to the file, one of them killed during a trial, give the same losses as one worker."""
    # a short lease, because the killed worker's trial is free again when its lease has ended
    (program.folder / "bought.toml").write_text("[limits]\nlease = 5.0\nheartbeat = 1.0\n")
    options = [
        "bought.toml",
        "--model",
        "xgb",
        "--data",
        str(root / "docs" / "customers.csv"),
        "--target-column",
        "bought",
    ]
    options += ["--cv", "3", "--iterations", "3", "--batch-size", "4"]
    program.run("run", *options, "--workers", "1", "--name", "alone")
    with database(Settings(home=program.home)):
        workers = [program.start("worker", "--study", "shared", "--until-complete") for _ in range(2)]
        manager = program.start("manager", *options, "--name", "shared")
        wait_until(lambda: program.query("select from ledger.trials where study = 'shared' and state = 'complete'"))
        workers[0].kill()
        workers.append(program.start("worker", "--study", "shared", "--until-complete"))
        for process in (manager, *workers[1:]):
            out, error = process.communicate()
            assert process.returncode == 0, out + error
        workers[0].communicate()
    losses = [
        [(trial["params"], trial["loss"]) for trial in program.document(name)["trials"]] for name in ("alone", "shared")
    ]
    assert losses[0] == losses[1]
    assert "the records of study shared are consistent" in program.run("verify", "shared")


def test_a_study_goes_on_elsewhere_from_its_address_or_its_export(program, tmp_path):
    """The study is recorded with the file, run by programs without access to it, and then moved to another ledger."""
    file = program.folder / "gone.csv"
    file.write_text("a,b,y\n" + "".join(f"{n % 7},{n % 5},{'no' if n % 7 < 3 else 'yes'}\n" for n in range(60)))
    options = ["--data", "gone.csv", "--target-column", "y", "--cv", "4", "--metric", "f1", "--iterations", "2"]
    program.run("study", "create", *options, "--name", "gone")
    file.unlink()
    (tmp_path / "elsewhere").mkdir()
    elsewhere = Program(tmp_path / "elsewhere", DATABASE_URL=embedded.url(program.home))
    worker = elsewhere.start("worker", "--study", "gone", "--until-complete")
    out = elsewhere.run("resume", "gone")
    assert re.search(r"^value       [01]\.\d+ \(f1, maximize\)\ndeviation   \S+ over 4 folds$", out, re.MULTILINE)
    worker.communicate()
    assert worker.returncode == 0
    document = elsewhere.document("gone")
    for trial in document["trials"]:
        found = trial["metrics"]
        assert len(found["f1_folds"]) == 4
        assert found["f1"] == pytest.approx(statistics.fmean(found["f1_folds"]))
        assert found["f1_std"] == pytest.approx(statistics.pstdev(found["f1_folds"]))
        assert trial["value"] == found["f1"]
        assert trial["loss"] == 1 - found["f1"]

    (tmp_path / "moved").mkdir()
    moved = Program(tmp_path / "moved")
    elsewhere.run("export", "gone", "--output", str(moved.folder / "gone.json"))
    moved.run("import", "gone.json")
    assert "complete" in moved.run("resume", "gone", "--iterations", "3", "--workers", "1")
    program.run("resume", "gone", "--iterations", "3", "--workers", "1")
    extended, here = (one.document("gone") for one in (moved, program))
    assert extended["dataset"] == here["dataset"] == document["dataset"]
    losses = [[(trial["params"], trial["loss"]) for trial in one["trials"]] for one in (extended, here)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6


def test_a_steady_search_by_a_negated_score_shows_the_score(program):
    petals = {"a": [n % 7 for n in range(60)], "y": [n % 7 > 2 for n in range(60)]}
    pq.write_table(pa.table(petals), program.folder / "own.parquet")
    options = ["--model", "lgbm", "--data", "own.parquet", "--target-column", "y", "--metric", "neg_log_loss"]
    out = program.run("run", *options, "--mode", "steady", "--workers", "2", "--name", "steady")
    best = json.loads(program.run("study", "show", "steady", "--json"))
    assert best["metric"] == "neg_log_loss"
    assert best["best_value"] == -best["best_loss"] == best["best"]["metrics"]["neg_log_loss"] < 0
    assert f"value       {best['best_value']!r} (neg_log_loss, maximize)\n" in out
    assert "accuracy" not in out
    status = json.loads(program.run("status", "steady", "--json"))
    assert (status["best"]["metric"], status["best"]["score"]) == ("neg_log_loss", best["best_score"])
    assert "the records of study steady are consistent" in program.run("verify", "steady")
    program.run("report", "steady", "--output", "steady.html")
    page = (program.folder / "steady.html").read_text()
    data = best["spec"]["objective"]["data"]
    for fact in ("own.parquet: 60 rows, target y", data["sha256"], "loss - neg_log_loss", "Best neg_log_loss"):
        assert fact in page


def test_one_worker_goes_from_dataset_to_dataset(program):
    (program.folder / "one.csv").write_text("a,y\n" + "1,no\n2,yes\n" * 10)
    program.run("study", "create", "--data", "one.csv", "--target-column", "y", "--iterations", "1", "--name", "one")
    program.run("study", "create", "--dataset", "iris", "--iterations", "1", "--name", "iris")
    worker = program.start("worker", "--max-trials", "6")
    for name in ("iris", "one"):
        assert "complete" in program.run("resume", name, "--workers", "0")
    assert "complete" in program.run("resume", "iris", "--workers", "0", "--iterations", "2")
    out, error = worker.communicate()
    assert worker.returncode == 0, out + error


def test_a_dataset_that_comes_slowly_costs_no_claim(tmp_path, root):
    """The dataset has four pieces of one second each, and the lease is two seconds."""
    program = Program(tmp_path)
    (tmp_path / "slow.csv").write_text("a,y\n" + "".join(f"{n},{n % 2}\n" for n in range(450_000)))
    (tmp_path / "slow.toml").write_text(
        '[study]\nname = "slow"\niterations = 1\nbatch_size = 2\n[objective]\nmodel = "lgbm"\ndata = "slow.csv"\n'
        'target_column = "y"\n[space]\nn_estimators = {type = "integer", low = 1, high = 2}\n'
        "[limits]\nlease = 2.0\nheartbeat = 0.5\n"
    )
    with database(Settings(home=program.home), create=True):
        program.run("study", "create", "slow.toml")
        fast = (root / "sql" / "functions" / "dataset.sql").read_text()
        with psycopg.connect(embedded.url(program.home), autocommit=True) as connection:
            connection.execute(fast.replace("begin\n", "begin\n  perform pg_sleep(1);\n"))
        assert "complete" in program.run("resume", "slow", "--workers", "1")
        assert program.query("select distinct outcome, attempt from ledger.attempts where outcome <> 'released'") == [
            ("complete", 1)
        ]
        assert program.query("select sum(lost) from ledger.trials") == [(0,)]


def test_an_edited_file_does_not_go_on_with_a_study_of_the_other(program):
    file = program.folder / "edited.csv"
    file.write_text("a,y\n" + "1,no\n2,yes\n" * 10)
    options = ["run", "--data", "edited.csv", "--target-column", "y", "--iterations", "1", "--name", "edited"]
    options += ["--workers", "1"]
    program.run(*options)
    assert "complete" in program.run(*options)
    file.write_text("a,y\n" + "1,no\n2,yes\n" * 11)
    error = program.run(*options, code=1)
    assert "exists with different settings (data file `edited.csv` (20 rows with SHA-256 " in error
    assert ", now 22 rows with SHA-256 " in error
    assert "objective.data" not in error


NOTEBOOK = """
cell = {"__name__": "__main__"}
exec('''
import ledger
calls = 3
def helper(x):
    return x * calls
def make(centre):
    @ledger.objective(space={"x": (0.0, 1.0)})
    def loss(params, context):
        return {"loss": (helper(params["x"]) - centre) ** 2, "seed": context.seed}
    return loss
result = ledger.Study(make(1.0), name="notebook", iterations=1, batch_size=2).run(workers=1)
print(result)
''', cell)
"""


def test_a_notebooks_closure_runs_on_the_workers_of_its_run_alone(program):
    assert "<study notebook: complete, 2 of 2 trials complete>" in program.run_python("-c", NOTEBOOK)
    error = program.run("resume", "notebook", "--workers", "1", "--trials", "4", code=1)
    assert "again, or move the function into a module; to extend a complete study, first set a larger" in error
    resumed = program.start("resume", "notebook", "--workers", "0")
    _, error = resumed.communicate()
    assert resumed.returncode == 0
    assert "to continue the study, set a larger `trials` or `iterations` in the study's script or notebook" in error
    program.query(
        "with again as (update ledger.study set state = 'running', finished_at = null where name = 'notebook'"
        " returning id) insert into ledger.trial"
        " (study_id, number, iteration, round, source, params, available_at)"
        " select id, 9, 0, 0, 'proposed', '{\"x\": 0.5}', now() from again returning number"
    )
    error = program.run("worker", "--study", "notebook", "--allow", "__main__", code=1)
    assert "so only the workers that run() starts there can load the objective: run" in error
    program.run("study", "cancel", "notebook")


TYPES = """
cell = {"__name__": "__main__"}
exec('''
import functools
import ledger
space = {"layers": [(64,), (64, (32,))], "depth": [None, 4], "mixed": [[1], {"a": (2,)}, "x", 0.5], "fixed": True}
def loss(params, sign):
    return {"loss": sign * len(params["layers"]), "seen": repr(sorted(params.items()))}
objective = functools.partial(loss, sign=-1.0)
result = ledger.Study(objective, space=space, name="types", iterations=3, batch_size=5).run(workers=1)
assert [trial.metrics["seen"] for trial in result.trials] == [
    repr(sorted(trial.params.items())) for trial in result.trials
]
print(len({trial.metrics["seen"] for trial in result.trials}), result.best_params["layers"])
''', cell)
"""


def test_an_objective_gets_none_and_tuples_as_the_user_wrote_them(program):
    assert program.run_python("-c", TYPES) == "15 (64, (32,))\n"
    assert "the records of study types are consistent" in program.run("verify", "types")


def test_what_cannot_be_searched_from_python_is_refused_by_name(program, monkeypatch):
    (program.folder / "unguarded.py").write_text(
        "import ledger\n@ledger.objective(space={'x': (0.0, 1.0)})\ndef loss(params):\n    return params['x']\n"
        "ledger.Study(loss, name='unguarded').run(workers=1)\n"
    )
    error = program.run_python("-c", "import unguarded", code=1)
    assert 'put run() under if __name__ == "__main__":' in error.splitlines()[-1]

    monkeypatch.setattr(os, "environ", program.environment)
    decorated = "import ledger\n@ledger.objective(space={'x': (0.0, 1.0)})\ndef loss(p): return connection\n"
    for script, said in (
        (
            f"import threading; connection = threading.Lock()\n{decorated}ledger.Study(loss).run()",
            "cannot be pickled for",
        ),
        ("import ledger\nledger.Study(len)", "the objective 'len' has no space: call Study(..., space={...}), or put"),
        (
            "import ledger\nledger.objective(space={'x': (1.0, 0.0)})",
            "@ledger.objective space: x: low 1.0 is not below",
        ),
        (f"{decorated}ledger.Study(loss, seed=-1)", "[study] seed: -1 must be greater than or equal to 0"),
        ("import ledger\nledger.load_study('none')", "there is no study 'none'"),
    ):
        with pytest.raises(LedgerError) as refused:
            exec(script, {"__name__": "__main__"})
        assert said in str(refused.value)
