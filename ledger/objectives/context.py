"""What an objective may know of the trial that it evaluates."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Context:
    """The trial in hand.

    Attributes
    ----------
    study : str
        The study's name.
    trial : int
        The trial's number within the study, from 0.
    attempt : int
        Which attempt of the trial this is. Nothing that decides the loss may depend on it.
    seed : int
        The trial's own seed, in [0, 2**31): a function of the study's seed and the trial's number.
    study_seed : int
        The study's seed, in [0, 2**31). The data are split by it, so that every trial of a study is scored on the
        same rows.
    """

    study: str
    trial: int
    attempt: int
    seed: int
    study_seed: int
