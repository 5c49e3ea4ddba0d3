"""The git commit and the package versions of an objective's code."""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.text import one_line

if TYPE_CHECKING:
    from importlib.metadata import Distribution

# If a git process runs for more than `_GIT_SECONDS` seconds, the ledger ends the process. For example, git can be slow
# on a slow disk.
_GIT_SECONDS = 10.0
# Number of hexadecimal digits of a SHA-1 hash. Most git repositories use SHA-1. Repositories in git's newer format use
# SHA-256.
_SHA1_DIGITS = 40
# Largest number of recorded package versions. The ledger accepts at most 10,000 bytes for all package versions of an
# objective together.
_MOST_VERSIONS = 150


def git_state(folder: str, files: Iterable[str]) -> tuple[str | None, bool | None]:
    """Return the commit of a folder's git repository, and whether the given files are equal to the files in the commit.

    The function itself compares the files, and does not call `git status`. The configuration of a repository can name
    programs, and `git status` would run these programs.

    Parameters
    ----------
    folder : str
        Folder of the code.
    files : iterable of str
        Files of the code, relative to `folder`.

    Returns
    -------
    commit : str or None
        The commit, or None if git is not installed or no repository contains the folder.
    is_clean : bool or None
        Whether the files are equal to the files in the commit. `is_clean` is None if no commit exists, or if no file
        exists.
    """
    commit = (_git(folder, "rev-parse", "--verify", "HEAD") or "").strip()
    if not commit:
        return None, None
    names = list(files)
    if not names:
        return commit, None
    listed = _git(folder, "ls-tree", "-z", commit, "--", *names) or ""
    committed = {}
    for line in listed.split("\0"):
        facts, _, name = line.partition("\t")
        committed[name] = facts.rpartition(" ")[2]
    return commit, all(_is_committed(Path(folder) / name, committed.get(name)) for name in names)


def commit_text(commit: str, is_clean: bool | None) -> str:
    """Describe the result of `git_state` as one line.

    Examples
    --------
    >>> commit_text("3f2a", True), commit_text("3f2a", None)
    ('git commit 3f2a, clean', 'git commit 3f2a')
    """
    states = {True: ", clean", False: ", with uncommitted changes", None: ""}
    return f"git commit {one_line(commit, 64)}{states[is_clean]}"


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of Python, and the version of each distribution that contains one of the packages."""
    versions = {"python": platform.python_version()}
    wanted = set(packages) - sys.stdlib_module_names
    if not wanted:
        return versions
    # The import of `importlib.metadata` needs 3 MB of memory, so only a trainer that needs package versions imports
    # `importlib.metadata`.
    from importlib.metadata import distributions

    # The metadata of a damaged installation can raise any exception.
    with suppress(Exception):
        found = {item.name: item.version for item in distributions() if not wanted.isdisjoint(_packages_of(item))}
        versions |= dict(sorted(found.items(), key=lambda item: item[0].lower())[:_MOST_VERSIONS])
    return versions


def _packages_of(distribution: "Distribution") -> set[str]:
    """Return the importable packages and modules of a distribution.

    The function does not call `importlib.metadata.packages_distributions`, because `packages_distributions` would keep
    all files of all distributions in memory.
    """
    declared = distribution.read_text("top_level.txt")
    if declared:
        return set(declared.split())
    files = (line.partition(",")[0] for line in (distribution.read_text("RECORD") or "").splitlines())
    return {file.partition("/")[0].partition(".")[0] for file in files}


def _is_committed(file: Path, recorded: str | None) -> bool:
    """Return whether the hash of a file's content is equal to the file's hash in a commit."""
    if recorded is None:
        return False
    try:
        content = file.read_bytes()
    except OSError:
        return False
    algorithm = hashlib.sha1 if len(recorded) == _SHA1_DIGITS else hashlib.sha256
    return algorithm(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == recorded


def _git(folder: str, *arguments: str) -> str | None:
    # Environment variables such as GIT_DIR would make git read another repository. The configuration of a repository
    # can name a program that fetches missing objects. Without the variables GIT_NO_LAZY_FETCH and GIT_ALLOW_PROTOCOL,
    # git could run a program from the configuration of the repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
    command = ["git", "-C", folder, "-c", "core.fsmonitor=false", "--no-optional-locks", *arguments]
    try:
        answer = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout if answer.returncode == 0 else None
