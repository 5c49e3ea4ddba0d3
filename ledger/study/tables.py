"""The tables of a study file, and the options and environment variables that set the keys of the tables."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from ledger.objectives import tabular
from ledger.study.arguments import Mode
from ledger.study.criteria import StoppingCriteria
from ledger.study.early_stopping import StoppingTable
from ledger.study.names import name_fault
from ledger.study.objective import KINDS, ObjectiveSettings
from ledger.study.settings import AllowedTexts, SettingsModel
from ledger.study.spec import (
    LARGEST_BUDGET,
    MODES,
    BatchSize,
    Count,
    OptimizerSettings,
    Seed,
    TrialLimits,
)


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
# The options whose name differs from the name of the key.
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

# Each key of `_ALSO_REPLACED` is a setting. `_ALSO_REPLACED` maps this setting to the settings that this setting
# overrides. If a source of settings sets a key, the ledger ignores the overridden keys in sources of lower priority.
# For example, if the command line sets `trials`, the ledger ignores the value of `iterations` in the study file.
OF_FILE = ("data", "target_column", "holdout", "group_column", "time_column", "weight_column")
_OF_TRAINING = ("params", "dataset", "task", "metric", "cv", "repeats", "class_weights", "keep_models")
_ALSO_REPLACED = {
    "model": (*KINDS, "params", "params_as", "direction", "record_source"),
    "estimator": (*KINDS, "params", "params_as", "direction"),
    "dataset": ("function", "command", "params_as", "direction", "task", "class_weights", *OF_FILE),
    "data": ("function", "command", "params_as", "direction", "dataset"),
    "command": (*KINDS, *_OF_TRAINING, *OF_FILE),
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
