"""Test functions of 2 to 8 dimensions with known minima: smooth, rugged, discontinuous, flat and mixed."""

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.study.dimensions import Categorical, Dimension, Integer, Real


@dataclass(frozen=True)
class Function:
    """A test function.

    Attributes
    ----------
    name : str
    dimensions : sequence of Dimension
    value : callable
        Computes the loss from a dict of parameters.
    minimum : float
        The lowest possible loss.
    scale : float
        The median regret of one random point, the unit of regrets.
    """

    name: str
    dimensions: Sequence[Dimension]
    value: Callable[[Mapping[str, Any]], float]
    minimum: float
    scale: float

    def regret(self, loss: float) -> float:
        """Return the regret of a loss in units of `scale`, from 0."""
        return max(0.0, (loss - self.minimum) / self.scale)


def _branin(p: Mapping[str, Any]) -> float:
    x, y = p["x"], p["y"]
    curve = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(curve**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


_HARTMANN_A = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_HARTMANN_P = (
    (1312, 1696, 5569, 124, 8283, 5886),
    (2329, 4135, 8307, 3736, 1004, 9991),
    (2348, 1451, 3522, 2883, 3047, 6650),
    (4047, 8828, 8732, 5743, 1091, 381),
)


def _hartmann(p: Mapping[str, Any]) -> float:
    hills = (
        height * math.exp(-sum(a * (x - q / 1e4) ** 2 for a, x, q in zip(row, p.values(), centre, strict=True)))
        for height, row, centre in zip((1.0, 1.2, 3.0, 3.2), _HARTMANN_A, _HARTMANN_P, strict=True)
    )
    return -sum(hills)


def _rastrigin(p: Mapping[str, Any]) -> float:
    # The shift avoids waves with the period of the integers, which an integer dimension would not see.
    x, y, z = p["x"] - 0.4, p["y"] + 0.7, (p["steps"] - 9) / 4
    waves = sum(one**2 + 2 * (1 - math.cos(2 * math.pi * one)) for one in (x, y))
    return float(waves + z**2 + {"flat": 0.0, "low": 0.5, "high": 2.0}[p["kind"]])


def _ridge(p: Mapping[str, Any]) -> float:
    # Like an SVM: a valley along C and gamma, which ends at large gamma. The other kernels are worse.
    c, gamma = math.log10(p["C"]), math.log10(p["gamma"])
    along, across = c - gamma - 3.5, c + gamma + 1.5
    kernel: float = {"rbf": 0.0, "poly": 0.08, "sigmoid": 0.2, "linear": 0.15}[p["kernel"]]
    shape = 0.0 if p["kernel"] == "linear" else 1 - math.exp(-(across**2) / 2 - along**2 / 18)
    return kernel + shape * 0.5


def _boosting(p: Mapping[str, Any]) -> float:
    # Like boosted trees: many trees need a small rate, and deep trees need a strong penalty.
    rate, trees = math.log10(p["rate"]), math.log10(p["trees"])
    fit = (rate + trees - 1.2) ** 2 + 0.3 * (trees - 2.6) ** 2
    depth = 0.05 * (p["depth"] - 5) ** 2 + 0.1 * (math.log10(p["penalty"]) + 1 - 0.2 * (p["depth"] - 5)) ** 2
    return float(fit + depth + 0.5 * abs(p["share"] - 0.8) + {"gbtree": 0.0, "dart": 0.05}[p["booster"]])


def _stairs(p: Mapping[str, Any]) -> float:
    # Flat steps with edges between them. The lowest step is the minimum.
    reals = sum(math.floor(8 * abs(p[name] - where)) / 4 for name, where in (("x", 0.23), ("y", 0.61), ("z", 0.42)))
    return float(reals + abs(p["level"] - 13) // 2 / 2)


def _cliff(p: Mapping[str, Any]) -> float:
    # A bowl with its minimum beside a forbidden half, and a forbidden corner.
    x, y = p["x"], p["y"]
    if x + y > 1.0 or (p["mode"] == "fast" and x < 0.2):
        return 3.0
    bowl: float = 4 * (x - 0.55) ** 2 + 4 * (y - 0.45) ** 2 + 0.4 * abs(x - 0.55)
    return bowl + {"slow": 0.3, "fast": 0.0, "safe": 0.6}[p["mode"]]


def _ackley(p: Mapping[str, Any]) -> float:
    values = [p["i"] - 3, p["j"] + 2, p["k"] - 1, p["x"] - 1.3, p["y"] + 0.6]
    root = math.sqrt(sum(value**2 for value in values) / 5)
    waves = sum(math.cos(2 * math.pi * value) for value in values) / 5
    return -20 * math.exp(-0.2 * root) - math.exp(waves) + 20 + math.e


def _rosenbrock(p: Mapping[str, Any]) -> float:
    x = list(p.values())
    return math.log1p(sum(100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x)))


def _table() -> tuple[dict[tuple[int, int, int], float], float]:
    # Effects of the choices and of pairs of choices. The order of the choices has no meaning.
    source = random.Random(7)
    sizes = (6, 5, 8)
    alone = [[source.random() for _ in range(size)] for size in sizes]
    pairs = {(i, a, j, b): source.random() for i in range(3) for j in range(i) for a in range(8) for b in range(8)}
    found = {}
    for point in ((a, b, c) for a in range(6) for b in range(5) for c in range(8)):
        single = sum(alone[index][choice] for index, choice in enumerate(point))
        double = sum(pairs[i, point[i], j, point[j]] for i in range(3) for j in range(i))
        found[point] = single + 0.5 * double
    return found, min(found.values())


_CHOICES, _LOWEST_CHOICE = _table()


def _choices(p: Mapping[str, Any]) -> float:
    return _CHOICES[p["first"], p["second"], p["third"]]


def _network(p: Mapping[str, Any]) -> float:
    # Like a neural network: training diverges if the learning rate is too large for the optimizer.
    rate, decay = math.log10(p["rate"]), math.log10(p["decay"])
    best = {"sgd": -1.3, "adam": -3.0, "rmsprop": -2.6}[p["optimizer"]]
    if rate > best + 0.9:
        return 2.3
    loss = 0.25 * (rate - best) ** 2 + {"sgd": 0.1, "adam": 0.0, "rmsprop": 0.06}[p["optimizer"]]
    loss += {"relu": 0.05, "gelu": 0.0, "tanh": 0.2}[p["activation"]] + 0.04 * (decay + 4) ** 2
    loss += 0.03 * abs(p["layers"] - 4) + 0.05 * abs(math.log2(p["width"] / 160))
    return min(2.3, float(loss + 1.5 * (p["dropout"] - 0.25) ** 2 + 0.8 * abs(p["momentum"] - 0.9)))


def _reals(names: str, low: float, high: float) -> list[Dimension]:
    return [Real(name, low, high) for name in names.split()]


FUNCTIONS = {
    one.name: one
    for one in (
        Function("branin", [Real("x", -5.0, 10.0), Real("y", 0.0, 15.0)], _branin, 0.39788735772973816, 35.0),
        Function("hartmann", _reals("a b c d e f", 0.0, 1.0), _hartmann, -3.322368011415512, 3.2),
        Function(
            "rastrigin",
            [*_reals("x y", -2.5, 2.5), Integer("steps", 0, 20), Categorical("kind", ("high", "flat", "low"))],
            _rastrigin,
            0.0,
            12.0,
        ),
        Function(
            "ridge",
            [
                Real("C", 1e-3, 1e3, "log-uniform"),
                Real("gamma", 1e-4, 1e1, "log-uniform"),
                Categorical("kernel", ("linear", "poly", "rbf", "sigmoid")),
            ],
            _ridge,
            0.0,
            0.44,
        ),
        Function(
            "boosting",
            [
                Real("rate", 1e-3, 1.0, "log-uniform"),
                Integer("trees", 10, 2000, "log-uniform"),
                Integer("depth", 1, 12),
                Real("penalty", 1e-3, 1e2, "log-uniform"),
                Real("share", 0.3, 1.0),
                Categorical("booster", ("gbtree", "dart")),
            ],
            _boosting,
            # The exact minimum is between two integers, but 398 trees are close to 10**2.6: the loss differs by 1e-8.
            0.0,
            2.2,
        ),
        Function("stairs", [*_reals("x y z", 0.0, 1.0), Integer("level", 0, 30)], _stairs, 0.0, 3.0),
        Function("cliff", [*_reals("x y", 0.0, 1.0), Categorical("mode", ("slow", "fast", "safe"))], _cliff, 0.0, 3.0),
        Function(
            "ackley",
            [*(Integer(name, -8, 8) for name in "ijk"), *_reals("x y", -8.0, 8.0)],
            _ackley,
            0.0,
            13.5,
        ),
        Function("rosenbrock", _reals("a b c d", -2.0, 2.0), _rosenbrock, 0.0, 7.0),
        Function(
            "choices",
            [Categorical(name, tuple(range(size))) for name, size in (("first", 6), ("second", 5), ("third", 8))],
            _choices,
            _LOWEST_CHOICE,
            1.2,
        ),
        Function(
            "network",
            [
                Real("rate", 1e-5, 1.0, "log-uniform"),
                Real("decay", 1e-6, 1e-1, "log-uniform"),
                Integer("layers", 1, 8),
                Integer("width", 16, 1024, "log-uniform"),
                Real("dropout", 0.0, 0.7),
                Real("momentum", 0.5, 0.99),
                Categorical("optimizer", ("sgd", "adam", "rmsprop")),
                Categorical("activation", ("relu", "gelu", "tanh")),
            ],
            _network,
            0.0,
            1.2,
        ),
    )
}
