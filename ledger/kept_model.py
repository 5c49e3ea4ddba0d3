"""The function `load_model`, which reads the kept model of a study, and the class `KeptModel`."""

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ledger import artifacts as use_cases
from ledger.access import connected
from ledger.database import artifacts, studies, trials
from ledger.database.rows import ArtifactRow, StudyRow, TrialRow
from ledger.errors import LedgerError, UsageError
from ledger.keywords import known_keywords, trial_number
from ledger.objectives import model_file, model_table
from ledger.objectives.estimators import PACKAGES
from ledger.objectives.fitting import whole_estimator
from ledger.objectives.loading import as_floats, load_builder
from ledger.objectives.model_document import DOCUMENT, MODEL, ModelDocument, parse
from ledger.refitting import check_permission, training_form
from ledger.seeds import derive
from ledger.settings import Settings, settings_of
from ledger.study.python_values import ordered_params
from ledger.text import one_line

if TYPE_CHECKING:
    import numpy as np
    from sqlalchemy import Connection

    Array = np.ndarray[Any, Any]

# Largest size, in bytes, of the JSON document that describes a kept model. A worker can save an artifact of any size
# under the document's name.
_LARGEST_DOCUMENT = 64 * 1024 * 1024
# Largest number of trials in a message.
_MOST_TRIALS = 5


@dataclass(frozen=True, eq=False)
class KeptModel:
    """The fitted model of a study's best trial. The function `load_model` reads the model.

    Attributes
    ----------
    study : str
        The name of the study.
    trial : int
        The number of the trial. The model has the parameters of this trial.
    params : dict
        The parameters of the trial.
    value : float
        The value of the trial: the mean score on the trial's test rows. The value is an estimate of the kept model's
        score on new rows. The kept model itself was trained on all rows.
    loss : float
        The loss of the trial.
    metric : str
        The name of the metric.
    columns : tuple of str
        The names of the columns from which the model predicts, in the order of the columns.
    classes : tuple or None
        The target's classes, in the same order as the columns that `predict_proba` returns. None for a regression.
    versions : dict
        The versions of Python and of the packages that trained the model.
    estimator : scikit-learn estimator
        The fitted estimator. The estimator predicts from features. The classes of the estimator are the integers 0, 1,
        2 and so on. The estimator that `StudyResult.refit` returns has the same classes.

    Examples
    --------
    >>> import ledger
    >>> model = ledger.load_model("flowers")
    >>> model.metric, model.classes
    ('accuracy', (0, 1, 2))
    """

    study: str
    trial: int
    params: dict[str, Any]
    value: float
    loss: float
    metric: str
    columns: tuple[str, ...]
    classes: tuple[Any, ...] | None
    versions: dict[str, str]
    estimator: Any
    _document: ModelDocument = field(repr=False)

    def predict(self, table: Any) -> "Array":
        """For each row of a table, return the class or the number that the model predicts.

        Parameters
        ----------
        table : pandas.DataFrame or array of shape (rows, columns)
            The rows. A data frame must have exactly the columns that `KeptModel.columns` names, in the same order. An
            array must have one column for each name in `KeptModel.columns`, in the same order. Each text in a column of
            texts must occur in the data file. A missing text is allowed. If the data file has a text that pandas reads
            as missing, such as "None", a missing text must be the empty text.

        Returns
        -------
        array of shape (rows,)
            The predictions. If the model is a classifier, each prediction is a class of the target, such as "yes" or
            "no".

        Raises
        ------
        UsageError
            The table has other columns, or the model cannot read a cell of the table. For example, the model cannot
            read a text that no training row contains. The message names the first fault.

        Examples
        --------
        >>> import ledger
        >>> ledger.load_model("flowers").predict([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]).tolist()
        [0, 2]
        >>> ledger.load_model("flowers").predict([[5.1, 3.5, 1.4, "wide"]])
        Traceback (most recent call last):
        ledger.errors.UsageError: row 0, column "petal width (cm)": "wide" is not a number, but ...
        """
        import numpy as np

        predicted = self.estimator.predict(self._features(table))
        return predicted if self.classes is None else np.array(self.classes)[np.asarray(predicted, dtype=np.intp)]

    def predict_proba(self, table: Any) -> "Array":
        """Return the probability of each class for each row of a table.

        Parameters
        ----------
        table : pandas.DataFrame or array of shape (rows, columns)
            The rows. The docstring of `predict` describes the parameter.

        Returns
        -------
        array of shape (rows, classes)
            The probabilities. The columns have the order of `classes`.

        Raises
        ------
        UsageError
            The model computes no probabilities, or the table has a fault that the docstring of `predict` lists.

        Examples
        --------
        >>> import ledger
        >>> ledger.load_model("flowers").predict_proba([[5.1, 3.5, 1.4, 0.2]]).shape
        (1, 3)
        """
        if self.classes is None or not hasattr(self.estimator, "predict_proba"):
            what = "is a regression" if self.classes is None else "trains an estimator without predict_proba"
            raise UsageError(f"predict_proba: study {self.study} {what}; call predict")
        probabilities: Array = self.estimator.predict_proba(self._features(table))
        return probabilities

    def _features(self, table: Any) -> "Array":
        return model_table.features(table, self._document.columns, self._document.missing_numbers)

    def __repr__(self) -> str:
        return f"<model of study {self.study}, trial {self.trial}: {self.metric} {self.value:.6g}>"


@dataclass(frozen=True)
class FoundModel:
    """The two artifacts of a kept model, with the study and the trial.

    Attributes
    ----------
    study, trial : StudyRow, TrialRow
    model, description : ArtifactRow
        The artifact that contains the model, and the artifact that contains the model's document.
    document : ModelDocument
    """

    study: StudyRow
    trial: TrialRow
    model: ArtifactRow
    description: ArtifactRow
    document: ModelDocument

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the trial, as the ledger has recorded them."""
        return ordered_params(self.trial.params, self.study.spec["space"])


def find(connection: "Connection", settings: Settings, name: str, trial: int | None) -> FoundModel:
    """Find the kept model of a trial, or of the best trial if `trial` is None. Read and check the document of the
    model.

    Raises
    ------
    UsageError
        The objective is a function or a command.
    LedgerError
        The study or the trial does not exist, the study or the trial has no kept model, or the document is damaged.
    """
    study = studies.get(connection, name)
    form = training_form(name, study.spec["objective"], "load_model")
    row = trials.best(connection, study.id) if trial is None else trials.get(connection, study, trial)
    if row is None:
        raise LedgerError(f"study {name} has no complete trial yet: `ledger status {name}` shows the progress")
    if row.loss is None:
        raise LedgerError(f"trial {row.number} of study {name} is {row.state}: only a complete trial has a kept model")
    parts = _parts(artifacts.of_study(connection, study.id, row.number))
    if parts is None:
        raise LedgerError(_without_model(connection, study, row))
    model, description = parts
    if description.size > _LARGEST_DOCUMENT:
        raise _foreign(row, f"{DOCUMENT} has {description.size:,} bytes")
    document = parse(b"".join(use_cases.contents(connection, settings, study.id, description)))
    for what, recorded, described in (
        ("trial", row.number, document.trial),
        ("loss", row.loss, document.loss),
        ("value", row.value, document.value),
        ("metric", form.metric, document.metric),
        ("task", form.task, document.task),
        ("SHA-256", model.sha256, document.sha256),
    ):
        if recorded != described:
            raise _foreign(row, f"{DOCUMENT} names the {what} {described}, but the ledger has {recorded}")
    return FoundModel(study, row, model, description, document)


def _parts(rows: Any) -> tuple[ArtifactRow, ArtifactRow] | None:
    """Return the artifacts of the last attempt that has saved both the model and the document."""
    kept = {(row.attempt, row.name): row for row in rows if row.removed_at is None}
    attempts = [attempt for attempt, name in kept if name == DOCUMENT and (attempt, MODEL) in kept]
    return (kept[max(attempts), MODEL], kept[max(attempts), DOCUMENT]) if attempts else None


def _foreign(row: TrialRow, reason: str) -> LedgerError:
    return LedgerError(
        f"the model of trial {row.number}: {one_line(reason)}: the model is damaged or foreign; train it again by"
        " `StudyResult.refit`"
    )


def _without_model(connection: "Connection", study: StudyRow, row: TrialRow) -> str:
    name = study.name
    again = f"`ledger.load_study({name!r}).refit()` trains the model of the best trial"
    if "keep_models" not in study.spec["objective"]:
        return f"study {name} keeps no models: {again}; a study with `--keep-models best` keeps its best model"
    by_trial = groupby(artifacts.of_study(connection, study.id), key=lambda each: each.trial)
    with_files = [number for number, rows in by_trial if _parts(rows) is not None]
    # A worker saves a model before the ledger records the trial. Until then, `load_model` refuses the trial.
    numbers = [number for number in with_files if trials.get(connection, study, number).loss is not None]
    others = f"; trials with a model: {', '.join(map(str, numbers[:_MOST_TRIALS]))}" if numbers else ""
    return (
        f"trial {row.number} of study {name} has no kept model, because a better trial was known, the model could not"
        " be saved, the model was removed, or no worker trained the trial"
        f" (`ledger trial show {name} {row.number}` shows the worker's output){others}; {again}"
    )


@known_keywords
def load_model(
    name: str, trial: int | None = None, *, allow: Collection[str] = (), database: str | None = None
) -> KeptModel:
    """Read the fitted model that a study with ``keep_models = "best"`` has kept.

    The function checks the SHA-256 of the model. The function creates only objects of the types that the estimator of
    the study needs. If the model was trained with other versions of the packages, the function warns.

    Parameters
    ----------
    name : str
        The study's name.
    trial : int, optional
        The number of a trial that has a kept model. By default, the function reads the model of the best trial.
    allow : collection of str
        The packages from which the function may load an estimator, in addition to scikit-learn, XGBoost and LightGBM.
    database : str, optional
        The URL of the ledger's PostgreSQL database. By default, the function uses the same database as `Study`. Like
        the option --store, the variable LEDGER_STORE names the store of the model.

    Returns
    -------
    KeptModel
        The model, whose method `predict` accepts a data frame or an array.

    Raises
    ------
    UsageError
        The objective is a function or a command, or the study trains an estimator that `allow` does not permit.
    LedgerError
        The study or the trial has no kept model, the model is damaged, or the model contains foreign types. The
        function also raises a LedgerError if the database or the store is unavailable.

    Examples
    --------
    >>> import ledger
    >>> ledger.load_model("flowers")
    <model of study flowers, trial ...: accuracy 0...>
    >>> ledger.load_model("parabola")
    Traceback (most recent call last):
    ledger.errors.UsageError: load_model: the ledger does not know the model of study parabola, because ...
    """
    trial = trial_number("load_model", trial)
    settings = settings_of(database)
    settings = replace(settings, home=settings.home.absolute())
    with connected(settings) as connection:
        found = find(connection, settings, name, trial)
        content = b"".join(use_cases.contents(connection, settings, found.study.id, found.model))
    return open_model(name, found.study.spec, found.params, found.document, content, allow, stacklevel=4)


def open_model(
    study: str,
    spec: Mapping[str, Any],
    params: Mapping[str, Any],
    document: ModelDocument,
    content: bytes,
    allow: Collection[str] = (),
    stacklevel: int = 2,
) -> KeptModel:
    """Create the model from the content of its file.

    Parameters
    ----------
    study, spec : str, mapping
        The name and the spec of the study.
    params : mapping
        The parameters of the trial, as the ledger has recorded them.
    document : ModelDocument
    content : bytes
        The content of the file with the model.
    allow : collection of str
        The packages from which this process may load an estimator.
    stacklevel : int
        The argument `stacklevel` of `warnings.warn`. The function warns if the versions of packages differ.

    Raises
    ------
    LedgerError
        The docstring of `load_model` lists the causes.
    """
    form = training_form(study, spec["objective"], "load_model")
    check_permission("load_model", study, form, allow)
    seed = derive(spec["seed"], "trial", document.trial)
    builder = load_builder(form, allow)
    plain = whole_estimator(builder, as_floats(params), seed, 1, document.missing_numbers == "median")
    packages = {package for package in model_file.packages_of(form) if package in PACKAGES} | set(allow)
    # The function `versions` reads the version of a package only if the package is imported.
    model_file.import_skops()
    if differing := model_file.other_versions(document.versions, model_file.versions(packages)):
        warnings.warn(
            f"the model of study {study} was trained with other versions of packages: this machine has"
            f" {', '.join(differing)}; the predictions can differ",
            stacklevel=stacklevel,
        )
    return KeptModel(
        study=study,
        trial=document.trial,
        params=dict(params),
        value=document.value,
        loss=document.loss,
        metric=document.metric,
        columns=tuple(column.name for column in document.columns),
        classes=None if document.classes is None else tuple(document.classes),
        versions=dict(document.versions),
        estimator=model_file.load(content, plain, packages),
        _document=document,
    )
