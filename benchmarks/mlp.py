"""Time to the same loss with and without early stopping, for trainings of a neural network on scikit-learn's digits.

8 workers share the cores of the machine. Both studies of a seed have the same space, so their first batches are equal.
Each study runs for the same time, so the study with the rule trains more trials. The loss to reach is the worst of the
best losses that the studies without the rule have at their end. So each study without the rule reaches this loss.
"""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks import report
from benchmarks.ledgers import Ledger, ledger
from benchmarks.network import EPOCHS
from ledger.database.rows import StudyRow
from ledger.manager.registration import register
from ledger.study.file import assemble

WORKERS = 8
BATCH = 16
SEEDS = 5
# Seconds of a study.
SECONDS = 35
RULES = ("none", "halving")

_FILE = """
[study]
name = "{name}"
batch_size = {batch}
seed = {seed}
trials = 10000
[objective]
function = "benchmarks.network:network"
[space]
units = {{ type = "integer", low = 8, high = 256, prior = "log-uniform" }}
batch = {{ type = "integer", low = 16, high = 256, prior = "log-uniform" }}
rate = {{ type = "real", low = 1e-4, high = 0.3, prior = "log-uniform" }}
decay = {{ type = "real", low = 1e-6, high = 10.0, prior = "log-uniform" }}
"""
_RULE = """
[stopping]
rule = "{rule}"
max_resource = {epochs}
"""
_BEGIN = "select min(reported_at) from ledger.reports where study_id = %s"
_ENDED = """
select extract(epoch from finished_at - %s)::float8 as seconds, loss
from ledger.trials where study_id = %s and state in ('complete', 'pruned') order by seconds
"""
_EPOCHS = "select count(*) from ledger.reports where study_id = %s and reported_at <= %s"


@dataclass(frozen=True)
class Search:
    """A study that has ended.

    Attributes
    ----------
    losses : sequence of (float, float)
        For each complete trial, the seconds from the first report of the study to the result, and the loss.
    pruned : int
        Number of trials that the rule has stopped.
    epochs : int
        Number of epochs of all trials.
    """

    losses: Sequence[tuple[float, float]]
    pruned: int
    epochs: int

    @property
    def best(self) -> float:
        return min((loss for _, loss in self.losses), default=math.inf)

    def seconds_to(self, loss: float) -> float:
        """Return the seconds until a complete trial has at most this loss, or infinity."""
        return min((seconds for seconds, found in self.losses if found <= loss), default=math.inf)


def run(*, quick: bool = False) -> str:
    """Measure, and return a section of RESULTS.md. `quick` uses small sizes that only show that the benchmark runs."""
    seconds, seeds = (8, 1) if quick else (SECONDS, SEEDS)
    searches: dict[str, list[Search]] = {rule: [] for rule in RULES}
    with ledger() as found:
        for seed in range(seeds):
            for rule in RULES:
                searches[rule].append(_search(found, rule, seed, seconds))
    return markdown(searches["none"], searches["halving"], seconds)


def markdown(without: Sequence[Search], ruled: Sequence[Search], seconds: float) -> str:
    """Return the section of the searches without and with the rule, in the same order of the seeds."""
    target = max(search.best for search in without)
    times = [[search.seconds_to(target) for search in searches] for searches in (without, ruled)]
    middle = statistics.median(times[1])
    speed = f"{report.number(statistics.median(times[0]) / middle)} ×" if middle < math.inf else ""
    faster = sum(second < first for first, second in zip(*times, strict=True))
    header = ["", "s to the loss", "speed", "faster in", "complete trials", "stopped trials", "epochs", "best loss"]
    verdicts = [["", ""], [speed, f"{faster} of {len(ruled)} seeds"]]
    rows = [
        [
            *(name, _until(reached, seconds), *verdict),
            report.spread([len(search.losses) for search in searches]),
            report.spread([search.pruned for search in searches]),
            report.spread([search.epochs for search in searches]),
            report.spread([search.best for search in searches]),
        ]
        for name, searches, reached, verdict in zip(
            ("without a rule", "`halving`"), (without, ruled), times, verdicts, strict=True
        )
    ]
    return (
        f"## Seconds until a network on digits has the log loss {report.number(target)}, {WORKERS} workers\n\n"
        f"The objective trains scikit-learn's `MLPClassifier` for {EPOCHS} epochs. The studies propose batches of"
        f" {BATCH} trials with a GP, and run for {seconds:g} s each, with {len(without)} seeds. The time begins with"
        " the first report, when the workers have loaded the objective. The loss to reach is the worst of the best"
        " losses of the studies without a rule. Only a complete trial can reach the loss. The ranges are those of the"
        " seeds.\n\n" + report.table(header, rows)
    )


def _until(times: Sequence[float], limit: float) -> str:
    """Return the median and the range of times, of which some may be infinite."""
    if math.inf not in times:
        return report.spread(times)
    shown = [report.number(each) if each < math.inf else f"> {limit:g}" for each in (min(times), max(times))]
    middle = statistics.median_high(times)
    return f"{report.number(middle) if middle < math.inf else f'> {limit:g}'} ({' to '.join(shown)})"


def _search(found: Ledger, rule: str, seed: int, seconds: float) -> Search:
    name = f"{rule}-{seed}"
    file = found.folder / f"{name}.toml"
    stopping = "" if rule == "none" else _RULE.format(rule=rule, epochs=EPOCHS)
    file.write_text(_FILE.format(name=name, batch=BATCH, seed=seed) + stopping)
    with found.db() as db:
        row = register(db, assemble({}, file))
    with found.workers(WORKERS, name), found.program("manager", str(file)) as manager:
        found.wait_until(lambda: _begin(found, row) is not None, [manager])
        end = time.monotonic() + seconds
        found.wait_until(lambda: time.monotonic() > end, [manager])
    begin = _begin(found, row)
    assert begin is not None
    ended = [(after, loss) for after, loss in found.query(_ENDED, begin, row.id) if after <= seconds]
    return Search(
        [(after, loss) for after, loss in ended if loss is not None],
        sum(loss is None for _, loss in ended),
        int(found.query(_EPOCHS, row.id, begin + timedelta(seconds=seconds))[0][0]),
    )


def _begin(found: Ledger, row: StudyRow) -> datetime | None:
    begin: datetime | None = found.query(_BEGIN, row.id)[0][0]
    return begin
