"""The git commit and the package versions of an objective's code."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from contextlib import suppress

# The ledger ends a git process that runs for more than this number of seconds. `git status` can be slow if the
# repository is large or the disk is slow.
_GIT_SECONDS = 10.0
# Largest number of recorded versions. The ledger accepts at most 10,000 bytes of versions.
_MOST_VERSIONS = 150


def git_state(folder: str, files: Iterable[str]) -> tuple[str | None, bool | None]:
    """Return the commit of the git repository that contains a folder, and whether the code equals the commit's code.

    The code equals the commit's code if no tracked file of the repository has changed, and if git tracks all given
    files.

    Parameters
    ----------
    folder : str
        Folder of the code.
    files : iterable of str
        Files of the code, relative to `folder`.

    Returns
    -------
    tuple
        (None, None) if git is not installed, or if the folder is in no repository.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None, None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    tracked = _git(folder, "ls-files", "--error-unmatch", "--", *files)
    return commit.strip(), changed == "" and tracked is not None


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of Python, and of each distribution that contains one of the importable packages."""
    versions = {"python": platform.python_version()}
    # The metadata of a damaged installation can raise any exception.
    with suppress(Exception):
        distributions = importlib.metadata.packages_distributions()
        found = {name for package in packages for name in distributions.get(package, ())}
        for name in sorted(found, key=str.lower)[:_MOST_VERSIONS]:
            versions[name] = importlib.metadata.version(name)
    return versions


def _git(folder: str, *arguments: str) -> str | None:
    # The configuration of a repository can name programs, and git would run the program of core.fsmonitor. Variables
    # such as GIT_DIR would make git read another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
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
