"""Losses, proposals and digests are equal in every process, with any number of threads."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_limits

from ledger.objectives import DATASETS, MODELS, Context
from ledger.objectives.loading import load
from ledger.proposals import ProposalInput, propose
from tests.unit.proposed import GRIDS, MIXED, make, observed
from tests.unit.test_objectives_models import SMALL
from tests.unit.test_space import jsonb
from tests.unit.told import keys, told


def in_a_fresh_process(code, *arguments, **environment):
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


# The losses of every model on every dataset, with two trials each.
LOSSES = """
def losses(small, datasets):
    from ledger.objectives import Context
    from ledger.objectives.loading import load
    found = {}
    for model, params in small.items():
        for dataset in datasets:
            task = {"task": "regression"} if dataset == "diabetes" else {}
            objective = load({"model": model, "dataset": dataset, **task}, [])
            for trial in range(2):
                context = Context("s", trial, attempt=1, seed=1000 + trial, study_seed=7)
                found[f"{model} {dataset} {trial}"] = objective(params, context).loss.hex()
    return found
"""


def test_the_loss_is_bit_equal_in_every_process_and_thread_count():
    here: dict[str, Any] = {}
    exec(LOSSES, here)
    first = here["losses"](SMALL, DATASETS)
    there = f"{LOSSES}\nimport json, sys\nprint(json.dumps(losses(*json.loads(sys.argv[1]))))"
    second = json.loads(in_a_fresh_process(there, json.dumps([SMALL, DATASETS]), OMP_NUM_THREADS="4"))
    assert first == second
    assert len(first) == len(MODELS) * len(DATASETS) * 2
    assert len(set(first.values())) > 10, "the losses must differ, or the comparison shows nothing"


@pytest.mark.parametrize(
    "name", ["xgboost:XGBClassifier", "lightgbm:LGBMClassifier", "sklearn.ensemble:RandomForestClassifier"]
)
def test_an_estimator_by_name_has_the_same_loss_in_every_process(name):
    code = (
        "from ledger.objectives import Context, load\n"
        f"evaluate = load({{'estimator': {name!r}, 'dataset': 'digits', 'params': {{'n_estimators': 5}}}}, [])\n"
        "print(evaluate({'max_depth': 3}, Context('s', 0, 1, 5, 7)).loss.hex())"
    )
    here = load({"estimator": name, "dataset": "digits", "params": {"n_estimators": 5}}, [])
    loss = here({"max_depth": 3}, Context("s", 0, 1, 5, 7)).loss
    assert 0 < loss < 0.6
    assert in_a_fresh_process(code, OMP_NUM_THREADS="3").split() == [loss.hex()]


PROPOSALS = """
import json, sys
from ledger.proposals import Observation, ProposalInput, propose
from ledger.study.spec import StudySpec
for line in sys.stdin:
    spec, history = json.loads(line)
    study = StudySpec.from_spec("s", 3, spec)
    proposal = propose(study, 2, 1, 3, ProposalInput([Observation(*one) for one in history]))
    print(json.dumps([proposal.points, proposal.surrogate]))
"""


def test_a_fresh_process_proposes_the_same_from_json() -> None:
    asked, here = [], []
    for space, estimator, acq_func in (
        (MIXED, "GP", "EI"),
        (MIXED, "GP", "MES"),
        (MIXED, "RF", "EIps"),
        (GRIDS, "GP", "EI"),
        (GRIDS, "ET", "LCB"),
    ):
        study = make(space, estimator, acq_func)
        history = observed(study, [math.sin(index) / 3 for index in range(15)])
        with threadpool_limits(2):
            proposal = propose(study, 2, 1, 3, ProposalInput(history))
        here.append(json.loads(json.dumps([proposal.points, proposal.surrogate])))
        stored = [[jsonb(one.params), one.loss, one.seconds] for one in history]
        asked.append(json.dumps([jsonb(study.spec()), stored]))
    answer = subprocess.run(
        [sys.executable, "-c", PROPOSALS],
        input="\n".join(asked),
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [json.loads(line) for line in answer.stdout.splitlines()] == here


POINTS = """
import json
from tests.system.test_fresh_processes import found
print(json.dumps(found()))
"""


def found():
    optimizers = [told(estimator, batches=2) for estimator in ("GP", "RF")]
    return [keys(optimizer.Xi + optimizer.ask(4)) for optimizer in optimizers]


def test_equal_seeds_give_equal_points_in_any_process():
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "1"}
    there = in_a_fresh_process(POINTS, **threads)
    with threadpool_limits(2):
        assert found() == json.loads(there)


# A script with its own estimator and functions, as a notebook has them.
DIGEST = """
import threading
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.preprocessing import FunctionTransformer
from sklearn.metrics import make_scorer
from ledger.sklearn.digest import digest

SCALE = {scale}
words = frozenset({{"a", "b", "c", "d"}})

def helper(value):
    return value * SCALE if value in {{"x", "y", "z"}} else value

def score(y, predicted, weight={weight}):
    "A score."
    return helper(y) + weight

class Base(BaseEstimator):
    def fit(self, X, y=None):
        return super().fit(X) if X else self

class Model(Base):
    offset = {offset}
    def __init__(self, words=words, function=lambda x: x + {added}):
        self.words, self.function = words, function
    @property
    def size(self):
        return len(self.words) * {factor}
    @staticmethod
    def fit_rows(rows):
        return [row for row in rows if row]

def make(power):
    def inner(x):
        return x ** power
    return inner

frame = pd.DataFrame({{"a": [1.0, None], "b": ["x", "y"], "c": pd.to_datetime(["2026-01-01", "2026-01-02"])}})
found = digest((Model(), make_scorer(score), FunctionTransformer(make({power})), frame, np.random.RandomState(1)))
print(found)
"""
VALUES = {"scale": 2, "weight": 1.0, "offset": 3, "added": 1, "factor": 2, "power": 2}


def digest_of_process(folder: Path, seed: int) -> str:
    """Run the script in a new process, which has another order of sets."""
    # The name and the lines of the file do not belong to the code, as with the cells of a notebook.
    file = folder / f"script{seed}.py"
    file.write_text("\n" * seed + DIGEST.format(**VALUES))
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    command = [sys.executable, str(file)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def digest_here(**changes: int) -> str:
    variables: dict[str, Any] = {"__name__": "__main__"}
    exec(DIGEST.format(**{**VALUES, **changes}), variables)
    return str(variables["found"])


def test_code_of_a_script_has_an_equal_digest_until_it_changes(tmp_path: Path) -> None:
    first = digest_here()
    assert digest_of_process(tmp_path, 1) == digest_of_process(tmp_path, 2) == first
    changed = [digest_here(**{name: 7}) for name in VALUES]
    assert len({first, *changed}) == len(VALUES) + 1
