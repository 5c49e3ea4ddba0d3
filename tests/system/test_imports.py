"""The imports of each program: a worker imports little, and a manager no booster."""

import subprocess
import sys

import click
import pytest

from ledger.cli import COMMANDS, program

# Trains in one process, so that scikit-learn is imported once; prints what each model has loaded beside it.
TRAINED = """
import sys
from ledger.objectives import Context, load
for model, params in {"svm": {"C": 1.0}, "lgbm": {"n_estimators": 1}, "xgb": {"n_estimators": 1}}.items():
    load({"model": model, "dataset": "iris"}, ())(params, Context("s", 0, 1, 7, 7))
    print(*sorted(set(sys.argv[1:]) & set(sys.modules)))
"""


# scikit-learn loads pandas wherever that is installed
NOT_TRAINED_WITH = ["skopt", "psycopg", "sqlalchemy", "alembic", "pydantic", "matplotlib", "optuna"]


def loaded(code, libraries):
    """Those of the libraries that a new process has loaded after it ran the code."""
    code = f"import sys; {code}\nprint('loaded', *sorted(set({libraries!r}) & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return said.rpartition("loaded")[2].split()


def test_a_trainer_imports_the_library_of_its_model_alone():
    command = [sys.executable, "-c", TRAINED, "xgboost", "lightgbm", *NOT_TRAINED_WITH]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed == "\nlightgbm\nlightgbm xgboost\n"


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
        (
            "import ledger.database.managing, ledger.database.reads, ledger.database.migration",
            ["skopt", "sklearn", "numpy", "alembic"],
        ),
        ("import ledger.sklearn", ["skopt", "sqlalchemy", "psycopg", "pydantic", "optuna", "xgboost", "lightgbm"]),
        ("import ledger.study.space", ["skopt", "sklearn", "numpy", "scipy", "pydantic"]),
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


# Proposes random points, and then points of a surrogate.
PROPOSED = """
import sys
from ledger import search
from ledger.proposals import Observation, ProposalInput, propose
from ledger.study.file import assemble
from ledger.without_pandas import without_pandas
with without_pandas():
    study = assemble({"model": "svm", "seed": 7, "trials": 40})
    points = propose(study, 0, 0, 12, ProposalInput()).points
    print("loaded", *filter(sys.modules.get, ("pandas", "pyarrow", "skopt", "sklearn")))
    given = ProposalInput(tuple(Observation(params, params["C"], 1.0) for params in points))
    assert propose(study, 1, 0, 1, given).surrogate is not None
    print("loaded", *filter(sys.modules.get, ("pandas", "pyarrow", "skopt", "sklearn")))
"""


def test_random_points_need_no_optimizer_and_a_manager_imports_no_pandas():
    ended = subprocess.run([sys.executable, "-c", PROPOSED], capture_output=True, text=True)
    assert ended.stdout == "loaded\nloaded skopt sklearn\n", ended.stderr


def test_pandas_works_with_scikit_learn_after_it_was_hidden():
    code = (
        "from ledger.without_pandas import without_pandas\n"
        "with without_pandas(): import ledger.optimizer\n"
        "import pandas; from sklearn.preprocessing import StandardScaler\n"
        "scaler = StandardScaler().set_output(transform='pandas')\n"
        "print(scaler.fit_transform(pandas.DataFrame({'a': [1.0, 3.0]}))['a'].tolist())"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output == "[-1.0, 1.0]\n"


# Imports in one process, so that scikit-learn is imported once; prints what each import has loaded, and what it hid.
IMPORTED = """
import sys
hidden = set()
class Finder:
    def find_spec(self, *arguments):
        hidden.update(name for name, module in sys.modules.items() if module is None)
sys.meta_path.insert(0, Finder())
import ledger.optimizer
print(*sorted({"psycopg", "sqlalchemy", "xgboost", "lightgbm"} & set(sys.modules)))
import ledger.manager.loop, ledger.proposals, ledger.api
print(*sorted({"xgboost", "lightgbm"} & set(sys.modules)))
print(*hidden)
"""


def test_the_optimizer_and_manager_import_no_booster_and_hide_no_module():
    output = subprocess.run([sys.executable, "-c", IMPORTED], check=True, capture_output=True, text=True).stdout
    assert output == "\n\n\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_repeats_the_help_of_each(name):
    command = program.get_command(click.Context(program), name)
    assert command is not None
    assert (command.help or "").startswith(COMMANDS[name][1].removesuffix("."))
