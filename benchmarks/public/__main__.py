"""`python -m benchmarks.public`: run the missing searches, and write the report.

The command takes hours. It can be interrupted, and the same command continues it. Each search is a line of
benchmarks/public.jsonl.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks import searches
from benchmarks.public import analysis, boosting, problems, runs
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
    for name in asked.problems or ():
        kind = name.partition("/")[0]
        if kind not in problems.KINDS:
            parser.error(
                f"problem {name!r} does not exist: begin with {', '.join(problems.KINDS)}, such as bbob/f8/d3/i7"
            )
        if kind == boosting.KIND and asked.yahpo is None:
            parser.error(f"the folder of the surrogates is not set: give --yahpo FOLDER, or set {VARIABLE}")
    names = asked.problems or (problems.tuning if asked.dev else problems.measuring)(asked.yahpo)
    wanted = runs.runs(names, asked.methods, asked.seeds, asked.evaluations, asked.batch, asked.yahpo)
    searches.run_and_report("public", wanted, runs.key, asked.output, FILE, asked.jobs, analysis.markdown)


if __name__ == "__main__":
    main()
