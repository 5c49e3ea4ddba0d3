"""`python -m benchmarks.stopping`: run the missing searches, and write the report.

The command takes hours. It can be interrupted, and the same command continues it. Each search is a line of
benchmarks/stopping.jsonl. The learning curves come from the surrogates of YAHPO Gym, which are not part of the project.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import records, searches
from benchmarks.stopping import analysis, contestants, runs
from benchmarks.stopping.curves import SYNTHETIC, load_surrogate

FILE = Path(__file__).parents[1] / "stopping.jsonl"
# Environment variable with the folder of the surrogates.
VARIABLE = "BENCHMARK_YAHPO"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stopping", description=str(__doc__).partition("\n")[0])
    jobs = "number of parallel searches (default: one for each core)"
    parser.add_argument(
        "--yahpo", type=Path, default=os.environ.get(VARIABLE), help=f"folder of the surrogates (default: ${VARIABLE})"
    )
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="default: the tasks of LCBench for measuring")
    parser.add_argument("--dev", action="store_true", help="use the tasks for tuning; the report is only printed")
    parser.add_argument(
        "--contestants",
        nargs="+",
        default=list(contestants.MEASURED),
        choices=contestants.CONTESTANTS,
        metavar="NAME",
        help=", ".join(contestants.CONTESTANTS),
    )
    parser.add_argument("--seeds", type=int, default=runs.SEEDS)
    parser.add_argument("--workers", type=int, nargs="+", default=list(runs.WORKERS))
    parser.add_argument("--trainings", type=int, default=runs.TRAININGS, help="epochs of a search, in whole trainings")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help=jobs)
    parser.add_argument("--output", type=Path, default=FILE, help="results; the report of another file is only printed")
    parser.add_argument(
        "--quick", action="store_true", help="small searches on synthetic curves, as a test; keep no results"
    )
    asked = parser.parse_args(arguments)
    if asked.quick:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "quick.jsonl"
            wanted = runs.runs(SYNTHETIC[:2], asked.contestants, seeds=1, workers=(4,), trainings=4)
            wrong = records.run_all(output, wanted, asked.jobs, lambda line: print(line, flush=True))
            print(analysis.markdown(records.read(output)))
        searches.end(wrong)
        return
    tasks = asked.tasks
    measuring: Sequence[str] = ()
    if not tasks or not set(tasks) <= set(SYNTHETIC):
        surrogate = _surrogate(parser, asked.yahpo)
        measuring = surrogate.measuring
        tasks = tasks or (surrogate.dev if asked.dev else measuring)
        if unknown := sorted(set(tasks) - {*SYNTHETIC, *surrogate.dev, *measuring}):
            known = ", ".join([*SYNTHETIC, *surrogate.dev, *measuring])
            parser.error(f"task {unknown[0]!r} does not exist: choose from {known}")
    if asked.output == FILE and not set(tasks) <= set(measuring):
        parser.error(f"{FILE.name} contains only the tasks for measuring: give --output another file")
    wanted = runs.runs(tasks, asked.contestants, asked.seeds, asked.workers, asked.trainings, asked.yahpo)
    searches.run_and_report("stopping", wanted, runs.key, asked.output, FILE, asked.jobs, analysis.markdown)


def _surrogate(parser: argparse.ArgumentParser, folder: Path | None) -> Any:
    """Return the surrogate of LCBench, or end with a usage error."""
    if folder is None:
        parser.error(f"the folder of the surrogates is not set: give --yahpo FOLDER, or set {VARIABLE}")
    try:
        return load_surrogate(folder)
    except FileNotFoundError:
        parser.error(f"{folder / 'surrogate.py'} does not exist: give the folder of the surrogates with --yahpo")
    except ModuleNotFoundError as error:
        parser.error(f"the surrogates need {error.name}: run pip install {error.name}")


if __name__ == "__main__":
    main()
