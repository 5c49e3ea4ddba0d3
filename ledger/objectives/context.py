"""The context of a trial. An objective can have a second parameter, which receives the context."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ledger.objectives import artifact_saving, checkpointing, reporting
from ledger.objectives.checkpointing import Checkpoint


@dataclass(frozen=True)
class Context:
    """Information about the trial that an objective evaluates, such as the trial's number and seed.

    An objective can have a second parameter, which receives the context.

    Attributes
    ----------
    study : str
        Name of the study.
    trial : int
        The trial's number within the study, counted from 0.
    attempt : int
        The number of the attempt within the trial, counted from 1. The loss must not depend on the number of the
        attempt.
    seed : int
        The trial's seed, in [0, 2**31). The trial's seed depends only on the study's seed and the trial's number. An
        objective must use the trial's seed for all random numbers, so that all attempts of the trial have the same
        loss.
    study_seed : int
        The study's seed, in [0, 2**31). All trials of the study receive the same study seed. An objective should use
        the study's seed to split the data. If all trials use the same split, the losses of all trials are measured on
        the same test rows.

    Examples
    --------
    >>> import random
    >>> import ledger
    >>> @ledger.objective(space={"x": (-5.0, 5.0)})
    ... def noisy(params, context):
    ...     return params["x"] ** 2 + random.Random(context.seed).gauss(0.0, 0.1)

    A test of an objective can create a context:

    >>> context = ledger.Context(study="noisy", trial=0, attempt=1, seed=7, study_seed=42)
    >>> noisy({"x": 0.0}, context) == noisy({"x": 0.0}, context)
    True
    """

    study: str
    trial: int
    attempt: int
    seed: int
    study_seed: int

    def report(self, value: float, step: int, metrics: Mapping[str, float] | None = None) -> None:
        """Report an intermediate value during the training, such as the validation loss after an epoch.

        If an attempt reports several values for the same step, the ledger records only the first value. The final value
        of the trial is the value that the objective returns, not the last reported value. The training does not wait
        for the database. If no trial is running, for example in a test of the objective, the method only checks the
        arguments.

        Parameters
        ----------
        value : float
            The value at the step. Any real number is allowed. The reported value must measure the same quantity as the
            value that the objective returns. If the study maximises the value, a higher value is better. The ledger
            records NaN and the infinities as a missing value.
        step : int
            An integer from 0 to 10**15 that identifies the step of the training, such as the number of the epoch. An
            attempt can report at most 100,000 values.
        metrics : mapping, optional
            Other numbers at the step, such as the accuracy on the training data. Each key is the name of a metric, and
            each value is a finite number. The metrics of one report have at most 10,000 bytes as JSON, and all metrics
            of an attempt at most 20 MB.

        Raises
        ------
        TypeError
            `value` is not a real number, or `step` is not an integer.
        ValueError
            `step` is less than 0 or larger than 10**15, or the attempt has reported too many values or metrics.
        LedgerError
            A metric is not a finite number, or the metrics are too large.
        RuntimeError
            A process other than the objective's process calls the method, or the trial has ended.

        Examples
        --------
        >>> import ledger
        >>> @ledger.objective(space={"rate": (0.01, 0.5)})
        ... def descent(params, context):
        ...     x = 1.0
        ...     for epoch in range(20):
        ...         x -= params["rate"] * 2 * x
        ...         context.report(x**2, epoch, {"distance": abs(x)})
        ...     return x**2
        >>> descent({"rate": 0.5}, ledger.Context(study="descent", trial=0, attempt=1, seed=7, study_seed=42))
        0.0
        """
        reporting.report(self, value, step, metrics)

    def should_prune(self) -> bool:
        """Return whether the study's rule of early stopping has stopped this trial.

        The objective calls the method after `report`, and raises `ledger.TrialPruned` if the method returns True. If
        the objective returns a value instead of raising `ledger.TrialPruned`, the trial is complete. In batch mode, the
        answer depends only on the reported values. In steady mode, the answer comes from the database. Therefore, after
        a report at a rung, the first call waits for the answer of the database. The call waits at most one second. If
        the database is unavailable, the method does not wait, and a later call returns the answer. In a study with
        groups, the first call after a report at a rung waits until the trials of the earlier groups have reached the
        rung. If a worker must release a waiting trial, the method returns True, and the trial continues later. If the
        study has no rule of early stopping, or if no worker runs the objective, the method returns False.

        Examples
        --------
        >>> import ledger
        >>> context = ledger.Context(study="descent", trial=0, attempt=1, seed=7, study_seed=42)
        >>> context.report(0.5, 1)
        >>> context.should_prune()
        False
        """
        return reporting.should_prune(self)

    def save_artifact(self, name: str, content: "bytes | bytearray | memoryview | str | os.PathLike[str]") -> None:
        """Save a file of the trial, such as a model or a plot. The method returns when the ledger has recorded the
        artifact.

        The ledger keeps the artifact even if the trial fails later. If the objective saves another artifact with the
        same name, the new artifact replaces the earlier one. Each attempt of a trial has its own artifacts.

        If no worker runs the objective, as in a test, the method only checks its arguments and reads the file.

        Parameters
        ----------
        name : str
            Name of the artifact within the attempt. The name has 1 to 100 characters, which are letters (A-Z, a-z),
            digits, dots, underscores and hyphens. The first character is a letter, a digit or an underscore.
        content : bytes, str or path
            The content of the artifact, or the path of a file. A text is a path.

        Raises
        ------
        UsageError
            The name is not allowed, or the content is neither bytes nor the path of a file.
        LedgerError
            The file cannot be read, or the artifact is not saved. The message states the reason. For example, the store
            is full, or another worker trains the trial now.

        Examples
        --------
        >>> import ledger
        >>> context = ledger.Context(study="noisy", trial=0, attempt=1, seed=7, study_seed=42)
        >>> context.save_artifact("weights.bin", b"0.25 0.5")
        >>> context.save_artifact("../weights.bin", b"0.25 0.5")
        Traceback (most recent call last):
        ledger.errors.UsageError: save_artifact: the name "../weights.bin" is not valid; use 1 to 100 ...
        """
        artifact_saving.save(self, name, content)

    def checkpoint(self, step: int) -> AbstractContextManager[Path]:
        """Keep the state of the training, so that another attempt of the trial can continue from this step.

        The method returns a context manager. The ``with`` block receives an empty folder, and writes files into it. At
        the end of the block, the worker copies the files into the store. When the block has ended, the ledger has
        recorded the checkpoint. If the block raises an exception, the ledger keeps no checkpoint of this step. The
        ledger keeps the last two checkpoints of a trial until the trial ends.

        If the worker has received a request to stop, the worker saves the checkpoint and then ends the attempt. The
        trial then continues in another attempt.

        If no worker runs the objective, as in a test, the method only checks its argument and the files.

        Parameters
        ----------
        step : int
            An integer from 0 to 10**15 that identifies the step of the training, such as the number of the epoch.
            Within an attempt, the step must not be smaller than the step of the previous checkpoint.

        Returns
        -------
        context manager
            The ``with`` block receives the path of the folder. The folder may contain files and folders, but no links.

        Raises
        ------
        TypeError
            `step` is not an integer.
        ValueError
            `step` is less than 0 or larger than 10**15.
        LedgerError
            The checkpoint is not kept. The message states the reason. For example, the store is full, or another worker
            trains the trial now.

        Examples
        --------
        >>> import ledger
        >>> @ledger.objective(space={"rate": (0.01, 0.5)})
        ... def descent(params, context):
        ...     x, first = 1.0, 0
        ...     if (last := context.restore()) is not None:
        ...         x, first = float((last.folder / "x").read_text()), last.step + 1
        ...     for epoch in range(first, 20):
        ...         x -= params["rate"] * 2 * x
        ...         with context.checkpoint(epoch) as folder:
        ...             _ = (folder / "x").write_text(repr(x))
        ...     return x**2
        >>> descent({"rate": 0.5}, ledger.Context(study="descent", trial=0, attempt=1, seed=7, study_seed=42))
        0.0
        """
        return checkpointing.keep(self, step)

    def restore(self) -> Checkpoint | None:
        """Write the last checkpoint of this trial into a folder. The checkpoint may come from another machine.

        The worker checks the SHA-256 of the checkpoint. If the content is damaged or missing, the worker logs a
        warning, and uses the previous checkpoint instead.

        Returns
        -------
        Checkpoint or None
            The step and the folder of the checkpoint. If the trial has no readable checkpoint, the result is None, and
            the objective must start the training from the beginning. If no worker runs the objective, as in a test, the
            method returns None.

        Raises
        ------
        LedgerError
            The disk of the worker is full, or the trial has ended.
        TrialPruned
            The rule of early stopping stops the trial at the step of the checkpoint. The earlier attempt ended before
            the objective could end the training. The checkpoint stays.

        Examples
        --------
        >>> import ledger
        >>> ledger.Context(study="descent", trial=0, attempt=1, seed=7, study_seed=42).restore()
        """
        return checkpointing.restore(self)

    def should_leave(self) -> bool:
        """Return whether the worker has received a request to stop, such as the signal SIGTERM.

        After a request to stop, the objective can still keep a checkpoint within the worker's grace time (the option
        ``--grace``). If no worker runs the objective, as in a test, the method returns False.

        Raises
        ------
        LedgerError
            A child process of the objective's process calls the method.

        Examples
        --------
        >>> import ledger
        >>> ledger.Context(study="descent", trial=0, attempt=1, seed=7, study_seed=42).should_leave()
        False
        """
        saver = artifact_saving.saver_of("should_leave")
        return saver is not None and saver.should_leave()
