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


@pytest.mark.parametrize(
    ("model", "params", "unwanted"),
    [
        ("svm", {"C": 1.0}, ["xgboost", "lightgbm"]),
        ("xgb", {"n_estimators": 1}, ["lightgbm"]),
        ("lgbm", {"n_estimators": 1}, ["xgboost"]),
    ],
)
def test_a_trainer_imports_the_library_of_its_model_alone(model, params, unwanted):
    code = f"import sys; {TRAINED.format(model=model, params=params)}"
    # pandas is not listed: scikit-learn imports it where it is installed
    unwanted = [*unwanted, "skopt", "psycopg", "sqlalchemy", "alembic", "pydantic", "matplotlib", "optuna"]
    code += f"print(*sorted(set({unwanted!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert loaded == []


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
        ("import ledger.manager.batch, ledger.manager.steady", ["xgboost", "lightgbm", "pandas", "pyarrow"]),
        ("import ledger.database.store", ["skopt", "sklearn", "numpy"]),
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
    code = f"import sys; {statement}; print('loaded', *sorted(set({unwanted!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert loaded[-1] == "loaded", loaded


def test_pandas_works_with_scikit_learn_after_the_optimizer_import():
    code = (
        "import ledger.optimizer, pandas; from sklearn.preprocessing import StandardScaler;"
        "scaler = StandardScaler().set_output(transform='pandas');"
        "print(scaler.fit_transform(pandas.DataFrame({'a': [1.0, 3.0]}))['a'].tolist())"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output == "[-1.0, 1.0]\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_repeats_the_help_of_each(name):
    command = program.get_command(click.Context(program), name)
    assert command is not None
    assert (command.help or "").startswith(COMMANDS[name][1].removesuffix("."))
