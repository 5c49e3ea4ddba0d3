"""The contestants: searches of the ledger and of other tools, with and without rules of early stopping."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ledger.optimizer
import ledger.proposals
from benchmarks import report
from benchmarks.records import fingerprint
from benchmarks.stopping import ours
from benchmarks.stopping.groups import GroupSearch
from benchmarks.stopping.mobster import MobsterSearch
from benchmarks.stopping.oracle import OracleSearch
from benchmarks.stopping.peers import OptunaSearch, SmacSearch, SyneTuneSearch
from benchmarks.stopping.restarts import RestartingSearch
from benchmarks.stopping.simulator import Curves, Search
from ledger.study import early_stopping, verdicts
from ledger.study.early_stopping import EarlyStopping
from ledger.study.verdicts import RULES, Rule

# All halving rules let the best third go on, from this epoch on. All median rules decide after every second epoch.
ETA = 3
MIN_RESOURCE = 2
# All rungs of LCBench (epochs 2, 6 and 18) and of the synthetic curves.
BRACKETS = 3
# The share of the trials that ours never stops, which is the default of a study.
AUDIT = EarlyStopping().audit
# The key of `ours.LESSONS` with the lowest mean regret on the tasks for tuning after a quarter and after half of the
# epochs. After all epochs of a search, it was level with "ignored".
LESSON = "rungs"
BATCHES = (8, 32)
# The trials of a group. A batch of 32 trials has four groups.
GROUP_SIZE = 8

# The file that drives most other tools.
PEERS = "peers.py"

_RULE = f"eta {ETA} from {MIN_RESOURCE}"
_HERE = Path(__file__).parent
_SIMULATOR = [_HERE / "simulator.py", _HERE / "curves.py"]


@dataclass(frozen=True)
class Contestant:
    """A search with or without a rule of early stopping.

    Attributes
    ----------
    name : str
    settings : str
        The settings that the results depend on, beside the version.
    make : callable
        Returns a new search from the task, the seed and the number of workers.
    packages : tuple of str
        The packages of the other tool. Empty for ours.
    module : str or None
        A module of the other tool that only some of its versions have.
    driver : str
        The file that drives the other tool, or a file with a search of ours.
    """

    name: str
    settings: str
    make: Callable[[Curves, int, int], Search]
    packages: tuple[str, ...] = ()
    module: str | None = None
    driver: str = PEERS

    @property
    def version(self) -> str:
        """The versions that the results depend on. Another version needs another run."""
        return _version(self.packages, self.driver)

    @property
    def why_not(self) -> str | None:
        """The reason why the contestant cannot be measured here, or None."""
        missing = [package for package in self.packages if report.version(package) is None]
        if missing:
            return f"{missing[0]} is not installed"
        if self.module is not None and find_spec(self.module) is None:
            return f"{self.packages[0]} {report.version(self.packages[0])} does not contain the module {self.module}"
        return None


@cache
def _version(packages: tuple[str, ...], driver: str) -> str:
    if packages:
        found = ", ".join(f"{package} {report.version(package)}" for package in packages)
        return f"{found}, simulator {fingerprint([*_SIMULATOR, _HERE / driver])}"
    folders = [Path(str(package.__file__)).parent for package in (ledger.optimizer, ledger.proposals)]
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    files += [_HERE / driver] if driver != PEERS else []
    modules = [Path(str(module.__file__)) for module in (early_stopping, verdicts)]
    return f"ours {fingerprint([*_SIMULATOR, _HERE / 'ours.py', *files, *modules])}"


def _ours(
    name: str,
    batch_size: int | None,
    rule: Rule,
    *,
    lesson: str = LESSON,
    audit: float = AUDIT,
    is_random: bool = False,
    brackets: int = 1,
) -> Contestant:
    """Return a contestant of ours. `batch_size` None stands for steady mode with a trial for each worker."""

    def make(curves: Curves, seed: int, workers: int) -> Search:
        settings: dict[str, Any] = {"rule": rule, "eta": ETA, "audit": audit, "brackets": brackets}
        stopping = EarlyStopping(**settings, min_resource=MIN_RESOURCE, max_resource=curves.epochs)
        kind: type[ours.BatchSearch]
        if batch_size is None:
            kind = ours.SteadyPromotionSearch if rule == "promotion" else ours.SteadySearch
        else:
            kind = ours.PromotionSearch if rule == "promotion" else ours.BatchSearch
        size = workers if batch_size is None else batch_size
        return kind(curves, seed, size, stopping, ours.LESSONS[lesson], is_random=is_random)

    settings = f"{_RULE}, audit {audit}, {lesson}" + (f", {brackets} brackets" if brackets > 1 else "")
    return Contestant(name, settings if rule != "none" else "", make)


def _groups(name: str, batch_size: int) -> Contestant:
    def make(curves: Curves, seed: int, workers: int) -> Search:
        settings: dict[str, Any] = {"rule": "halving", "eta": ETA, "group_size": GROUP_SIZE}
        stopping = EarlyStopping(**settings, min_resource=MIN_RESOURCE, max_resource=curves.epochs)
        return GroupSearch(curves, seed, batch_size, stopping, ours.LESSONS[LESSON], workers=workers)

    return Contestant(name, f"{_RULE}, audit {AUDIT}, {LESSON}, groups of {GROUP_SIZE}", make, driver="groups.py")


def _changed(of: Contestant, ending: str, settings: str, change: Callable[[Curves, Search], Search]) -> Contestant:
    """Return a contestant whose searches are changed searches of another one."""

    def make(curves: Curves, seed: int, workers: int) -> Search:
        return change(curves, of.make(curves, seed, workers))

    return Contestant(f"{of.name}-{ending}", f"{of.settings}, {settings}", make)


def _optuna(name: str, sampler: str, rule: str) -> Contestant:
    def make(curves: Curves, seed: int, workers: int) -> Search:  # noqa: ARG001
        halving = {"min_resource": MIN_RESOURCE, "reduction_factor": ETA}
        pruner, arguments = {
            "none": ("NopPruner", {}),
            "halving": ("SuccessiveHalvingPruner", halving),
            "hyperband": ("HyperbandPruner", {**halving, "max_resource": curves.epochs}),
            "median": ("MedianPruner", {"n_warmup_steps": MIN_RESOURCE, "interval_steps": MIN_RESOURCE}),
        }[rule]
        return OptunaSearch(curves, seed, sampler, pruner, **arguments)

    packages = ("optuna", "torch") if sampler == "GPSampler" else ("optuna",)
    return Contestant(name, _RULE if rule != "none" else "", make, packages)


def _synetune(searcher: str) -> Contestant:
    def make(curves: Curves, seed: int, workers: int) -> Search:  # noqa: ARG001
        return SyneTuneSearch(curves, seed, searcher, MIN_RESOURCE, ETA)

    short = searcher.partition("_")[0]
    return Contestant(f"synetune-{short}-halving", _RULE, make, ("syne-tune",))


def _mobster() -> Contestant:
    def make(curves: Curves, seed: int, workers: int) -> Search:  # noqa: ARG001
        return MobsterSearch(curves, seed, MIN_RESOURCE, ETA)

    # Syne Tune 0.14 is the last version with MOBSTER, and needs an environment of its own.
    module = "syne_tune.optimizer.legacy_baselines"
    return Contestant("synetune-mobster", _RULE, make, ("syne-tune",), module, "mobster.py")


def _smac() -> Contestant:
    def make(curves: Curves, seed: int, workers: int) -> Search:  # noqa: ARG001
        return SmacSearch(curves, seed, MIN_RESOURCE)

    return Contestant("smac-hyperband", _RULE, make, ("smac",))


def _with_rule(name: str, rule: str) -> str:
    return name if rule == "none" else f"{name}-{rule}"


def _all() -> dict[str, Contestant]:
    batches: dict[str, int | None] = {f"batch-{size}": size for size in BATCHES}
    modes = {**batches, "steady": None}
    found = [
        *(_ours(_with_rule(f"ours-{mode}", rule), size, rule) for mode, size in modes.items() for rule in RULES),
        *(
            _ours(f"ours-{mode}-promotion-brackets", size, "promotion", brackets=BRACKETS)
            for mode, size in batches.items()
        ),
        _groups(f"ours-batch-{BATCHES[-1]}-halving-groups", BATCHES[-1]),
        *(
            _optuna(_with_rule(f"optuna-{short}", rule), sampler, rule)
            for short, sampler in (("tpe", "TPESampler"), ("gp", "GPSampler"))
            for rule in ("none", "halving", "hyperband", "median")
        ),
        *(_synetune(searcher) for searcher in ("random_search", "kde")),
        _mobster(),
        _smac(),
        *(
            _ours(f"random-{mode}-{rule}", size, rule, is_random=True)
            for mode, size in modes.items()
            for rule in ("halving", "median")
        ),
        *(_ours(f"random-{mode}-promotion", size, "promotion", is_random=True) for mode, size in modes.items()),
        *(_optuna(f"random-optuna-{rule}", "RandomSampler", rule) for rule in ("halving", "hyperband", "median")),
        *(
            _ours(f"ours-{mode}-halving-{lesson}", size, "halving", lesson=lesson)
            for mode, size in modes.items()
            for lesson in ours.LESSONS
        ),
        *(_ours(f"ours-{mode}-halving-unaudited", size, "halving", audit=0.0) for mode, size in modes.items()),
    ]
    named = {contestant.name: contestant for contestant in found}
    oracles = ("ours-batch-8-halving", "ours-batch-8-promotion", "ours-batch-8-promotion-brackets")
    restarted = ("ours-batch-32-promotion", "ours-batch-32-promotion-brackets")
    derived = [
        *(_changed(named[name], "oracle", "final losses", OracleSearch) for name in oracles),
        *(
            _changed(named[name], "restarted", "no checkpoints", lambda _, search: RestartingSearch(search))
            for name in restarted
        ),
    ]
    return named | {contestant.name: contestant for contestant in derived}


CONTESTANTS = _all()
# Variants of ours that only tuning and explanations need.
VARIANTS = tuple(
    name for name in CONTESTANTS if name.rpartition("-")[2] in (*ours.LESSONS, "unaudited", "oracle", "restarted")
)
# The contestants of the report. All points of those whose names begin with "random" are random, which shows the rules
# alone.
MEASURED = tuple(name for name in CONTESTANTS if name not in VARIANTS)
