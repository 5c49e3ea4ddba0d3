"""Pages of the documentation site, and the list of the Python API."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import ledger


@pytest.fixture
def build(tmp_path: Path, root: Path) -> dict[str, Any]:
    """The names of docs/site/build.py, for a repository in a folder of its own."""
    return runpy.run_path(str(root / "docs" / "site" / "build.py"))


@pytest.fixture
def write(tmp_path: Path, build: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a file of that repository."""
    names = build["write_pages"].__globals__
    monkeypatch.setitem(names, "ROOT", tmp_path)
    monkeypatch.setitem(names, "CONTENTS", tmp_path / "docs" / "README.md")

    def writes(place: str, text: str) -> Path:
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return writes


def test_links_lead_to_pages_of_the_site(build, write, tmp_path):
    for place in ("docs/other.md", "docs/plot.png", "tests/test_x.py"):
        write(place, "")
    text = (
        "[page](other.md#part) ![plot](plot.png) [test](../tests/test_x.py#L3) [folder](../tests) [web](https://x.y)"
        " [![plot](plot.png)](other.md)\n\n```text\n[test](../tests/test_x.py)\n```\n"
    )
    page = build["Page"](write("docs/page.md", text))
    assert page.text() == text.replace("test_x.py#L3", "test_x.py.md", 1).replace("[folder](../tests)", "folder")
    names = {"docs/other.md", "docs/plot.png", "tests/test_x.py"}
    assert {target.relative_to(tmp_path).as_posix() for target in page.targets} == names


def test_docstrings_and_diagrams_take_their_places(build, write):
    page = build["Page"](write("docs/a/page.md", "<!-- api: ledger.Study -->\n\n```mermaid\nflowchart\n```\n"))
    assert page.text().startswith("::: ledger.Study\n")
    assert '<script src="../../assets/mermaid.min.js"></script>' in page.text()
    assert "script" not in build["Page"](write("docs/b.md", "```text\nflowchart\n```\n")).text()


def test_a_file_is_shown_with_its_fences(build, write):
    assert build["listing"](write("a.md.txt", "```\n````text\n")).endswith(
        "# a.md.txt\n\n`````txt\n```\n````text\n`````\n"
    )


def test_a_notebook_is_a_page_with_its_texts_and_its_code(build, write, tmp_path):
    write("docs/other.md", "")
    cells = [
        {"cell_type": "markdown", "source": ["# First\n", "[page](../docs/other.md)"]},
        {"cell_type": "code", "source": ["search(\n", ")"]},
        {"cell_type": "code", "source": ["!ledger best first"]},
    ]
    page = build["Page"](write("examples/first.ipynb", json.dumps({"cells": cells})))
    assert page.text() == (
        "# First\n[page](../docs/other.md)\n\n```python\nsearch(\n)\n```\n\n```console\n!ledger best first\n```\n"
    )
    assert {target.relative_to(tmp_path).as_posix() for target in page.targets} == {"docs/other.md"}
    assert build["page_of"](Path("a/first.ipynb")) == Path("a/first.ipynb.md")


def test_the_navigation_is_the_page_of_contents(build, write):
    write("docs/one.md", "")
    write("docs/README.md", "# Pages\n\n## Begin\n\n- [one](one.md): x\n1. [Two](sub/two.md)\n- [Three](three.ipynb)\n")
    write("docs/sub/two.md", "")
    begin = {"Begin": [{"One": "docs/one.md"}, {"Two": "docs/sub/two.md"}, {"Three": "docs/three.ipynb.md"}]}
    assert build["navigation"]() == [{"Trial ledger": "README.md"}, begin]
    write("docs/three.md", "")
    with pytest.raises(
        SystemExit, match=re.escape("docs/three.md: not in the list of docs/README.md; add a line there")
    ):
        build["navigation"]()


def test_a_link_to_a_missing_file_is_found(build, write, tmp_path, monkeypatch):
    monkeypatch.setitem(build["write_pages"].__globals__, "SITE", tmp_path)
    write("a/there.png", "")
    write("a/page.html", '<a href="gone.html#x"><img src="there.png"><a href="#y"><a href="https://x.y/z">')
    assert [*build["broken_links"]()] == ["a/page.html: link to gone.html#x, which is not on the site"]


def test_the_contents_name_every_page_of_the_docs(build):
    assert len(build["navigation"]()) > 1


def test_the_reference_of_python_has_every_public_name(root):
    page = (root / "docs" / "reference" / "python.md").read_text()
    marked = re.findall(r"^<!-- api: (\S+) -->$", page, re.MULTILINE)
    others = [
        "ledger.integrations.keras.ReportCallback",
        "ledger.integrations.lightgbm.ReportCallback",
        "ledger.integrations.lightning.ReportCallback",
        "ledger.integrations.sklearn.fit_in_epochs",
        "ledger.integrations.sklearn.fit_with_warm_start",
        "ledger.integrations.xgboost.ReportCallback",
        "ledger.optimizer.Optimizer",
        "ledger.optuna.storage",
        "ledger.sklearn.LedgerSearchCV",
    ]
    assert sorted(marked) == sorted([f"ledger.{name}" for name in ledger.__all__ if name != "__version__"] + others)
    for name in marked:
        assert f"`{name}`" in page
