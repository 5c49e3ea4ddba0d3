"""Runs a search in a thread of the calling program."""

import atexit
import threading
from collections.abc import Callable

from ledger.errors import LedgerError
from ledger.study_result import StudyResult


class RunningSearch:
    """A search that `ledger.Study.start` has started in the background.

    If the program ends before the study has ended, the end of the program has the same effect as a call of `stop`. If
    the user runs the program again, the new run continues the study.

    Parameters
    ----------
    name : str
        Name of the study.
    search : callable
        Function that runs the search until the search ends, and returns the result.
    request_stop : callable
        Function that requests the end of the search. After the request, `search` returns within a short time.

    Attributes
    ----------
    name : str
        The study's name.

    Examples
    --------
    >>> import ledger
    >>> @ledger.objective(space={"x": (-5.0, 5.0)})
    ... def bowl(params):
    ...     return params["x"] ** 2
    >>> running = ledger.Study(bowl, trials=3).start(workers=1)
    >>> running.wait()
    True
    >>> running.result().state
    'complete'
    """

    def __init__(self, name: str, search: Callable[[], StudyResult], request_stop: Callable[[], None]) -> None:
        self.name = name
        self._search, self._request_stop = search, request_stop
        self._result: StudyResult | None = None
        self._error: BaseException | None = None
        # Without ``daemon=True``, the program could exit only after the end of the study.
        self._thread = threading.Thread(target=self._run, name=f"ledger study {name}", daemon=True)
        atexit.register(self.stop)
        self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the search has ended, or until `timeout` seconds have passed. Return whether the search has ended.

        Parameters
        ----------
        timeout : float, optional
            The longest time to wait, in seconds. By default, the method waits without a time limit.

        Examples
        --------
        >>> import ledger
        >>> @ledger.objective(space={"x": (-5.0, 5.0)})
        ... def bowl(params):
        ...     return params["x"] ** 2
        >>> ledger.Study(bowl, trials=3).start(workers=1).wait(timeout=600.0)
        True
        """
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Stop the search, and return when the search has ended.

        The workers have eight seconds to finish their running trials. After eight seconds, the workers release their
        unfinished trials. The ledger keeps the study, so a later run can continue the study. If the search has already
        ended, the method does nothing.

        Examples
        --------
        >>> import ledger
        >>> @ledger.objective(space={"x": (-5.0, 5.0)})
        ... def bowl(params):
        ...     return params["x"] ** 2
        >>> running = ledger.Study(bowl, name="stopped", trials=1000).start(workers=1)
        >>> running.stop()
        >>> running.result().state
        'running'
        """
        self._request_stop()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def result(self, timeout: float | None = None) -> StudyResult:
        """Wait until the search has ended, and return the study with all its trials.

        Parameters
        ----------
        timeout : float, optional
            The longest time to wait, in seconds. By default, the method waits without a time limit.

        Returns
        -------
        StudyResult
            The study. Its state is "complete". If `stop` has stopped the search, the state is "running".

        Raises
        ------
        LedgerError
            The search is still running after `timeout` seconds, or an error has ended the search. The docstring of
            `ledger.Study.run` lists the possible errors.

        Examples
        --------
        >>> import ledger
        >>> @ledger.objective(space={"x": (-5.0, 5.0)})
        ... def bowl(params):
        ...     return params["x"] ** 2
        >>> len(ledger.Study(bowl, trials=3).start(workers=1).result().trials)
        3
        """
        if not self.wait(timeout):
            raise LedgerError(f"study {self.name} still runs after {timeout:g} s: wait longer, or call stop()")
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def __repr__(self) -> str:
        return f"<search of study {self.name}: {'running' if self._thread.is_alive() else 'ended'}>"

    def _run(self) -> None:
        try:
            self._result = self._search()
        except BaseException as error:
            self._error = error
        finally:
            atexit.unregister(self.stop)
