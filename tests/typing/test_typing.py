"""Types of the package as type checkers see them in an environment of a user."""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_mypy_accepts_uses_and_refuses_misuses(tmp_path: Path) -> None:
    for name in ("accepted.py", "refused.py"):
        shutil.copy(HERE / name, tmp_path)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "accepted.py", "refused.py"]
    ended = subprocess.run(mypy, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "Success: no issues found in 2 source files\n"), ended.stderr
