"""`python -m benchmarks.public`: run the missing searches, and write the report.

The command takes hours. It can be interrupted, and the same command continues it. Each search is a line of
benchmarks/public.jsonl.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import __main__ as sections
from benchmarks import records, report
from benchmarks.public import analysis, problems, runs
from benchmarks.searchers.methods import METHODS

FILE = Path(__file__).parents[1] / "public.jsonl"
# Environment variable with the folder of the surrogates.
VARIABLE = "BENCHMARK_YAHPO"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.public", description=str(__doc__).partition("\n")[0])
    jobs = "number of parallel searches (default: one for each core)"
    yahpo = f"folder of the surrogates, for the problems of XGBoost (default: ${VARIABLE})"
    parser.add_argument("--yahpo", type=Path, default=os.environ.get(VARIABLE), help=yahpo)
    parser.add_argument("--problems", nargs="+", metavar="NAME", help="default: all problems for measuring")
    parser.add_argument("--dev", action="store_true", help="use the problems for tuning; the report is only printed")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS, metavar="NAME")
    parser.add_argument("--seeds", type=int, default=runs.SEEDS)
    parser.add_argument("--evaluations", type=int, default=runs.EVALUATIONS)
    parser.add_argument("--batch", type=int, default=runs.BATCH)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help=jobs)
    parser.add_argument("--output", type=Path, default=FILE, help="results; the report of another file is only printed")
    asked = parser.parse_args(arguments)
    if (asked.dev or asked.problems) and asked.output == FILE:
        parser.error(f"the report needs all measuring problems: give --output another file than {FILE.name}")
    names = asked.problems or (problems.tuning if asked.dev else problems.measuring)(asked.yahpo)
    wanted = runs.runs(names, asked.methods, asked.seeds, asked.evaluations, asked.batch, asked.yahpo)
    left = records.missing(asked.output, wanted, runs.key)
    print(f"{len(wanted) - len(left)} of {len(wanted)} searches are complete; running {len(left)}", flush=True)
    try:
        wrong = records.run_all(asked.output, left, asked.jobs, lambda line: print(line, flush=True)) if left else []
    except KeyboardInterrupt:
        sys.exit("interrupted: run the same command to continue")
    text = analysis.markdown(records.read(asked.output))
    if asked.output == FILE:
        report.keep("public", text, "make bench-public")
        sections.assemble()
        print(f"written to {report.RESULTS}")
    else:
        print(text)
    if wrong:
        sys.exit("\n".join([f"{len(wrong)} searches failed:", *wrong]))


if __name__ == "__main__":
    main()
