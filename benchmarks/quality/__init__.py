"""The lowest loss after 60 evaluations in batches of 4, paired by seed: `make bench-quality`."""

from pathlib import Path

COMMAND = "make bench-quality"
FILE = Path(__file__).parents[1] / "quality.jsonl"


def run() -> str:
    """Return the report of the searches that were run so far."""
    from benchmarks.quality import analysis, runs

    return analysis.markdown(runs.read(FILE))
