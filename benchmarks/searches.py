"""The common part of the commands that run searches for hours, and write a section of the report."""

import sys
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from benchmarks import __main__ as sections
from benchmarks import records, report


def run_and_report(
    section: str,
    wanted: Sequence[records.AnyTask],
    key_of: Callable[[records.Record], Hashable],
    output: Path,
    kept: Path,
    jobs: int,
    markdown: Callable[[Sequence[records.Record]], str],
) -> None:
    """Run the searches without a line in `output`. Write the section if `output` is the file `kept`, or print it.

    The process ends with a message and exit code 1 if the user interrupts the command, or if a search raised an error.
    """
    left = records.missing(output, wanted, key_of)
    print(f"{len(wanted) - len(left)} of {len(wanted)} searches are complete; running {len(left)}", flush=True)
    try:
        wrong = records.run_all(output, left, jobs, lambda line: print(line, flush=True)) if left else []
    except KeyboardInterrupt:
        sys.exit("interrupted: run the same command to continue")
    text = markdown(records.read(output))
    if output == kept:
        report.keep(section, text, f"make bench-{section}")
        sections.assemble()
        print(f"written to {report.RESULTS}")
    else:
        print(text)
    end(wrong)


def end(wrong: Sequence[str]) -> None:
    """End the process with the errors of the failed searches, if there are any."""
    if wrong:
        sys.exit("\n".join([f"{len(wrong)} searches failed:", *wrong]))
