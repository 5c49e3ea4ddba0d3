"""Tables of the searches: mean ranks by class of problem, and differences of regrets with bootstrap intervals.

The regret of a search is the expected loss of its best point minus the lowest expected loss of the problem, in units of
the median regret of random points. The best point is the one with the lowest observed loss. Differences are paired by
problem and seed. Searches of the same problem are not independent, so the bootstrap draws problems, with all their
seeds (Efron and Tibshirani 1993, *An Introduction to the Bootstrap*).
"""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks import report
from benchmarks.public import problems
from benchmarks.public.problem import log_regret
from benchmarks.searchers.methods import METHODS

Record = Mapping[str, Any]
# (problem, seed) -> method -> log10 of the regret
Table = dict[tuple[str, int], dict[str, float]]
OURS = "ours-study"
# The methods that the ranks compare. A method with few searches would leave few searches for the ranks. Therefore a
# table of ranks has only the methods with at least this share of the searches of ours.
RANKED = (OURS, "optuna-gp", "optuna-tpe", "turbo", "cma", "random")
RANKED_SHARE = 0.5
DRAWS = 2_000


def lowest_losses(records: Sequence[Record]) -> dict[str, float]:
    """Return the lowest known loss of each problem."""
    lowest: dict[str, float] = defaultdict(lambda: math.inf)
    for one in records:
        lowest[one["problem"]] = min(lowest[one["problem"]], one["lowest"], *one["found"])
    return lowest


def regrets(records: Sequence[Record], lowest: Mapping[str, float]) -> Table:
    """Return log10 of the regret of each search."""
    table: Table = defaultdict(dict)
    for one in records:
        regret = log_regret(one["found"][-1], lowest[one["problem"]], one["median"], one["floor"])
        table[one["problem"], one["seed"]][one["method"]] = regret
    return table


def ranks(table: Table, names: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Return the ranks of the methods by problem, in the searches that all methods have. The best rank is 1."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (problem, _), by_method in table.items():
        if all(name in by_method for name in names):
            for name, rank in zip(names, stats.rankdata([by_method[name] for name in names]), strict=True):
                found[problem][name].append(float(rank))
    return found


def interval(by_problem: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Return the mean of the problems' means, and its 95 % interval over draws of the problems."""
    means = np.array([statistics.fmean(values) for values in by_problem])
    drawn = np.random.default_rng(0).choice(means, (DRAWS, len(means))).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(means.mean()), float(low), float(high)


def markdown(records: Sequence[Record]) -> str:
    """Return the section of the report for the existing records."""
    if not records:
        return "## Published problems\n\nNot measured yet. Run `make bench-public`.\n"
    by_setting: dict[tuple[int, int], list[Record]] = defaultdict(list)
    for one in _latest(records):
        by_setting[one["evaluations"], one["batch"]].append(one)
    kept = [one for group in by_setting.values() for one in group]
    # The numbers of evaluations share the lowest losses, so that their regrets can be compared.
    lowest = lowest_losses(kept)
    versions = "; ".join(
        f"{name}: {' and '.join(sorted({one['version'] for one in kept if one['method'] == name}))}"
        for name in _names(kept)
    )
    missing = [f"{name} ({one.why_not})" for name, one in METHODS.items() if name not in _names(kept) and one.why_not]
    not_run = f" Not run: {', '.join(missing)}." if missing else ""
    text = (
        "## Published problems\n\n"
        "A lower rank and a lower regret are better. The file benchmarks/public/analysis.py defines the regret, and"
        " benchmarks/public/problems.py lists the problems. The brackets contain 95 % intervals. The ranks are among"
        f" those of the methods {', '.join(RANKED)} that have at least {RANKED_SHARE:.0%} of the searches of {OURS}, in"
        " the searches that all of them have."
        f" Versions: {versions}.{not_run} The searches ran from {min(one['date'] for one in kept)} to"
        f" {max(one['date'] for one in kept)}.\n"
    )
    # The main setting is the one with the most searches.
    order = sorted(by_setting, key=lambda setting: -len(by_setting[setting]))
    return "\n".join([text, *(_of_setting(by_setting[setting], lowest, *setting) for setting in order)])


def _latest(records: Sequence[Record]) -> list[Record]:
    """Return the latest record of each search."""
    last = {tuple(one[name] for name in ("problem", "seed", "method", "evaluations", "batch")): one for one in records}
    return list(last.values())


def _names(records: Sequence[Record]) -> list[str]:
    found = {one["method"] for one in records}
    return [name for name in METHODS if name in found]


def _of_setting(records: Sequence[Record], lowest: Mapping[str, float], evaluations: int, batch: int) -> str:
    title = f"{evaluations} evaluations, batches of {batch}"
    table, names = regrets(records, lowest), _names(records)
    counts = Counter(one["method"] for one in records)
    ranked = [name for name in RANKED if name in names and counts[name] >= RANKED_SHARE * counts[OURS]]
    parts = [f"### Mean ranks after {title}\n", _ranks(table, ranked)] if len(ranked) > 1 else []
    return "\n".join([*parts, f"### Regrets after {title}\n", _regrets(table, records, names)])


def _classes(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the problems of each class, and all of them."""
    found = {title: [name for name in names if problems.class_of(name) == title] for title in problems.CLASSES}
    return {"all": list(names), **{title: kept for title, kept in found.items() if kept}}


def _ranks(table: Table, names: Sequence[str]) -> str:
    found = ranks(table, names)
    classes = _classes(list(found)) if found else {}
    counts = {title: sum(len(found[one][names[0]]) for one in kept) for title, kept in classes.items()}
    rows = []
    for name in names if found else ():
        means = {
            title: statistics.fmean(statistics.fmean(found[one][name]) for one in classes[title]) for title in classes
        }
        ahead = ""
        if OURS in names and name != OURS:
            pairs = [np.subtract(by_method[OURS], by_method[name]).tolist() for by_method in found.values()]
            ahead = _with_interval(interval(pairs))
        rows.append([name, *(f"{mean:.2f}" for mean in means.values()), ahead])
    counted = (f"{title} ({counts[title]} searches)" for title in classes)
    return report.table(["method", *counted, f"{OURS} minus, all"], rows)


def _regrets(table: Table, records: Sequence[Record], names: Sequence[str]) -> str:
    rows = []
    for name in names:
        pairs: dict[str, list[float]] = defaultdict(list)
        for (problem, _), by_method in table.items():
            if name in by_method and OURS in by_method:
                pairs[problem].append(by_method[OURS] - by_method[name])
        seconds = report.spread([one["seconds"] for one in records if one["method"] == name])
        if name == OURS or not pairs:
            rows.append([name, *[""] * (len(problems.CLASSES) + 2), seconds])
            continue
        classes = _classes(list(pairs))
        cells = {title: interval([pairs[one] for one in kept]) for title, kept in classes.items()}
        rows.append(
            [
                name,
                str(sum(map(len, pairs.values()))),
                *(_with_interval(cells.get(title)) for title in ("all", *problems.CLASSES)),
                seconds,
            ]
        )
    header = [f"{OURS} minus", "pairs", "all", *problems.CLASSES, "proposals, s"]
    return report.table(header, rows)


def _with_interval(found: tuple[float, float, float] | None) -> str:
    return "" if found is None else f"{found[0]:+.2f} ({found[1]:+.2f} to {found[2]:+.2f})"
