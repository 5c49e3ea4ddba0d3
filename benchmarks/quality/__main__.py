"""`python -m benchmarks.quality`: run the missing searches, and write the report.

The command takes hours. It can be interrupted, and the same command continues it. Each search is a line of
benchmarks/quality.jsonl.
"""

import argparse
import os
from pathlib import Path

from benchmarks import searches
from benchmarks.quality import analysis, models, runs
from benchmarks.quality.functions import FUNCTIONS
from ledger.objectives import MODELS

FILE = Path(__file__).parents[1] / "quality.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=str(__doc__).partition("\n")[0])
    known = [*FUNCTIONS, *MODELS, *models.NAMES]
    jobs = "number of parallel searches (default: one for each core)"
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help=jobs)
    parser.add_argument("--functions", nargs="+", default=[], choices=known, metavar="NAME", help=", ".join(known))
    parser.add_argument("--methods", nargs="+", default=list(runs.NAMES), choices=runs.NAMES)
    parser.add_argument(
        "--seeds", type=int, help=f"default: {runs.FUNCTION_SEEDS} for functions, {runs.MODEL_SEEDS} for models"
    )
    parser.add_argument("--evaluations", type=int, default=runs.EVALUATIONS)
    parser.add_argument("--batch", type=int, default=runs.BATCH)
    parser.add_argument("--output", type=Path, default=FILE, help="results; the report of another file is only printed")
    asked = parser.parse_args()
    wanted = runs.tasks(runs.chosen(asked.functions), asked.methods, asked.seeds, asked.evaluations, asked.batch)
    searches.run_and_report("quality", wanted, runs.key, asked.output, FILE, asked.jobs, analysis.markdown)


if __name__ == "__main__":
    main()
