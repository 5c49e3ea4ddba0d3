"""The context of a trial, which an objective may take as its second argument."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Context:
    """The trial that an objective evaluates, as its second argument.

    Attributes
    ----------
    study : str
        Name of the study.
    trial : int
        The trial's number in its study, from 0.
    attempt : int
        The number of this attempt of the trial, from 1. The loss must not depend on it.
    seed : int
        The trial's seed, in [0, 2**31): a function of the study's seed and the trial's number. An objective draws at
        random from this seed alone, so that each attempt of the trial has the same loss.
    study_seed : int
        The study's seed, in [0, 2**31), the same for all its trials. Data are split by it, so that all losses of a
        study are of the same rows.

    Examples
    --------
    >>> import random
    >>> import ledger
    >>> @ledger.objective(space={"x": (-5.0, 5.0)})
    ... def noisy(params, context):
    ...     return params["x"] ** 2 + random.Random(context.seed).gauss(0.0, 0.1)

    A test of an objective makes its own context:

    >>> context = ledger.Context(study="noisy", trial=0, attempt=1, seed=7, study_seed=42)
    >>> noisy({"x": 0.0}, context) == noisy({"x": 0.0}, context)
    True
    """

    study: str
    trial: int
    attempt: int
    seed: int
    study_seed: int
