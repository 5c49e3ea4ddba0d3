"""Utilisation of 8 workers, with sleeping trials in batches of 32 and a Gaussian process.

Utilisation is the sum of the trials' seconds, divided by the number of workers times the wall time. The wall time is
from the first claim to the last result. The worker processes are ready before the clock starts. Tools that take minutes
get fewer trials. This favours them, because each trial makes later proposals slower.
"""

import tempfile
import time
import warnings
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import file_polling, report
from benchmarks.ledgers import NAMES, Ledger, ledger
from benchmarks.loop import search, skopt_optimizer
from benchmarks.objectives import valley
from ledger.database.rows import StudyRow

WORKERS = 8
BATCH = 32
LONG, SHORT = 2.0, 0.1
BATCHES = 13  # 416 trials
# Mode of a study -> the target utilisation with long trials.
MODES = {"batch": 0.85, "steady": 0.95}
# Numbers of batches of long and of short trials for the other tools. Optuna has no batches, so these are trials.
SKOPT = (4, 3)
FILES = (4, 4)
OPTUNA = (416, 96)

_USED = """
select sum(attempt.seconds) / (%s * extract(epoch from max(attempt.ended_at) - min(attempt.claimed_at))::float8)
from ledger.attempts as attempt where attempt.study_id = %s
"""


def run(*, quick: bool = False) -> str:
    batches = 2 if quick else BATCHES
    skopt, files, optuna = ((1, 1), (1, 1), (8, 8)) if quick else (SKOPT, FILES, OPTUNA)
    lengths = (SHORT, SHORT) if quick else (LONG, SHORT)
    rows = []
    with ledger() as found:
        for mode, target in MODES.items():
            used = [_ours(found, f"{mode}-{index}", batches, seconds, mode) for index, seconds in enumerate(lengths)]
            rows.append(
                _row(f"ledger, {mode} mode", used, (batches * BATCH,) * 2, f"≥ {target:.0%}", used[0] >= target)
            )
        missing = report.why_no_gp_sampler()
        if missing:
            rows.append([f"Optuna GPSampler on RDBStorage: {missing}", *[""] * 6])
        else:
            used = [_optuna(found, index, optuna[index], seconds) for index, seconds in enumerate(lengths)]
            rows.append(_row("Optuna GPSampler on RDBStorage", used, optuna))
        used = [_skopt(found, f"skopt-{index}", skopt[index], seconds) for index, seconds in enumerate(lengths)]
        rows.append(_row("skopt.Optimizer in the ledger's loop", used, tuple(BATCH * count for count in skopt)))
    used = [_files(files[index], seconds) for index, seconds in enumerate(lengths)]
    rows.append(_row("JSON files, polled every 5 s", used, tuple(BATCH * count for count in files)))
    header = ["", f"{lengths[0]:g} s trials", "trials", "target", "met", f"{lengths[1]:g} s trials", "trials"]
    return f"## Utilisation of {WORKERS} workers, batches of {BATCH}, GP\n\n" + report.table(header, rows)


def _row(
    who: str, used: list[float], trials: tuple[int, ...], target: str = "", reached: bool | None = None
) -> list[str]:
    verdict = "" if reached is None else "yes" if reached else "**no**"
    return [who, f"{used[0]:.1%}", str(trials[0]), target, verdict, f"{used[1]:.1%}", str(trials[1])]


def _ours(found: Ledger, name: str, batches: int, seconds: float, mode: str) -> float:
    row = found.study(name, iterations=batches, batch_size=BATCH, function="sleeping", mode=mode)
    file = str(found.folder / f"{name}.toml")
    with found.workers(WORKERS, name, seconds), found.program("manager", file) as manager:
        manager.wait()
        return _used(found, row)


def _skopt(found: Ledger, name: str, batches: int, seconds: float) -> float:
    row = found.study(name, iterations=batches, batch_size=BATCH, function="sleeping")
    with found.workers(WORKERS, name, seconds), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search(found, row, skopt_optimizer(initial=BATCH), [BATCH] * batches)
        return _used(found, row)


def _used(found: Ledger, row: StudyRow) -> float:
    return float(found.query(_USED, WORKERS, row.id)[0][0])


def _files(batches: int, seconds: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return file_polling.search(Path(folder), WORKERS, batches, BATCH, seconds)


def _optuna(found: Ledger, index: int, trials: int, seconds: float) -> float:
    """Return the utilisation of processes that each suggest, sleep and tell, as Optuna does."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = found.database(f"optuna_{index}")
    study = optuna.create_study(storage=url)
    context = get_context("spawn")
    barrier = context.Barrier(WORKERS)
    processes = [
        context.Process(target=_suggest, args=(url, study.study_name, trials // WORKERS, seed, seconds, barrier))
        for seed in range(WORKERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    assert len(done) == trials // WORKERS * WORKERS
    started = min(trial.datetime_start for trial in done)
    ended = max(trial.datetime_complete for trial in done)
    wall: float = (ended - started).total_seconds()
    return len(done) * seconds / (WORKERS * wall)


def _suggest(url: str, name: str, trials: int, seed: int, seconds: float, barrier: Any) -> None:
    import optuna
    import torch  # which Optuna loads at its first suggestion

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    sampler = optuna.samplers.GPSampler(seed=seed, deterministic_objective=True)
    study = optuna.load_study(study_name=name, storage=url, sampler=sampler)

    def objective(trial: Any) -> float:
        params = {name: trial.suggest_float(name, 0.0, 1.0) for name in NAMES}
        time.sleep(seconds)
        return valley(params)

    barrier.wait()
    study.optimize(objective, n_trials=trials)
