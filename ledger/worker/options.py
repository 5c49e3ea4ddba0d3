"""The options of one worker."""

from collections.abc import Collection
from dataclasses import dataclass

from ledger.worker.system_user import SystemUser


@dataclass(frozen=True)
class WorkerOptions:
    """The options of one worker. The command `ledger worker` has the same options.

    Attributes
    ----------
    study : str or None
        Name of the study whose trials the worker trains. The study does not have to exist yet. None stands for all
        running studies.
    max_trials : int or None
        Number of attempts after which the worker stops.
    until_complete : bool
        Whether the worker stops when the study has ended. If `study` is None, the worker stops when all studies have
        ended.
    allowed : collection of str
        Packages from which the worker may load a user's objective.
    threads : int
        Number of threads of one training, at least 1.
    grace : float
        Maximum time in seconds for which the worker continues the current trial after a request to stop.
    trial_timeout : float or None
        Time limit in seconds for one attempt. If the study has a shorter time limit, the time limit of the study
        applies.
    memory_limit : int or None
        Number of bytes of data that the trainer may allocate.
    trainer_account : SystemUser or None
        User that runs the trainer, if the worker runs as root. None means that the same user runs the worker and the
        trainer.
    commands : collection of str
        Patterns of the commands that the worker may run, in the form of `command_template.pattern_words`.
    store : str or None
        URL of the store that keeps the contents of artifacts. None stands for the ledger itself.
    exit_on_eof : bool
        Whether the worker stops at the end of standard input. `WorkerProcesses` sets this option, so that a worker
        stops when its parent process ends.
    """

    study: str | None = None
    max_trials: int | None = None
    until_complete: bool = False
    allowed: Collection[str] = ()
    threads: int = 1
    grace: float = 8.0
    trial_timeout: float | None = None
    memory_limit: int | None = None
    trainer_account: SystemUser | None = None
    commands: Collection[str] = ()
    store: str | None = None
    exit_on_eof: bool = False
