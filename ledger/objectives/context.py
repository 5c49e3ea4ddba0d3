"""The context of a trial, which an objective may use besides the parameters."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Context:
    """The trial that an objective evaluates.

    Attributes
    ----------
    study : str
        Name of the study.
    trial : int
        Number of the trial within the study, from 0.
    attempt : int
        Number of the attempt within the trial, from 1. The loss must not depend on it.
    seed : int
        The trial's own seed, in [0, 2**31): a function of the study's seed and the trial's number.
    study_seed : int
        The study's seed, in [0, 2**31). It decides how the data are split, so every trial of a study is scored on the
        same rows.

    Examples
    --------
    >>> import random
    >>> def objective(params, context):
    ...     return params["x"] ** 2 + random.Random(context.seed).gauss(0, 0.1)
    >>> context = Context(study="s", trial=0, attempt=1, seed=7, study_seed=1)
    >>> objective({"x": 2.0}, context) == objective({"x": 2.0}, context)
    True
    """

    study: str
    trial: int
    attempt: int
    seed: int
    study_seed: int
