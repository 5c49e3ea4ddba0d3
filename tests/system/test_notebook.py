"""Searches in a real Jupyter kernel."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.system.programs import Program

SEARCH = """
import ledger

def bowl(params):
    print("<b>said</b> by the objective")
    return (params["x<i>"] - 1) ** 2

result = ledger.minimize(bowl, {"x<i>": (-5.0, 5.0), "kind": ["a&b", None]}, trials=8, workers=2)
"""


def executed(program: Program, monkeypatch: pytest.MonkeyPatch, *cells: str) -> list[list[Any]]:
    """Run the cells in a kernel, and return the outputs of each cell."""
    for name, value in program.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IPYTHONDIR", str(program.folder / "ipython"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(program.folder)}}).execute()
    return [cell.outputs for cell in notebook.cells]


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
