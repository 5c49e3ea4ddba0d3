"""Statistics of the searches: a test of whether ours is as good as skopt's, and the ranks of all methods.

The measure is the decimal logarithm of the regret. For a function, the regret is the difference between the loss and
the known minimum, in units of the median regret of one random point. For a model, it is the difference between the loss
and the lowest loss that any method found on that dataset and seed. Smaller regrets than a floor count as the floor:
`FLOOR` for functions, and half a test row for models. Differences are paired by seed. The null hypothesis is that ours
is worse than skopt's by at least `MARGIN` on average. Ours is non-inferior if a one-sided t test rejects this
hypothesis at 5 %, with Holm's correction over the functions.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

from benchmarks import report
from benchmarks.quality import models, runs
from benchmarks.quality.functions import FUNCTIONS
from benchmarks.searchers.methods import METHODS

MARGIN = 0.15
LEVEL = 0.05
FLOOR = 1e-4

Record = Mapping[str, Any]
# function -> method -> seed -> log10 of the regret
Table = dict[str, dict[str, dict[int, float]]]


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences, its one-sided 95 % upper bound, and the p-value for a mean of at least `MARGIN`."""

    pairs: int
    mean: float
    bound: float
    p: float


def logarithms(records: Sequence[Record]) -> Table:
    """Return the logarithms of the regrets."""
    last = _last(records)
    lowest: dict[tuple[str, int], float] = defaultdict(lambda: math.inf)
    for (function, _, seed), one in last.items():
        lowest[function, seed] = min(lowest[function, seed], one["loss"])
    found: Table = defaultdict(lambda: defaultdict(dict))
    for (function, method, seed), one in last.items():
        if function in FUNCTIONS:
            regret = max(FUNCTIONS[function].regret(one["loss"]), FLOOR)
        else:
            regret = max(one["loss"] - lowest[function, seed], one["step"] / 2)
        found[function][method][seed] = math.log10(regret)
    return found


def _last(records: Sequence[Record]) -> dict[tuple[str, str, int], Record]:
    """Return the last line of each search, for any version."""
    return {(one["function"], one["method"], one["seed"]): one for one in records}


def difference(ours: Mapping[int, float], peer: Mapping[int, float]) -> Difference | None:
    """Compare two methods on their common seeds. Returns None for fewer than two seeds."""
    found = [ours[seed] - peer[seed] for seed in ours if seed in peer]
    if len(found) < 2:
        return None
    return paired(found)


def paired(differences: Sequence[float]) -> Difference:
    """Return the mean of at least two differences, with its bound and p-value."""
    count, mean = len(differences), statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(count)
    if error == 0:
        return Difference(count, mean, mean, 0.0 if mean < MARGIN else 1.0)
    bound = mean + float(stats.t.ppf(1 - LEVEL, count - 1)) * error
    return Difference(count, mean, bound, float(stats.t.cdf((mean - MARGIN) / error, count - 1)))


def holm(p: Sequence[float]) -> list[float]:
    """Return the adjusted p-value of each hypothesis (Holm 1979), in the given order."""
    adjusted = [0.0] * len(p)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


def mean_ranks(table: Table, names: Sequence[str]) -> tuple[dict[str, float], int]:
    """Return the mean rank of each method (1 is the best) over the common functions and seeds, and their number."""
    ranks = [
        stats.rankdata([by_method[name][seed] for name in names])
        for by_method in table.values()
        for seed in by_method.get(names[0], {})
        if all(seed in by_method.get(name, {}) for name in names)
    ]
    if not ranks:
        return {}, 0
    return {name: statistics.fmean(one[index] for one in ranks) for index, name in enumerate(names)}, len(ranks)


def markdown(records: Sequence[Record]) -> str:
    """Return the tables of functions and of models for the existing records."""
    if not records:
        return "## Quality of searches\n\nNot measured yet. Run `make bench-quality`.\n"
    evaluations, batch = records[-1]["evaluations"], records[-1]["batch"]
    records = [one for one in records if (one["evaluations"], one["batch"]) == (evaluations, batch)]
    records = list(_last(records).values())
    table = logarithms(records)
    versions = [f"{name}: {_versions(records, name)}" for name in runs.NAMES]
    parts = [
        f"## Quality of searches after {evaluations} evaluations, batches of {batch}\n",
        "Each figure is the mean of log10 of the regret over the seeds, and a lower figure is better. The file"
        ' benchmarks/quality/analysis.py defines the regret and the statistical tests. The column "seeds" counts the'
        " seeds for which results of both ours and skopt exist. The other methods have"
        f" {runs.FUNCTION_SEEDS} seeds for each function. Versions: "
        + "; ".join(versions)
        + f". The searches ran from {min(one['date'] for one in records)} to {max(one['date'] for one in records)}.\n",
    ]
    for title, known in (("Functions", tuple(FUNCTIONS)), ("Models", models.NAMES)):
        rows = {name: table[name] for name in known if name in table}
        if rows:
            parts.append(_suite(title, rows, [one for one in records if one["function"] in rows]))
    return "\n".join(parts)


def _versions(records: Sequence[Record], method: str) -> str:
    found = sorted({one["version"] for one in records if one["method"] == method})
    return " and ".join(found) or METHODS[method].why_not or "not run"


def _suite(title: str, table: Table, records: Sequence[Record]) -> str:
    names = [name for name in runs.NAMES if any(name in one for one in table.values())]
    compared = {name: difference(one.get("ours", {}), one.get("skopt", {})) for name, one in table.items()}
    tested = {name: one for name, one in compared.items() if one is not None}
    adjusted = dict(zip(tested, holm([one.p for one in tested.values()]), strict=True))
    header = [title.lower(), "seeds", *names, "ours − skopt", "95 % bound", "p, Holm", f"≤ {MARGIN:g}"]
    rows = []
    for function, by_method in table.items():
        found = compared[function]
        means = [f"{statistics.fmean(by_method[name].values()):.2f}" if name in by_method else "" for name in names]
        row = [function, str(found.pairs if found else 1), *means]
        if found is None:
            rows.append([*row, "", "", "", ""])
            continue
        verdict = "yes" if adjusted[function] <= LEVEL else "**no**"
        rows.append([*row, f"{found.mean:+.2f}", f"{found.bound:+.2f}", f"{adjusted[function]:.3f}", verdict])
    pooled = [
        by_method["ours"][seed] - by_method["skopt"][seed]
        for by_method in table.values()
        for seed in by_method.get("ours", {})
        if seed in by_method.get("skopt", {})
    ]
    if len(pooled) > 1:
        together = paired(pooled)
        row = ["all pairs", str(together.pairs), *[""] * len(names)]
        rows.append([*row, f"{together.mean:+.2f}", f"{together.bound:+.2f}", "", ""])
    return f"### {title}\n\n{report.table(header, rows)}\n{_ranks(table, names, records)}"


def _ranks(table: Table, names: Sequence[str], records: Sequence[Record]) -> str:
    ranks, searches = mean_ranks(table, names)
    rows = []
    for name in names:
        seconds = [one["seconds"] for one in records if one["method"] == name]
        target = name in ("optuna-tpe", "random") and "ours" in ranks
        rows.append(
            [
                *(name, f"{ranks[name]:.2f}" if ranks else "", "ours lower" if target else ""),
                ("yes" if ranks["ours"] < ranks[name] else "**no**") if target else "",
                report.spread(seconds),
            ]
        )
    header = [
        "method",
        f"mean rank of {len(names)} in {searches} searches",
        "target",
        "met",
        "proposals, s",
    ]
    return report.table(header, rows)
