"""The benchmark that calls the functions of an earlier commit and of the current files in turn."""

import re

import pytest

from benchmarks import earlier
from benchmarks.ledgers import ROOT


def test_the_calls_of_a_commit_and_of_the_current_files_are_measured():
    text = earlier.run("HEAD", trials=4, rounds=1)
    commits = r"The earlier commit is [0-9a-f]{7,} \(.+\), and this version is .+\. Each time is the median of 2 calls"
    assert re.search(commits, text)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| `", "| both"))]
    assert [(row[0], row[1]) for row in rows] == [
        (f"| {call}", waits) for waits in earlier.SETTINGS.values() for call in earlier.CALLS
    ]
    assert all(float(row[2]) > 0 and float(row[3]) > 0 for row in rows)


@pytest.mark.parametrize("name", ["--all", "README.md", "HEAD~1..HEAD"])
def test_what_is_no_commit_is_named(name):
    with pytest.raises(SystemExit) as refused:
        earlier.run(name)
    assert str(refused.value) == f"commit {name!r} does not exist in {ROOT}: choose one of `git log`"
