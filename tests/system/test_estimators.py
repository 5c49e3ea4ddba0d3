"""Studies of estimators by name and of regressions, with real workers, as docs/estimators.md describes them."""

import json
import re

import pytest

from ledger import embedded
from ledger.access import database
from ledger.settings import Settings
from tests.system.programs import Program, lines_of_code

# Each test trains real estimators in several processes.
pytestmark = pytest.mark.slow

OWN = """
from sklearn.base import BaseEstimator, RegressorMixin

class Nearest(RegressorMixin, BaseEstimator):
    def __init__(self, k=1, random_state=None):
        self.k, self.random_state = k, random_state

    def fit(self, features, targets, sample_weight=None):
        self.features_, self.targets_ = features, targets
        return self

    def predict(self, features):
        distances = abs(self.features_[None, :, :] - features[:, None, :]).sum(axis=2)
        return self.targets_[distances.argsort(axis=1)[:, : self.k]].mean(axis=1)
"""
FLATS = "area,city,owner,day,share,price\n" + "".join(
    f"{40 + row % 17},{'Bern' if row % 3 else 'Chur'},{row % 12},{row},{1 + row % 2},{row % 17 * 3.5 + row % 3}\n"
    for row in range(120)
)
BOOSTING = """
[study]
iterations = 3
batch_size = 3
[objective]
target_column = "price"
[objective.steps]
impute = "sklearn.impute:SimpleImputer"
boost = "sklearn.ensemble:GradientBoostingRegressor"
[objective.params]
boost__subsample = 0.7
boost__n_estimators = 20
[space]
boost__learning_rate = { type = "real", low = 0.01, high = 0.5, prior = "log-uniform" }
boost__max_depth = { type = "integer", low = 1, high = 4 }
impute__strategy = { type = "categorical", choices = ["mean", "median"] }
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Run one embedded server for all tests of this file."""
    folder = tmp_path_factory.mktemp("estimators")
    made = Program(folder)
    (folder / "own.py").write_text(OWN)
    (folder / "flats.csv").write_text(FLATS)
    (folder / "later.csv").write_text(FLATS.splitlines()[0] + "\n" + "\n".join(FLATS.splitlines()[61:]) + "\n")
    (folder / "boosting.toml").write_text(BOOSTING)
    with database(Settings(home=made.home), create=True):
        yield made


def losses(program, name):
    return [(trial["params"], trial["loss"]) for trial in program.document(name)["trials"]]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("groups", ["--data", "flats.csv", "--group-column", "owner", "--cv", "3", "--repeats", "2"]),
        ("times", ["--data", "flats.csv", "--time-column", "day", "--cv", "3", "--weight-column", "share"]),
        ("held-out", ["--data", "flats.csv", "--holdout", "later.csv", "--metric", "neg_mean_absolute_error"]),
    ],
)
def test_a_pipeline_gives_the_same_study_on_any_number_of_workers(program, name, options):
    program.run("run", "boosting.toml", *options, "--workers", "1", "--name", f"{name}-1")
    program.run("run", "boosting.toml", *options, "--workers", "3", "--name", f"{name}-3")
    assert losses(program, f"{name}-1") == losses(program, f"{name}-3")
    assert "are consistent" in program.run("verify", f"{name}-3")
    assert re.search("^task +regression$", program.run("study", "show", f"{name}-3"), re.MULTILINE)
    best = json.loads(program.run("study", "show", f"{name}-3", "--json"))
    sign = -1 if best["metric"].startswith("neg_") else 1
    assert best["best_loss"] == (1 if sign == 1 else 0) - best["best_score"]
    program.run("report", f"{name}-3", "--output", "page.html")
    page = (program.folder / "page.html").read_text()
    for fact in ("sklearn.ensemble:GradientBoostingRegressor", "boost__subsample 0.7", "target price"):
        assert fact in page


def test_an_estimator_of_a_user_runs_if_its_package_is_allowed(program):
    (program.folder / "nearest.toml").write_text(
        '[study]\nname = "nearest"\n[objective]\nestimator = "own:Nearest"\ndataset = "diabetes"\ncv = 3\n'
        '[space]\nk = {type = "integer", low = 1, high = 40}\n'
    )
    refused = program.run("run", "nearest.toml", code=1)
    assert "permit the module with --allow own" in refused
    assert "complete" in program.run("run", "nearest.toml", "--allow", "own", "--workers", "2")
    assert all(loss < 1.5 for _, loss in losses(program, "nearest"))
    assert "complete" in program.run("resume", "nearest", "--iterations", "4", "--workers", "1", "--allow", "own")
    assert "are consistent" in program.run("verify", "nearest")


def test_an_estimator_is_searched_from_python(program):
    url = embedded.url(program.home)
    out = program.run_python(
        "-c",
        "import ledger\n"
        "from sklearn.ensemble import GradientBoostingRegressor\n"
        "boosting = ledger.estimator(\n"
        "    GradientBoostingRegressor,\n"
        '    space={"learning_rate": (0.01, 0.3, "log-uniform"), "max_depth": (1, 4)},\n'
        '    params={"n_estimators": 30}, dataset="diabetes", cv=3)\n'
        f'result = ledger.Study(boosting, name="python", trials=6, database={url!r}).run(workers=2)\n'
        'print(result, sorted(result.best_params), result.best_trial.metrics["r2"] > 0.2)\n'
        "from own import Nearest\n"
        'own = ledger.estimator(Nearest, space={"k": (1, 30)}, dataset="diabetes")\n'
        f'print(ledger.Study(own, name="own", trials=2, database={url!r}).run(workers=1))\n'
        'scaled = {"scale": "sklearn.preprocessing:MinMaxScaler", "svc": "sklearn.svm:SVC"}\n'
        'space = {"scale__feature_range": [(0, 1), (-1, 1)], "svc__class_weight": [None, "balanced"]}\n'
        "own = ledger.estimator(scaled)\n"
        f'result = ledger.Study(own, space=space, name="tuples", trials=4, database={url!r}).run(workers=1)\n'
        'print(result, sorted({trial.params["scale__feature_range"] for trial in result.trials}))\n'
        'svc = ledger.estimator(scaled, space={"svc__c": (0.1, 10.0)}, dataset="wine")\n'
        "try:\n"
        f'    ledger.Study(svc, name="wrong", database={url!r}).run()\n'
        "except ledger.UsageError as error:\n"
        "    print(error)\n",
    )
    assert out.splitlines() == [
        "<study python: complete, 6 of 6 trials complete> ['learning_rate', 'max_depth'] True",
        "<study own: complete, 2 of 2 trials complete>",
        "<study tuples: complete, 4 of 4 trials complete> [(-1, 1), (0, 1)]",
        "[space] the pipeline has no parameter 'svc__c'; did you mean 'svc__C'?",
    ]
    assert program.run("study", "list").count("wrong") == 0


EXAMPLES = [
    f"{story}/{library}_search" for story in ("gradient-boosting", "model-families") for library in ("ledger", "optuna")
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_finds_a_good_model(example, tmp_path, root):
    """An example runs in an empty folder without a server, and prints nothing of its own library."""
    program = Program(tmp_path, is_new=True)
    first, second = program.run_python(str(root / "examples" / f"{example}.py")).splitlines()
    assert first.startswith("best parameters {'")
    metric, _, score = second.partition(" ")
    assert float(score) > {"r2": 0.35, "accuracy": 0.93}[metric]
    if "ledger" in example:
        (study,) = json.loads(program.run("study", "list", "--json"))
        assert study["state"] == "complete"


def test_the_page_counts_the_lines_of_the_examples(root):
    page = (root / "docs" / "estimators.md").read_text()
    for example in EXAMPLES:
        count = len(lines_of_code(root / "examples" / f"{example}.py"))
        assert f"[{count}](../examples/{example}.py)" in page
