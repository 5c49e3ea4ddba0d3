"""The imports of each program: a worker imports little, and a manager no booster."""

import subprocess
import sys

import click
import pytest

from ledger.cli import COMMANDS, program

TRAINED = """
from ledger.objectives import Context, load
objective = load({{"model": {model!r}, "dataset": "iris"}}, ())
objective({params!r}, Context("s", 0, 1, 7, 7))
"""


# scikit-learn loads pandas wherever that is installed
NOT_TRAINED_WITH = ["skopt", "psycopg", "sqlalchemy", "alembic", "pydantic", "matplotlib", "optuna"]


def loaded(code, libraries):
    """Those of the libraries that a new process has loaded after it ran the code."""
    code = f"import sys; {code}\nprint('loaded', *sorted(set({libraries!r}) & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return said.rpartition("loaded")[2].split()


@pytest.mark.parametrize(
    ("model", "params", "library"),
    [("svm", {"C": 1.0}, []), ("xgb", {"n_estimators": 1}, ["xgboost"]), ("lgbm", {"n_estimators": 1}, ["lightgbm"])],
)
def test_a_trainer_imports_the_library_of_its_model_alone(model, params, library):
    code = TRAINED.format(model=model, params=params)
    assert loaded(code, ["xgboost", "lightgbm", *NOT_TRAINED_WITH]) == library


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        (
            "import ledger.cli.worker, ledger.database.revision, ledger.worker.supervisor",
            ["skopt", "sklearn", "numpy", "scipy", "sqlalchemy", "alembic", "pydantic"],
        ),
        (
            "import ledger.worker.trainer_process",
            ["skopt", "sklearn", "numpy", "scipy", "psycopg", "sqlalchemy", "alembic", "pydantic", "click"],
        ),
        ("import ledger.objectives", ["sklearn", "xgboost", "lightgbm", "numpy", "scipy", "skopt"]),
        ("import ledger.manager.loop", ["xgboost", "lightgbm"]),
        ("import ledger.database.managing, ledger.database.reads", ["skopt", "sklearn", "numpy"]),
        ("import ledger.study.space", ["skopt", "sklearn", "numpy", "scipy", "pydantic"]),
        ("import ledger.optimizer", ["psycopg", "sqlalchemy", "xgboost", "lightgbm"]),
        (
            "import ledger.cli.status, ledger.cli.study, ledger.terminal.live",
            ["rich", "tomli_w", "skopt", "sklearn", "numpy", "pydantic"],
        ),
        (
            "import ledger.cli.report, ledger.cli.export",
            ["plotly", "kaleido", "jinja2", "pyarrow", "numpy", "sqlalchemy"],
        ),
        ("import ledger.cli", ["sqlalchemy", "skopt", "sklearn", "psycopg", "alembic"]),
        (
            "import ledger.cli; ledger.cli.program.main(['run', '--help'], standalone_mode=False)",
            ["skopt", "sklearn", "numpy", "scipy", "sqlalchemy", "alembic", "rich"],
        ),
        ("import ledger.cli.export, ledger.cli.optuna, ledger.cli.dashboard", ["optuna", "optuna_dashboard", "bottle"]),
        (
            "import ledger.cli; ledger.cli.program.main(['--help'], standalone_mode=False)",
            ["ledger.cli.search", "sqlalchemy", "psycopg", "rich", "alembic", "pydantic"],
        ),
    ],
)
def test_modules_import_nothing_that_they_do_not_need(statement, unwanted):
    assert loaded(statement, unwanted) == []


MANAGED = """
import atexit, os, sys
from ledger.cli import main
atexit.register(lambda: print("loaded", *sorted({"skopt", "pandas", "pyarrow"} & set(sys.modules))))
sys.argv = ["ledger", *sys.argv[1:], "--database-url", "postgresql://127.0.0.1:1/none"]
main()
"""


@pytest.mark.parametrize("command", ["run", "manager", "resume s"])
def test_a_command_that_manages_a_study_imports_no_pandas(command):
    program = [sys.executable, "-c", MANAGED, *command.split()]
    ended = subprocess.run(program, capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == "loaded skopt", ended.stderr


def test_pandas_works_with_scikit_learn_after_it_was_hidden():
    code = (
        "from ledger.cli.without_pandas import without_pandas\n"
        "with without_pandas(): import ledger.optimizer\n"
        "import pandas; from sklearn.preprocessing import StandardScaler\n"
        "scaler = StandardScaler().set_output(transform='pandas')\n"
        "print(scaler.fit_transform(pandas.DataFrame({'a': [1.0, 3.0]}))['a'].tolist())"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output == "[-1.0, 1.0]\n"


HIDDEN = """
import sys
found = set()
class Finder:
    def find_spec(self, *arguments):
        found.update(name for name, module in sys.modules.items() if module is None)
sys.meta_path.insert(0, Finder())
import ledger.optimizer, ledger.proposals, ledger.api
print(found)
"""


def test_the_library_hides_no_module_while_it_is_imported():
    output = subprocess.run([sys.executable, "-c", HIDDEN], check=True, capture_output=True, text=True).stdout
    assert output == "set()\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_repeats_the_help_of_each(name):
    command = program.get_command(click.Context(program), name)
    assert command is not None
    assert (command.help or "").startswith(COMMANDS[name][1].removesuffix("."))
