"""Functions that read the settings of a study from a study file, from options and from environment variables."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ledger.errors import UsageError, first_fault
from ledger.objectives import MODELS, check, default_space, metrics
from ledger.objectives.command_template import PARAMS_AS, CommandTemplate
from ledger.objectives.datasets import CLASSES, DATASETS, task_of
from ledger.objectives.table_checks import check_rows
from ledger.objectives.tasks import CLASSIFICATION
from ledger.study import data_files
from ledger.study.arguments import Mode
from ledger.study.early_stopping import EarlyStopping, StoppingTable
from ledger.study.objective import Objective
from ledger.study.settings import SettingsModel
from ledger.study.space import Space
from ledger.study.spec import (
    DerivedSettings,
    OptimizerSettings,
    StudySpec,
    TrialLimits,
    initial_points,
)
from ledger.study.stopping_defaults import with_defaults
from ledger.study.tables import COMMAND, OF_FILE, OPTIONS, SPACE, TABLES, ObjectiveTable, StudyTable, replaced_by
from ledger.study.toml_files import read_tables, shown
from ledger.text import nearest, one_line, show

T = TypeVar("T", bound=SettingsModel)


def assemble(
    options: Mapping[str, Any], file: Path | None = None, tables: Mapping[str, Mapping[str, Any]] | None = None
) -> StudySpec:
    """Create the specification of a study from options and from a study file.

    Parameters
    ----------
    options : mapping
        The values from the command line and the environment. Each key is "command", "space" or a key of `OPTIONS`. The
        value of the key "command" is the list of the words after ``--``. The value of the key "space" is the path of a
        TOML file with the table [space]. The function ignores a key whose value is None. Options override values of the
        study file.
    file : Path, optional
        A TOML file with the tables [study], [space], [optimizer], [objective], [stopping] and [limits]. Every table is
        optional. If the value of `data` in [objective] is a relative path, the path is relative to the study file's
        folder.
    tables : mapping, optional
        The tables of a study file. Each key is the name of a table. If `file` is given, the function ignores `tables`.

    Returns
    -------
    StudySpec
        The specification. If no source of settings sets a name, the function makes the study's name from the settings.

    Raises
    ------
    UsageError
        A setting is not valid. The message names the first wrong setting, its place and the allowed values.

    Examples
    --------
    >>> study = assemble({"model": "svm", "iterations": 5, "batch_size": 4})
    >>> study.name, study.budget
    ('svm-42-...', 20)
    >>> own = {"objective": {"function": "my.code:loss"}, "space": {"x": {"type": "real", "low": 0, "high": 1}}}
    >>> assemble({"trials": 30}, tables=own).objective.function
    'my.code:loss'
    >>> assemble({"trials": 0})
    Traceback (most recent call last):
    ledger.errors.UsageError: --trials or LEDGER_TRIALS: 0 must be greater than or equal to 1
    """
    settings = _SettingsReader(options, file, tables)
    table = settings.read(StudyTable, "study")
    objective = settings.objective()
    study = StudySpec(
        name=table.name or "",
        seed=table.seed,
        budget=table.budget,
        batch_size=table.batch_size,
        mode=table.mode,
        objective=objective,
        space=settings.space(objective),
        optimizer=settings.read(OptimizerSettings, "optimizer"),
        stopping=settings.stopping(objective, table.mode),
        limits=settings.limits(objective),
        resolved=DerivedSettings(
            initial_points=initial_points(table.budget, 1 if table.mode == "steady" else table.batch_size)
        ),
        criteria=table.criteria,
    )
    if study.name:
        return study
    label = re.sub(r"[^A-Za-z0-9._-]", "-", objective.label).lstrip("._-")[:80] or "function"
    return study.model_copy(update={"name": f"{label}-{study.seed}-{study.spec_hash[:6]}"})


def workers(file: Path | None) -> int | None:
    """Return the value of the key `workers` in a study file, or None if the file does not set the key.

    Raise UsageError if the table [study] is not valid.
    """
    return _SettingsReader({}, file).read(StudyTable, "study").workers


class _SettingsReader:
    """Reads the settings of a study from the tables of a study file and from options.

    An option overrides the value of the same key in a table. An error message names the place of the wrong value.
    """

    def __init__(
        self, options: Mapping[str, Any], file: Path | None, tables: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self._options = {key: value for key, value in options.items() if value is not None}
        self._space_file: Path | None = self._options.pop(SPACE, None)
        self._file = file
        self._tables: Mapping[str, Any] = read_tables(file) if file is not None else tables or {}
        for name, table in self._tables.items():
            self._check(name, table)

    def _check(self, name: str, table: Any) -> None:
        known = (*TABLES, "space")
        if name not in known:
            raise UsageError(f"{self._prefix}unknown table [{one_line(name, 80)}]{nearest(name, known)}")
        if not isinstance(table, dict):
            raise UsageError(f"{self._prefix}{name} is {show(table)}, not a table; write [{name}] on a line of its own")
        if name != "space":
            keys = TABLES[name].model_fields
            for key in table:
                if key not in keys:
                    raise UsageError(f"{self._prefix}[{name}] unknown key {show(key)}{nearest(key, keys)}")

    @property
    def _prefix(self) -> str:
        return f"{shown(self._file)}: " if self._file is not None else ""

    def _place(self, table: str, key: str) -> str:
        if key in self._options and _table_of(key) == table:
            return "the command after --" if key == COMMAND else str(OPTIONS[key])
        if not key and self._file is None and not self._tables:
            return ""  # Only options are given, so no table is named.
        return f"{self._prefix}[{table}] {key}".rstrip()

    @contextmanager
    def _at(self, table: str, key: str) -> Iterator[None]:
        """If the `with` block raises a UsageError, add the place of the wrong value to the error message."""
        try:
            yield
        except UsageError as error:
            raise UsageError(f"{self._place(table, key)}: {error}") from None

    def read(self, kind: type[T], name: str) -> T:
        """Return the table with the name `name` as an instance of the class `kind`.

        Options override the values of the table.
        """
        of_options = {key: value for key, value in self._options.items() if _table_of(key) == name}
        replaced = replaced_by(of_options)
        of_file = {key: value for key, value in self._tables.get(name, {}).items() if key not in replaced}
        return self._validated(kind, name, {**of_file, **of_options})

    def _validated(self, kind: type[T], name: str, values: Mapping[str, Any]) -> T:
        try:
            return kind(**values)
        except ValidationError as error:
            raise UsageError(first_fault(error, lambda key: self._place(name, key))) from None

    def objective(self) -> Objective:
        """Return the objective of the study. If the study has a data file, the method also checks the data file."""
        table = self.read(ObjectiveTable, "objective")
        settings = table.model_dump(exclude_unset=True, exclude=set(OF_FILE))
        if "params_as" in settings and table.command is None:
            raise UsageError(
                f"{self._place('objective', 'params_as')}: params_as needs a command; add a command after --"
            )
        if table.data is not None:
            return self._objective_on_file(settings, table)
        for key in OF_FILE:
            if getattr(table, key) is not None:
                raise UsageError(
                    f"{self._place('objective', key)}: a {key.replace('_', ' ')} needs a data file; add --data"
                )
        if table.trains:
            dataset = table.dataset or DATASETS[0]
            task = task_of(dataset)
            if table.task not in (None, task):
                fitting = [name for name in DATASETS if task_of(name) != task]
                raise UsageError(
                    f"{self._place('objective', 'task')}: the dataset {dataset} is for a {task}; choose the dataset"
                    f" {' or '.join(fitting)}, or a data file"
                )
            settings["task"] = task
        objective = self._validated(Objective, "objective", settings)
        if objective.trains:
            classes = CLASSES[str(objective.dataset)]
            self._check_fit(objective, metrics.MetricUse(task, objective.model, classes), range(classes or 0))
        return objective

    def _objective_on_file(self, settings: dict[str, Any], table: ObjectiveTable) -> Objective:
        """Return the objective of a study that has a data file."""
        assert table.data is not None
        if table.target_column is None:
            raise UsageError(
                f"{self._place('objective', 'data')}: the target column is missing; add --target-column with the name"
                " of the column that the model predicts"
            )
        paths = {
            key: (self._file.parent if self._file is not None and key not in self._options else Path()) / path
            for key in ("data", "holdout")
            if (path := getattr(table, key)) is not None
        }
        with self._at("objective", "data"):
            data = data_files.read_content(paths["data"], table.target_column)
        data = data.model_copy(
            update={key: getattr(table, key) for key in ("group_column", "time_column", "weight_column")}
        )
        if "holdout" in paths:
            with self._at("objective", "holdout"):
                data = data.model_copy(update={"holdout": data_files.read_holdout_content(paths["holdout"])})
        # The method checks the settings first, because the check of the data file's content is slower.
        objective = self._validated(Objective, "objective", {**settings, "data": data})
        with self._at("objective", "data"):
            rows = data_files.parse(data, shown(paths["data"]), table.task)
        if data.holdout is not None:
            with self._at("objective", "holdout"):
                rows = data_files.parse_holdout(data, rows, shown(paths["holdout"]))
        with self._at("objective", "data"):
            check_rows(rows, objective.cv, table.target_column, shown(paths["data"]))
        objective = self._validated(
            Objective, "objective", {**settings, "task": rows.task, "data": data_files.counted(data, rows)}
        )
        self._check_fit(objective, data_files.metric_use(objective, rows), rows.labels or ())
        return objective

    def _check_fit(self, objective: Objective, use: metrics.MetricUse, labels: Iterable[Any]) -> None:
        """Raise a UsageError if the metric, the fixed parameters or the class weights are not valid for the data."""
        with self._at("objective", "metric"):
            metrics.check(objective.metric or metrics.DEFAULT, use)
        if objective.model is not None:
            with self._at("objective", "params"):
                check(objective.model, objective.params or (), use.task)
        if isinstance(objective.class_weights, dict):
            known = [str(label) for label in labels]
            for name in objective.class_weights:
                if name not in known:
                    raise UsageError(
                        f"{self._place('objective', 'class_weights')}: the target has no class"
                        f" {show(name)}{nearest(name, known)}"
                    )

    def limits(self, objective: Objective) -> TrialLimits:
        """Return the limits of the study's trials."""
        limits = self.read(TrialLimits, "limits")
        with self._at("limits", "keep_artifacts"):
            limits.check_models(objective.keep_models)
        return limits

    def space(self, objective: Objective) -> Space:
        """Return the search space of the study.

        The method reads the file of the option --space. Without the option --space, the method reads the table [space]
        of the study file. If the table [space] does not exist, the method uses the default space of the model.
        """
        place = self._place("space", "") or "[space]"
        if self._space_file is not None:
            place = f"--space {shown(self._space_file)}: [space]"
            space = Space.from_toml(_read_space_file(self._space_file), place)
        elif "space" in self._tables:
            space = Space.from_toml(self._tables["space"], place)
        elif objective.model is None:
            what = f"the estimator {objective.label}" if objective.trains else "your own objective"
            raise UsageError(
                f"{place} is missing: {what} has no default space; add the table [space] to the file, or name a file"
                " with --space"
            )
        else:
            space = Space.from_toml(default_space(objective.model, objective.task or CLASSIFICATION), place)
        if objective.command is not None:
            with self._at("objective", "command"):
                CommandTemplate(objective.command).check(space.texts(), objective.params_as or PARAMS_AS[0])
        for name in space.names:
            if name in (objective.params or {}):
                raise UsageError(
                    f"{place} {name}: the table [objective] has a fixed value of this parameter in params; remove the"
                    " parameter from params or from [space]"
                )
        if objective.model is not None:
            try:
                check(objective.model, space.names, objective.task or CLASSIFICATION)
            except UsageError as error:
                of_file = self._tables.get("objective", {})
                chosen = "model" in self._options and of_file.get("model", MODELS[0]) != objective.model
                source = f" (the model is from {OPTIONS['model']})" if chosen or "function" in of_file else ""
                raise UsageError(f"{place} {error}{source}") from None
        return space

    def stopping(self, objective: Objective, mode: Mode) -> EarlyStopping:
        """Return the rule that stops trials early."""
        table = self.read(StoppingTable, "stopping")
        with self._at("stopping", "brackets"):
            if table.brackets > 1 and mode == "steady":
                raise UsageError(
                    "steady mode has no brackets, because the rule compares all trials at the same rungs; use batch"
                    " mode, or remove the key brackets"
                )
        with self._at("stopping", "group_size"):
            if table.group_size is not None and mode == "steady":
                raise UsageError(
                    "steady mode has no groups, because the rule compares a trial with all earlier arrivals at a rung;"
                    " use batch mode, or remove the key group_size"
                )
        with self._at("stopping", "resource"):
            values = with_defaults(table, objective, self.space(objective))
        return self._validated(EarlyStopping, "stopping", values)


def _table_of(key: str) -> str:
    return "objective" if key == COMMAND else OPTIONS[key].table


def _read_space_file(file: Path) -> dict[str, Any]:
    """Return the table [space] of the file that the option --space names. The file may contain only this table."""
    try:
        tables = read_tables(file)
    except UsageError as error:
        raise UsageError(f"--space {error}") from None
    for name, table in tables.items():
        if name in TABLES:
            raise UsageError(
                f"--space {shown(file)}: the file has the table [{name}], but a file for --space may contain only the"
                " table [space]; if this file is a study file, leave --space out"
            )
        if name != SPACE or not isinstance(table, dict):
            raise UsageError(
                f"--space {shown(file)}: {one_line(name, 80)!r} is outside of the table [space]; write [space] on a"
                " line above the parameters"
            )
    if SPACE not in tables:
        raise UsageError(f"--space {shown(file)}: the table [space] is missing; write [space] above the parameters")
    space: dict[str, Any] = tables[SPACE]
    return space
