"""Searches from scripts and notebooks: what `ledger run` and `ledger study show` do, in Python."""

import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger import search
from ledger.access import connected
from ledger.access import database as opened
from ledger.database import studies, transfer
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError, UsageError
from ledger.objectives import pickled
from ledger.settings import Settings
from ledger.study.file import assemble
from ledger.text import one_line
from ledger.worker.trainer import INSIDE

if TYPE_CHECKING:
    import pandas as pd

_worker_log = logging.getLogger("ledger.worker")


class Study:
    """One search for the parameters of a decorated function. Nothing is written before `run`.

    Parameters
    ----------
    objective : callable
        Decorated with `ledger.objective`.
    name : str, optional
        Unique in a ledger; made of the settings by default. The same name and settings go on with a study.
    iterations, batch_size : int
        The budget: so many rounds of so many trials.
    seed : int
        Of all that is random, in [0, 2**31).
    mode : str
        "batch", or "steady": every trial that ends is replaced at once.
    optimizer, limits : mapping, optional
        As in a study file's tables of these names: ``{"base_estimator": "RF"}``, ``{"trial_timeout": 60.0}``.
    database : str, optional
        A libpq URL. Default: DATABASE_URL, or the embedded PostgreSQL of the folder LEDGER_HOME (./.ledger).

    Raises
    ------
    UsageError
        Something in them is wrong: one line.
    """

    def __init__(
        self,
        objective: Callable[..., Any],
        *,
        name: str | None = None,
        iterations: int = 3,
        batch_size: int = 2,
        seed: int = 42,
        mode: str = "batch",
        optimizer: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        database: str | None = None,
    ) -> None:
        space = getattr(objective, "ledger_space", None)
        if space is None:
            raise UsageError(
                f"{getattr(objective, '__name__', objective)!r} has no space: put @ledger.objective(space={{...}})"
                " above its definition"
            )
        self._function, self._database = objective, database
        module = _module_of(objective)
        self._is_pickled = module is None
        self._study = assemble(
            {},
            tables={
                "study": {
                    **({} if name is None else {"name": name}),
                    "iterations": iterations,
                    "batch_size": batch_size,
                    "seed": seed,
                    "mode": mode,
                },
                "objective": {"function": f"{module or pickled.MODULE}:{objective.__name__}"},
                "space": {each.pop("name"): each for each in space.to_json()},
                "optimizer": dict(optimizer or {}),
                "limits": dict(limits or {}),
            },
        )
        self._allowed = [] if module is None else [module]

    @property
    def name(self) -> str:
        """The study's name."""
        return self._study.name

    def run(self, workers: int | None = None) -> "StudyResult":
        """Run the search to its end on this machine, as `ledger run` does, and return what it found.

        Nothing is printed. Log records go to the loggers below ``ledger``, also those of the workers: to see them, call
        ``logging.basicConfig(level=logging.INFO)`` first. Ctrl-C lets the workers finish the trials that they train;
        the same call goes on from there.

        Parameters
        ----------
        workers : int, optional
            How many processes, at least 1. Default: one a core, at most the batch size.

        Raises
        ------
        LedgerError
            The study did not complete, or cannot be run: one line.
        """
        if os.environ.get(INSIDE):
            raise LedgerError(
                f"study {self.name} is run where a worker loads its objective: put run() under"
                ' if __name__ == "__main__":'
            )
        if workers is not None and workers < 1:
            raise UsageError(f"workers {workers!r} must be 1 or more")
        workers = workers or min(os.cpu_count() or 1, self._study.batch_size)
        settings = _settings(self._database)
        with self._environment() as environment:
            search.check_objective(self._study.spec()["objective"], self._allowed, environment)
            with opened(settings, create=True) as url:
                logged = _Logged()
                local = search.LocalWorkers(workers, self._allowed, environment, ("--log-format", "json"))
                try:
                    row = search.run(url, settings, self._study, local, listener=logged)
                except LedgerError as error:
                    if logged.last_problem is None:
                        raise
                    raise type(error)(f"{error}; a worker's last message: {logged.last_problem}") from None
        if row.state != "complete":
            raise LedgerError(f"study {self.name} is {row.state}" + (f": {row.reason}" if row.reason else ""))
        return load_study(self.name, self._database)

    @contextmanager
    def _environment(self) -> Iterator[dict[str, str]]:
        """Yield what the workers need to load the function: this process's modules, or the function itself."""
        path = [os.path.abspath(folder) for folder in sys.path]  # noqa: PTH100 (as it is, links and all)
        environment = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}
        if not self._is_pickled:
            yield environment
            return
        with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
            file = Path(folder) / "function.pickle"
            pickled.write(self._function, file)
            yield {**environment, pickled.VARIABLE: str(file)}


class _Logged(search.Listener):
    """Passes what the workers write on to the logger of workers."""

    def __init__(self) -> None:
        self.last_problem: str | None = None
        self._output: int | None = None
        self._thread: threading.Thread | None = None

    def started(self, url: str, study: StudyRow) -> None:  # noqa: ARG002
        reading, self._output = os.pipe()
        self._thread = threading.Thread(target=self._read, args=(reading,), name="ledger workers", daemon=True)
        self._thread.start()

    @property
    def worker_output(self) -> int | None:
        return self._output

    def stopped(self) -> None:
        if self._output is not None and self._thread is not None:
            os.close(self._output)
            self._thread.join()

    def _read(self, reading: int) -> None:
        with open(reading, encoding="utf-8", errors="backslashreplace") as lines:
            for line in lines:
                level, message = _parsed(line)
                if level >= logging.WARNING:
                    self.last_problem = one_line(message)
                _worker_log.log(level, "%s", message)


def _parsed(line: str) -> tuple[int, str]:
    """Return the level and the message of a worker's line; what is no log line was printed by an objective."""
    try:
        record = json.loads(line)
        return logging.getLevelNamesMapping()[record["level"].upper()], str(record["message"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        is_error = line.startswith("ledger: ")
        return logging.ERROR if is_error else logging.INFO, line.rstrip("\n")


@dataclass(frozen=True)
class Trial:
    """A trial as it stood when the study was loaded.

    Attributes
    ----------
    number, iteration : int
        From 0.
    state : str
        "pending", "running", "complete", "failed" or "cancelled".
    source : str
        "proposed", "retried" and so on.
    params : dict
    loss : float or None
        Of a complete trial.
    metrics : dict
        Of a complete trial, else empty.
    seconds : float or None
        Of training, of a complete trial.
    attempts : int
    worker : str or None
        Who claimed it last.
    claimed_at, finished_at : datetime or None
    error : str or None
        Of its last failure.
    """

    number: int
    iteration: int
    state: str
    source: str
    params: dict[str, Any]
    loss: float | None
    metrics: dict[str, Any]
    seconds: float | None
    attempts: int
    worker: str | None
    claimed_at: datetime | None
    finished_at: datetime | None
    error: str | None


@dataclass(frozen=True)
class StudyResult:
    """What a ledger held of a study when it was loaded; load it again to see what came since.

    Attributes
    ----------
    name, state : str
        The state is "running", "paused", "complete", "failed" or "cancelled".
    budget : int
        The number of trials to propose.
    spec : dict
        All that defines the study.
    trials : tuple of Trial
        In order.
    """

    name: str
    state: str
    budget: int
    spec: dict[str, Any]
    trials: tuple[Trial, ...]

    @property
    def best_trial(self) -> Trial:
        """The complete trial with the lowest loss, the earliest of equal ones; a LedgerError where there is none."""
        complete = [trial for trial in self.trials if trial.loss is not None]
        if not complete:
            raise LedgerError(f"study {self.name} has no complete trial yet: load it again later")
        return min(complete, key=lambda trial: (trial.loss, trial.number))

    @property
    def best_params(self) -> dict[str, Any]:
        """The parameters of `best_trial`."""
        return self.best_trial.params

    @property
    def best_loss(self) -> float:
        """The loss of `best_trial`."""
        loss = self.best_trial.loss
        assert loss is not None
        return loss

    def trials_dataframe(self) -> "pd.DataFrame":
        """Return one row a trial, in order, indexed by number: each parameter as ``params_NAME``, each metric as
        ``metrics_NAME``, then what a `Trial` has. Needs pandas, of the extra ``trial-ledger[pandas]``."""
        try:
            import pandas as pd
        except ImportError:
            raise LedgerError(
                "trials_dataframe() needs pandas, which is not installed here: pip install 'trial-ledger[pandas]'"
            ) from None
        rows = []
        for trial in self.trials:
            row = {name: value for name, value in vars(trial).items() if name not in ("params", "metrics")}
            row |= {f"params_{name}": value for name, value in trial.params.items()}
            row |= {f"metrics_{name}": value for name, value in trial.metrics.items()}
            rows.append(row)
        names = [dimension["name"] for dimension in self.spec["space"]]
        metrics = sorted({name for trial in self.trials for name in trial.metrics})
        columns = [
            *(name for name in Trial.__dataclass_fields__ if name not in ("params", "metrics")),
            *(f"params_{name}" for name in names),
            *(f"metrics_{name}" for name in metrics),
        ]
        return pd.DataFrame(rows, columns=columns).set_index("number")

    def __repr__(self) -> str:
        complete = sum(trial.state == "complete" for trial in self.trials)
        return f"<study {self.name}: {self.state}, {complete} of {len(self.trials)} trials complete>"


def load_study(name: str, database: str | None = None) -> StudyResult:
    """Read a study as it stands, whoever runs it and wherever.

    Parameters
    ----------
    database : str, optional
        As of `Study`.

    Raises
    ------
    LedgerError
        There is no such study or no ledger: one line.
    """
    with connected(_settings(database)) as connection:
        found = transfer.snapshot(connection, studies.get(connection, name).id)
    row = found.study
    trials = tuple(
        Trial(
            **{
                field: getattr(trial, field)
                for field in Trial.__dataclass_fields__
                if field not in ("params", "metrics")
            },
            # in the order of the space, which jsonb forgets
            params={one["name"]: trial.params[one["name"]] for one in row.spec["space"] if one["name"] in trial.params},
            metrics=trial.metrics or {},
        )
        for trial in found.trials
    )
    return StudyResult(row.name, row.state, row.budget, row.spec, trials)


def _settings(database: str | None) -> Settings:
    settings = Settings.from_environment()
    return settings if database is None else replace(settings, database_url=database)


def _module_of(function: Callable[..., Any]) -> str | None:
    """Return the module from which a worker can import the function; None where it has to be pickled."""
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise UsageError(f"the objective {name or function!r} has no name of its own: define it by def")
    module = getattr(function, "__module__", None)
    if not module or module == pickled.MODULE:
        return None
    try:
        return module if getattr(import_module(module), name, None) is function else None
    except ImportError:
        return None
