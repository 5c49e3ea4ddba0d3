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
        Name of the study from which the worker trains trials. The study does not have to exist yet. If `study` is None,
        the worker trains trials of all running studies.
    max_trials : int or None
        Number of attempts after which the worker stops.
    until_complete : bool
        Whether the worker stops when the study has ended. If `study` is None, the worker stops when all studies have
        ended.
    allowed : collection of str
        Packages from which the worker may load a user's objective.
    threads : int
        Number of threads that one training uses. The minimum is 1.
    grace : float
        Grace time in seconds. After a request to stop, the worker continues the running trial until the trial or the
        grace time ends.
    trial_timeout : float or None
        Time limit in seconds for one attempt. If the study has a shorter time limit, the worker uses the time limit of
        the study.
    memory_limit : int or None
        Number of bytes of data that the trainer may allocate.
    trainer_account : SystemUser or None
        User that runs the trainer. Only a worker that runs as root can choose the user. None means that the trainer
        runs as the same user as the worker.
    commands : collection of str
        Patterns that describe the commands that the worker may run. `command_template.pattern_words` describes the form
        of a pattern.
    store : str or None
        URL of the store that keeps the contents of artifacts. None stands for the ledger itself.
    exit_on_eof : bool
        Whether the worker stops at the end of standard input. `WorkerProcesses` sets `exit_on_eof` to True, so that a
        worker stops when the worker's parent process ends.
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
