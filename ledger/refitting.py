"""Training of a study's estimator on all the study's data, with the parameters of one trial."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection

from ledger.database import datasets
from ledger.errors import UsageError
from ledger.objectives import load, references
from ledger.objectives.estimators import own_references
from ledger.objectives.form import TrainingSettings, dataset_reference, read_form
from ledger.seeds import derive

# Largest number of threads that train an estimator.
MOST_THREADS = 1_024


def training_form(study: str, objective: Mapping[str, Any], request: str) -> TrainingSettings:
    """Return the settings with which an objective trains an estimator.

    Parameters
    ----------
    study : str
        The name of the study, for the error message.
    objective : mapping
        The study's objective, from the spec.
    request : str
        The name of the user's request, for the error message. An example of the name is "refit".

    Raises
    ------
    UsageError
        The objective is a function or a command, so the ledger does not know how to train an estimator.
    """
    for kind in ("function", "command"):
        if kind in objective:
            raise UsageError(
                f"{request}: the ledger does not know the model of study {study}, because the objective is a {kind};"
                " train the model with best_params in your own code"
            )
    return read_form(objective)


def stored_contents(connection: Connection, objective: Mapping[str, Any]) -> list[bytes]:
    """Return the contents of an objective's data files, in the order that `ledger.objectives.load` expects."""
    data = dataset_reference(objective)
    files = () if data is None else data.files
    return [b"".join(datasets.pieces(connection, file.sha256)) for file in files]


def check_permission(request: str, study: str, form: TrainingSettings, allowed: Collection[str]) -> None:
    """Raise a UsageError if an estimator of a study is from a package that is not in `allowed`.

    Parameters
    ----------
    request, study : str
        Two texts for the error message: the name of the user's request, and the name of the study.
    form : TrainingSettings
        The settings with which the study trains an estimator.
    allowed : collection of str
        The packages from which this process may load an estimator.
    """
    if isinstance(allowed, str):
        raise UsageError(f"{request}: `allow` must be a list of packages, such as [{allowed!r}]")
    if not isinstance(allowed, Collection) or not all(isinstance(package, str) for package in allowed):
        raise UsageError(f"{request}: `allow` must be a list of packages, such as ['mypackage']")
    for reference in own_references(form.steps):
        module = reference.partition(":")[0]
        if not references.is_in(module, allowed):
            raise UsageError(
                f"{request}: study {study} trains {reference}, which this call does not permit; pass"
                f" allow=[{module.partition('.')[0]!r}] if you trust the code"
            )


def refit(
    study: str,
    spec: Mapping[str, Any],
    trial: int,
    params: Mapping[str, Any],
    contents: list[bytes],
    threads: int,
    allowed: Collection[str],
) -> Any:
    """Train an estimator with the parameters of a trial on all rows of the study's data, and return the estimator.

    The function does not train on the rows of a hold-out file. The training uses the seed of the trial.

    Parameters
    ----------
    study, spec : str, mapping
        The name and the spec of the study.
    trial, params : int, mapping
        The number and the parameters of the trial.
    contents : list of bytes
        The contents of the data files, as returned by `stored_contents`.
    threads : int
        The number of threads that train the estimator.
    allowed : collection of str
        The packages from which this process may load an estimator.
    """
    form = training_form(study, spec["objective"], "refit")
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"refit: `threads` must be an integer from 1 to {MOST_THREADS:,}, but it is {threads!r}")
    check_permission("refit", study, form, allowed)
    objective = load(spec["objective"], allowed, threads=threads, contents=contents)
    return objective.refit(params, derive(spec["seed"], "trial", trial))
