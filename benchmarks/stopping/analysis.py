"""Tables of the searches: regrets after equal numbers of epochs, false stops, and verdicts that changed.

The regret of a search is the lowest loss of its complete trials minus the lowest known loss of the task, in units of
the difference between the median of random points and the lowest known loss. The lowest known loss is that of all
random points and of all trials of all contestants. A regret is at most 1, the regret of a search without a complete
trial.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks import report
from benchmarks.stopping import runs
from benchmarks.stopping.contestants import AUDIT, CONTESTANTS, ETA, LESSON, MEASURED, MIN_RESOURCE, VARIANTS

Record = Mapping[str, Any]
# (task, seed) -> the mean regret of the draws at each mark
SearchRegrets = dict[tuple[str, int], list[float]]
# (workers, contestant) -> the regrets of its searches
Regrets = dict[tuple[int, str], SearchRegrets]
# Two versions of a contestant count as equal if at least `REPEATED` searches have run with both versions, and if each
# of these searches had the same results.
REPEATED = 10
RESULTS = (
    *("losses", "seconds", "trials", "stopped", "false_stops", "best_is_stopped"),
    *("compared", "changed_points", "changed_verdicts"),
)
# Ours is compared with a peer at these marks: a quarter of the epochs, half of the epochs, and all epochs.
JUDGED = (runs.SHARES.index(0.25), runs.SHARES.index(0.5), len(runs.SHARES) - 1)


# (task, seed) -> the last line of the search
Lines = dict[tuple[str, int], Record]


def _by_version(records: Iterable[Record]) -> dict[tuple[str, int, int], dict[tuple[str, str], Lines]]:
    """Return the lines of each contestant, number of workers and number of trainings, by version and settings. The last
    measured version is the last key.
    """
    found: dict[tuple[str, int, int], dict[tuple[str, str], Lines]] = defaultdict(dict)
    for one in records:
        versions = found[one["contestant"], one["workers"], one["trainings"]]
        key = one["version"], one["settings"]
        lines = versions.pop(key, {})
        lines[one["task"], one["seed"]] = one
        versions[key] = lines
    return found


def repeated(earlier: Lines, later: Lines) -> int:
    """Return how many searches have run with both versions, or 0 if a search had different results.

    A search counts only if it has run as often with both versions.
    """
    common = {
        search
        for search in earlier.keys() & later.keys()
        if len(earlier[search]["losses"]) == len(later[search]["losses"])
    }
    same = all(earlier[search][name] == later[search][name] for search in common for name in RESULTS)
    return len(common) if same else 0


def last_lines(records: Iterable[Record]) -> list[Record]:
    """Return the last line of each search by the last measured version of its contestant, or by an equal version."""
    kept: list[Record] = []
    for versions in _by_version(records).values():
        *earlier, last = versions.values()
        equal = [lines for lines in earlier if repeated(lines, last) >= REPEATED]
        kept += {search: line for lines in (*equal, last) for search, line in lines.items()}.values()
    return kept


def lowest_losses(records: Iterable[Record]) -> dict[str, float]:
    """Return the lowest known loss of each task."""
    lowest: dict[str, float] = defaultdict(lambda: math.inf)
    for one in records:
        lowest[one["task"]] = min(lowest[one["task"]], one["lowest"])
    return lowest


def regrets(records: Iterable[Record], lowest: Mapping[str, float]) -> Regrets:
    """Return the regrets of searches with equal numbers of trainings."""
    found: Regrets = defaultdict(dict)
    for one in records:
        best = lowest[one["task"]]
        scale = one["median"] - best
        draws = [
            [1.0 if loss is None else min(1.0, (loss - best) / scale) for loss in losses] for losses in one["losses"]
        ]
        means = [statistics.fmean(values) for values in zip(*draws, strict=True)]
        found[one["workers"], one["contestant"]][one["task"], one["seed"]] = means
    return found


def difference(ours: SearchRegrets, peer: SearchRegrets, mark: int) -> tuple[float, float] | None:
    """Return the mean of ours minus a peer over the common searches, and its standard error over the tasks.

    Searches of the same task are not independent, so the error is that of the tasks' means. Returns None for fewer than
    two common tasks.
    """
    by_task: dict[str, list[float]] = defaultdict(list)
    for one in ours:
        if one in peer:
            by_task[one[0]].append(ours[one][mark] - peer[one][mark])
    if len(by_task) < 2:
        return None
    means = [statistics.fmean(values) for values in by_task.values()]
    return statistics.fmean(means), statistics.stdev(means) / math.sqrt(len(means))


def markdown(records: Sequence[Record]) -> str:
    """Return the section of the report for the existing records."""
    if not records:
        return "## Early stopping\n\nNot measured yet. Run `make bench-stopping`.\n"
    versions, known = _older(records) + _equal(records), last_lines(records)
    lowest, trainings = lowest_losses(known), max(one["trainings"] for one in known)
    records = [one for one in known if one["trainings"] == trainings]
    found = regrets(records, lowest)
    tasks, seeds = {one["task"] for one in records}, {one["seed"] for one in records}
    parts = [
        f"## Early stopping in {trainings} trainings\n\n"
        f"Each search trains as many epochs as {trainings} whole trainings have, on {len(tasks)} tasks of learning"
        f" curves with up to {len(seeds)} seeds. The time is simulated. The workers have different speeds, and each"
        " search runs twice, with two draws of these speeds. Most searches of the slowest contestants run only once."
        " The first columns contain the mean regret after a number of epochs, in whole trainings. A random point has"
        " the median regret 1, and the file benchmarks/stopping/analysis.py defines the regret. A false stop is a stop"
        " of a trial that would have been among the best tenth. If stops were random, 10% would be false."
        ' The column "best lost" counts the searches'
        " that stopped the trial with the lowest final loss. A verdict has changed if the trial with the same number"
        " was stopped in only one of both runs, or after another epoch. Rows with different numbers of searches have"
        " means over different tasks or seeds. The second table uses only the searches that both contestants have. The"
        " time is the simulated time of the search,"
        " in units of the time of `ours-steady`.\n\n"
        f"Each halving rule lets the best 1/{ETA} of the trials go on after epoch {MIN_RESOURCE} and its multiples by"
        f" {ETA}. Each median rule decides after every {MIN_RESOURCE} epochs. With the rule promotion, the trials of a"
        " batch pause after these epochs, and the best third goes on; with brackets, some batches begin with a later"
        f" epoch. Ours never stops {AUDIT:.0%} of the"
        f' trials. The surrogate of ours learns from pruned trials by the method "{LESSON}"'
        " (benchmarks/stopping/ours.py)."
        ' At each rung, a contestant whose name ends with "oracle" learns the loss after a whole training, and not the'
        " loss at the rung."
        ' Contestants whose names begin with "random" train random points, so both runs of a search train the same'
        f" trials. Versions: {_versions(known)}.{_not_measured(known)}{versions} The searches ran from"
        f" {min(one['date'] for one in known)} to {max(one['date'] for one in known)}.\n"
    ]
    for workers in sorted({one["workers"] for one in records}):
        lines = [one for one in records if one["workers"] == workers]
        parts.append(f"### {workers} workers\n\n{_table(lines, found, trainings)}\n{_peers(found, workers, trainings)}")
    parts += [
        _shorter(lines, found, lowest, mark)
        for mark, share in enumerate(runs.SHARES)
        if share < 1 and (lines := [one for one in known if one["trainings"] == trainings * share])
    ]
    return "\n".join(parts)


def _versions(records: Sequence[Record]) -> str:
    return "; ".join(sorted({one["version"] for one in records}))


def _not_measured(records: Iterable[Record]) -> str:
    measured = {one["contestant"] for one in records}
    found = [f"{name} ({why})" for name in MEASURED if name not in measured and (why := CONTESTANTS[name].why_not)]
    return f" Not measured: {', '.join(found)}." if found else ""


def _older(records: Iterable[Record]) -> str:
    """Name the rows of ours whose last version differs from the version of this tree."""
    found = []
    for (name, workers, _), versions in _by_version(records).items():
        version, _ = list(versions)[-1]
        if name.startswith("ours") and version != CONTESTANTS[name].version:
            found.append(f"{name} with {workers} workers ({version})")
    return f" Rows of earlier versions of the ledger: {', '.join(sorted(found))}." if found else ""


def _equal(records: Iterable[Record]) -> str:
    """Name the rows that also contain searches of an equal earlier version."""
    found = []
    for (name, workers, _), versions in _by_version(records).items():
        *earlier, last = versions
        for version in earlier:
            count = repeated(versions[version], versions[last])
            if count >= REPEATED:
                found.append(f"{name} with {workers} workers ({version[0]}, {count} searches)")
    if not found:
        return ""
    return (
        " Some rows also contain searches of an earlier version, because searches that were repeated with the last"
        f" version had the same results: {', '.join(sorted(found))}."
    )


def _order(names: Iterable[str]) -> list[str]:
    wanted = set(names)
    return [name for name in CONTESTANTS if name in wanted]


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _table(records: Sequence[Record], found: Regrets, trainings: int) -> str:
    by_name: dict[str, list[Record]] = defaultdict(list)
    for one in records:
        by_name[one["contestant"]].append(one)
    steady = {
        (one["task"], one["seed"]): statistics.fmean(seconds[-1] for seconds in one["seconds"])
        for one in by_name.get("ours-steady", ())
    }
    rows = []
    for name in _order(by_name):
        lines = by_name[name]
        at_marks = zip(*found[lines[0]["workers"], name].values(), strict=True)
        stopped = sum(sum(one["stopped"]) for one in lines)
        times = [
            statistics.fmean(seconds[-1] for seconds in one["seconds"]) / steady[one["task"], one["seed"]]
            for one in lines
            if (one["task"], one["seed"]) in steady
        ]
        compared = sum(one["compared"] for one in lines)
        rows.append(
            [
                *(name, str(len(lines))),
                *(f"{statistics.fmean(values):.4f}" for values in at_marks),
                f"{statistics.fmean(count for one in lines for count in one['trials']):.0f}",
                _share(stopped, sum(sum(one["trials"]) for one in lines)),
                _share(sum(sum(one["false_stops"]) for one in lines), stopped),
                _share(sum(sum(one["best_is_stopped"]) for one in lines), sum(len(one["losses"]) for one in lines)),
                f"{sum(one['changed_verdicts'] for one in lines):,} of {compared:,}",
                _share(sum(one["changed_points"] for one in lines), compared),
                f"{statistics.fmean(times):.2f}" if times else "–",
                report.number(statistics.median(one["computing"] / len(one["losses"]) for one in lines)),
            ]
        )
    header = [
        *("contestant", "searches", *(f"{trainings * share:g}" for share in runs.SHARES)),
        *("trials", "stopped", "false stops", "best lost", "changed verdicts", "other points", "time", "computing, s"),
    ]
    return report.table(header, rows)


def _peers(found: Regrets, workers: int, trainings: int) -> str:
    """Return a table of each search of ours with early stopping minus each search of the other tools."""
    rules = ("halving", "promotion", "median")
    mine = _order(
        name
        for count, name in found
        if count == workers and name.startswith("ours") and name not in VARIANTS and any(rule in name for rule in rules)
    )
    peers = _order(name for count, name in found if count == workers and not name.startswith(("ours", "random")))
    rows = []
    for peer in peers:
        row = [peer]
        for name in mine:
            for mark in JUDGED:
                one = difference(found[workers, name], found[workers, peer], mark)
                row.append("–" if one is None else f"{one[0]:+.4f} ± {one[1]:.4f}")
        rows.append(row)
    if not rows or not mine:
        return ""
    header = [
        "regret minus that of",
        *(f"{name}, {trainings * runs.SHARES[mark]:g}" for name in mine for mark in JUDGED),
    ]
    note = "A negative difference means that ours is better. The ± is the standard error over the tasks.\n\n"
    return note + report.table(header, rows)


def _shorter(records: Sequence[Record], found: Regrets, lowest: Mapping[str, float], mark: int) -> str:
    """Return the table of searches with fewer trainings. Their number of epochs is that of a mark in `found`."""
    trainings = records[0]["trainings"]
    short = regrets(records, lowest)
    mine = _order(name for _, name in found if name.startswith("ours") and name not in VARIANTS)
    rows = []
    for workers, name in sorted(short, key=lambda one: (one[0], list(CONTESTANTS).index(one[1]))):
        searches = short[workers, name]
        row = [
            name,
            str(workers),
            str(len(searches)),
            f"{statistics.fmean(each[-1] for each in searches.values()):.4f}",
        ]
        for other in mine:
            of_other = found.get((workers, other), {})
            common = {search: of_other[search][mark:] for search in searches if search in of_other}
            one = difference(common, {search: each[-1:] for search, each in searches.items()}, 0)
            error = "" if one is None else f" ({one[0]:+.4f} ± {one[1]:.4f})"
            row.append(f"{statistics.fmean(each[0] for each in common.values()):.4f}{error}" if common else "–")
        rows.append(row)
    note = (
        f"### {trainings} trainings\n\nThese searches are slow, so they ended after {trainings} trainings. The columns"
        " of ours contain the mean regret after as many epochs of the same tasks and seeds, and the difference from the"
        " regret of the row.\n\n"
    )
    return note + report.table(["contestant", "workers", "searches", "regret", *mine], rows)
