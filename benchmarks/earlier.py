"""`python -m benchmarks.earlier COMMIT`: compare the time of `claim` and `complete` with an earlier commit.

Each commit has its own server. One client calls the functions of both servers in turn, so that the noise of the machine
is the same for both. A difference is the median of the paired differences. Its interval comes from their order
statistics (Conover 1999, *Practical Nonparametric Statistics*, section 3.2).
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import __main__ as sections
from benchmarks import claimable, report
from benchmarks.ledgers import ROOT

# Claims for each setting, of which the first ones are not counted.
TRIALS, UNCOUNTED = 2_800, 100
# The setting `synchronous_commit` -> what a commit waits for.
SETTINGS = {"off": "nothing", "on": "the disk"}
CALLS = ("`claim`", "`complete`", "both")
Calls = dict[str, list[float]]

_CLAIM = f"select trial from ledger.claim('{claimable.STUDY}', %s, 'w', '{{}}'::int[])"
_COMPLETE = "select ledger.complete(%s, %s, %s, 0.5, '{}', 0.1, null)"


def run(commit: str, trials: int = TRIALS) -> str:
    """Measure, and return a section of RESULTS.md.

    Parameters
    ----------
    commit : str
        A commit of this repository.
    trials : int
        Claims for each setting.

    Raises
    ------
    SystemExit
        The commit does not exist.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        title = _unpack(commit, folder)
        with _held(folder, trials * len(SETTINGS)) as earlier, _held(ROOT, trials * len(SETTINGS)) as now:
            found = {setting: _measured((earlier, now), setting, trials) for setting in SETTINGS}
    rows = [
        [call, SETTINGS[setting], *_medians(pair, call), *difference(pair[0][call], pair[1][call])]
        for setting, pair in found.items()
        for call in CALLS
    ]
    counted = trials - _uncounted(trials)
    now_is = _git("describe", "--always", "--dirty").stdout.decode().strip()
    return (
        f"## Claims and results beside an earlier commit\n\nThe earlier commit is {title}, and this version is"
        f" {now_is}. Each time is the median of {counted:,} calls by one client, for a study without a rule of early"
        " stopping. The brackets contain 95 % intervals of the median difference. The intervals do not contain the"
        " difference between two servers with the same code, which `make bench-earlier COMMIT=HEAD` measures.\n\n"
        + report.table(["call", "a commit waits for", "earlier, ms", "now, ms", "difference, ms", "difference"], rows)
    )


def _medians(pair: tuple[Calls, Calls], call: str) -> list[str]:
    return [report.number(statistics.median(one[call])) for one in pair]


def difference(earlier: Sequence[float], now: Sequence[float]) -> tuple[str, str]:
    """Return the median of the paired differences with its 95 % interval, and its share of the earlier median."""
    differences = sorted(after - before for before, after in zip(earlier, now, strict=True))
    last = len(differences) - 1
    reach = math.ceil(0.98 * math.sqrt(len(differences)))
    low, middle, high = (differences[min(last, max(0, last // 2 + by))] for by in (-reach, 0, reach))
    return f"{middle:+.4f} ({low:+.4f} to {high:+.4f})", f"{middle / statistics.median(earlier):+.1%}"


def _uncounted(trials: int) -> int:
    return min(UNCOUNTED, trials // 2)


def _unpack(commit: str, folder: Path) -> str:
    """Write the files of a commit into a folder, and return its abbreviated hash and its subject."""
    verified = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    if verified.returncode:
        sys.exit(f"commit {commit!r} does not exist in {ROOT}: choose one of `git log`")
    found = verified.stdout.decode().strip()
    with tarfile.open(fileobj=BytesIO(_git("archive", found).stdout)) as files:
        files.extractall(folder, filter="data")
    return _git("log", "-1", "--format=%h (%s)", found).stdout.decode().strip()


def _git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)


@contextmanager
def _held(tree: Path, trials: int) -> Iterator[dict[str, Any]]:
    """Yield the study and the URL of a ledger of the code in a folder."""
    process = subprocess.Popen(
        # Without -P, the folder of the file would be searched for modules.
        [sys.executable, "-P", claimable.__file__, str(trials)],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdout, process.stdin:
        try:
            line = process.stdout.readline()
            if not line:
                sys.exit(f"the code of {tree} has started no ledger: its error is above")
            yield json.loads(line)
        finally:
            process.stdin.close()
            process.wait()


def _measured(pair: Sequence[dict[str, Any]], setting: str, trials: int) -> tuple[Calls, Calls]:
    """Return the milliseconds of each call, of both ledgers in the same order."""
    found: tuple[Calls, Calls] = ({call: [] for call in CALLS}, {call: [] for call in CALLS})
    with ExitStack() as stack:
        clients = [stack.enter_context(psycopg.connect(one["url"], autocommit=True)) for one in pair]
        for client in clients:
            client.execute(f"set synchronous_commit = {setting}")
        for number in range(trials):
            # Each ledger is called first in half of the pairs.
            for which in (0, 1) if number % 2 else (1, 0):
                claimed, completed = _claim_and_complete(clients[which], pair[which]["study_id"])
                if number >= _uncounted(trials):
                    for call, seconds in zip(CALLS, (claimed, completed, claimed + completed), strict=True):
                        found[which][call].append(seconds * 1e3)
    return found


def _claim_and_complete(client: psycopg.Connection[Any], study_id: int) -> tuple[float, float]:
    claim = uuid.uuid4()
    started = time.perf_counter()
    claimed = client.execute(_CLAIM, ([claim],), prepare=True).fetchall()
    between = time.perf_counter()
    client.execute(_COMPLETE, (study_id, claimed[0][0], claim), prepare=True).fetchall()
    return between - started, time.perf_counter() - between


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.earlier", description=str(__doc__).partition("\n")[0])
    parser.add_argument("commit", metavar="COMMIT", help="a commit of this repository, such as HEAD~10")
    asked = parser.parse_args(arguments)
    started = time.perf_counter()
    text = run(asked.commit)
    report.keep("earlier", text, f"make bench-earlier COMMIT={asked.commit}", time.perf_counter() - started)
    sections.assemble()
    print(f"{text}\nwritten to {report.RESULTS}")


if __name__ == "__main__":
    main()
