"""What a study is: read from options, the environment and a TOML file, validated whole, hashed, and compared."""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ledger.errors import LedgerError, UsageError
from ledger.objectives import DATASETS, DEFAULT_SPACES, MODELS, check, check_reference, metrics, tabular
from ledger.objectives.datasets import CLASSES, MOST_FOLDS
from ledger.study.space import Space
from ledger.text import nearest, one_line, show

BASE_ESTIMATORS = ("GP", "RF", "ET")
ACQ_FUNCS = ("EI", "LCB", "PI", "MES", "EIps", "PIps")

# What skopt lists and a study cannot use -> why.
_NOT_USABLE = {
    "GBRT": "skopt 0.10's GBRT raises with today's scikit-learn",
    "DUMMY": "it fits no model",
    "GP_HEDGE": "its gains are memory that the ledger does not hold",
    "PVRS": "skopt factorises the kernel without its noise there, which fails in discrete spaces and on flat losses, "
    "has it for no forest, and takes minutes a point",
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
# a million trials in either shape is what exports and the table's integers are made for
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, Field(ge=0.01, le=86_400, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Mode = Literal["batch", "steady"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


T = TypeVar("T", bound=_Table)


class Data(_Table):
    """A dataset from a file, whose content is in the ledger.

    Attributes
    ----------
    name : str
        The file's, without its folder.
    sha256 : str
        Of its content, in hex.
    target : str
        The column that holds the class.
    format : str
        "csv" or "parquet".
    rows : int
        How many it has.
    content : bytes or None
        Of a study that is being made; no part of its spec.
    """

    name: str
    sha256: str
    target: str
    format: Literal["csv", "parquet"]
    rows: int
    content: bytes | None = Field(default=None, exclude=True, repr=False)


class Objective(_Table):
    """A built-in model on a dataset, by name or from a file, or a function of the user's own (then all else is None).

    Attributes
    ----------
    metric : str or None
        A scorer of scikit-learn's; None for the accuracy.
    cv : int or None
        Folds of a cross-validation; None for one split.
    """

    model: str | None = None
    dataset: str | None = None
    data: Data | None = None
    metric: str | None = None
    cv: Annotated[int, Field(ge=2, le=MOST_FOLDS)] | None = None
    function: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: dict[str, Any]) -> dict[str, Any]:
        if "function" in values:
            other = next((key for key in ("model", "dataset", "data", "metric", "cv") if key in values), None)
            if other:
                raise ValueError(f"function and {other} exclude each other; leave one out")
            return values
        if "data" not in values:
            return {"model": MODELS[0], "dataset": DATASETS[0], **values}
        if "dataset" in values:
            raise ValueError("dataset and data exclude each other; leave one out")
        return {"model": MODELS[0], **values}

    @field_validator("metric")
    @classmethod
    def _usable(cls, value: str | None) -> str | None:
        if value is None or value == metrics.DEFAULT:
            return None  # named or not, it is the same study
        try:
            metrics.check(value, "", None)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("model", "dataset")
    @classmethod
    def _known(cls, value: str | None, info: Any) -> str | None:
        known = MODELS if info.field_name == "model" else DATASETS
        if value not in known:
            raise ValueError(f"unknown {info.field_name} {show(value)}; choose {', '.join(known)}")
        return value

    @field_validator("function")
    @classmethod
    def _well_formed(cls, value: str) -> str:
        try:
            check_reference(value)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return value

    @property
    def label(self) -> str:
        """The model, or the function without its module."""
        return self.model or str(self.function).partition(":")[2]


class OptimizerSettings(_Table):
    """How points are proposed: skopt's names and meanings, except that `xi` counts in the range of the losses."""

    base_estimator: str = "GP"
    acq_func: str = "EI"
    kappa: NonNegative | None = None
    xi: NonNegative | None = None

    @field_validator("base_estimator", "acq_func")
    @classmethod
    def _known(cls, value: str, info: Any) -> str:
        known = BASE_ESTIMATORS if info.field_name == "base_estimator" else ACQ_FUNCS
        choose = f"choose {', '.join(known)}"
        if value.upper() in _NOT_USABLE:
            raise ValueError(f"{show(value)} cannot be used: {_NOT_USABLE[value.upper()]}; {choose}")
        by_upper = {one.upper(): one for one in known}
        if value.upper() not in by_upper:
            raise ValueError(f"unknown {info.field_name} {show(value)}; {choose}")
        return by_upper[value.upper()]


class Limits(_Table):
    """When a trial is given up. `lease`, `heartbeat` and `trial_timeout` are seconds."""

    max_failures: Annotated[int, Field(ge=1, le=1_000)] = 3
    max_lost: Annotated[int, Field(ge=1, le=100_000)] = 20
    lease: Seconds = 30.0
    heartbeat: Seconds = 10.0
    trial_timeout: Annotated[float, Field(ge=0.01, le=31_536_000, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _beats_in_time(self) -> "Limits":
        if self.heartbeat >= self.lease:
            raise ValueError(f"heartbeat {show(self.heartbeat)} is not below lease {show(self.lease)}; set both")
        return self


class Resolved(_Table):
    """What followed from defaults and from the first budget when the study was made, and stays."""

    initial_points: Count
    threads: Annotated[int, Field(ge=1)] = 1
    # "skopt": of a study from before there was the ledger's own optimizer
    proposer: Literal["ledger", "skopt"] = "ledger"
    proposer_version: Literal[1, 2] = 2

    @model_validator(mode="after")
    def _is_known(self) -> "Resolved":
        if (self.proposer, self.proposer_version) not in (("ledger", 2), ("skopt", 1)):
            raise ValueError(f"proposer {self.proposer} {self.proposer_version} is another version's")
        return self


class StudyTable(_Table):
    """The [study] table of a file, completed by options and defaults. `workers` is for `ledger run` alone."""

    name: str | None = None
    seed: Seed = 42
    iterations: Count = 3
    batch_size: Count = 2
    mode: Mode = "batch"
    workers: Annotated[int, Field(ge=1, le=1_000)] | None = None

    @field_validator("name")
    @classmethod
    def _well_formed(cls, value: str | None) -> str | None:
        if value is not None and not _NAME.fullmatch(value):
            raise ValueError(
                f"name {show(value)} must be 1 to 100 letters, digits, dots, underscores or hyphens, "
                "with a letter or digit first"
            )
        return value


class StudySpec(_Table):
    """One search. Equal studies propose equal points.

    Attributes
    ----------
    name : str
        Unique in a ledger.
    seed : int
        In [0, 2**31).
    iterations : int
        The budget, at least 1; it may grow.
    batch_size : int
        Trials that are proposed at once, at least 1; in steady mode, trials that are kept in flight.
    mode : str
        "batch": every trial of an iteration ends before the next iteration is proposed. "steady": each trial that ends
        is replaced at once, so that the points depend on the order in which trials end.
    objective : Objective
    space : Space
    optimizer : OptimizerSettings
    limits : Limits
    resolved : Resolved
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str
    seed: Seed
    iterations: Count
    batch_size: Count
    mode: Mode = "batch"
    objective: Objective
    space: Space
    optimizer: OptimizerSettings
    limits: Limits
    resolved: Resolved

    def asked(self) -> dict[str, Any]:
        """Return, as JSON, what was asked for, without the name, the budget and what was resolved."""
        return {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "mode": self.mode,
            "objective": self.objective.model_dump(exclude_none=True),
            "space": self.space.to_json(),
            "optimizer": self.optimizer.model_dump(),
            "limits": self.limits.model_dump(),
        }

    def spec(self) -> dict[str, Any]:
        """Return, as JSON, all that defines the study, without its name and its budget."""
        return {**self.asked(), "resolved": self.resolved.model_dump()}

    @classmethod
    def from_spec(cls, name: str, iterations: int, spec: Mapping[str, Any]) -> "StudySpec":
        """Return the study that `spec` describes, also after a round trip through jsonb.

        Raises
        ------
        LedgerError
            This version of the ledger cannot read the spec.
        """
        try:
            return cls(
                name=name,
                iterations=iterations,
                objective=Objective(**spec["objective"]),
                space=Space.from_json(spec["space"]),
                optimizer=OptimizerSettings(**spec["optimizer"]),
                limits=Limits(**spec["limits"]),
                resolved=Resolved(**spec["resolved"]),
                **{
                    key: value
                    for key, value in spec.items()
                    if key not in ("objective", "space", "optimizer", "limits", "resolved")
                },
            )
        except (KeyError, TypeError, UsageError, ValidationError) as error:
            reason = _first(error, str) if isinstance(error, ValidationError) else repr(error)
            raise LedgerError(
                f"study {name}: this version of the ledger cannot read its spec ({reason});"
                " use the version that made it, or a newer one"
            ) from None

    @property
    def spec_hash(self) -> str:
        """SHA-256, in hex, of the canonical JSON of what was asked for."""
        text = json.dumps(self.asked(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def initial_points(budget: int, batch_size: int) -> int:
    """Return the number of points that are drawn at random before a surrogate proposes points.

    It is a quarter of the budget, at least 2 and at most 10, rounded up to whole batches: skopt's 10 would make the
    whole of a small study random.
    """
    wanted = min(10, max(2, -(-budget // 4)))
    return min(budget, -(-wanted // batch_size) * batch_size)


def assemble(
    options: Mapping[str, Any], file: Path | None = None, tables: Mapping[str, Mapping[str, Any]] | None = None
) -> StudySpec:
    """Make the study that was asked for.

    Parameters
    ----------
    options : mapping
        From the command line or the environment; None is not given. Keys: model, dataset, data (the path of a file),
        target, metric, cv, iterations, batch_size, mode, seed, name, base_estimator, acq_func, trial_timeout.
    file : Path, optional
        A TOML file with tables [study], [space], [optimizer], [objective] and [limits]; options beat it. A path under
        [objective] data starts from the file's folder.
    tables : mapping, optional
        The same tables, where there is no file.

    Raises
    ------
    UsageError
        Something in them is wrong: one line, about the first such thing, with its place and what is allowed.
    """
    asked = _Asked(options, file, tables)
    table = asked.read(StudyTable, "study")
    objective = asked.objective()
    study = StudySpec(
        name=table.name or "",
        seed=table.seed,
        iterations=table.iterations,
        batch_size=table.batch_size,
        mode=table.mode,
        objective=objective,
        space=asked.space(objective),
        optimizer=asked.read(OptimizerSettings, "optimizer"),
        limits=asked.read(Limits, "limits"),
        resolved=Resolved(initial_points=initial_points(table.iterations * table.batch_size, table.batch_size)),
    )
    if study.name:
        return study
    label = re.sub(r"[^A-Za-z0-9._-]", "-", objective.label).lstrip("._-")[:80] or "function"
    return study.model_copy(update={"name": f"{label}-{study.seed}-{study.spec_hash[:6]}"})


def workers(file: Path | None) -> int | None:
    """Return how many workers the file asks for, or None. Raises UsageError as `assemble` does."""
    return _Asked({}, file).read(StudyTable, "study").workers


def differences(recorded: StudySpec, asked: StudySpec) -> list[str]:
    """Return what keeps `asked` from continuing `recorded`, a line each; a larger budget does not."""
    lines = []
    if asked.iterations < recorded.iterations:
        lines.append(f"iterations: {recorded.iterations} recorded, {asked.iterations} asked (a budget only grows)")
    before, now = _flat(recorded), _flat(asked)
    return lines + [
        f"{place}: {before.get(place, 'nothing')} recorded, {now.get(place, 'nothing')} asked"
        for place in dict.fromkeys([*before, *now])
        if before.get(place) != now.get(place)
    ]


# An option that says what is trained, or on what -> what of the file it takes the place of.
_INSTEAD = {"model": ("function",), "dataset": ("function", "data", "target"), "data": ("function", "dataset")}


class _Asked:
    """Options over a file, which know of each value where it came from."""

    tables: Mapping[str, type[_Table]] = {
        "study": StudyTable,
        "objective": Objective,
        "optimizer": OptimizerSettings,
        "limits": Limits,
    }
    # option -> its table, and how a person gives it
    options: Mapping[str, tuple[str, str]] = {
        "name": ("study", "--name or STUDY_NAME"),
        "seed": ("study", "--seed or SEED"),
        "iterations": ("study", "--iterations or NUM_ITERATIONS"),
        "batch_size": ("study", "--batch-size or NUM_HYPERPARAM_SETS"),
        "mode": ("study", "--mode or SEARCH_MODE"),
        "model": ("objective", "--model or MODEL_CHOICE"),
        "dataset": ("objective", "--dataset or DATASET"),
        "data": ("objective", "--data or DATA_FILE"),
        "target": ("objective", "--target or TARGET_COLUMN"),
        "metric": ("objective", "--metric or METRIC"),
        "cv": ("objective", "--cv or CV_FOLDS"),
        "base_estimator": ("optimizer", "--base-estimator or BASE_ESTIMATOR"),
        "acq_func": ("optimizer", "--acq-func or ACQ_FUNC"),
        "trial_timeout": ("limits", "--trial-timeout or TRIAL_TIMEOUT"),
    }

    def __init__(
        self, options: Mapping[str, Any], file: Path | None, tables: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self._given = {key: value for key, value in options.items() if value is not None}
        self._file = file
        self._of_file: Mapping[str, Any] = _read_file(file) if file is not None else tables or {}
        for name, table in self._of_file.items():
            self._check(name, table)

    def _check(self, name: str, table: Any) -> None:
        known = (*self.tables, "space")
        if name not in known:
            raise UsageError(f"{self._of_this_file()}unknown table [{one_line(name, 80)}]{nearest(name, known)}")
        if not isinstance(table, dict):
            raise UsageError(
                f"{self._of_this_file()}{name} is {show(table)}, not a table; write [{name}] on a line of its own"
            )
        if name != "space":
            keys = (*self.tables[name].model_fields, *(("target",) if name == "objective" else ()))
            for key in table:
                if key not in keys:
                    raise UsageError(f"{self._of_this_file()}[{name}] unknown key {show(key)}{nearest(key, keys)}")

    def _table(self, name: str) -> dict[str, Any]:
        of_options = {key: value for key, value in self._given.items() if self.options[key][0] == name}
        of_file = dict(self._of_file.get(name, {}))
        for key, others in _INSTEAD.items():
            if key in of_options:
                of_file = {other: value for other, value in of_file.items() if other not in others}
        return {**of_file, **of_options}

    def _place(self, table: str, key: str) -> str:
        if key in self._given and self.options[key][0] == table:
            return self.options[key][1]
        return f"{self._of_this_file()}[{table}] {key}".rstrip()

    def _of_this_file(self) -> str:
        return f"{_name(self._file)}: " if self._file is not None else ""

    def read(self, kind: type[T], name: str) -> T:
        return self._validated(kind, name, self._table(name))

    def _validated(self, kind: type[T], name: str, table: Mapping[str, Any]) -> T:
        try:
            return kind(**table)
        except ValidationError as error:
            raise UsageError(_first(error, lambda key: self._place(name, key))) from None

    def objective(self) -> Objective:
        """Read the objective, and the file that it names; whatever is wrong with the file is said now."""
        table = self._table("objective")
        path, target = (table.pop(key, None) for key in ("data", "target"))
        for key, value in (("data", path), ("target", target)):
            if value is not None and not (isinstance(value, str) and value):
                raise UsageError(f"{self._place('objective', key)}: {show(value)} must be a valid string")
        if path is None:
            if target is not None:
                raise UsageError(f"{self._place('objective', 'target')}: there is no file to have a target; add --data")
            objective = self._validated(Objective, "objective", table)
            classes = CLASSES.get(objective.dataset or "")
        else:
            if target is None:
                raise UsageError(
                    f"{self._place('objective', 'data')}: the target is missing; say by --target which column holds"
                    " the class"
                )
            folder = self._file.parent if self._file is not None and "data" not in self._given else Path()
            file = folder / path
            with self._at("objective", "data"):
                content, file_format = tabular.read_file(file)
            data = Data(
                name=one_line(file.name),
                sha256=tabular.digest(content),
                target=target,
                format=file_format,  # type: ignore[arg-type]  # of two
                rows=0,
                content=content,
            )
            # before the file is read whole, whose faults take longer to find
            objective = self._validated(Objective, "objective", {**table, "data": data})
            with self._at("objective", "data"):
                rows = tabular.read(content, file_format, target, _name(file))
                tabular.check_classes(rows, objective.cv, target, _name(file))
            objective = objective.model_copy(update={"data": data.model_copy(update={"rows": len(rows.classes)})})
            classes = len(rows.labels)
        if objective.metric is not None:
            with self._at("objective", "metric"):
                metrics.check(objective.metric, str(objective.model), classes)
        return objective

    @contextmanager
    def _at(self, table: str, key: str) -> Iterator[None]:
        """Say of what is refused in the block where it was asked for."""
        try:
            yield
        except UsageError as error:
            raise UsageError(f"{self._place(table, key)}: {error}") from None

    def space(self, objective: Objective) -> Space:
        place = self._place("space", "")
        if "space" in self._of_file:
            space = Space.from_toml(self._of_file["space"], place)
        elif objective.model is None:
            raise UsageError(f"{place} is missing: an own function has no space by default; add the table to the file")
        else:
            space = Space.from_toml(DEFAULT_SPACES[objective.model], place)
        if objective.model is not None:
            try:
                check(objective.model, space.names)
            except UsageError as error:
                of_file = self._of_file.get("objective", {})
                chosen = "model" in self._given and of_file.get("model", MODELS[0]) != objective.model
                source = f" (the model is from {self.options['model'][1]})" if chosen or "function" in of_file else ""
                raise UsageError(f"{place} {error}{source}") from None
        return space


def _name(file: Path) -> str:
    return one_line(str(file))


def _read_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise UsageError(f"{_name(file)}: {error.strerror}; give the path of a study file") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{_name(file)}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, at = str(error).partition(" (at ")
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")  # the end of the document
        if found := re.match(r"line (\d+), column (\d+)", at):
            line, column = int(found[1]), int(found[2])
        raise UsageError(f"{_name(file)}: line {line}, column {column}: {reason}; mend the TOML there") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or brackets within brackets
        raise UsageError(f"{_name(file)}: {error}; mend the TOML") from None


def _first(error: ValidationError, place: Callable[[str], str]) -> str:
    """Say in one line what is wrong first; `place` makes a key into where it stands."""
    found = error.errors(include_url=False)[0]
    where = place(str(found["loc"][0]) if found["loc"] else "")
    if found["type"] == "value_error":
        return f"{where}: {found['ctx']['error']}"
    return f"{where}: {show(found['input'])} {found['msg'].replace('Input should', 'must')}"


def _flat(study: StudySpec) -> dict[str, str]:
    """Return what was asked for as one text a place, as in ``{"optimizer.acq_func": "EI"}``."""
    asked = study.asked()
    # the order of the dimensions is part of the study: the draws follow it
    order = [dimension["name"] for dimension in asked["space"]]
    asked["space"] = {dimension.pop("name"): dimension for dimension in asked["space"]}
    flat = {"space": ", ".join(order)}

    def walk(place: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{place}.{key}" if place else key, inner)
        else:
            flat[place] = value if isinstance(value, str) else json.dumps(value)

    walk("", asked)
    return flat
