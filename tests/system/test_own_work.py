"""A user's own data and functions, as docs/own-data.md and docs/own-objective.md say, over real workers."""

import subprocess
import sys

import pytest

from ledger.cli.access import database
from ledger.settings import Settings
from tests.system.programs import Program, wait_until


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """One embedded server for all tests of this file, which runs throughout."""
    folder = tmp_path_factory.mktemp("own")
    made = Program(folder)
    with database(Settings(home=made.home), create=True):
        yield made


def python(program, *arguments, code=0):
    process = subprocess.run(
        [sys.executable, *arguments],
        cwd=program.folder,
        env=program._environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == code, process.stdout + process.stderr
    return process.stderr if code else process.stdout


def test_data_of_a_file_are_fetched_by_workers_that_know_the_address_alone_and_give_the_same_study(program, root):
    """Two workers elsewhere than the file, one killed within a trial; the same losses as on one worker."""
    options = ["--model", "xgb", "--data", str(root / "docs" / "customers.csv"), "--target", "bought", "--cv", "3"]
    options += ["--iterations", "3", "--points", "4"]
    program.run("run", *options, "--workers", "1", "--name", "alone")
    with database(Settings(home=program.home)):
        workers = [program.start("worker", "--study", "shared", "--until-complete") for _ in range(2)]
        manager = program.start("manager", *options, "--name", "shared")
        wait_until(
            lambda: program.query(
                "select from ledger.trials join ledger.studies s on s.id = study_id"
                " where s.name = 'shared' and trials.state = 'complete'"
            )
        )
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
    assert "agrees with its ledger" in program.run("verify", "shared")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "none.csv", "--target", "y"], "--data or DATA_FILE: none.csv: No such file or directory"),
        (["--data", "bad.csv"], "--data or DATA_FILE: the target is missing; say by --target"),
        (["--target", "y"], "--target or TARGET_COLUMN: there is no file to have a target"),
        (["--data", "bad.csv", "--target", "z"], 'bad.csv: there is no column "z" for the target; there are a, y'),
        (["--data", "bad.csv", "--target", "y"], 'bad.csv: line 3, column "a": "x" is text in a column of numbers'),
        (["--dataset", "iris", "--metric", "roc_auc"], '--metric or METRIC: "roc_auc" is for two classes'),
        (["--dataset", "iris", "--data", "bad.csv", "--target", "y"], "dataset and data exclude each other"),
    ],
)
def test_bad_data_are_refused_in_one_line_before_anything_is_written(tmp_path, options, said):
    program = Program(tmp_path)
    (tmp_path / "bad.csv").write_text("a,y\n1,0\nx,1\n2,0\n3,1\n")
    error = program.run("run", *options, code=2)
    assert said in error
    assert error.count("\n") == 1
    assert not program.home.exists()


def test_an_edited_file_does_not_go_on_with_a_study_of_the_other(program):
    file = program.folder / "edited.csv"
    file.write_text("a,y\n" + "1,no\n2,yes\n" * 10)
    options = ["run", "--data", "edited.csv", "--target", "y", "--iterations", "1", "--name", "edited"]
    program.run(*options)
    assert "complete" in program.run(*options)
    file.write_text("a,y\n" + "1,no\n2,yes\n" * 11)
    assert "objective.data.sha256: " in program.run(*options, code=1)


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
result = ledger.Study(make(1.0), name="notebook", iterations=1, points=2).run(workers=1)
print(result)
''', cell)
"""


def test_a_closure_of_a_notebook_whose_source_nobody_has_is_searched_and_never_run_by_a_strange_worker(program):
    assert "<study notebook: complete, 2 of 2 trials complete>" in python(program, "-c", NOTEBOOK)
    program.query(
        "with again as (update ledger.study set state = 'running', finished_at = null where name = 'notebook'"
        " returning id) insert into ledger.trial"
        " (study_id, number, iteration, round, source, params, available_at)"
        " select id, 9, 0, 0, 'proposed', '{\"x\": 0.5}', now() from again returning number"
    )
    error = program.run("worker", "--study", "notebook", "--allow", "__main__", code=1)
    assert "is a function of a script or notebook, which only the workers that its own run() starts know" in error
    program.run("study", "cancel", "notebook")


def test_what_cannot_be_searched_from_python_is_refused_by_name(program):
    (program.folder / "unguarded.py").write_text(
        "import ledger\n@ledger.objective(space={'x': (0.0, 1.0)})\ndef loss(params):\n    return params['x']\n"
        "ledger.Study(loss, name='unguarded').run(workers=1)\n"
    )
    decorated = "import ledger\n@ledger.objective(space={'x': (0.0, 1.0)})\ndef loss(p): return connection\n"
    for script, said in (
        ("import unguarded", 'put run() under if __name__ == "__main__":'),
        (
            f"import threading; connection = threading.Lock()\n{decorated}ledger.Study(loss).run()",
            "cannot be carried to",
        ),
        ("import ledger\nledger.Study(len)", "'len' has no space: put @ledger.objective"),
        (
            "import ledger\nledger.objective(space={'x': (1.0, 0.0)})",
            "@ledger.objective space: x: low 1.0 is not below",
        ),
        (f"{decorated}ledger.Study(loss, seed=-1)", "[study] seed: -1 must be greater than or equal to 0"),
        ("import ledger\nledger.load_study('none')", "there is no study 'none'"),
    ):
        error = python(program, "-c", script, code=1)
        assert said in error.splitlines()[-1], error
