"""`python -m benchmarks.quality`: run the missing searches, and write the report.

The command takes hours. It can be interrupted, and the same command continues it. Each search is a line of
benchmarks/quality.jsonl.
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks import __main__ as sections
from benchmarks import records, report
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
    left = runs.missing(asked.output, wanted)
    print(f"{len(wanted) - len(left)} of {len(wanted)} searches are complete; running {len(left)}", flush=True)
    try:
        wrong = records.run_all(asked.output, left, asked.jobs, lambda line: print(line, flush=True)) if left else []
    except KeyboardInterrupt:
        sys.exit("interrupted: run the same command to continue")
    text = analysis.markdown(records.read(asked.output))
    if asked.output == FILE:
        report.keep("quality", text, "make bench-quality")
        sections.assemble()
        print(f"written to {report.RESULTS}")
    else:
        print(text)
    if wrong:
        sys.exit("\n".join([f"{len(wrong)} searches failed:", *wrong]))


if __name__ == "__main__":
    main()
