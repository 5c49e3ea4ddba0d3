"""Functions that read and check the data files of a study before the ledger records the study."""

from dataclasses import replace
from pathlib import Path

from ledger.objectives import metrics, tabular
from ledger.objectives.tabular import DatasetArrays
from ledger.study.objective import FileDataset, HoldoutFile, Objective
from ledger.text import one_line


def read_content(path: Path, target: str) -> FileDataset:
    """Read a data file, and return a `FileDataset`.

    The attribute `rows` is 0, because the function does not parse the content.

    Raises
    ------
    UsageError
        The file cannot be read, is too large, or has an unknown format.
    """
    content, file_format = tabular.read_file(path)
    return FileDataset(
        name=one_line(path.name),
        sha256=tabular.digest(content),
        target_column=target,
        format=file_format,  # type: ignore[arg-type]  # one of two
        rows=0,
        content=content,
    )


def read_holdout_content(path: Path) -> HoldoutFile:
    """Read a hold-out file, and return a `HoldoutFile`.

    The attribute `rows` is 0, because the function does not parse the content.

    Raises
    ------
    UsageError
        The file cannot be read, is too large, or has an unknown format.
    """
    content, file_format = tabular.read_file(path)
    return HoldoutFile(
        name=one_line(path.name),
        sha256=tabular.digest(content),
        format=file_format,  # type: ignore[arg-type]  # one of two
        rows=0,
        content=content,
    )


def parse(data: FileDataset, shown: str, task: str | None) -> DatasetArrays:
    """Parse the content of a data file, and return the training rows.

    Parameters
    ----------
    data : FileDataset
        The dataset. The attribute `content` of the dataset must not be None.
    shown : str
        The path of the file, for error messages.
    task : str or None
        The task that the user requested. If `task` is None, the values in the target column determine the task.

    Raises
    ------
    UsageError
        The file contains a fault.
    """
    assert data.content is not None
    return tabular.read(data.content, data.format, data.roles, shown, task)


def parse_holdout(data: FileDataset, rows: DatasetArrays, shown: str) -> DatasetArrays:
    """Parse the hold-out file. Return a copy of `rows` that also contains the rows of the hold-out file.

    Raises
    ------
    UsageError
        The hold-out file contains a fault, or does not fit the training rows.
    """
    assert data.holdout is not None
    assert data.holdout.content is not None
    assert rows.encoding is not None
    holdout = tabular.read_holdout(data.holdout.content, data.holdout.format, rows.encoding, shown)
    return replace(rows, holdout=holdout)


def counted(data: FileDataset, rows: DatasetArrays) -> FileDataset:
    """Return a copy of the dataset. In the copy, the attribute `rows` of each file contains the number of the file's
    rows.
    """
    if data.holdout is not None and rows.holdout is not None:
        holdout = data.holdout.model_copy(update={"rows": len(rows.holdout.targets)})
        data = data.model_copy(update={"holdout": holdout})
    return data.model_copy(update={"rows": len(rows.targets)})


def metric_use(objective: Objective, rows: DatasetArrays) -> metrics.MetricUse:
    """Some properties of the data and of the objective determine which metrics the study may use. Return these
    properties."""
    assert objective.data is not None
    tables = [rows] if rows.holdout is None else [rows, rows.holdout]
    return metrics.MetricUse(
        rows.task,
        objective.model,
        classes=None if rows.labels is None else len(rows.labels),
        lowest=min(float(table.targets.min()) for table in tables) if rows.labels is None else None,
        is_weighted=objective.data.weight_column is not None,
    )
