"""`python -m benchmarks.earlier COMMIT`: compare the time of `claim` and `complete` with an earlier commit.

In each round, three new servers run at the same time: one with the earlier commit, and two with this version. One
client calls the functions of the three servers in turn, so that the noise of the machine is the same for all. The
difference of a round is the median of the paired differences. Two servers with the same code differ too, and a
difference between the commits means something only if it is larger.
"""

import argparse
import json
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

ROUNDS = 6
# Claims for each setting in a round, of which the first ones are not counted.
TRIALS, UNCOUNTED = 1_000, 100
# The setting `synchronous_commit` -> what a commit waits for.
SETTINGS = {"off": "nothing", "on": "the disk"}
CALLS = ("`claim`", "`complete`", "both")
Calls = dict[str, list[float]]

_CLAIM = f"select trial from ledger.claim('{claimable.STUDY}', %s, 'w', '{{}}'::int[])"
_COMPLETE = "select ledger.complete(%s, %s, %s, 0.5, '{}', 0.1, null)"


def run(commit: str, trials: int = TRIALS, rounds: int = ROUNDS) -> str:
    """Measure, and return a section of RESULTS.md.

    Parameters
    ----------
    commit : str
        A commit of this repository.
    trials, rounds : int
        Claims for each setting in a round, and rounds.

    Raises
    ------
    SystemExit
        The commit does not exist.
    """
    found: dict[str, list[list[Calls]]] = {setting: [] for setting in SETTINGS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        title = _unpack(commit, folder)
        for _ in range(rounds):
            with ExitStack() as stack:
                held = [stack.enter_context(_held(tree, trials * len(SETTINGS))) for tree in (folder, ROOT, ROOT)]
                for setting in SETTINGS:
                    found[setting].append(_measured(held, setting, trials))
    rows = [[call, SETTINGS[setting], *_row(found[setting], call)] for setting in SETTINGS for call in CALLS]
    now_is = _git("describe", "--always", "--dirty").stdout.decode().strip()
    header = ["call", "a commit waits for", "earlier, ms", "now, ms", "now minus earlier, ms", "same code, ms"]
    return (
        f"## Claims and results beside an earlier commit\n\nThe earlier commit is {title}, and this version is"
        f" {now_is}. Each time is the median of {trials - _uncounted(trials):,} calls by one client, for a study"
        f" without a rule of early stopping. The differences are medians of {rounds} rounds, with new servers in each"
        " round, and the brackets contain the minimum and the maximum. The last column contains the differences"
        " between two servers with the same code.\n\n" + report.table(header, rows)
    )


def difference(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the median of the differences between paired times."""
    return statistics.median(after - before for before, after in zip(first, second, strict=True))


def _row(rounds: Sequence[Sequence[Calls]], call: str) -> list[str]:
    earlier, now, again = ([one[which][call] for one in rounds] for which in range(3))
    medians = [report.number(statistics.median(map(statistics.median, times))) for times in (earlier, now)]
    changes = [list(map(difference, *pair)) for pair in ((earlier, now), (now, again))]
    return [*medians, *(f"{statistics.median(one):+.3f} ({min(one):+.3f} to {max(one):+.3f})" for one in changes)]


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


def _measured(held: Sequence[dict[str, Any]], setting: str, trials: int) -> list[Calls]:
    """Return the milliseconds of each call, of all ledgers in the same order."""
    found: list[Calls] = [{call: [] for call in CALLS} for _ in held]
    with ExitStack() as stack:
        clients = [stack.enter_context(psycopg.connect(one["url"], autocommit=True)) for one in held]
        for client in clients:
            client.execute(f"set synchronous_commit = {setting}")
        for number in range(trials):
            # Each ledger is called first equally often.
            for place in range(len(held)):
                which = (number + place) % len(held)
                claimed, completed = _claim_and_complete(clients[which], held[which]["study_id"])
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
