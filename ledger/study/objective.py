"""The objective of a study: a user's function, a command, or an estimator with its dataset."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ledger.database.bounds import json_fault
from ledger.errors import UsageError
from ledger.objectives import (
    DATASETS,
    DIRECTIONS,
    MODELS,
    Direction,
    ValueScale,
    check_reference,
    estimators,
    metrics,
    value_scale,
)
from ledger.objectives.command_template import PARAMS_AS, CommandTemplate, ParamsAs, pattern_of
from ledger.objectives.datasets import MOST_FOLDS
from ledger.objectives.form import BALANCED, MOST_REPEATS, are_class_weights
from ledger.objectives.table_columns import ColumnRoles
from ledger.objectives.tasks import REGRESSION, TASKS
from ledger.study.dimension_forms import LONGEST_NAME, is_printable
from ledger.study.settings import AllowedTexts, SettingsModel
from ledger.text import show

# Each key of `KINDS` defines one kind of objective, such as a function or a model. An objective has exactly one key of
# `KINDS`.
KINDS = ("function", "command", "model", "estimator", "steps")
# If an objective runs a user's function or command, the objective may also have the keys of `_OF_OWN`. `_OF_OWN`
# contains `keep_models`, although this key is not valid for a user's function or command, because a later check refuses
# the key with a better error message.
_OF_OWN = ("params_as", "direction", "record_source", "keep_models")
# The values of the setting `keep_models`. A study keeps no fitted model, or keeps the fitted model of its best trial.
KEEP_MODELS = ("none", "best")


class HoldoutFile(SettingsModel):
    """A hold-out file: a data file with the rows on which the objective scores the model.

    The ledger stores the content of the file in the database.

    Attributes
    ----------
    name, sha256, format, rows, content
        The attributes have the same meaning as in `FileDataset`, and describe the hold-out file.
    """

    name: str
    sha256: str
    format: Literal["csv", "parquet"]
    rows: int
    content: bytes | None = Field(default=None, exclude=True, repr=False)


class FileDataset(SettingsModel):
    """A dataset from a file. The ledger stores the content of the data file in the database.

    Attributes
    ----------
    name : str
        The name of the data file, without the folder.
    sha256 : str
        The SHA-256 hash of the data file's content, in hexadecimal.
    target_column : str
        The name of the column that the model predicts.
    group_column, time_column, weight_column : str or None
        The names of three columns, which contain the group, the time and the weight of each row. The docstring of
        `ledger.objectives.table_columns.ColumnRoles` describes the group column, the time column and the weight column.
    format : str
        The format of the file, "csv" or "parquet".
    rows : int
        The number of rows in the file.
    holdout : HoldoutFile or None
        The hold-out file. If the attribute is None, the objective computes the score of the model on a part of the data
        file's rows.
    content : bytes or None
        The content of the file. If the ledger has read the study from the database, the content is None. The study's
        JSON does not include the content of the data file.
    """

    name: str
    sha256: str
    target_column: str
    group_column: str | None = None
    time_column: str | None = None
    weight_column: str | None = None
    format: Literal["csv", "parquet"]
    rows: int
    holdout: HoldoutFile | None = None
    content: bytes | None = Field(default=None, exclude=True, repr=False)

    @property
    def roles(self) -> ColumnRoles:
        """The columns of the dataset that are not features, such as the target column."""
        return ColumnRoles(self.target_column, self.group_column, self.time_column, self.weight_column)

    @property
    def files(self) -> "tuple[FileDataset | HoldoutFile, ...]":
        """All data files of the study, in the order in which a worker passes the file contents to the trainer."""
        return (self,) if self.holdout is None else (self, self.holdout)


class ObjectiveSettings(SettingsModel):
    """The settings of an objective, without the content of a data file.

    The settings describe a user's function, a command, or an estimator with a dataset and a metric.

    Attributes
    ----------
    model : str or None
        The name of a built-in model.
    estimator : str or None
        A scikit-learn-compatible estimator, written as "package.module:Class".
    steps : list of [str, str] or None
        The steps of a pipeline of estimators, as pairs of a name and an estimator. In a study file, a table maps the
        name of each step to the estimator of the step.
    params : dict or None
        The parameters of the estimator that have the same value in all trials.
    dataset : str or None
        The name of a dataset of scikit-learn. The value is None if the dataset is from a file, or if the objective
        trains no estimator.
    task : str or None
        The task, either "classification" or "regression".
    cv : int or None
        The number of folds of a cross-validation. If the value is None, a trial makes a single split into training rows
        and scoring rows.
    repeats : int or None
        The number of cross-validations, each with different folds. If the value is None, a trial makes one
        cross-validation.
    metric : str or None
        The name of a scorer of scikit-learn. If the value is None, the metric is the accuracy.
    class_weights : dict, "balanced" or None
        The weight of each class during the training.
    function : str or None
        A user's function, written as "package.module:function". If the value is None, the objective is not a user's
        function.
    command : list of str or None
        A program and its arguments. The class `CommandTemplate` describes the placeholders in the arguments. If the
        value is None, the objective is not a command.
    params_as : str or None
        The way in which a command receives the parameters, either "variable" or "file". If the value is None, the
        command receives the parameters as arguments.
    record_source : bool or None
        If the value is False, the ledger keeps only the hashes of the user's code, and not the source text. The user's
        code is the code of a function, a command or an estimator. If the value is None, the ledger keeps the hashes and
        the source text of the user's code.
    keep_models : str or None
        "best" if the study keeps the fitted model of its best trial. If the value is None, the study keeps no model.
    direction : str or None
        "maximize" if the user's function or command returns a value that the study maximises. If the attribute is None,
        the study minimises the value of a function or a command, but maximises the score of a model or an estimator.
    """

    model: Annotated[str | None, AllowedTexts(MODELS)] = Field(
        default=None, description=f"The model whose hyper-parameters the study searches. Default: {MODELS[0]}."
    )
    estimator: str | None = Field(
        default=None,
        description="The estimator whose parameters the study searches, such as"
        " sklearn.ensemble:RandomForestClassifier. The estimator replaces the model. If the estimator's package is"
        " not scikit-learn, XGBoost or LightGBM, add --allow.",
    )
    steps: list[list[str]] | None = None
    params: dict[str, Any] | None = None
    dataset: Annotated[str | None, AllowedTexts(DATASETS)] = Field(
        default=None, description=f"The scikit-learn dataset to train on. Default: {DATASETS[0]}."
    )
    task: Annotated[str | None, AllowedTexts(TASKS)] = Field(
        default=None,
        description="Whether the target contains classes or numbers. By default, the ledger treats the target as"
        " classes if the target contains text, or only a few different whole numbers.",
    )
    cv: Annotated[int | None, Field(ge=2, le=MOST_FOLDS)] = Field(
        default=None,
        description="The number of cross-validation folds. The score is the mean over the folds. By"
        " default, the trial does not cross-validate, and computes the score on a fifth of the rows.",
    )
    repeats: Annotated[int | None, Field(ge=2, le=MOST_REPEATS)] = Field(
        default=None, description="The number of cross-validations, each with other random folds. Default: 1."
    )
    metric: str | None = Field(
        default=None,
        description="A scorer of scikit-learn, such as roc_auc or neg_mean_absolute_error. The loss is 1 - score, or"
        f" -score if the scorer's name begins with neg_. Default: {metrics.DEFAULT} for a classification,"
        f" {metrics.DEFAULTS[REGRESSION]} for a regression.",
    )
    class_weights: str | dict[str, float] | None = None
    function: str | None = Field(default=None, description="Your own objective, written as package.module:function.")
    command: list[str] | None = Field(
        default=None,
        description="Your own objective, as a program and its arguments. The arguments may contain"
        " placeholders such as {lr}.",
    )
    params_as: Annotated[ParamsAs | None, AllowedTexts(PARAMS_AS)] = Field(
        default=None,
        description="How a command receives the parameters: as arguments with placeholders, or as JSON in the variable"
        f" LEDGER_TRIAL_PARAMS or in a file. Default: {PARAMS_AS[0]}.",
    )
    record_source: bool | None = Field(
        default=None,
        description="Whether the ledger keeps the source text of your own objective. If false, the ledger"
        " keeps only hashes of the text. Default: true.",
    )
    keep_models: Annotated[Literal["none", "best"] | None, AllowedTexts(KEEP_MODELS)] = Field(
        default=None,
        description="Whether the study keeps the fitted model of its best trial. A worker trains the model on all rows."
        f" Default: {KEEP_MODELS[0]}.",
    )
    direction: Annotated[Direction | None, AllowedTexts(DIRECTIONS)] = Field(
        default=None,
        description="Whether the study searches for the lowest value (minimize) or the highest value (maximize) of your"
        " own objective. Default: minimize. The score of a model or an estimator is always maximised.",
    )

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            _check(metrics.check_name, value)
        return value

    @field_validator("function")
    @classmethod
    def _function(cls, value: str | None) -> str | None:
        if value is not None:
            _check(check_reference, value)
        return value

    @field_validator("command")
    @classmethod
    def _command(cls, value: list[str] | None) -> list[str] | None:
        if value is not None:
            _check(CommandTemplate, value)
        return value

    @field_validator("params_as")
    @classmethod
    def _default_params_as(cls, value: ParamsAs | None) -> ParamsAs | None:
        return None if value == PARAMS_AS[0] else value

    @field_validator("keep_models")
    @classmethod
    def _only_best(cls, value: str | None) -> str | None:
        return None if value == KEEP_MODELS[0] else value

    @field_validator("record_source")
    @classmethod
    def _only_false(cls, value: bool | None) -> bool | None:
        return None if value else value  # A study with the default is equal to a study without the setting.

    @field_validator("estimator")
    @classmethod
    def _estimator(cls, value: str | None) -> str | None:
        if value is not None:
            _check(estimators.check_reference, value)
        return value

    @field_validator("steps", mode="before")
    @classmethod
    def _as_pairs(cls, value: Any) -> Any:
        return [list(pair) for pair in value.items()] if isinstance(value, Mapping) else value

    @field_validator("steps")
    @classmethod
    def _steps(cls, value: list[list[str]] | None) -> list[list[str]] | None:
        if value is None:
            return None
        if any(len(step) != 2 for step in value):
            raise ValueError('each step must have a name and an estimator; write model = "sklearn.svm:SVC"')
        _check(estimators.check_steps, value)
        return value

    @field_validator("params")
    @classmethod
    def _json(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        for name, parameter in (value or {}).items():
            if not is_printable(name) or len(name) > LONGEST_NAME:
                raise ValueError(
                    f"{show(name)} is not a valid name of a parameter; write 1 to {LONGEST_NAME} printable characters"
                )
            try:
                fault = json_fault(json.loads(json.dumps({name: parameter}, allow_nan=False)))
            except (TypeError, ValueError, RecursionError) as error:
                fault = str(error)
            if fault is not None:
                raise ValueError(f"the value of {show(name)} is not a JSON value ({fault}); use another value")
        return None if not value else {name: canonical(parameter) for name, parameter in value.items()}

    @field_validator("class_weights", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        if value is None or value == BALANCED:
            return value
        if not (isinstance(value, Mapping) and value and are_class_weights(value)):
            raise ValueError(
                f'{show(value)} must be "{BALANCED}", or a table with a positive number for at least one class'
            )
        return {name: float(weight) for name, weight in value.items()}

    @property
    def references(self) -> list[tuple[str, str]]:
        """The name of each pipeline step, and the reference to the step's estimator.

        If the objective names no estimator, the list is empty.

        A single estimator is one step with the name "".
        """
        if self.estimator is not None:
            return [("", self.estimator)]
        return [(name, reference) for name, reference in self.steps or []]

    @property
    def trains(self) -> bool:
        """True if the objective trains a built-in model or an estimator on a dataset."""
        return self.function is None and self.command is None


class Objective(ObjectiveSettings):
    """The objective of a study. Only an objective that trains a model or an estimator has a dataset.

    Attributes
    ----------
    data : FileDataset or None
        The dataset from a file. The value is None if the dataset is from scikit-learn, or if the objective trains no
        estimator.
    """

    data: FileDataset | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: dict[str, Any]) -> dict[str, Any]:
        given = [key for key in KINDS if key in values]
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]} exclude each other; remove one of them")
        if "params_as" in values and "command" not in values:
            raise ValueError("params_as needs a command; add a command, or leave params_as out")
        is_own = bool(given) and given[0] in ("function", "command")
        direction = values.get("direction")
        if not is_own and direction == "minimize":
            raise ValueError("direction minimize: the score of a model is always maximised; leave direction out")
        # The code removes the key `direction` if its value is the default, so that the spec is the same as without the
        # key.
        if direction == ("minimize" if is_own else "maximize"):
            values = {key: value for key, value in values.items() if key != "direction"}
        if is_own:
            other = next((key for key in values if key not in (given[0], *_OF_OWN)), None)
            if other:
                raise ValueError(f"{given[0]} and {other} exclude each other; remove one of them")
            return values
        if {"data", "dataset"} <= set(values):
            raise ValueError("dataset and data exclude each other; remove one of them")
        # The study's spec must be the same whether the user sets a default value explicitly or omits the value.
        is_regression = values.get("task") == REGRESSION
        metric = {"metric": metrics.DEFAULTS[REGRESSION]} if is_regression else {}
        redundant = {"task": TASKS[0], "metric": metrics.DEFAULT} if not is_regression else {}
        return {
            **({} if given else {"model": MODELS[0]}),
            **({} if "data" in values else {"dataset": DATASETS[0]}),
            **metric,
            **{key: value for key, value in values.items() if redundant.get(key) != value},
        }

    @model_validator(mode="after")
    def _fits(self) -> "Objective":
        if self.repeats is not None and self.cv is None:
            raise ValueError('the setting "repeats" needs a number of folds; add the setting "cv"')
        if self.record_source is not None and self.trains and not estimators.need_permission(self.references):
            raise ValueError(
                "record_source is a setting for your own code, but the study trains an estimator of a library; remove"
                " record_source"
            )
        if self.keep_models is not None and not self.trains:
            raise ValueError(
                "keep_models needs a model or an estimator that the ledger itself trains; remove keep_models, and"
                " save the model in your own objective by context.save_artifact"
            )
        if self.class_weights is not None and self.task == REGRESSION:
            raise ValueError("class_weights is for a classification, but the task is regression; remove class_weights")
        data = self.data
        if data is None:
            return self
        if data.group_column is not None and data.time_column is not None:
            raise ValueError("group_column and time_column exclude each other; remove one of them")
        if data.holdout is not None:
            if data.holdout.sha256 == data.sha256:
                raise ValueError("the hold-out file has the same content as the data file; use a file with other rows")
            splitting = {"cv": self.cv, "group_column": data.group_column, "time_column": data.time_column}
            for key, value in splitting.items():
                if value is not None:
                    raise ValueError(
                        f"holdout and {key} exclude each other, because the hold-out file replaces the split; remove"
                        " one of them"
                    )
        if data.time_column is not None and self.repeats is not None:
            raise ValueError("repeats and time_column exclude each other, because a split by time is not random")
        return self

    @property
    def scale(self) -> ValueScale:
        """The conversion between the values of the objective and the losses of the optimizer."""
        return value_scale(self.model_dump(exclude_none=True))

    def value(self, loss: float, metrics_: Mapping[str, Any] | None) -> float:
        """Compute the value of a complete trial from the trial's loss and metrics."""
        return self.scale.value(loss, (metrics_ or {}).get(self.metric or metrics.DEFAULT))

    @property
    def needs_check(self) -> bool:
        """True if a check of the objective needs the estimator and the data."""
        return bool(self.references) or (
            self.data is not None
            and (self.data.holdout, self.data.group_column, self.data.time_column, self.data.weight_column)
            != (None, None, None, None)
        )

    @property
    def label(self) -> str:
        """For a command, the name of the command's main file. For any other objective, the name of the model, of the
        last estimator or of the function.

        The name of an estimator or a function does not include its module.
        """
        if self.command is not None:
            return CommandTemplate(self.command).label
        reference = self.references[-1][1] if self.references else str(self.function)
        return self.model or reference.partition(":")[2]

    @property
    def title(self) -> str:
        """A title that contains the user's function, the command line, or the dataset and the model or the estimators.

        Examples
        --------
        >>> Objective(model="svm", dataset="iris").title
        'svm on iris'
        """
        if self.command is not None:
            return pattern_of(self.command)
        if self.function is not None:
            return self.function
        trained = self.model or ", ".join(reference for _, reference in self.references)
        return f"{trained} on {self.data.name if self.data is not None else self.dataset}"


def canonical(value: Any) -> Any:
    """Convert a JSON value to the form in which PostgreSQL returns the value from a jsonb column.

    PostgreSQL writes a large float as an integer without an exponent. The type jsonb has no negative zero.

    Examples
    --------
    >>> canonical([1e16, -0.0, 0.5, (1, 2)])
    [10000000000000000, 0.0, 0.5, [1, 2]]
    """
    if isinstance(value, Mapping):
        return {name: canonical(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(inner) for inner in value]
    if isinstance(value, float):
        return int(value) if abs(value) >= 1e16 else value + 0.0
    return value


def _check(check: Callable[[Any], object], value: Any) -> None:
    """Run a check. If the check raises a UsageError, raise a ValueError, because pydantic expects a ValueError."""
    try:
        check(value)
    except UsageError as error:
        raise ValueError(str(error)) from None
