"""Studies as the ledger holds them, made without a database."""

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from ledger.database import iteration_totals
from ledger.database.rows import AttemptRow, IterationRow, StudyRow, TrialRow
from ledger.database.transfer import StudySnapshot
from ledger.proposals import ProposalInput, proposal_input, propose
from ledger.study.spec import StudySpec
from tests.integration.ledgers import LIMITS

BEGUN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SPACE = [
    {"name": "C", "type": "real", "low": 1e-3, "high": 1e3, "prior": "log-uniform"},
    {"name": "depth", "type": "integer", "low": 1, "high": 8, "prior": "uniform"},
    {"name": "kernel", "type": "categorical", "choices": ["rbf", "poly", "sigmoid"]},
    {"name": "shift", "type": "real", "low": -1.0, "high": 1.0, "prior": "uniform"},
]


def loss(params: Any) -> float:
    """Of C and kernel alone."""
    of_kernel = {"rbf": 0.0, "poly": 1.0, "sigmoid": 0.3}
    return math.log10(params.get("C", 1.0)) ** 2 / 9 + of_kernel.get(params.get("kernel", "rbf"), 0.5) + 0.01


_UNTOLD: dict[str, Any] = dict.fromkeys(
    column.name for column in iteration_totals.columns() if column.name != "first_trial"
)


def _totals(trials: list[TrialRow], batch_size: int) -> dict[str, Any]:
    """Of iterations that are told in their order, up to the iteration of the last trials."""
    complete = [trial.number for trial in trials if trial.loss is not None]
    losses = [math.inf if trial.loss is None else trial.loss for trial in trials]
    improvements = [
        number
        for number in range(len(trials) - batch_size, len(trials))
        if losses[number] < min(losses[:number], default=math.inf)
    ]
    return {
        "told": len(trials) // batch_size,
        "total_proposed": len(trials),
        "total_complete": len(complete),
        "total_failed": sum(trial.state == "failed" for trial in trials),
        "total_pruned": 0,
        "total_cancelled": 0,
        "total_attempts": sum(trial.attempts for trial in trials),
        "total_failures": sum(trial.failures for trial in trials),
        "total_crashes": sum(trial.crashes for trial in trials),
        "total_lost": 0,
        "last_complete": max(complete, default=None),
        "improvements": improvements or None,
    }


def snapshot(
    iterations: int = 6,
    batch_size: int = 4,
    *,
    space: Any = None,
    estimator: str = "GP",
    mode: str = "batch",
    failed: Any = (),
    pending: Any = (),
    workers: int = 2,
    error: str | None = "ValueError: no",
    worker: str = "host",
    modelled: bool = True,
    objective: Any = None,
) -> StudySnapshot:
    """A study of random points, but of a surrogate recorded with its last iteration where `modelled`."""
    spec: dict[str, Any] = {
        "batch_size": batch_size,
        "seed": 1,
        "mode": mode,
        "objective": objective or {"function": "my.code:loss"},
        "space": SPACE if space is None else space,
        "optimizer": {"base_estimator": estimator, "acq_func": "EI"},
        "limits": LIMITS,
        "resolved": {"initial_points": 4},
    }
    study = StudySpec.from_spec("s", max(iterations * batch_size, 1), spec)
    drawn = random.Random(1)
    trials: list[TrialRow] = []
    attempts: list[AttemptRow] = []
    count = iterations * batch_size
    values = propose(study, 0, 0, count, ProposalInput()).points if count else []
    for number, params in enumerate(values):
        state = "failed" if number in failed else "pending" if number in pending else "complete"
        start = BEGUN + timedelta(seconds=(number // workers) * 2)
        end = start + timedelta(seconds=drawn.uniform(0.5, 1.9))
        ended = state != "pending"
        common: dict[str, Any] = {
            "worker": f"{worker}-{number % workers}" if ended else None,
            "value": study.objective.value(loss(params), None) if state == "complete" else None,
            "loss": loss(params) if state == "complete" else None,
            "seconds": (end - start).total_seconds() if ended else None,
            "error": error if state == "failed" else None,
        }
        trials.append(
            TrialRow(
                number=number,
                iteration=number // batch_size,
                round=0,
                source="proposed",
                retry_of=None,
                params=params,
                state=state,
                metrics={"accuracy": 1 - loss(params)} if state == "complete" else None,
                attempts=int(ended),
                failures=int(state == "failed"),
                crashes=0,
                lost=0,
                available_at=BEGUN,
                claimed_at=start if ended else None,
                lease_until=None,
                deadline_at=None,
                finished_at=end if ended else None,
                pruned_step=None,
                pruned_loss=None,
                **common,
            )
        )
        if ended:
            attempts.append(AttemptRow(trial=number, number=1, claimed_at=start, ended_at=end, outcome=state, **common))
    asked = []
    for number in range(iterations):
        of_it = [trial.loss for trial in trials if trial.iteration == number and trial.loss is not None]
        mean = math.fsum(of_it) / len(of_it) if of_it else None
        is_told = not any(trial.iteration == number and trial.state == "pending" for trial in trials)
        surrogate = None
        if modelled and number == iterations - 1 and number > 0:
            surrogate = propose(study, number, 0, 1, proposal_input(trials, number, 0, None)).surrogate
        asked.append(
            IterationRow(
                number=number,
                round=0,
                size=batch_size,
                batch_size=batch_size,
                asked_at=BEGUN,
                ask_seconds=0.0,
                tell_seconds=0.0,
                told_at=BEGUN if is_told else None,
                mean_loss=mean if is_told and mode == "batch" else None,
                best_loss=min(of_it) if of_it and is_told else None,
                mean_value=None if mean is None or not is_told else study.objective.value(mean, None),
                best_value=study.objective.value(min(of_it), None) if of_it and is_told else None,
                surrogate=surrogate,
                environment={"python": "3.13"},
                seen=None,
                seen_rungs=None,
                first_trial=number * batch_size,
                **(_totals(trials[: (number + 1) * batch_size], batch_size) if is_told else _UNTOLD),
            )
        )
    at = BEGUN + timedelta(seconds=count + 60)
    row = StudyRow(
        id=1,
        name="s",
        state="running",
        reason=None,
        budget=max(iterations, 1) * batch_size,
        target=None,
        patience=None,
        timeout_seconds=None,
        managed_seconds=0.0,
        stopped_by=None,
        stopping_at=None,
        created_at=BEGUN,
        finished_at=None,
        spec=spec,
        spec_hash="0" * 64,
        versions={"python": "3.13"},
        changed_batch_size=None,
        archived_at=None,
    )
    return StudySnapshot(at, row, asked, trials, attempts)
