"""A whole search in one call."""

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
    """Search for the parameters that give an objective its lowest value, and return the result.

    If the ledger already contains the study, the function continues the study. If the study is already complete, the
    function returns its result without a search.

    Parameters
    ----------
    objective : callable
        A function of a dict of parameters, or any other objective of `ledger.Study`. The function returns the value as
        a real number, or a dict with the value and metrics. To run several searches with the same function, give each
        search a different `name`.
    space : mapping, sequence or Space, optional
        The search space, as in `ledger.space.from_any`. By default, the search uses the space of the decorator
        `ledger.objective`.
    workers : int, optional
        The number of worker processes, at least 1. By default, the function starts one worker for each core, but at
        most `batch_size` workers. If `batch_size` is not given, the batch size is the number of workers, but at least
        2. This batch size keeps all workers busy.
    callbacks : iterable of callable, optional
        Functions that the search calls with each `Trial` that has ended.
    show : bool, optional
        Whether to show the running search, as in `ledger.Study.run`. By default, only a notebook shows the search.
    if_changed : {"refuse", "accept", "new"}, optional
        What to do if the objective's code has changed since an earlier search, as in `ledger.Study.run`. By default,
        the function raises an error that names the change.
    options : StudyOptions
        The other arguments of `ledger.Study`, such as `trials`, `name`, `seed`, `timeout` and `batch_size`.

    Returns
    -------
    StudyResult
        The study with all its trials. `best_value` is the lowest value, and `best_params` are the parameters of the
        trial with this value.

    Raises
    ------
    UsageError
        An argument is unknown or invalid. The message names the argument and the allowed values.
    StudyFailedError
        The study failed. The exception has the traceback of the objective.
    LedgerError
        An error that `ledger.Study.run` lists.

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
    """Search for the parameters that give an objective its highest value, and return the result.

    Parameters
    ----------
    objective : callable
        As in `minimize`.
    space : mapping, sequence or Space, optional
        As in `minimize`.
    workers : int, optional
        As in `minimize`.
    callbacks : iterable of callable, optional
        As in `minimize`.
    show : bool, optional
        As in `minimize`.
    if_changed : {"refuse", "accept", "new"}, optional
        As in `minimize`.
    options : StudyOptions
        As in `minimize`.

    Returns
    -------
    StudyResult
        The study with all its trials. `best_value` is the highest value, and `best_params` are the parameters of the
        trial with this value.

    Raises
    ------
    LedgerError
        An error that `minimize` lists.

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
