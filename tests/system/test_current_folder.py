"""Modules that another user may have put into the current folder, which no process of the ledger runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.access import database
from ledger.settings import Settings
from tests.databases import new_database
from tests.system.programs import Program
from tests.system.servers import EMBEDDED, VERSIONS

# A process finds its modules in the folders that it reads at its start.
pytestmark = pytest.mark.usefixtures("new_processes")

PLANTED = """
import pathlib, sys
pathlib.Path({file!r}).open("a").write(__name__ + " in " + " ".join(sys.orig_argv) + "; ")
raise ImportError("planted")
"""
# Modules of the package, of its libraries, of Python, and one that does not exist elsewhere.
NAMES = (
    *("ledger", "ledger.__main__", "ledger.cli", "sklearn", "psycopg", "threadpoolctl", "cloudpickle", "numpy"),
    *("alembic", "sqlalchemy", "kaleido", "choreographer", "plotly", "optuna", "json", "subprocess", "signal"),
    *("psycopg_c", "click", "wave"),
)
OBJECTIVE = """
import helper
import sys

def loss(params):
    import sklearn, wave
    return {"loss": helper.square(params["x"]), "last": sys.path[-1], "files": [sklearn.__file__, wave.__file__]}
"""
STUDY = """
[study]
name = "own"
iterations = 1
batch_size = 1
[objective]
function = "mine:loss"
[space]
x = { type = "real", low = -1.0, high = 1.0 }
"""


def plant(folder, executed, names=NAMES):
    for name in names:
        file = folder.joinpath(*name.split("."))
        if f"{name}.__main__" in names:
            file = file / "__init__"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".py").write_text(PLANTED.format(file=str(executed)))
    (folder / "mine.py").write_text(OBJECTIVE)
    (folder / "helper.py").write_text("def square(x):\n    return x ** 2\n")


class Planted:
    """A folder with planted modules, and a ledger with an embedded server or with the database of DATABASE_URL."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.folder, self._executed = program.folder / "shared", program.folder / "executed"
        self.folder.mkdir()
        self.home = self._program.home

    def run(self, *command: str) -> str:
        process = subprocess.run(
            command,
            cwd=self.folder,
            env=self._program.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        assert not self._executed.exists(), self._executed.read_text()
        return process.stdout

    def ledger(self, *arguments: str) -> str:
        return self.run(str(Path(sys.executable).with_name("ledger")), *arguments)

    def plant(self, *names: str) -> None:
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        plant(self.folder, self._executed, names or NAMES)

    def metrics(self, study: str) -> dict[str, object]:
        metrics: dict[str, object] = self._program.document(study)["trials"][0]["metrics"]
        return metrics


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Yield a folder with one embedded server for all tests of this file."""
    made = Planted(Program(tmp_path_factory.mktemp("planted")))
    with database(Settings(home=made.home), create=True):
        yield made


@pytest.fixture(params=VERSIONS)
def on_each_server(request, tmp_path, servers):
    """Yield the folder of `planted`, or a folder with a database of the container."""
    if request.param == EMBEDDED:
        yield request.getfixturevalue("planted")
        return
    server = servers.url("container")
    with new_database(server, servers.template(server)) as url:
        yield Planted(Program(tmp_path, DATABASE_URL=url))


def check_files(planted, metrics):
    assert metrics["last"] == str(planted.folder)
    assert not [file for file in metrics["files"] if str(planted.folder) in file]


def test_run_and_its_workers_run_no_module_of_the_current_folder(on_each_server):
    planted = on_each_server
    planted.plant()
    (planted.folder / "own.toml").write_text(STUDY)
    planted.ledger("run", "own.toml", "--allow", "mine", "--workers", "1")
    check_files(planted, planted.metrics("own"))


def test_a_worker_without_permission_runs_no_module_of_the_current_folder(on_each_server):
    planted = on_each_server
    planted.plant()
    planted.ledger("study", "create", "--model", "svm", "--dataset", "iris", "--iterations", "1", "--name", "iris")
    planted.ledger("trial", "enqueue", "iris", "C=1.0", "gamma=0.01")
    planted.ledger("worker", "--study", "iris", "--max-trials", "1")
    assert "accuracy" in planted.metrics("iris")


def test_commands_that_start_programs_run_no_module_of_the_current_folder(planted):
    planted.plant()
    planted.ledger("run", "--model", "svm", "--dataset", "iris", "--iterations", "1", "--workers", "1", "--name", "r")
    planted.ledger("db", "check")
    planted.ledger("db", "psql", "-c", "select 1")
    planted.ledger("verify", "r")
    if shutil.which("chromium"):
        planted.ledger("report", "r", "--format", "png", "--plot", "timeline", "--output", "r.png")


# A module of the folder, and a function of a notebook, which imports a module of the folder.
MODULE = """
import ledger, mine
ledger.objective(space={"x": (-1.0, 1.0)})(mine.loss)
ledger.Study(mine.loss, name="module", trials=1).run(workers=1)
"""
NOTEBOOK = """
import ledger, mine
@ledger.objective(space={"x": (-1.0, 1.0)})
def loss(params):
    return mine.loss(params)
ledger.Study(loss, name="notebook", trials=1).run(workers=1)
"""


@pytest.mark.parametrize(("name", "script"), [("module", MODULE), ("notebook", NOTEBOOK)])
def test_workers_of_the_python_api_search_the_current_folder_last(planted, name, script):
    # The user's own Python searches the current folder first, so the folder has only modules that it does not import.
    planted.plant("click", "wave")
    planted.run(sys.executable, "-c", script)
    check_files(planted, planted.metrics(name))
