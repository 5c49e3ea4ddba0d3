"""A drop-in replacement for `skopt.Optimizer` that fits the surrogate and proposes points faster."""

from ledger.optimizer.optimizer import Optimizer

__all__ = ["Optimizer"]
