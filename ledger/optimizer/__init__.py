"""A drop-in replacement for `skopt.Optimizer` that fits its model and proposes points faster."""

from ledger.optimizer.optimizer import Optimizer

__all__ = ["Optimizer"]
