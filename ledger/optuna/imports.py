"""Import of the complete and pruned trials of an Optuna study. The import writes nothing to the storage of Optuna."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ledger.database.bounds import LARGEST_STEP
from ledger.database.trials import ExternalTrial
from ledger.errors import LedgerError, UsageError
from ledger.imports.history import UncheckedTrial, finite_number
from ledger.objectives import ValueScale
from ledger.study.dimensions import Categorical
from ledger.study.space import Space
from ledger.text import nearest, one_line


@dataclass(frozen=True)
class OptunaStudy:
    """The data that the ledger imports from a study in an Optuna storage: the complete and the pruned trials.

    Attributes
    ----------
    name : str
    maximises : bool
        True if the Optuna study maximises the values of the trials. If the Optuna study minimises the value, the loss
        in the ledger is equal to the trial's value in Optuna. If the Optuna study maximises the value, and the ledger's
        study also maximises the value, the value in the ledger is equal to the value in Optuna.
    trials : list of optuna.trial.FrozenTrial
        The complete and the pruned trials.
    others : int
        Number of the study's other trials. The other trials are running, waiting or failed.
    """

    name: str
    maximises: bool
    trials: list[Any]
    others: int

    def rows(self, scale: ValueScale) -> Iterator[UncheckedTrial]:
        """Yield each trial of `trials` as an `UncheckedTrial`, which `import_history` can import.

        The argument `scale` converts a value of the objective into a loss of the ledger's study.
        """
        for trial in self.trials:
            place = f"trial {trial.number} of Optuna's study {self.name}"
            yield UncheckedTrial(place, partial(self._read, trial, scale))

    def _read(self, trial: Any, scale: ValueScale, space: Space) -> ExternalTrial:
        if trial.state.name == "PRUNED":
            return self._read_pruned(trial, scale, space)
        loss = self._loss(finite_number("value", trial.value), scale)
        return ExternalTrial(_point(space, trial.params), loss, {"optuna_trial": trial.number})

    def _read_pruned(self, trial: Any, scale: ValueScale, space: Space) -> ExternalTrial:
        step = trial.last_step
        if step is None:
            raise UsageError("the trial is pruned, but has no intermediate value")
        if not 0 <= step <= LARGEST_STEP:
            raise UsageError(f"the step {step} of the last intermediate value is not from 0 to {LARGEST_STEP}")
        loss = self._loss(float(trial.intermediate_values[step]), scale)
        return ExternalTrial(_point(space, trial.params), loss, {}, pruned_step=step)

    def _loss(self, value: float, scale: ValueScale) -> float:
        return scale.loss_of_zero - value if self.maximises else value


def _point(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the parameters of an Optuna trial into a point of the search space.

    In Optuna, a choice cannot be a list or a dict. If a choice in the space is a list or a dict, the Optuna trial may
    contain the choice as a JSON text.

    Raise UsageError if the parameters do not form a valid point of the space.
    """
    given = dict(params)
    for dimension in space.dimensions:
        text = given.get(dimension.name)
        if isinstance(dimension, Categorical) and isinstance(text, str) and text not in dimension.choices:
            with suppress(ValueError):
                given[dimension.name] = dimension.parse(text)
    return space.normalise(given)


def load(url: str, name: str) -> OptunaStudy:
    """Read a study from an Optuna storage.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of the storage.
    name : str
        Name of the study.

    Raises
    ------
    UsageError
        The URL is invalid, the file or the study does not exist, or the study has several objectives.
    LedgerError
        Optuna is not installed, the storage cannot be read, or a row of the study is damaged.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise LedgerError("Optuna is not installed: pip install 'trial-ledger[optuna]'") from None
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageError(
            "the storage's URL cannot be parsed: write a URL such as sqlite:///optuna.db or postgresql://me@host/optuna"
        ) from None
    place = parsed.render_as_string(hide_password=True)
    # SQLite would create a missing file, so this function first checks that the file exists.
    file = parsed.database if parsed.get_backend_name() == "sqlite" else None
    if file and file != ":memory:" and not file.startswith("file:") and not Path(file).is_file():
        raise UsageError(f"{place}: no file {one_line(file)} exists")
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = optuna.storages.RDBStorage(url, skip_table_creation=True)
        names = [study.study_name for study in storage.get_all_studies()]
        if name not in names:
            way_out = nearest(name, names) if names else "; the storage has no studies"
            raise UsageError(f"{place} has no study {name!r}{way_out}")
        study = optuna.load_study(study_name=name, storage=storage)
        if len(study.directions) > 1:
            raise UsageError(
                f"Optuna's study {name} has {len(study.directions)} objectives, but a trial of the ledger has one"
                " value: export the study as csv with one column to minimise, and import the csv file"
            )
        maximises = study.direction == optuna.study.StudyDirection.MAXIMIZE
        trials = study.get_trials(deepcopy=False)
        states = optuna.trial.TrialState
        finished = [trial for trial in trials if trial.state in (states.COMPLETE, states.PRUNED)]
        for trial in finished:
            if trial.state == states.COMPLETE and not isinstance(trial.value, float | int):
                raise ValueError(f"trial {trial.number} is complete, but its value is {trial.value!r}")
            for step, value in trial.intermediate_values.items():
                if not isinstance(step, int) or not isinstance(value, float | int):
                    raise ValueError(
                        f"trial {trial.number} has an invalid intermediate value: the step must be an integer and the"
                        f" value a number, not {step!r} and {value!r}"
                    )
    except (SQLAlchemyError, ImportError, RuntimeError, optuna.exceptions.OptunaError) as error:
        # Optuna's error message mentions a commit even if the failed operation only reads data. Therefore the ledger's
        # error message quotes the exception that caused Optuna's error.
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        message = one_line(str(getattr(cause, "orig", None) or cause))
        raise LedgerError(f"{place} cannot be read as an Optuna storage: {message}") from None
    except LedgerError:
        raise
    except Exception as error:
        # Optuna and SQLAlchemy convert the rows of a storage to Python objects, but do not check the rows. Therefore a
        # damaged row can cause an exception of any class, such as a TypeError, a ValueError or a LookupError.
        message = one_line(f"{type(error).__name__}: {error}")
        raise LedgerError(
            f"{place} contains a damaged row of an Optuna study: {message}; repair the storage, or use Optuna to"
            " export the study as csv, and import the csv file"
        ) from None
    finally:
        optuna.logging.set_verbosity(verbosity)
    return OptunaStudy(name, maximises, finished, len(trials) - len(finished))
