"""The function `load_study`, which reads the results of a study from the ledger for a Python program."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ledger.access import connected
from ledger.annotating import annotate
from ledger.artifacts import Artifact, of_study
from ledger.database import annotations, studies, transfer
from ledger.database.annotations import AnnotationChange
from ledger.database.rows import COUNTED_STATES, AnnotationRow, TrialRow
from ledger.database.status import Improvement
from ledger.errors import LedgerError
from ledger.keywords import known_keywords
from ledger.notebook.html import listing, study_result
from ledger.objectives import Direction, value_scale
from ledger.result_frames import reports_frame, trials_frame
from ledger.settings import Settings, settings_of
from ledger.study.python_values import ordered_params
from ledger.text import one_line

if TYPE_CHECKING:
    import pandas as pd

    from ledger.result_plots import ResultPlots

# _EXPANDED contains the names of the attributes of `Trial` that are dictionaries. For each attribute in _EXPANDED, a
# data frame of trials has one column for each key of the attribute's dictionary.
_EXPANDED = ("params", "metrics", "attributes")
# A notebook lists at most _SHOWN of the best trials.
_SHOWN = 5


@dataclass(frozen=True)
class Trial:
    """One trial of a study. `load_study` reads the trial from the ledger.

    Attributes
    ----------
    number : int
        The trial's number within the study, counted from 0.
    iteration : int
        The number of the trial's iteration, counted from 0.
    state : {"pending", "running", "paused", "complete", "pruned", "failed", "cancelled"}
        The trial's state. A trial is pruned if the rule of early stopping has ended the trial. A trial is paused if the
        rule has paused the trial, and will later decide whether the trial goes on.
    source : {"proposed", "retried", "enqueued", "imported"}
        The origin of the trial's parameters.
    params : dict
        The name and the value of each parameter, in the order of the search space.
    value : float or None
        The value that the objective returned for a complete trial. If the objective is a model or an estimator, the
        value is the score. None if the trial is not complete.
    loss : float or None
        The loss of a complete trial. The optimizer minimises the loss. If the direction is "minimize", the loss is
        equal to the value. None if the trial is not complete.
    metrics : dict
        The name and the value of each metric that the objective returned. Empty if the trial is not complete.
    seconds : float or None
        The training time, in seconds, of the attempt that completed the trial. None if no attempt completed the trial.
    attempts : int
        The number of attempts that workers have begun for the trial.
    worker : str or None
        The name of the last worker that claimed the trial.
    claimed_at : datetime or None
        The time of the trial's last claim, by the database's clock, as a datetime with a time zone.
    finished_at : datetime or None
        The time at which the trial ended, by the database's clock, as a datetime with a time zone.
    error : str or None
        The last error of the trial, or the reason why a user cancelled the trial. None if the trial is complete. The
        attribute `error` is also None if the trial has no error and no user has cancelled the trial.
    pruned_step : int or None
        The step whose reported value caused the end of a pruned trial. None if the trial is not pruned.
    pruned_loss : float or None
        The loss at `pruned_step`. None if the reported value was NaN, or if the trial is not pruned.
    tags : tuple of str
        The trial's tags in alphabetical order.
    note : str or None
        The note on the trial.
    attributes : dict
        The name and the value of each user attribute of the trial, as JSON values.

    Examples
    --------
    >>> import ledger
    >>> trial = ledger.load_study("parabola").trials[0]
    >>> trial.number, trial.state, sorted(trial.params)
    (0, 'complete', ['x'])
    """

    number: int
    iteration: int
    state: str
    source: str
    params: dict[str, Any]
    value: float | None
    loss: float | None
    metrics: dict[str, Any]
    seconds: float | None
    attempts: int
    worker: str | None
    claimed_at: datetime | None
    finished_at: datetime | None
    error: str | None
    pruned_step: int | None = None
    pruned_loss: float | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyResult:
    """The state of a study at one moment, with its trials and its best trial. `load_study` reads the study.

    A `StudyResult` never changes. To see later changes of the study, call `load_study` again.

    Attributes
    ----------
    name : str
        The study's name.
    state : {"running", "paused", "complete", "failed", "cancelled"}
        The study's state.
    reason : str or None
        The reason for the study's state, such as the target that the study has reached. None if no reason is recorded.
    budget : int
        The number of trials that the optimizer may propose.
    spec : dict
        The definition of the study as JSON values: the space, seed, objective, optimizer options and limits.
    trials : tuple of Trial
        All trials of the study, ordered by number.
    tags : tuple of str
        The study's tags in alphabetical order.
    note : str or None
        The note on the study.
    attributes : dict
        The name and the value of each user attribute of the study, as JSON values.

    Examples
    --------
    >>> import ledger
    >>> result = ledger.load_study("parabola")
    >>> result.state, len(result.trials)
    ('complete', 6)
    >>> [trial.number for trial in result.trials if trial.value == result.best_value]
    [...]
    """

    name: str
    state: str
    reason: str | None
    budget: int
    spec: dict[str, Any]
    trials: tuple[Trial, ...]
    tags: tuple[str, ...] = ()
    note: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    # `annotate`, `plot`, `refit` and `best_code` read the location of the ledger from the settings.
    _settings: Settings = field(default_factory=Settings.from_environment, repr=False, compare=False)

    @property
    def best_trial(self) -> Trial:
        """The complete trial with the best value. The attribute `direction` defines which value is best.

        If several complete trials have the same best value, the best trial is the trial with the smallest number.

        Raises
        ------
        LedgerError
            No trial is complete.

        Examples
        --------
        >>> import ledger
        >>> ledger.load_study("parabola").best_trial.state
        'complete'
        """
        complete = [trial for trial in self.trials if trial.loss is not None]
        if not complete:
            raise LedgerError(f"study {self.name} has no complete trial yet: load the study again later")
        return min(complete, key=lambda trial: (trial.loss, trial.number))

    @property
    def best_params(self) -> dict[str, Any]:
        """The parameters of `best_trial`.

        Raises
        ------
        LedgerError
            No trial is complete.

        Examples
        --------
        >>> import ledger
        >>> ledger.load_study("parabola").best_params
        {'x': ...}
        """
        return self.best_trial.params

    @property
    def direction(self) -> Direction:
        """The text "minimize" if the lowest value is best, or the text "maximize" if the highest value is best.

        A study always maximises the score of a model or an estimator.

        Examples
        --------
        >>> import ledger
        >>> ledger.load_study("parabola").direction
        'minimize'
        """
        return value_scale(self.spec["objective"]).direction

    @property
    def best_value(self) -> float:
        """The value that the objective returned for `best_trial`.

        Raises
        ------
        LedgerError
            No trial is complete.

        Examples
        --------
        >>> import ledger
        >>> 0 <= ledger.load_study("parabola").best_value <= 36
        True
        """
        value = self.best_trial.value
        assert value is not None
        return value

    @property
    def best_loss(self) -> float:
        """The loss of `best_trial`, which is the smallest loss of the study.

        Raises
        ------
        LedgerError
            No trial is complete.

        Examples
        --------
        >>> import ledger
        >>> 0 <= ledger.load_study("parabola").best_loss <= 36
        True
        """
        loss = self.best_trial.loss
        assert loss is not None
        return loss

    @property
    def best_code(self) -> str:
        """Python code that builds an estimator with the best parameters, and trains the estimator on the study's data.

        The code needs neither this package nor the database. If the study trains on a data file, the code reads the
        data file from the current folder, and needs pandas. The code does not train on the rows of a hold-out file.

        Raises
        ------
        UsageError
            The objective is a function or a command.
        LedgerError
            No trial is complete, or the database is unavailable.

        Examples
        --------
        >>> import ledger
        >>> ledger.load_study("parabola").best_code
        Traceback (most recent call last):
        ledger.errors.UsageError: best_code: the ledger does not know the model of study parabola, because ...
        """
        from ledger.best_code import best_code
        from ledger.refitting import training_form

        training_form(self.name, self.spec["objective"], "best_code")
        best = self.best_trial
        return best_code(self.name, self.spec, best.number, self.best_value, best.params, self._contents())

    @cached_property
    def plot(self) -> "ResultPlots":
        """The plots of the study as Plotly figures, such as ``plot.convergence()``.

        The first call of a method of `plot` reads the current state of the study from the ledger. If the study is still
        running, the plots can show trials that the attribute `trials` does not contain.

        Examples
        --------
        >>> import ledger
        >>> ledger.load_study("parabola").plot
        <plots of study parabola: convergence, curves, slice, contour, parallel, importance, timeline>
        """
        from ledger.result_plots import ResultPlots

        return ResultPlots(self.name, self._settings)

    def refit(self, *, threads: int = 1, allow: Collection[str] = ()) -> Any:
        """Train the model or the estimator of the study on all the study's data, with the parameters of the best trial.

        The training uses the study's class weights and row weights, and the seed of the best trial. The method does not
        train on the rows of a hold-out file, so the user can still test the estimator on the hold-out file. The
        estimator gets the same features as the estimators of the trials. A column of numbers becomes one feature. A
        column of text becomes several features: one feature for each distinct text, in the sorted order of the texts.
        The classes of the estimator are the integers 0, 1, 2 and so on, in the sorted order of the class names.

        Parameters
        ----------
        threads : int
            The number of threads that train the estimator, from 1 to 1,024. A worker trains each trial with the number
            of threads that the worker's option ``threads`` sets. The default of the option is 1.
        allow : collection of str
            The packages from which the method may run an estimator, in addition to scikit-learn, XGBoost and LightGBM.

        Returns
        -------
        scikit-learn estimator
            The trained estimator. If the data have missing numbers, the estimator is a pipeline that replaces the
            missing numbers.

        Raises
        ------
        UsageError
            The objective is a function or a command, an argument is invalid, or the study trains an estimator that
            `allow` does not permit.
        LedgerError
            No trial is complete, the estimator cannot be imported, or the database is unavailable.

        Examples
        --------
        >>> import ledger
        >>> ledger.load_study("parabola").refit()
        Traceback (most recent call last):
        ledger.errors.UsageError: refit: the ledger does not know the model of study parabola, because ...
        """
        from ledger.refitting import refit, training_form

        training_form(self.name, self.spec["objective"], "refit")
        best = self.best_trial
        return refit(self.name, self.spec, best.number, best.params, self._contents(), threads, allow)

    def __getstate__(self) -> dict[str, Any]:
        # The settings of a `StudyResult` can contain a password. Therefore a pickled `StudyResult` does not contain the
        # settings. An unpickled `StudyResult` gets its settings from the environment variables.
        return {name: value for name, value in vars(self).items() if name not in ("_settings", "plot")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, _settings=Settings.from_environment())

    def _contents(self) -> list[bytes]:
        from ledger.objectives.form import dataset_reference
        from ledger.refitting import stored_contents

        if dataset_reference(self.spec["objective"]) is None:
            return []
        with connected(self._settings) as connection:
            return stored_contents(connection, self.spec["objective"])

    @known_keywords
    def annotate(
        self,
        *,
        trial: int | None = None,
        tags: Collection[str] = (),
        untag: Collection[str] = (),
        note: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        remove: Collection[str] = (),
    ) -> "StudyResult":
        """Change the tags, the note and the user attributes of the study or of one trial.

        The method can also annotate a study or a trial that has ended, because an annotation changes no result.

        Parameters
        ----------
        trial : int, optional
            The number of the trial. By default, the method annotates the study.
        tags, untag : collection of str
            The tags to add (`tags`), and the tags to remove (`untag`). A study or a trial has at most 100 tags. A tag
            has 1 to 100 characters.
        note : str, optional
            The new note. A note has at most 10,000 characters. An empty text removes the note.
        attributes : mapping of str to a JSON value, optional
            The user attributes to set. A study or a trial has at most 100 user attributes. The JSON text of all user
            attributes has at most 10,000 bytes.
        remove : collection of str
            The names of the user attributes to remove.

        Returns
        -------
        StudyResult
            The current state of the study, including the changed annotation.

        Raises
        ------
        UsageError
            A value exceeds its bound, or `trial` is not the number of a trial.
        LedgerError
            The study or the trial does not exist, or the database is unavailable.

        Examples
        --------
        >>> import ledger
        >>> result = ledger.load_study("parabola").annotate(tags=["demo"], attributes={"ticket": 117})
        >>> result.tags, result.attributes
        (('demo',), {'ticket': 117})
        >>> result.annotate(trial=0, note="the first point").trials[0].note
        'the first point'
        >>> result.annotate(untag=["demo"], remove=["ticket"]).tags
        ()
        """
        change = AnnotationChange(tags, untag, note, attributes or {}, remove)
        annotate(self.name, self._settings, trial, change)
        return _read(self.name, self._settings)

    def artifacts(self, trial: int | None = None) -> list[Artifact]:
        """Return the artifacts of the study, ordered by trial, attempt and name.

        The method reads the artifacts from the ledger at the time of the call. The list contains no removed artifacts.

        Parameters
        ----------
        trial : int, optional
            The number of a trial. By default, the method returns the artifacts of all trials.

        Returns
        -------
        list of Artifact
            The artifacts. Like the option --store, the variable LEDGER_STORE names the place of the artifacts'
            contents.

        Raises
        ------
        LedgerError
            The study was deleted, or the database is unavailable.

        Examples
        --------
        >>> import ledger
        >>> [artifact.name for artifact in ledger.load_study("parabola").artifacts(trial=0)]
        []
        """
        return of_study(self._settings, self.name, trial)

    def trials_dataframe(self) -> "pd.DataFrame":
        """Return the trials as a pandas data frame.

        Returns
        -------
        pandas.DataFrame
            A data frame with one row for each trial. The index contains the trials' numbers. The columns are the
            attributes of `Trial`, except `number`. Instead of the column `params`, the data frame has a column
            ``params_NAME`` for each parameter. Instead of the column `metrics`, the data frame has a column
            ``metrics_NAME`` for each metric. Instead of the column `attributes`, the data frame has a column
            ``attributes_NAME`` for each user attribute.

        Raises
        ------
        LedgerError
            The package pandas is not installed. ``pip install 'trial-ledger[pandas]'`` installs pandas.

        Examples
        --------
        >>> import ledger
        >>> frame = ledger.load_study("parabola").trials_dataframe()
        >>> frame.loc[0, ["state", "source"]].tolist()
        ['complete', 'proposed']
        >>> len(frame), "params_x" in frame.columns
        (6, True)
        """
        return trials_frame(self.trials, [field.name for field in fields(Trial)], self.spec["space"], _EXPANDED)

    def reports(self, trial: int | None = None) -> "pd.DataFrame":
        """Return the values that the objective reported during the training of the trials, as a pandas data frame.

        The method reads the reports that the ledger contains at the time of the call.

        Parameters
        ----------
        trial : int, optional
            The number of a trial. By default, the method reads the reports of all trials.

        Returns
        -------
        pandas.DataFrame
            A data frame with one row for each report, ordered by trial, attempt and step. The column ``value`` is NaN
            if the reported value was NaN or an infinity. The column ``seconds`` contains the time, in seconds, from the
            claim of the trial to the report. For each metric, the data frame has a column ``metrics_NAME``.

        Raises
        ------
        LedgerError
            The study does not exist, the database is unavailable, or pandas is not installed.
            ``pip install 'trial-ledger[pandas]'`` installs pandas.

        Examples
        --------
        >>> import ledger
        >>> frame = ledger.load_study("parabola").reports()
        >>> frame.columns.tolist()
        ['trial', 'attempt', 'step', 'value', 'seconds', 'reported_at']
        """
        return reports_frame(self.name, self._settings, trial)

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows for the study."""
        complete = [trial for trial in self.trials if trial.loss is not None]
        states = Counter(trial.state for trial in self.trials)
        facts = [("trials", ", ".join(f"{states[state]} {state}" for state in COUNTED_STATES if states[state]))]
        improvements: list[Improvement] = []
        for trial in complete:
            assert trial.loss is not None
            assert trial.value is not None
            if not improvements or trial.loss < improvements[-1].loss:
                improvements.append(Improvement(trial.number, trial.value, trial.loss))
        if complete:
            facts.append(("best value", f"{self.best_value:.6g} ({self.direction}, trial {self.best_trial.number})"))
        if self.tags:
            facts.append(("tags", ", ".join(self.tags)))
        if self.note:
            facts.append(("note", one_line(self.note)))
        names = [dimension["name"] for dimension in self.spec["space"]]
        best = sorted(complete, key=lambda trial: (trial.loss, trial.number))[:_SHOWN]
        rows = [
            (trial.number, trial.value, *(trial.params.get(name, "") for name in names), trial.seconds or "")
            for trial in best
        ]
        table = listing(["trial", "value", *names, "seconds"], rows) if rows else ""
        params = self.best_params if complete else None
        last = complete[-1].number if complete else 0
        return study_result(self.name, self.state, self.reason, facts, improvements, last, params, table)

    def __repr__(self) -> str:
        complete = sum(trial.state == "complete" for trial in self.trials)
        return f"<study {self.name}: {self.state}, {complete} of {len(self.trials)} trials complete>"


@known_keywords
def load_study(name: str, database: str | None = None) -> StudyResult:
    """Read the current state of a study from the ledger. The study may still be running.

    Parameters
    ----------
    name : str
        The study's name.
    database : str, optional
        The URL of the ledger's PostgreSQL database. By default, the function uses the same database as `Study`.

    Returns
    -------
    StudyResult
        A consistent snapshot of the study and all its trials.

    Raises
    ------
    LedgerError
        The study or the ledger does not exist, or the database is unavailable.

    Examples
    --------
    >>> import ledger
    >>> ledger.load_study("parabola")
    <study parabola: complete, 6 of 6 trials complete>
    >>> ledger.load_study("parabula")
    Traceback (most recent call last):
    ledger.errors.LedgerError: there is no study 'parabula': did you mean parabola?
    """
    settings = settings_of(database)
    # The user's program may change its current folder later, so the settings need an absolute path.
    return _read(name, replace(settings, home=settings.home.absolute()))


def _read(name: str, settings: Settings) -> StudyResult:
    with connected(settings) as connection:
        snapshot = transfer.snapshot(connection, studies.get(connection, name).id)
        annotated = {row.trial: row for row in annotations.of_all(connection, snapshot.study.id)}
    study = snapshot.study
    known = tuple(trial_of(row, study.spec["space"], annotated.get(row.number)) for row in snapshot.trials)
    parts = _parts_of(annotated.get(None))
    return StudyResult(
        study.name, study.state, study.reason, study.budget, study.spec, known, **parts, _settings=settings
    )


def trial_of(row: TrialRow, space: Sequence[Mapping[str, Any]], annotation: AnnotationRow | None = None) -> Trial:
    """Convert a `TrialRow` into a `Trial`. The parameters in the `Trial` have the order of the search space."""
    other = {*_EXPANDED, "tags", "note"}
    same = {name: getattr(row, name) for name in Trial.__dataclass_fields__ if name not in other}
    parts = _parts_of(annotation)
    return Trial(**same, params=ordered_params(row.params, space), metrics=row.metrics or {}, **parts)


def _parts_of(annotation: AnnotationRow | None) -> dict[str, Any]:
    if annotation is None:
        return {}
    return {"tags": tuple(annotation.tags), "note": annotation.note, "attributes": annotation.attributes}
