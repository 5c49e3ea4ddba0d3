"""The context of a trial. An objective may take a context as its second argument."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Context:
    """The context in which an objective evaluates a trial, such as the number and the seed of the trial.

    An objective may take a context as its second argument.

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
