"""The options of one worker."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerOptions:
    """The options of one worker, as `ledger worker` takes them.

    Attributes
    ----------
    study : str or None
        Study to work for, which may be created later; None for every running study.
    max_trials : int or None
        Number of attempts after which the worker stops.
    until_complete : bool
        Stop when the study has ended, or with `study` None, when every study has ended.
    allowed : collection of str
        Packages that a user's objective may be loaded from.
    threads : int
        Threads of one training, at least 1.
    grace : float
        Seconds within which a worker that is asked to stop may finish the trial in training.
    trial_timeout : float or None
        Seconds after which an attempt is ended, if the study does not end it sooner.
    memory_limit : int or None
        Bytes of data that the trainer may allocate.
    exit_on_eof : bool
        Stop at the end of standard input, which `WorkerProcesses` uses to end its workers with itself.
    """

    study: str | None = None
    max_trials: int | None = None
    until_complete: bool = False
    allowed: Collection[str] = ()
    threads: int = 1
    grace: float = 8.0
    trial_timeout: float | None = None
    memory_limit: int | None = None
    exit_on_eof: bool = False
