"""The output of an objective in the log and in the ledger."""

import json

import psycopg

from tests.system.programs import Program, own_study

OBJECTIVE = r"""
import subprocess, sys

def flood(params):
    for line in range(100):
        print(line, "x" * 2_000_000)
    print("  done\x1b[2J")
    return params["x"] ** 2

def fails_at_first(params, context):
    print("attempt", context.attempt, "of trial", context.trial)
    subprocess.run(["echo", "from a process"], check=True)
    if context.attempt == 1:
        raise ValueError("no")
    return params["x"] ** 2

def ends_never(params):
    print("I begin")
    sys.stdout.write("and never end")
    sys.stdout.flush()
    while True:
        pass
"""


def own(program: Program, function: str, points: int, **limits: float) -> list[str]:
    own_study(program.folder, OBJECTIVE, function, points, **limits)
    return ["run", "own.toml", "--allow", "mine", "--workers", "1"]


def test_200_mb_of_output_reach_neither_the_log_nor_the_ledger(tmp_path, url):
    program = Program(tmp_path, DATABASE_URL=url)
    with (tmp_path / "log").open("w+") as log:
        process = program.start(*own(program, "flood", 1), log=log)
        assert process.wait() == 0
        assert log.tell() < 1_000_000
        log.seek(0)
        assert "bytes of the objective's output are left out here" in log.read()
    shown = program.run("trial", "show", "own", "0")
    assert shown.splitlines()[-1] == r"    |   done\x1b[2J"
    assert len(shown) < 5_000
    (attempt,) = json.loads(program.run("trial", "show", "own", "0", "--json"))["attempt_list"]
    assert len(attempt["output"]) == 1 << 16
    assert attempt["output"].endswith("xxx\n  done\x1b[2J\n")


def test_each_attempt_keeps_its_own_output(tmp_path, url):
    program = Program(tmp_path, DATABASE_URL=url)
    program.run(*own(program, "fails_at_first", 6, max_failures=2))
    for trial in range(6):
        attempts = json.loads(program.run("trial", "show", "own", str(trial), "--json"))["attempt_list"]
        ended = [each for each in attempts if each["outcome"] != "released"]
        for number, attempt in enumerate(ended, 1):
            assert f"attempt {attempt['number']} of trial {trial}\n" in attempt["output"]
            assert attempt["output"].count("of trial") == 1
            # a process of a failing objective has ended before the attempt
            assert number > 1 or "from a process\n" in attempt["output"]


def test_an_attempt_that_is_ended_keeps_the_output_until_its_end(tmp_path, url):
    program = Program(tmp_path, DATABASE_URL=url)
    program.run(*own(program, "ends_never", 1, max_failures=1, trial_timeout=1.0), code=1)
    with psycopg.connect(url) as connection:
        rows = connection.execute("select outcome, output from ledger.attempts").fetchall()
    assert set(rows) == {("timeout", "I begin\nand never end")}
