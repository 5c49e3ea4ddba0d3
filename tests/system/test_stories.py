"""The example programs of the pages about Optuna and scikit-optimize, each run as it is."""

import difflib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.programs import Program, lines_of_code

# Each story with the name and the bounds of the best value.
STORIES = {
    "epoch-loop": ("accuracy", 0.9, 1.0),
    "time-budget": ("value", 0.0, 20.0),
    "maximise": ("profit", 15_000.0, 40_000.0),
    "compare-two-studies": ("value", 0.0, 30.0),
    "none-and-tuples": ("accuracy", 0.9, 1.0),
    "many-studies": ("value", 0.0, 1.0),
    "change-of-code": ("cost", 1.0, 12.0),
}
EXAMPLES = [f"{story}/{library}_search" for story in STORIES for library in ("ledger", "optuna")]
PORTS = [*(f"from-optuna/{name}" for name in ("original", "ported", "native"))]
PORTS += [f"from-scikit-optimize/{name}" for name in ("original", "ported")]
# The files of the story of more machines, by library.
MACHINES = {
    "ledger": ["ledger_search.sh", "valley.py", "study.toml"],
    "optuna": ["optuna_search.sh", "optuna_search.py"],
}


def code(root: Path, example: str) -> list[str]:
    return lines_of_code(root / "examples" / f"{example}.py")


@pytest.mark.slow
@pytest.mark.parametrize("example", [*EXAMPLES, *PORTS])
def test_a_story_finds_good_parameters(example: str, tmp_path: Path, root: Path) -> None:
    program = Program(tmp_path, is_new=True)
    process = program.start_python(str(root / "examples" / f"{example}.py"))
    out, error = process.communicate()
    assert process.returncode == 0, error
    *before, parameters, best = out.splitlines()
    if example.startswith("change-of-code"):
        refusal, another = before
        assert refusal.startswith("the objective of study flat differs from the recorded objective")
        assert re.fullmatch(r"another study flat-[0-9a-f]{6}", another)
        assert "ledger" not in example or "`RENT` (1.0, now 2.0)" in refusal
    else:
        assert before == []
    assert parameters.startswith("best parameters {'")
    name, _, value = best.partition(" ")
    expected, low, high = STORIES.get(example.partition("/")[0], (name, 0.9, 80.0))
    assert name == expected
    assert low <= float(value) <= high
    if "ledger" in example or example.endswith(("ported", "native")):
        assert error == "", "the library prints nothing"


@pytest.mark.slow
@pytest.mark.parametrize("library", ["ledger", "optuna"])
def test_a_story_continues_on_more_machines(library: str, tmp_path: Path, root: Path) -> None:
    program = Program(tmp_path)
    for file in MACHINES[library]:
        shutil.copy(root / "examples" / "more-machines" / file, tmp_path)
    path = os.pathsep.join([str(Path(sys.executable).parent), program.environment["PATH"]])
    ended = subprocess.run(
        ["bash", f"{library}_search.sh"],
        cwd=tmp_path,
        env={**program.environment, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    if library == "optuna":
        # Each process that runs at the end may add a trial.
        values = re.findall(r"^value (.*)$", ended.stdout, re.MULTILINE)
        assert 0 <= float(values[-1]) < 20
        return
    document = program.document("more-machines")
    assert [iteration["batch_size"] for iteration in document["iterations"]] == [2, 2, 2, 2, 8, 8, 8]
    claimed = {attempt["worker"] for attempt in document["attempts"] if attempt["trial"] >= 8}
    assert len(claimed) == 2, "the workers of the other machines trained the trials"
    assert "7 proposals recomputed, 0 not comparable" in program.run("verify", "more-machines")


def test_the_pages_count_the_lines_of_the_stories(root: Path) -> None:
    page = (root / "docs" / "from-optuna.md").read_text()
    for example in EXAMPLES:
        assert f"[{len(code(root, example))}](../examples/{example}.py)" in page, example
    for story in STORIES:
        ours, theirs = (code(root, f"{story}/{library}_search") for library in ("ledger", "optuna"))
        assert len(ours) <= len(theirs), f"{story} is at most as long as with Optuna"
    totals = []
    for files in MACHINES.values():
        lengths = {file: len(lines_of_code(root / "examples" / "more-machines" / file)) for file in files}
        assert " + ".join(f"[{length}](../examples/more-machines/{file})" for file, length in lengths.items()) in page
        totals.append(sum(lengths.values()))
    assert totals[0] <= totals[1]
    page = (root / "docs" / "from-scikit-optimize.md").read_text().replace("\n", " ")
    counts = [len(code(root, f"from-scikit-optimize/{name}")) for name in ("original", "ported")]
    assert re.findall(r"(\d+) lines of code", page) == [str(count) for count in counts]


def test_the_port_of_an_optuna_script_changes_at_most_six_lines(root: Path) -> None:
    original, ported = (code(root, f"from-optuna/{name}") for name in ("original", "ported"))
    changed = [line for line in difflib.ndiff(original, ported) if line.startswith(("+ ", "- "))]
    assert len(changed) <= 6, changed
    assert f"differ in {len(changed)} lines" in (root / "docs" / "from-optuna.md").read_text()
