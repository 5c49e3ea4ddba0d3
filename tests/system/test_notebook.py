"""Searches in a real Jupyter kernel."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from ledger.access import database
from ledger.settings import Settings
from tests.system.programs import Program

# Each test starts Jupyter kernels.
pytestmark = pytest.mark.slow

SEARCH = """
import ledger

def bowl(params):
    print("<b>said</b> by the objective")
    return (params["x<i>"] - 1) ** 2

result = ledger.minimize(bowl, {"x<i>": (-5.0, 5.0), "kind": ["a&b", None]}, trials=8, workers=2)
"""


def executed(program: Program, monkeypatch: pytest.MonkeyPatch, *cells: str) -> list[list[Any]]:
    """Run the cells in a kernel, and return the outputs of each cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    execute(program, monkeypatch, notebook, program.folder)
    return [cell.outputs for cell in notebook.cells]


def execute(program: Program, monkeypatch: pytest.MonkeyPatch, notebook: Any, folder: Path) -> None:
    """Run a notebook in a kernel of the program's environment, in a folder."""
    for name, value in program.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IPYTHONDIR", str(program.folder / "ipython"))
    # A notebook calls the program `ledger`, as in an activated virtual environment.
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()


def text_of(html: str) -> str:
    return re.sub(r"<[^>]*>", " ", html)


def test_a_notebook_shows_one_display_and_no_log_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (search, shown) = executed(Program(tmp_path), monkeypatch, SEARCH, "result")
    (display,) = search
    assert display.output_type == "display_data"
    html, line = display.data["text/html"], display.data["text/plain"]
    assert line.startswith("bowl-42-")
    assert "complete: 8 of 8 trials" in line
    for said in ("complete", "8 of 8", "best value", "convergence", "parameters", "x&lt;i&gt; ="):
        assert said in html
    assert "&lt;b&gt;said&lt;/b&gt; by the objective" in html, "the output is escaped, and in a folded part"
    assert html.index("<details>") < html.index("by the objective")
    assert "output of the workers (last 8 lines)" in html, "one line of each trial, and no log record"
    assert "<script" not in html
    assert "http" not in html

    (result,) = shown
    assert result.data["text/plain"].endswith(": complete, 8 of 8 trials complete>")
    html = result.data["text/html"]
    assert "8 complete" in text_of(html)
    assert html.count("<tr>") == 1 + 5, "the five best trials"
    assert "x&lt;i&gt;" in html
    assert "<svg" in html


def test_a_failed_search_shows_the_failure_and_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = "import ledger\nledger.minimize(lambda params: 1 / 0, {'x': (0.0, 1.0)}, trials=4, name='failing')"
    with pytest.raises(CellExecutionError, match="study failing is failed: .*: ZeroDivisionError"):
        executed(Program(tmp_path), monkeypatch, failing)


def test_a_notebook_that_shows_nothing_prints_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (search,) = executed(Program(tmp_path), monkeypatch, SEARCH.replace("workers=2", "workers=2, show=False"))
    assert search == []


def test_the_line_of_a_script_is_one_for_each_iteration(tmp_path: Path) -> None:
    from tests.system.test_python_program import start

    script = """
if __name__ == "__main__":
    show(ledger.minimize(bowl, SPACE, trials=6, workers=2, name="lines", show=True).state)
"""
    process = start(Program(tmp_path), script)
    out, error = process.communicate()
    assert (process.returncode, json.loads(out)) == (0, "complete")
    lines = error.splitlines()
    assert lines[-1].startswith("lines complete: 6 of 6 trials, 3 iterations told")
    assert 2 <= len(lines) <= 5


# Each notebook of the examples with a text that its outputs contain, and with its studies.
NOTEBOOKS = {
    "first-search": ("24 complete", {"digits": 24}),
    "own-data": ("customers.html", {"boosted-customers": 8, "customers-forest": 8}),
    "pipeline": ("mean_test_roc_auc", {"Pipeline-42-": 6}),
    "from-optuna": ("12 finished trials are imported", {"neighbours": 12, "kept": 12, "moved": 24}),
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_of_the_examples_runs_whole_and_again(
    name: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The notebook is in the same place as in a clone, because it reads a file of the documentation.
    folder = tmp_path / "clone" / "examples" / "notebooks"
    folder.mkdir(parents=True)
    (tmp_path / "clone" / "docs").symlink_to(root / "docs")
    source = shutil.copy(root / "examples" / "notebooks" / f"{name}.ipynb", folder)
    program = Program(tmp_path)
    said, studies = NOTEBOOKS[name]
    # Without this server, each cell that uses the ledger would start and stop a server.
    with database(Settings(home=program.home), create=True):
        first = nbformat.read(source, as_version=4)
        execute(program, monkeypatch, first, folder)
        outputs = json.dumps([cell.outputs for cell in first.cells if cell.cell_type == "code"])
        assert said in outputs
        assert '"text/plain": "False"' not in outputs, "each comparison is true"
        before = complete_trials(program)
        assert {re.sub(r"(?<=-42-).*", "", study): count for study, count in before.items()} == studies

        execute(program, monkeypatch, nbformat.read(source, as_version=4), folder)
        assert complete_trials(program) == before, "a second run trains no trial"


def complete_trials(program: Program) -> dict[str, int]:
    listed = json.loads(program.run("study", "list", "--json"))
    assert {study["state"] for study in listed} == {"complete"}
    return {study["study"]: study["complete"] for study in listed}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_of_the_examples_is_stored_without_outputs(name: str, root: Path) -> None:
    notebook = nbformat.read(root / "examples" / "notebooks" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds == ["markdown", "code"] * (len(kinds) // 2), "a line of text stands above each cell of code"
    for cell in notebook.cells[1::2]:
        assert (cell.outputs, cell.execution_count) == ([], None)


def test_each_notebook_of_the_examples_is_tested(root: Path) -> None:
    assert {file.stem for file in (root / "examples" / "notebooks").glob("*.ipynb")} == {*NOTEBOOKS}
