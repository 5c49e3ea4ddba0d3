"""A function that saves the model of a trial and the model's document as two artifacts."""

from collections.abc import Mapping
from typing import Any

from ledger.errors import LedgerError
from ledger.objectives import model_file
from ledger.objectives.context import Context
from ledger.objectives.form import TrainingSettings
from ledger.objectives.model_document import DOCUMENT, MODEL, MissingNumbers, ModelDocument, input_columns
from ledger.objectives.result import ObjectiveResult
from ledger.objectives.tabular import DatasetArrays, digest
from ledger.text import show

# Number of rows on which the trainer compares the kept model with the trained model.
_COMPARED_ROWS = 100


def keep(
    estimator: Any,
    plain: Any,
    form: TrainingSettings,
    dataset: DatasetArrays,
    missing_numbers: MissingNumbers,
    params: Mapping[str, Any],
    context: Context,
    result: ObjectiveResult,
) -> None:
    """Save a fitted estimator and its document as artifacts of a trial.

    The function saves the model before the document. Therefore each trial that has a document also has a model.

    Parameters
    ----------
    estimator, plain : estimator
        Two estimators with the same parameters. The estimator `estimator` was trained on all rows, and `plain` is
        unfitted.
    form, dataset : TrainingSettings, DatasetArrays
        The settings and the dataset of the objective.
    missing_numbers : str
        The value of the attribute `ModelDocument.missing_numbers`.
    params, context, result
        The parameters, the context and the result of the trial.

    Raises
    ------
    LedgerError
        The model cannot be saved. The message is one line.
    """
    packages = model_file.packages_of(form)
    content = model_file.dump(estimator)
    try:
        kept = model_file.load(content, plain, packages)
    except model_file.ForeignTypeError as error:
        raise LedgerError(
            f"the fitted estimator contains {show(error.name)}, which the format of skops cannot load safely; train the"
            " best model by `StudyResult.refit`"
        ) from error
    _check_predictions(estimator, kept, dataset)
    data = form.data
    document = ModelDocument(
        format=1,
        study=context.study,
        trial=context.trial,
        attempt=context.attempt,
        params=dict(params),
        loss=result.loss,
        metric=form.metric,
        value=float(result.metrics[form.metric]),
        task="regression" if dataset.labels is None else "classification",
        dataset=str(form.dataset) if data is None else data.file.name,
        dataset_sha256=None if data is None else data.file.sha256,
        rows=len(dataset.features),
        target=None if data is None else data.roles.target,
        columns=input_columns(form, dataset),
        missing_numbers=missing_numbers,
        classes=None if dataset.labels is None else list(dataset.labels),
        versions=model_file.versions(packages),
        sha256=digest(content),
    )
    context.save_artifact(MODEL, content)
    context.save_artifact(DOCUMENT, document.model_dump_json(indent=2).encode())


def _check_predictions(estimator: Any, kept: Any, dataset: DatasetArrays) -> None:
    import numpy as np

    rows = dataset.features[:_COMPARED_ROWS]
    if not np.array_equal(estimator.predict(rows), kept.predict(rows)):
        raise LedgerError("the estimator's predictions changed after skops had written and read the estimator")
