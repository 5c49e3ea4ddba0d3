"""The environment variables of the trainer process."""

import os
from collections.abc import Mapping

from ledger.objectives.reporting import INSIDE
from ledger.worker import credentials
from ledger.worker.system_user import SystemUser

# Environment variables that set the number of threads of a library. Some libraries read the environment variable only
# once, when a process imports the library. Therefore the parent process sets the variables before the start of the
# child process.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def trainer_environment(threads: int, added: Mapping[str, str], account: SystemUser | None) -> dict[str, str]:
    """Return the environment of a trainer process that runs as the user `account` and uses `threads` threads.

    The environment contains this process's variables without the database's credentials, because an objective must not
    change the ledger, and the variables in `added`.
    """
    return {
        **credentials.without(os.environ),
        **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
        **added,
        **({} if account is None else account.variables),
        INSIDE: "1",
    }
