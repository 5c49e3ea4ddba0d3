"""The document that describes a kept model, and the tables that the model accepts.

A worker writes the document. A program that reads the document does not trust the worker, and therefore checks each
value.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ledger.errors import LedgerError, first_fault
from ledger.objectives.datasets import feature_names
from ledger.objectives.form import TrainingSettings
from ledger.objectives.tabular import DatasetArrays

# Names of the two artifacts of a kept model. The first artifact is the model, and the second artifact is the model's
# document.
MODEL, DOCUMENT = "model.skops", "model.json"

MissingNumbers = Literal["median", "estimator", "refused"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class InputColumn(_Part):
    """A column of a table that a kept model accepts.

    Attributes
    ----------
    name : str
    texts : list of str or None
        The sorted texts that a column of text can contain. For a column of numbers, `texts` is None.
    """

    name: str
    texts: list[str] | None = None


class ModelDocument(_Part):
    """The description of a kept model.

    Attributes
    ----------
    format : int
        The version of the document's format.
    study : str
    trial, attempt : int
        The number of the trial, and the number of the attempt that saved the model.
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
        The SHA-256 of the data file. For a dataset of scikit-learn, `dataset_sha256` is None.
    rows : int
        The number of rows on which the model was trained.
    target : str or None
        The name of the column that the model predicts. For a dataset of scikit-learn, `target` is None.
    columns : list of InputColumn
        The columns that the model accepts in a table, in the required order.
    missing_numbers : str
        How the model treats a missing number. With "median", the model replaces the missing number by the median of the
        column. With "estimator", the user's pipeline receives NaN. With "refused", a missing number is an error,
        because the training rows contained no missing numbers.
    classes : list of str, list of int or None
        The classes of the target. The columns of `predict_proba` have the order of `classes`. For a regression,
        `classes` is None.
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
    """Read a document from the content of its file.

    Raises
    ------
    LedgerError
        The content is not a valid document of this version of the format. The message is one line.

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
    """Return the columns of a dataset that contain features. A column of text is one element of the list, although the
    column becomes several features.

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
