"""Functions that run a whole search in one call."""

from collections.abc import Callable, Iterable
from typing import Any, Unpack

from ledger.api import Study
from ledger.keywords import known_keywords
from ledger.manager.objective_change import IfChanged
from ledger.objectives import Direction
from ledger.study.arguments import AnySpace, StudyOptions
from ledger.study.estimator import EstimatorObjective
from ledger.study_result import StudyResult, Trial


@known_keywords
def minimize(
    objective: Callable[..., Any] | EstimatorObjective,
    space: AnySpace | None = None,
    *,
    workers: int | None = None,
    callbacks: Iterable[Callable[[Trial], object]] = (),
    show: bool | None = None,
    if_changed: IfChanged = "refuse",
    **options: Unpack[StudyOptions],
) -> StudyResult:
    """Search for the parameters with which an objective returns its lowest value. Return the result of the search.

    If the ledger already contains the study, the function continues the study. If the study is already complete, the
    function returns the study's result without a search.

    Parameters
    ----------
    objective : callable
        A function whose argument is a dict of parameters, or any other objective that `ledger.Study` accepts. The
        result of the function is a real number, or a dict that contains the value and the metrics. To run several
        searches with the same function, give each search a different `name`.
    space : mapping, sequence or Space, optional
        The search space, in a form that `ledger.space.from_any` accepts. The default is the space that the program gave
        to `ledger.objective`.
    workers : int, optional
        The number of worker processes, at least 1. By default, the function starts one worker for each core, but at
        most `batch_size` workers. If the caller does not pass `batch_size`, the batch size is the number of workers,
        but at least 2. Therefore no worker is idle at the start of an iteration.
    callbacks : iterable of callable, optional
        Functions that the search calls with each `Trial` that has ended.
    show : bool, optional
        Whether to show the progress of the search. The docstring of `ledger.Study.run` describes the parameter. By
        default, the function shows the progress only in a notebook.
    if_changed : {"refuse", "accept", "new"}, optional
        What to do if the objective's code has changed since an earlier search. The docstring of `ledger.Study.run`
        describes the parameter. By default, the function raises an error that names the change.
    options : StudyOptions
        More arguments for `ledger.Study`, such as `trials`, `name`, `seed`, `timeout` and `batch_size`.

    Returns
    -------
    StudyResult
        The study with all its trials. The attribute `best_value` is the lowest value that the objective returned. The
        attribute `best_params` contains the parameters of the best trial.

    Raises
    ------
    UsageError
        An argument is unknown or invalid. The error message names the argument and the allowed values.
    StudyFailedError
        The study failed. The exception contains the traceback of the objective.
    LedgerError
        The docstring of `ledger.Study.run` lists the causes of a LedgerError.

    Examples
    --------
    >>> import ledger
    >>> def bowl(params):
    ...     return (params["x"] - 1) ** 2 + params["y"] ** 2
    >>> result = ledger.minimize(bowl, {"x": (-5.0, 5.0), "y": (-5.0, 5.0)}, trials=4, workers=1)
    >>> result.best_value == bowl(result.best_params)
    True
    """
    return _search(objective, space, "minimize", workers, callbacks, show, if_changed, options)


@known_keywords
def maximize(
    objective: Callable[..., Any] | EstimatorObjective,
    space: AnySpace | None = None,
    *,
    workers: int | None = None,
    callbacks: Iterable[Callable[[Trial], object]] = (),
    show: bool | None = None,
    if_changed: IfChanged = "refuse",
    **options: Unpack[StudyOptions],
) -> StudyResult:
    """Search for the parameters with which an objective returns its highest value. Return the result of the search.

    Parameters
    ----------
    objective : callable
        The objective that the search maximises. The docstring of `minimize` describes the parameter.
    space : mapping, sequence or Space, optional
        The search space. The docstring of `minimize` describes the parameter.
    workers : int, optional
        The number of worker processes. The docstring of `minimize` describes the parameter.
    callbacks : iterable of callable, optional
        The functions that the search calls with each `Trial` that has ended.
    show : bool, optional
        Whether to show the progress of the search. The docstring of `minimize` describes the parameter.
    if_changed : {"refuse", "accept", "new"}, optional
        What to do if the objective's code has changed since an earlier search. The docstring of `minimize` describes
        the parameter.
    options : StudyOptions
        More arguments for `ledger.Study`, such as `trials` and `name`.

    Returns
    -------
    StudyResult
        The study with all its trials. The attribute `best_value` is the highest value that the objective returned. The
        attribute `best_params` contains the parameters of the best trial.

    Raises
    ------
    LedgerError
        The docstring of `minimize` lists the causes of a LedgerError.

    Examples
    --------
    >>> import ledger
    >>> def hill(params):
    ...     return 3 - params["x"] ** 2
    >>> result = ledger.maximize(hill, {"x": (-5.0, 5.0)}, trials=4, workers=1)
    >>> result.best_value == max(trial.value for trial in result.trials)
    True
    """
    return _search(objective, space, "maximize", workers, callbacks, show, if_changed, options)


def _search(
    objective: Callable[..., Any] | EstimatorObjective,
    space: AnySpace | None,
    direction: Direction | None,
    workers: int | None,
    callbacks: Iterable[Callable[[Trial], object]],
    show: bool | None,
    if_changed: IfChanged,
    options: Any,
) -> StudyResult:
    if workers is not None:
        options.setdefault("batch_size", max(2, workers))
    study = Study(objective, space=space, direction=direction, **options)
    return study.run(workers, callbacks=callbacks, show=show, if_changed=if_changed)
