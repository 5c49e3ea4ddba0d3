"""The document beside a kept model. It describes the model, and the tables from which the model predicts.

A worker writes the document, so a reader checks each value.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ledger.errors import LedgerError, first_fault
from ledger.objectives.datasets import feature_names
from ledger.objectives.form import TrainingSettings
from ledger.objectives.tabular import DatasetArrays

# Names of the two artifacts of a trial whose model is kept.
MODEL, DOCUMENT = "model.skops", "model.json"

MissingNumbers = Literal["median", "estimator", "refused"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class InputColumn(_Part):
    """A column of the table from which a model predicts.

    Attributes
    ----------
    name : str
    texts : list of str or None
        The sorted texts that a column of text can contain. None for a column of numbers.
    """

    name: str
    texts: list[str] | None = None


class ModelDocument(_Part):
    """The description of a kept model.

    Attributes
    ----------
    format : int
        The version of this form.
    study : str
    trial, attempt : int
        The trial whose parameters the model has, and the attempt that saved the model.
    params : dict
    loss : float
    metric : str
    value : float
        The value of the metric on the test rows of the trial.
    task : str
        The task, "classification" or "regression".
    dataset : str
        The name of the dataset or of the data file.
    dataset_sha256 : str or None
        The SHA-256 of the data file. None for a dataset of scikit-learn.
    rows : int
        The number of rows on which the model was trained.
    target : str or None
        The name of the column that the model predicts. None for a dataset of scikit-learn.
    columns : list of InputColumn
        The columns of a table from which the model predicts, in their order.
    missing_numbers : str
        What happens to a missing number. With "median", the model replaces it by the median of the column. With
        "estimator", the user's pipeline receives NaN. With "refused", the training rows had no missing number.
    classes : list of str, list of int or None
        The classes of the target in the order of the columns of `predict_proba`. None for a regression.
    versions : dict
        The versions of Python and of the packages that trained the model.
    sha256 : str
        The SHA-256 of the file with the model.
    """

    format: Literal[1]
    study: str
    trial: int = Field(ge=0)
    attempt: int = Field(ge=1)
    params: dict[str, Any]
    loss: float
    metric: str
    value: float
    task: Literal["classification", "regression"]
    dataset: str
    dataset_sha256: str | None
    rows: int = Field(ge=1)
    target: str | None
    columns: list[InputColumn] = Field(min_length=1)
    missing_numbers: MissingNumbers
    classes: list[str] | list[int] | None
    versions: dict[str, str]
    sha256: str

    @model_validator(mode="after")
    def _has_classes(self) -> "ModelDocument":
        if (self.classes is None) != (self.task == "regression"):
            raise ValueError("only a classification has classes")
        return self


def parse(content: bytes) -> ModelDocument:
    """Return the document with the content of its file.

    Raises
    ------
    LedgerError
        The content is not a document of this version. The message is one line.

    Examples
    --------
    >>> parse(b'{"format": 2}')
    Traceback (most recent call last):
    ledger.errors.LedgerError: model.json: format: 2 must be 1: the file is damaged or foreign, or ...
    """
    try:
        return ModelDocument.model_validate_json(content)
    except ValidationError as error:
        raise LedgerError(
            f"{first_fault(error, lambda key: f'{DOCUMENT}: {key}'.rstrip())}: the file is damaged or foreign, or"
            " another version of the ledger wrote it"
        ) from None


def input_columns(form: TrainingSettings, dataset: DatasetArrays) -> list[InputColumn]:
    """Return the columns of the features of a dataset, before texts become several features.

    Examples
    --------
    >>> from ledger.objectives import datasets
    >>> from ledger.objectives.form import read_form
    >>> [column.name for column in input_columns(read_form({"model": "svm", "dataset": "iris"}), datasets.load("iris"))]
    ['sepal length (cm)', 'sepal width (cm)', 'petal length (cm)', 'petal width (cm)']
    """
    encoding = dataset.encoding
    if encoding is None:
        assert form.dataset is not None
        return [InputColumn(name=name) for name in feature_names(form.dataset)]
    return [
        InputColumn(name=name, texts=sorted(encoding.codes[name]) if name in encoding.codes else None)
        for name in encoding.features
    ]
