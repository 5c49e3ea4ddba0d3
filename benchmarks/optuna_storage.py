"""Trials per second of Optuna's RDBStorage on the same kind of server, for comparison with `ledger worker`.

The objective takes no time and has three parameters. One measurement uses the random sampler. In the other, all trials
are enqueued before the clock starts; this is the design closest to the ledger's. Each worker is a process with its own
study object and connections through psycopg 3. Each worker completes one trial before the clock starts. Logging and
heartbeats are switched off.
"""

import time
from multiprocessing import get_context
from typing import Any

from benchmarks.ledgers import NAMES, ledger
from benchmarks.objectives import valley

WORKERS = (1, 8)
TRIALS = {"random sampler": 160, "enqueued trials": 80}
ROUNDS = 3


def measure(*, quick: bool = False) -> dict[str, dict[int, list[float]]]:
    """Return the trials per second of each round, by the source of the trials and the number of workers."""
    trials, rounds = ({"random sampler": 16, "enqueued trials": 8}, 1) if quick else (TRIALS, ROUNDS)
    with ledger() as found:
        url = found.database("optuna")
        return {
            kind: {workers: [rate(url, kind, workers, count) for _ in range(rounds)] for workers in WORKERS}
            for kind, count in trials.items()
        }


def rate(url: str, kind: str, workers: int, trials: int) -> float:
    """Return the trials per second of a number of processes. `url` is the database's SQLAlchemy URL."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=url)
    if kind == "enqueued trials":
        for index in range(trials + workers):
            study.enqueue_trial(dict.fromkeys(NAMES, index / (trials + workers)))
    context = get_context("spawn")
    barrier = context.Barrier(workers + 1)
    processes = [
        context.Process(target=_work, args=(url, study.study_name, trials // workers, seed, barrier))
        for seed in range(workers)
    ]
    for process in processes:
        process.start()
    barrier.wait()
    started = time.perf_counter()
    barrier.wait()
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    done = len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))) - workers
    assert done == trials // workers * workers, f"{done} of {trials} trials are complete"
    return done / seconds


def _work(url: str, name: str, trials: int, seed: int, barrier: Any) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=name, storage=url, sampler=optuna.samplers.RandomSampler(seed))

    def objective(trial: Any) -> float:
        return valley({name: trial.suggest_float(name, 0.0, 1.0) for name in NAMES})

    study.optimize(objective, n_trials=1)
    barrier.wait()
    study.optimize(objective, n_trials=trials)
    barrier.wait()
