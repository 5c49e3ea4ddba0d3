"""The example programs of the pages about Optuna and scikit-optimize, each run as it is."""

import difflib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.programs import Program, example_programs

# Each story with the name and the bounds of the best value.
STORIES = {
    "epoch-loop": ("accuracy", 0.9, 1.0),
    "time-budget": ("value", 0.0, 20.0),
    "maximise": ("profit", 15_000.0, 40_000.0),
    "compare-two-studies": ("value", 0.0, 30.0),
    "none-and-tuples": ("accuracy", 0.9, 1.0),
}
EXAMPLES = [f"{story}/{library}_search" for story in STORIES for library in ("ledger", "optuna")]
PORTS = [*(f"from-optuna/{name}" for name in ("original", "ported", "native"))]
PORTS += [f"from-scikit-optimize/{name}" for name in ("original", "ported")]


def lines_of_code(root: Path, example: str) -> list[str]:
    text = (root / "examples" / f"{example}.py").read_text()
    return [line for line in text.splitlines() if line.strip() and not line.startswith('"""')]


@pytest.mark.parametrize("example", example_programs([*EXAMPLES, *PORTS]))
def test_a_story_finds_good_parameters(example: str, tmp_path: Path, root: Path) -> None:
    program = Program(tmp_path, is_new=True)
    ended = subprocess.run(
        [sys.executable, str(root / "examples" / f"{example}.py")],
        cwd=tmp_path,
        env=program.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    parameters, best = ended.stdout.splitlines()
    assert parameters.startswith("best parameters {'")
    name, _, value = best.partition(" ")
    expected, low, high = STORIES.get(example.partition("/")[0], (name, 0.9, 80.0))
    assert name == expected
    assert low <= float(value) <= high
    if "ledger" in example or example.endswith(("ported", "native")):
        assert ended.stderr == "", "the library prints nothing"


def test_the_pages_count_the_lines_of_the_stories(root: Path) -> None:
    page = (root / "docs" / "from-optuna.md").read_text()
    for example in EXAMPLES:
        assert f"[{len(lines_of_code(root, example))}](../examples/{example}.py)" in page, example
    for story in STORIES:
        ours, theirs = (lines_of_code(root, f"{story}/{library}_search") for library in ("ledger", "optuna"))
        assert len(ours) <= len(theirs), f"{story} is at most as long as with Optuna"
    page = (root / "docs" / "from-scikit-optimize.md").read_text().replace("\n", " ")
    counts = [len(lines_of_code(root, f"from-scikit-optimize/{name}")) for name in ("original", "ported")]
    assert re.findall(r"has (\d+) lines of code", page) == [str(count) for count in counts]


def test_the_port_of_an_optuna_script_changes_at_most_six_lines(root: Path) -> None:
    original, ported = (lines_of_code(root, f"from-optuna/{name}") for name in ("original", "ported"))
    changed = [line for line in difflib.ndiff(original, ported) if line.startswith(("+ ", "- "))]
    assert len(changed) <= 6, changed
    assert f"differ in {len(changed)} lines" in (root / "docs" / "from-optuna.md").read_text()
