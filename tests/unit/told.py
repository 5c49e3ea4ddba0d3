"""Optimizers that know the losses of some points."""

import json

import numpy as np
from skopt.space import Categorical, Integer, Real

from ledger.optimizer import Optimizer
from tests.unit.estimators import small


def mixed():
    return [
        Real(1e-5, 1.0, "log-uniform", name="rate"),
        Integer(1, 20, name="depth"),
        Categorical(["a", "b", "c"], name="kind"),
        Integer(1, 5000, "log-uniform", name="size"),
    ]


def loss(point):
    rate, depth, kind, size = point
    return float((np.log10(rate) + 2) ** 2 + (depth - 7) ** 2 / 40 + "bac".index(kind) + abs(np.log(size) - 3) / 4)


def told(estimator="GP", size=12, batches=0, dimensions=mixed, objective=loss, **settings):
    given = {"n_initial_points": size, "random_state": 1, "model_queue_size": 1, "acq_func": "EI", **settings}
    given.setdefault("acq_optimizer_kwargs", {"n_points": 500})
    optimizer = Optimizer(dimensions(), small(estimator), **given)
    times = given["acq_func"].endswith("ps")
    for number in range(1 + batches):
        points = optimizer.ask(size if number == 0 else 4)
        optimizer.tell(points, [(objective(one), 1.5) if times else objective(one) for one in points])
    return optimizer


def keys(points):
    return [json.dumps([str(value) for value in point]) for point in points]
