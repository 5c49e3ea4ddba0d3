"""Dimensions of skopt that are fast to use.

skopt sets the transformer of each dimension four times for one optimizer, to the same transformer. Each time, skopt
builds a distribution of scipy, and scipy writes the documentation of this distribution. skopt also compares each
dimension with itself in each search space. For seven dimensions, all this took 24 ms for each optimizer.
"""

from typing import Any

import skopt.space

from ledger.optimizer import columns


class _Fast:
    """A dimension that ignores a call of `set_transformer` with the name of its transformer."""

    transform_: str

    def set_transformer(self, transform: str = "identity") -> None:
        # The constructor of `Categorical` sets the name before it calls this method.
        if getattr(self, "transformer", None) is None or self.transform_ != transform:
            super().set_transformer(transform)  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]


class Real(_Fast, skopt.space.Real):  # type: ignore[misc]
    """A dimension of real numbers in [0, 1]."""

    def __init__(self) -> None:
        super().__init__(0.0, 1.0, transform="normalize")


class Integer(_Fast, skopt.space.Integer):  # type: ignore[misc]
    """A dimension of integers, which skopt scales to [0, 1]."""

    def __init__(self, low: int, high: int, prior: Any = "uniform") -> None:
        super().__init__(low, high, prior, transform="normalize")


class Categorical(_Fast, skopt.space.Categorical):  # type: ignore[misc]
    """A dimension of the indices of choices, which skopt encodes one-hot."""

    def __init__(self, size: int) -> None:
        super().__init__(range(size), transform="onehot")


class Fidelity(_Fast, columns.Fidelity):
    """The dimension for the share of a whole training."""
