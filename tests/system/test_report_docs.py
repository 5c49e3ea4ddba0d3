"""The commands of docs/report.md and docs/files.md work, in order, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import variables

BLOCK = re.compile(r"(<!-- run by: [^\n]*-->\n)?```console\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("report.md", ["report.html"]),
        ("files.md", ["demo.csv", "demo.json", "demo.jsonl", "demo.parquet", "trials/results_0_0.json"]),
    ],
)
def test_the_commands_of_a_page_of_files_work(root, tmp_path, page, made):
    found = [text for elsewhere, text in BLOCK.findall((root / "docs" / page).read_text()) if not elsewhere]
    lines = [line.removeprefix("$ ") for text in found for line in text.splitlines()]
    assert len(lines) >= 2
    environment = {name: value for name, value in os.environ.items() if name not in (*variables.STUDY, "DATABASE_URL")}
    environment |= {
        "LEDGER_HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    script = "\n".join(["set -e", *lines])
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in made:
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.parametrize("page", ["report.md", "files.md"])
def test_the_links_of_a_page_of_files_lead_somewhere(root, page):
    for target in re.findall(r"\]\(([^)#]+)\)", (root / "docs" / page).read_text()):
        assert (root / "docs" / target).exists(), target
