"""Functions that read the settings of a study from a study file, from options and from environment variables."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from ledger.errors import UsageError, first_fault
from ledger.objectives import MODELS, check, default_space, metrics, tabular
from ledger.objectives.command_template import PARAMS_AS, CommandTemplate
from ledger.objectives.datasets import CLASSES, DATASETS, task_of
from ledger.objectives.table_checks import check_rows
from ledger.objectives.tasks import CLASSIFICATION
from ledger.study import data_files
from ledger.study.arguments import Mode
from ledger.study.criteria import StoppingCriteria
from ledger.study.early_stopping import EarlyStopping, StoppingTable
from ledger.study.names import name_fault
from ledger.study.objective import KINDS, Objective, ObjectiveSettings
from ledger.study.settings import AllowedTexts, SettingsModel
from ledger.study.space import Space
from ledger.study.spec import (
    LARGEST_BUDGET,
    MODES,
    BatchSize,
    Count,
    DerivedSettings,
    OptimizerSettings,
    Seed,
    StudySpec,
    TrialLimits,
    initial_points,
)
from ledger.study.stopping_defaults import with_defaults
from ledger.study.toml_files import read_tables, shown
from ledger.text import nearest, one_line, show

T = TypeVar("T", bound=SettingsModel)


class StudyTable(SettingsModel):
    """The [study] table of a study file in TOML.

    Attributes
    ----------
    name : str or None
        The unique name of the study. If `name` is None, the ledger makes a name from the settings.
    seed : int
    iterations : int
        The budget as a number of iterations. A table that sets both `iterations` and `trials` is not valid.
    trials : int or None
        The budget as a number of trials.
    batch_size : int
    mode : str
    workers : int or None
        The number of workers that `ledger run` starts.
    target, patience, timeout : float, int and float, or None
        The stopping criteria of the study. `StoppingCriteria` describes the three criteria.
    """

    name: str | None = Field(
        default=None, description="The study's name. By default, the ledger makes a name from the settings."
    )
    seed: Seed = Field(default=42, description="The seed of all random numbers.")
    iterations: Count = Field(
        default=3, description="The budget as a number of iterations. Each iteration proposes one batch of trials."
    )
    trials: Annotated[int | None, Field(ge=1, le=LARGEST_BUDGET)] = Field(
        default=None,
        description="The budget as a number of trials. The last batch may have fewer trials than the batch size.",
    )
    batch_size: BatchSize = Field(
        default=2,
        description="The number of trials in each iteration. In steady mode, the number of pending and running trials.",
    )
    mode: Annotated[Mode, AllowedTexts(MODES)] = Field(
        default="batch",
        description="In batch mode, an iteration ends before the manager proposes the next iteration. In batch mode,"
        " studies with the same seed and settings propose the same points. In steady mode, the manager proposes a"
        " new trial when a trial ends, so no worker waits for the slowest trial. In steady mode, the proposed"
        " trials depend on the order in which trials end.",
    )
    workers: Annotated[int | None, Field(ge=1, le=1_000)] = Field(
        default=None,
        description="The number of workers to start on this machine. The default is the number of cores, but not more"
        " than the study's batch size.",
    )

    target: Annotated[float | None, Field(allow_inf_nan=False)] = Field(
        default=None,
        description="The study ends when a trial has this value or a better value. Default: no target.",
    )
    patience: Annotated[int | None, Field(ge=1, le=LARGEST_BUDGET)] = Field(
        default=None,
        description="The study ends after this number of trials without a better value. Default: no limit.",
    )
    timeout: Annotated[float | None, Field(ge=0.01, le=31_536_000, allow_inf_nan=False)] = Field(
        default=None,
        description="The study ends when managers have worked on the study for this number of seconds in total."
        " After the timeout, running trials have 8 seconds to end. Default: no limit.",
    )

    @field_validator("name")
    @classmethod
    def _well_formed(cls, value: str | None) -> str | None:
        if value is not None and (fault := name_fault(value)):
            raise ValueError(fault)
        return value

    @model_validator(mode="after")
    def _one_budget(self) -> "StudyTable":
        if {"iterations", "trials"} <= self.model_fields_set:
            raise ValueError("iterations and trials exclude each other; remove one of them")
        if self.budget > LARGEST_BUDGET:
            asked = f"{self.iterations} iterations of {self.batch_size} trials are {self.budget} trials"
            raise ValueError(f"{asked}; a study has at most {LARGEST_BUDGET} trials")
        return self

    @property
    def criteria(self) -> StoppingCriteria:
        """The stopping criteria in the table [study]."""
        return StoppingCriteria(self.target, self.patience, self.timeout)

    @property
    def budget(self) -> int:
        """The budget as a number of trials.

        If the table [study] sets a timeout or a patience, but sets no budget, the budget is `LARGEST_BUDGET`.
        """
        if self.trials is not None:
            return self.trials
        is_limited = self.timeout is not None or self.patience is not None
        if is_limited and "iterations" not in self.model_fields_set:
            return LARGEST_BUDGET
        return self.iterations * self.batch_size


class ObjectiveTable(ObjectiveSettings):
    """The [objective] table of a study file in TOML.

    Attributes
    ----------
    data : str or None
        The path of the data file.
    target_column : str or None
        The name of the column that the model predicts.
    holdout : str or None
        The path of a file that contains the rows on which a trial scores the model.
    group_column, time_column, weight_column : str or None
        The names of three columns, which contain the group, the time and the weight of each row.
    """

    data: str | None = Field(
        default=None,
        min_length=1,
        description=f"The csv or parquet file to train on, of at most {tabular.LARGEST_FILE // 1024**2} MB. The ledger"
        " keeps the content of the file.",
    )
    target_column: str | None = Field(
        default=None, min_length=1, description="The data file's column with the class or the number to predict."
    )
    holdout: str | None = Field(
        default=None,
        min_length=1,
        description="A file with the same columns as the data file. A trial scores the model on the rows of this file."
        " By default, a trial scores the model on a part of the data file's rows.",
    )
    group_column: str | None = Field(
        default=None,
        min_length=1,
        description="The data file's column with the group of each row. A split never separates the rows of a group.",
    )
    time_column: str | None = Field(
        default=None,
        min_length=1,
        description="The data file's column with the time of each row. A trial scores the model on the latest rows.",
    )
    weight_column: str | None = Field(
        default=None,
        min_length=1,
        description="The data file's column with the weight of each row, for training and for scoring.",
    )


TABLES: Mapping[str, type[SettingsModel]] = MappingProxyType(
    {
        "study": StudyTable,
        "objective": ObjectiveTable,
        "optimizer": OptimizerSettings,
        "stopping": StoppingTable,
        "limits": TrialLimits,
    }
)


@dataclass(frozen=True)
class StudyOption:
    """A setting of a study. A study file, an option or an environment variable can set the value of the setting.

    Attributes
    ----------
    table, key : str
        `table` is the name of a table in the study file, and `key` is the name of the setting in the table.
    variable : str
        The name of the environment variable.
    """

    table: str
    key: str
    variable: str

    @property
    def flag(self) -> str:
        """The name of the command-line option that sets the key."""
        return _FLAGS.get(self.key, f"--{self.key.replace('_', '-')}")

    @property
    def field(self) -> FieldInfo:
        """The pydantic field that defines the type, the limits, the default and the description of the value."""
        return TABLES[self.table].model_fields[self.key]

    def __str__(self) -> str:
        return f"{self.flag} or {self.variable}"


# Names of environment variables. By default, the name of a key's variable is LEDGER_, followed by the key in capitals.
_VARIABLES = {
    "model": "MODEL_CHOICE",
    "iterations": "NUM_ITERATIONS",
    "batch_size": "NUM_HYPERPARAM_SETS",
    "seed": "SEED",
    "name": "LEDGER_STUDY",
    "rule": "LEDGER_STOPPING",
}
# Names of options that differ from the name of the key.
_FLAGS = {"rule": "--stopping"}

# The `StudyOption` of each key that an option can set. The help text of `ledger run` lists the options in the order of
# `OPTIONS`.
OPTIONS: Mapping[str, StudyOption] = MappingProxyType(
    {
        key: StudyOption(table, key, _VARIABLES.get(key, f"LEDGER_{key.upper()}"))
        for table, keys in (
            (
                "objective",
                (
                    *("model", "estimator", "dataset", "data", "target_column", "holdout", "task", "metric", "cv"),
                    *(
                        "repeats",
                        "group_column",
                        "time_column",
                        "weight_column",
                        "params_as",
                        "direction",
                        "keep_models",
                    ),
                ),
            ),
            (
                "study",
                ("iterations", "trials", "timeout", "target", "patience", "batch_size", "mode", "seed", "name"),
            ),
            ("optimizer", ("base_estimator", "acq_func")),
            ("stopping", ("rule", "resource", "max_resource")),
            ("limits", ("trial_timeout", "keep_artifacts")),
        )
        for key in keys
    }
)

# The user sets the key `command` by the words after `--`. No option and no environment variable sets `command`.
COMMAND = "command"
# The option --space reads the table [space] from a file.
SPACE = "space"

# `_ALSO_REPLACED` maps the key of a setting to the keys of the settings that the setting overrides. If a source of
# settings sets a key, the ledger ignores the overridden keys in sources of lower priority. For example, if the command
# line sets `trials`, the ledger ignores the value of `iterations` in the study file.
_OF_FILE = ("data", "target_column", "holdout", "group_column", "time_column", "weight_column")
_OF_TRAINING = ("params", "dataset", "task", "metric", "cv", "repeats", "class_weights", "keep_models")
_ALSO_REPLACED = {
    "model": (*KINDS, "params", "params_as", "direction", "record_source"),
    "estimator": (*KINDS, "params", "params_as", "direction"),
    "dataset": ("function", "command", "params_as", "direction", "task", "class_weights", *_OF_FILE),
    "data": ("function", "command", "params_as", "direction", "dataset"),
    "command": (*KINDS, *_OF_TRAINING, *_OF_FILE),
    "iterations": ("trials",),
    "trials": ("iterations",),
}


def replaced_by(keys: Iterable[str]) -> set[str]:
    """Return `keys`, and all keys that a key in `keys` overrides.

    If a source of settings sets `keys`, the ledger ignores the returned keys in sources of lower priority. The command
    line has the highest priority, the environment has the second priority, and the study file has the lowest priority.

    Examples
    --------
    >>> sorted(replaced_by(["seed", "trials"]))
    ['iterations', 'seed', 'trials']
    """
    return {replaced for key in keys for replaced in (key, *_ALSO_REPLACED.get(key, ()))}


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
        stopping=settings.stopping(objective),
        limits=settings.limits(objective),
        resolved=DerivedSettings(initial_points=initial_points(table.budget, table.batch_size)),
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
        settings = table.model_dump(exclude_unset=True, exclude=set(_OF_FILE))
        if "params_as" in settings and table.command is None:
            raise UsageError(
                f"{self._place('objective', 'params_as')}: params_as needs a command; add a command after --"
            )
        if table.data is not None:
            return self._objective_on_file(settings, table)
        for key in _OF_FILE:
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

    def stopping(self, objective: Objective) -> EarlyStopping:
        """Return the rule that stops trials early."""
        table = self.read(StoppingTable, "stopping")
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
