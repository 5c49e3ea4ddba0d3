"""Python code that builds a study's estimator with the best parameters, and trains the estimator.

The code needs neither the package `ledger` nor the ledger's database. With the same packages, the code trains the same
estimator as `ledger.refitting.refit`. If the data file contains text, the estimator in the code also encodes the text
as numbers.
"""

import importlib
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from sklearn.pipeline import Pipeline

from ledger.objectives.estimators import own_references, weights_argument
from ledger.objectives.fitting import class_weights, imputes
from ledger.objectives.form import TrainingSettings
from ledger.objectives.loading import as_floats, load_builder, load_dataset
from ledger.objectives.table_cells import csv_rows, parquet_rows
from ledger.objectives.table_columns import MISSING, parse_number
from ledger.objectives.tabular import DatasetArrays
from ledger.refitting import training_form
from ledger.seeds import derive
from ledger.text import one_line

# Longest line of the code.
_WIDTH = 100


def best_code(
    study: str,
    spec: Mapping[str, Any],
    trial: int,
    value: float,
    params: Mapping[str, Any],
    contents: Sequence[bytes],
) -> str:
    """Return the Python code that builds and trains the estimator. The code does not end with a line feed.

    Parameters
    ----------
    study, spec : str, mapping
        The name and the spec of the study.
    trial, value, params : int, float, mapping
        The number, the value and the parameters of the best trial.
    contents : sequence of bytes
        The contents of the data files, as returned by `ledger.refitting.stored_contents`.

    Raises
    ------
    UsageError
        The objective of the study is a function or a command.

    Examples
    --------
    >>> spec = {"seed": 7, "objective": {"model": "svm", "dataset": "iris"}}
    >>> print(best_code("flowers", spec, 3, 0.95, {"C": 2.5, "kernel": "rbf"}, []))
    # study flowers, trial 3, accuracy 0.95
    from sklearn.datasets import load_iris
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    <BLANKLINE>
    features, targets = load_iris(return_X_y=True)
    model = Pipeline([('standardscaler', StandardScaler()), ('svc', SVC(C=2.5, random_state=718693615))])
    model.fit(features, targets)
    """
    form = training_form(study, spec["objective"], "best_code")
    dataset = load_dataset(form, contents)
    code = _GeneratedCode()
    weights = _data(code, form, dataset, contents)
    seed = derive(spec["seed"], "trial", trial)
    if own_references(form.steps):
        argument = _own_estimator(code, form, as_floats({**form.params, **params}), seed)
    else:
        estimator = load_builder(form, ()).build(as_floats(params), seed, 1)
        argument = str(weights_argument(estimator))
        code.lines.append(f"model = {code.expression(estimator)}")
    argument = _preprocess(code, form, dataset, argument)
    fitted = "" if weights is None else f", {argument}={weights}"
    code.lines.append(f"model.fit(features, targets{fitted})")
    title = f"# study {one_line(study)}, trial {trial}, {form.metric} {value!r}"
    return "\n".join([title, *code.imports(), "", *code.lines])


class _GeneratedCode:
    """Python code that this module generates: the lines of the code, and the import statements that the lines need."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._modules: list[str] = []
        # Each key of `_imported` is a name that the generated code imports. Each value of `_imported` contains the
        # module of the imported object, and the object's name in the module.
        self._imported: dict[str, tuple[str, str]] = {}

    def imports(self) -> list[str]:
        names: dict[str, list[str]] = {}
        for alias, (module, name) in sorted(self._imported.items()):
            names.setdefault(module, []).append(name if alias == name else f"{name} as {alias}")
        return self._modules + [f"from {module} import {', '.join(names[module])}" for module in sorted(names)]

    def use(self, module: str, name: str) -> str:
        """Add the import of an object to the code, and return the name of the object in the code."""
        alias = name
        while self._imported.setdefault(alias, (module, name)) != (module, name):
            alias += "_"
        return alias

    def use_module(self, line: str) -> None:
        self._modules.append(line)

    def expression(self, value: Any, indent: int = 0) -> str:
        """Return an expression that creates `value`. The value is an estimator or a JSON value."""
        if isinstance(value, Pipeline):
            return self._call(f"{self.use('sklearn.pipeline', 'Pipeline')}(", [("", value.steps)], ")", indent)
        if hasattr(value, "get_params"):
            name = self.use(*_public_name(type(value)))
            arguments = [(f"{key}=", inner) for key, inner in _changed_params(value).items()]
            return self._call(f"{name}(", arguments, ")", indent)
        if isinstance(value, list):
            return self._call("[", [("", each) for each in value], "]", indent)
        if isinstance(value, tuple) and len(value) > 1:
            return self._call("(", [("", each) for each in value], ")", indent)
        if isinstance(value, float) and not math.isfinite(value):
            return f"float({str(value)!r})"
        return repr(value)

    def _call(self, start: str, parts: Sequence[tuple[str, Any]], end: str, indent: int) -> str:
        """Return the code of `parts`, enclosed in the brackets `start` and `end`. A short text is one line."""
        line = start + ", ".join(key + self.expression(part, indent) for key, part in parts) + end
        if "\n" not in line and len(line) + indent <= _WIDTH - len("model = "):
            return line
        if len(parts) == 1:
            ((key, part),) = parts
            return f"{start}{key}{self.expression(part, indent)}{end}"
        inner = indent + 4
        lines = [f"{' ' * inner}{key}{self.expression(part, inner)},\n" for key, part in parts]
        return f"{start}\n{''.join(lines)}{' ' * indent}{end}"


def _data(
    code: _GeneratedCode, form: TrainingSettings, dataset: DatasetArrays, contents: Sequence[bytes]
) -> str | None:
    """Add the lines of code that read the data. Return the expression for the weights of the rows, or None if the rows
    have no weights.
    """
    if form.data is None:
        load = code.use("sklearn.datasets", f"load_{form.dataset}")
        code.lines.append(f"features, targets = {load}(return_X_y=True)")
        weights = None
    else:
        weights = _read_file(code, form, dataset, contents[0])
    if form.class_weights is not None:
        compute = code.use("sklearn.utils.class_weight", "compute_sample_weight")
        of_classes = f"{compute}({class_weights(form, dataset)!r}, targets)"
        weights = of_classes if weights is None else f"{weights} * {of_classes}"
    return weights


def _read_file(code: _GeneratedCode, form: TrainingSettings, dataset: DatasetArrays, content: bytes) -> str | None:
    assert form.data is not None
    assert dataset.encoding is not None
    encoding, roles, file = dataset.encoding, form.data.roles, form.data.file
    texts = [name for name in encoding.features if name in encoding.codes]
    numbers = [name for name in encoding.features if name not in encoding.codes]
    has_numeric_times = roles.time is not None and _are_numbers(content, file.format, roles.time)
    code.use_module("import pandas as pd")
    if file.format == "csv":
        numbers += [roles.weight] if roles.weight is not None else []
        numbers += [roles.target] if not encoding.has_text_labels else []
        numbers += [roles.time] if roles.time is not None and has_numeric_times else []
        missing = f"(?i)^({'|'.join(sorted(filter(None, MISSING)))})?$"
        code.lines += [
            f"table = pd.read_csv({file.name!r}, dtype=str, keep_default_na=False)",
            "table = table.rename(columns=str.strip).apply(lambda column: column.str.strip())",
            f"numbers = {numbers!r}",
            f"table[numbers] = table[numbers].replace({missing!r}, 'nan', regex=True).astype(float)",
        ]
    else:
        code.lines.append(f"table = pd.read_parquet({file.name!r})")
        if texts:
            code.lines.append(f"table[{texts!r}] = table[{texts!r}].astype(object).fillna('')")
    if roles.time is not None:
        key = "" if has_numeric_times else ", key=lambda times: pd.to_datetime(times, format='ISO8601', utc=True)"
        code.lines.append(f"table = table.sort_values({roles.time!r}, kind='stable'{key})")
    code.lines.append(f"features = table[{encoding.features!r}]")
    target = f"table[{roles.target!r}]"
    if dataset.labels is None:
        code.lines.append(f"targets = {target}.astype(float)")
    else:
        codes = {label: index for index, label in enumerate(dataset.labels)}
        code.lines.append(f"targets = {target}.map({codes!r})")
    return None if roles.weight is None else f"table[{roles.weight!r}]"


def _are_numbers(content: bytes, file_format: str, column: str) -> bool:
    """Return whether all cells of a column are numbers."""
    names, rows = csv_rows(content, "") if file_format == "csv" else parquet_rows(content, "", column)
    index = names.index(column)
    return all(parse_number(cells[index]) is not None for _, cells in rows())


def _preprocess(code: _GeneratedCode, form: TrainingSettings, dataset: DatasetArrays, argument: str) -> str:
    """Add the lines that build a pipeline. The pipeline encodes texts and replaces missing numbers before the model
    runs.

    Return the name of the argument that passes the row weights to the pipeline's method `fit`.
    """
    steps = []
    encoding = dataset.encoding
    if encoding is not None and encoding.codes:
        transformer = code.use("sklearn.compose", "make_column_transformer")
        encoder = code.use("sklearn.preprocessing", "OneHotEncoder")
        parts = []
        # Each `run` is a sequence of adjacent columns. Either every column of a `run` contains text, or every column
        # contains numbers.
        for is_text, run in groupby(encoding.features, key=encoding.codes.__contains__):
            names = list(run)
            if is_text:
                categories = [sorted(encoding.codes[name]) for name in names]
                how = f"{encoder}(categories={categories!r}, handle_unknown='ignore', sparse_output=False)"
            else:
                how = "'passthrough'"
            parts.append(f"    ({how}, {names!r}),\n")
        code.lines.append(f"encode = {transformer}(\n{''.join(parts)})")
        steps.append("('encode', encode)")
    if imputes(form, dataset):
        imputer = code.use("sklearn.impute", "SimpleImputer")
        steps.append(f"('impute', {imputer}(strategy='median', keep_empty_features=True))")
    if not steps:
        return argument
    make = code.use("sklearn.pipeline", "Pipeline")
    code.lines.append(f"model = {make}([{', '.join(steps)}, ('model', model)])")
    return f"model__{argument}"


def _own_estimator(code: _GeneratedCode, form: TrainingSettings, params: dict[str, Any], seed: int) -> str:
    """Add the lines that create an estimator whose code the user has written. This process does not import the user's
    code.
    """
    created = [(name, f"{code.use(*reference.split(':'))}()") for name, reference in form.steps]
    if len(created) == 1:
        code.lines.append(f"model = {created[0][1]}")
    else:
        make = code.use("sklearn.pipeline", "Pipeline")
        code.lines.append(f"model = {make}([{', '.join(f'({name!r}, {create})' for name, create in created)}])")
    code.lines.append(f"model.set_params(**{params!r})")
    code.lines.append(
        "for name in model.get_params():\n"
        "    if name.rpartition('__')[2] == 'random_state':\n"
        f"        model.set_params(**{{name: {seed}}})"
    )
    return "sample_weight" if len(created) == 1 else f"{created[-1][0]}__sample_weight"


def _public_name(kind: type) -> tuple[str, str]:
    """Return the name of a module that contains the class `kind`, and the name of the class. If several modules contain
    the class, return the module with the shortest path.
    """
    parts = kind.__module__.split(".")
    for length in range(1, len(parts)):
        module = ".".join(parts[:length])
        if getattr(importlib.import_module(module), kind.__name__, None) is kind:
            return module, kind.__name__
    return kind.__module__, kind.__name__


def _changed_params(estimator: Any) -> dict[str, Any]:
    """Compare an estimator's parameters with the default values of its class, and return the parameters that differ."""
    params: dict[str, Any] = estimator.get_params(deep=False)
    try:
        initial = type(estimator)().get_params(deep=False)
    except TypeError:  # The class has parameters without a default value.
        return params
    return {name: value for name, value in params.items() if name not in initial or repr(initial[name]) != repr(value)}
