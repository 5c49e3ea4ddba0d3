"""The live view and completion on a real terminal device, with real programs."""

import re
import shutil
import subprocess
import sys

import pytest

from ledger import embedded
from tests.system.programs import Program, own_study, wait_until
from tests.system.terminals import Terminal

# An objective that prints a line, fails once, and then waits for a file.
OBJECTIVE = """
import pathlib, time

def seen(params):
    print("said by the objective", flush=True)
    if not pathlib.Path("failed").exists():
        pathlib.Path("failed").touch()
        raise ValueError("only once")
    pathlib.Path("begun").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
    return params["x"] ** 2
"""


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path)


def on_terminal(program, *arguments, width=80, term="xterm-256color", **variables):
    command = [sys.executable, "-m", "ledger", *arguments]
    return Terminal(command, {**program.environment, **variables}, program.folder, width, term)


def test_a_run_shows_a_live_view_and_at_the_end_the_best(program):
    own_study(program.folder, OBJECTIVE, "seen", max_failures=2)
    lines = program.folder / "lines"
    with (
        lines.open("w") as file,
        on_terminal(program, "run", "own.toml", "--allow", "mine", "--workers", "1") as run,
    ):
        wait_until((program.folder / "begun").exists)
        for said in ("own  running", "0 of 2", "1 failed attempt", "ValueError: only once", "completed"):
            run.wait_for(said)
        wait_until(lambda: re.search(r"trial \d  \d:\d\d:\d\d  \d\d:\d\d:\d\d", run.text))
        # the lines of the objective and of its worker are above the live view
        run.wait_for("said by the objective")
        run.wait_for("failed after")
        with on_terminal(program, "status", "own", "--watch", width=50) as watch:
            watch.wait_for("own  running")
            plain = program.start("status", "own", "--watch", log=file)
            wait_until(lines.read_text)
            (program.folder / "go").touch()
            assert (run.end(), watch.end(), plain.wait()) == (0, 0, 0)

    best = min(trial["loss"] for trial in program.document("own")["trials"])
    # the view has ended, the cursor is visible again, and the result stays on the screen
    assert run.raw.rindex("\x1b[?25h") < run.raw.rindex("study       own")
    assert run.text.rstrip().endswith(f"value       {best!r} (minimize)")
    assert "proposed" not in run.text, "the manager's log is what the view shows"
    assert "own  complete" in watch.text
    assert f"{best:.6g}" in watch.text
    said = lines.read_text().splitlines()
    assert said[0].startswith("own running: 0 of 2 trials, 0 iterations told")
    assert said[-1].startswith("own complete: 2 of 2 trials, 1 iterations told")
    assert len(set(said)) == len(said), "a line for each change"


def test_a_terminal_without_a_cursor_gets_lines_and_no_color_is_respected(program):
    own_study(program.folder, "def f(params):\n    return 0.0\n", "f")
    with on_terminal(program, "run", "own.toml", "--allow", "mine", "--workers", "1", term="dumb") as dumb:
        assert dumb.end() == 0
    assert "study own created" in dumb.text
    assert "\x1b" not in dumb.raw
    # an empty variable counts as not set
    for value, coloured in (("1", False), ("", True)):
        with on_terminal(program, "status", "own", NO_COLOR=value) as seen:
            assert seen.end() == 0
        assert "own  complete" in seen.text
        assert ("\x1b[32m" in seen.raw) == coloured


def test_bash_completes_commands_options_and_the_names_of_studies(program):
    home = program.folder
    (home / "bin").mkdir()
    # `ledger` on the path is this version, even if another one is installed
    ledger = home / "bin" / "ledger"
    ledger.write_text(f'#!/bin/sh\nexec {sys.executable} -m ledger "$@"\n')
    ledger.chmod(0o755)
    environment = {**program.environment, "PATH": f"{home / 'bin'}:{program.environment['PATH']}", "PS1": "> "}
    own_study(home, "def f(params):\n    return 0.0\n", "f")
    program.run("run", "own.toml", "--allow", "mine", "--workers", "1")
    with Terminal(["bash", "--norc", "--noprofile", "-i"], environment, home) as bash:
        bash.press('eval "$(ledger completion bash)"; echo re""ady\n')
        bash.wait_for("ready")
        bash.press("ledger manag\t")
        bash.wait_for("manager ")
        bash.press("--ite\t")
        bash.wait_for("--iterations ")
        bash.press("\x15ledger study sh\t")
        bash.wait_for("study show ")
        # no server runs, and completion starts none
        bash.press("ow\t")
        bash.press(' 2>&1; echo "an""swers"\n')
        bash.wait_for("answers")
        assert "study show own" not in bash.text
        assert not embedded.is_running(program.home)
        with embedded.running(program.home, create=False):
            bash.press("ledger verify ow\t")
            bash.wait_for("verify own ")
        bash.press("\x15exit\n")
        assert bash.end() == 0
    assert "Traceback" not in bash.text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_of_completion_are_read_by_their_shells(program, shell):
    script = program.run("completion", shell)
    assert f"_LEDGER_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)
