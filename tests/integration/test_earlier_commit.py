"""The benchmark that calls the functions of an earlier commit and of the current files in turn."""

import re

import pytest

from benchmarks import earlier


def test_the_calls_of_a_commit_and_of_the_current_files_are_measured():
    text = earlier.run("HEAD", trials=4)
    assert re.search(r"The earlier commit is [0-9a-f]{7,} \(.+\)\. Each time is the median of 2 calls", text)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| `", "| both"))]
    assert [(row[0], row[1]) for row in rows] == [
        (f"| {call}", waits) for waits in earlier.SETTINGS.values() for call in earlier.CALLS
    ]
    assert all(float(row[2]) > 0 and float(row[3]) > 0 for row in rows)


def test_an_unknown_commit_is_named():
    with pytest.raises(SystemExit, match=r"^commit '--all' does not exist in .+: choose one of `git log`$"):
        earlier.run("--all")
