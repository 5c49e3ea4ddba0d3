"""Study of the chaos test, and the same study without faults."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tests.system.programs import Program

ROOT = Path(__file__).parents[2]
NAME = "chaos"
LEASE, HEARTBEAT = 2.0, 0.5  # seconds
_FILE = """
[study]
name = "{name}"
mode = "{mode}"
iterations = {iterations}
batch_size = {batch_size}
seed = {seed}
{patience}
[optimizer]
base_estimator = "{base_estimator}"

# short, so that what is lost is taken back soon; what the machines do must never use up the trials
[limits]
lease = {lease}
heartbeat = {heartbeat}
max_lost = 1000
"""
_RUGGED = """
[objective]
function = "tests.chaos.objective:rugged"
direction = "maximize"

[space]
x = { type = "real", low = -5.0, high = 5.0 }
y = { type = "real", low = -5.0, high = 5.0 }
steps = { type = "integer", low = 1, high = 64 }
kind = { type = "categorical", choices = ["flat", "steep", "odd"] }
power = { type = "integer", low = 1, high = 16, powers_of = 2 }
level = { type = "categorical", choices = ["low", "middle", "high"], ordered = true }
pair = { type = "categorical", choices = "[null, [1, 2], [0, 3]]", tuples = true }
"""
_STOPPING = """
[stopping]
rule = "{rule}"{groups}
min_resource = {min_resource}
max_resource = 4
{eta}"""
_MODEL = """
[objective]
model = "{model}"
"""

# The columns of a trial, and of a verdict, that depend only on the study in batch mode. The attempt of a verdict, and
# the times, also depend on the workers.
_TRIAL = ("number", "params", "state", "loss", "pruned_step", "pruned_loss")
_VERDICT = ("rung", "step", "loss", "cutoff", "compared", "arrival", "stops", "audited")


class Result(NamedTuple):
    """A trial as it depends only on the study in batch mode.

    `verdicts` contains the verdicts on the trial, and `cutoffs` the cutoffs of the trial's iteration.
    """

    number: int
    params: dict[str, Any]
    state: str
    loss: float | None
    pruned_step: int | None = None
    pruned_loss: float | None = None
    verdicts: Sequence[dict[str, Any]] = ()
    cutoffs: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True)
class Plan:
    """A study. `model` is "rugged", the objective of the chaos test, or a built-in model. `patience` may end it.

    `rule` is the rule of early stopping of the objective "rugged". "groups" is the rule "halving" with groups of two
    trials. The built-in models have no rule. The rule has a rung at the step 2, and also a rung at the step 1 if
    `has_two_rungs` is true. A study in steady mode depends on the order in which its trials end, so it cannot be
    compared with an undisturbed study.
    """

    model: str
    iterations: int
    batch_size: int
    seed: int
    base_estimator: str
    patience: int | None = None
    rule: str = "median"
    mode: Literal["batch", "steady"] = "batch"
    has_two_rungs: bool = False

    def write(self, folder: Path) -> Path:
        """Write the study file into the folder."""
        file = folder / "study.toml"
        head = _FILE.format(
            name=NAME,
            mode=self.mode,
            iterations=self.iterations,
            batch_size=self.batch_size,
            seed=self.seed,
            patience="" if self.patience is None else f"patience = {self.patience}\n",
            base_estimator=self.base_estimator,
            lease=LEASE,
            heartbeat=HEARTBEAT,
        )
        rungs = {"min_resource": 1, "eta": "eta = 2"} if self.has_two_rungs else {"min_resource": 2, "eta": ""}
        groups = "\ngroup_size = 2" if self.rule == "groups" else ""
        rule = "halving" if self.rule == "groups" else self.rule
        rugged = _RUGGED + _STOPPING.format(rule=rule, groups=groups, **rungs)
        file.write_text(head + (rugged if self.model == "rugged" else _MODEL.format(model=self.model)))
        return file


def program(folder: Path, *, trial_seconds: float, prefix: Sequence[str] = (), **variables: str) -> Program:
    """Return the program `ledger` with a separate home folder and the path of the objective."""
    folder.mkdir(parents=True, exist_ok=True)
    own = {"PYTHONPATH": str(ROOT), "CHAOS_TRIAL_SECONDS": str(trial_seconds)}
    return Program(folder, prefix=prefix, is_new=False, **own, **variables)


def undisturbed(plan: Plan, folder: Path, *, workers: int = 1, iterations: int | None = None) -> list[Result]:
    """Run the study without faults, extend it to `iterations` if that is more, and return the results."""
    calm = program(folder, trial_seconds=0)
    command = ["run", str(plan.write(folder)), "--workers", str(workers), "--allow", "tests.chaos"]
    calm.run(*command)
    if iterations is not None and iterations > plan.iterations:
        calm.run(*command, "--iterations", str(iterations))
    return results(calm)


def results(of: Program) -> list[Result]:
    """Return the result of each trial."""
    document = json.loads(of.run("export", NAME, "--format", "json"))
    verdicts, cutoffs = defaultdict(list), defaultdict(list)
    for verdict in document["verdicts"]:
        verdicts[verdict["trial"]].append({name: verdict[name] for name in _VERDICT})
    for cutoff in document["cutoffs"]:
        cutoffs[cutoff["iteration"]].append(cutoff)
    return [
        Result(
            **{name: trial[name] for name in _TRIAL},
            verdicts=verdicts[trial["number"]],
            cutoffs=cutoffs[trial["iteration"]],
        )
        for trial in document["trials"]
    ]
