"""`LedgerSearchCV` with real workers: the stories of the examples, a killed search, and a search that is validated."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import estimator_checks_generator

from ledger.access import database
from ledger.settings import Settings
from ledger.sklearn import LedgerSearchCV
from tests.system.programs import Program, lines_of_code, wait_until

# Each test fits estimators in several processes.
pytestmark = pytest.mark.slow

# An estimator of the script itself. Each fit adds a line to the file whose name is in the environment.
SCRIPT = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from scipy.stats import loguniform
from sklearn.datasets import load_iris
from sklearn.svm import SVC
from ledger.sklearn import LedgerSearchCV

class Slow(SVC):
    def fit(self, X, y):
        time.sleep(float(os.environ.get("FIT_SECONDS", "0")))
        with open(os.environ["FITS"], "a") as file:
            file.write(f"{self.C!r}\\n")
        return super().fit(X, y)

space = {"C": loguniform(1e-3, 1e3), "kernel": ["rbf", "linear"], "class_weight": [None, "balanced"]}
search = LedgerSearchCV(Slow(), space, n_trials=10, batch_size=2, cv=3, workers=int(sys.argv[1]))
search.fit(*load_iris(return_X_y=True))
kept = {name: values for name, values in search.cv_results_.items() if not name.endswith("_time")}
print(json.dumps({name: np.asarray(values).tolist() for name, values in kept.items()}))
print(search.study_name_)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run one embedded server for the tests of this file."""
    folder = tmp_path_factory.mktemp("search")
    made = Program(folder)
    (folder / "search.py").write_text(SCRIPT)
    with database(Settings(home=made.home), create=True):
        yield made


def python(program: Program, *arguments: str, **given: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "error", *arguments],
        cwd=program.folder,
        env={**program.environment, "FITS": str(program.folder / "fits"), **given},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def output(process: "subprocess.Popen[str]") -> str:
    out, error = process.communicate()
    assert process.returncode == 0, out + error
    assert error == ""
    return out


def test_a_killed_search_continues_and_is_the_undisturbed_search(program: Program, tmp_path: Path) -> None:
    killed = python(program, "search.py", "1", FIT_SECONDS="0.2", TMPDIR=str(tmp_path))
    complete = "select trial, finished_at, metrics from ledger.trials where state = 'complete' order by trial"
    wait_until(lambda: len(program.query(complete)) >= 3)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    before, left = program.query(complete), {*tmp_path.iterdir()}
    assert len(before) < 10
    continued = output(python(program, "search.py", "2", TMPDIR=str(tmp_path)))
    after = program.query(complete)
    assert after[: len(before)] == before
    assert len(after) == 10
    # Only the killed program has left files.
    assert {*tmp_path.iterdir()} == left

    (tmp_path / "undisturbed").mkdir()
    undisturbed = Program(tmp_path / "undisturbed")
    (undisturbed.folder / "search.py").write_text(SCRIPT)
    assert output(python(undisturbed, "search.py", "3")) == continued
    assert "the records of study" in program.run("verify", continued.splitlines()[-1])


def test_a_trial_has_the_scores_of_each_split_and_the_ledger_no_data(program: Program) -> None:
    first = output(python(program, "search.py", "2"))
    fits = (program.folder / "fits").read_text()
    results, name = json.loads(first.splitlines()[0]), first.splitlines()[1]
    rows = program.query(
        "select (metrics ->> 'split1_test_score')::float8, (metrics ->> 'mean_test_score')::float8, value, params"
        f" from ledger.trials where study = '{name}' order by trial"
    )
    assert [row[0] for row in rows] == results["split1_test_score"]
    assert [row[1] for row in rows] == results["mean_test_score"]
    assert [row[2] for row in rows] == results["mean_test_score"]
    assert {row[3]["class_weight"] for row in rows} == {"None", "balanced"}
    assert program.query("select count(*) from ledger.dataset") == [(0,)]
    # The search is complete, so a new call only reads the results and fits the best estimator again.
    assert output(python(program, "search.py", "1")) == first
    assert (program.folder / "fits").read_text().count("\n") == fits.count("\n") + 1


VALIDATED = """
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from ledger.sklearn import LedgerSearchCV

search = LedgerSearchCV(SVC(), {"C": (1e-2, 1e2, "log-uniform")}, n_trials=2, cv=2, workers=1)
scores = cross_val_score(make_pipeline(StandardScaler(), search), *load_iris(return_X_y=True), cv=2, n_jobs=2)
print(len(scores), min(scores) > 0.8)
"""


def test_searches_in_several_processes_share_the_ledger(program: Program) -> None:
    assert output(python(program, "-c", VALIDATED)) == "2 True\n"
    assert program.query("select count(*) from ledger.studies where study like 'SVC-42-%' and state = 'complete'") == [
        (2,)
    ]


FAILING = """
import warnings
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from ledger.sklearn import LedgerSearchCV

X, y = make_classification(random_state=0)
space = {"solver": ["lbfgs", "liblinear"], "C": (0.1, 10.0)}
search = LedgerSearchCV(LogisticRegression(dual=True), space, n_trials=6, cv=2, workers=2)
with warnings.catch_warnings(record=True) as raised:
    warnings.simplefilter("always")
    search.fit(X, y)
names = {warning.category.__name__ for warning in raised}
print(search.best_params_["solver"], "FitFailedWarning" in names, len(search.cv_results_["params"]) >= 6)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for settings in ({"error_score": "raise"}, {"error_score": 0.0, "param_distributions": {"solver": ["lbfgs"]}}):
        try:
            search.set_params(**settings).fit(X, y)
        except ValueError as error:
            print(str(error).strip().splitlines()[0])
"""


def test_failed_fits_have_the_warnings_and_errors_of_sklearn(program: Program) -> None:
    lines = output(python(program, "-c", FAILING)).splitlines()
    assert lines == [
        "liblinear True True",
        "Solver lbfgs supports only dual=False, got dual=True",
        "All the 2 fits failed.",
    ]
    errors = program.query("select error from ledger.trials where state = 'failed' and error like '%fits failed%'")
    assert errors
    assert all("2 of 2 fits failed; the first error is ValueError: Solver lbfgs" in error for (error,) in errors)


# The checks of scikit-learn that fit a search with valid data, invalid data or other kinds of data. The unit tests run
# all checks with studies in one process, because a fit with real workers takes some seconds.
CHECKS = {
    "check_classifiers_classes",
    "check_classifiers_train",
    "check_dict_unchanged",
    "check_estimators_dtypes",
    "check_estimators_nan_inf",
    "check_estimators_pickle",
    "check_fit2d_1sample",
    "check_fit_score_takes_y",
    "check_methods_subset_invariance",
    "check_pipeline_consistency",
}
SEARCH = LedgerSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2, n_trials=2)
FITS = {
    check.func.__name__: (search, check)
    for search, check in estimator_checks_generator(SEARCH, legacy=True)
    if isinstance(check, partial) and check.func.__name__ in CHECKS
}


def test_each_check_with_real_workers_exists() -> None:
    assert set(FITS) == CHECKS


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_search_with_real_workers_passes_the_checks_of_sklearn(
    name: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_HOME", str(program.home))
    search, check = FITS[name]
    check(search)


EXAMPLES = ["search-cv/ledger_search", "search-cv/skopt_search", "search-cv/optuna_search"]
EXAMPLES += ["pipeline/ledger_search", "pipeline/optuna_search"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_finds_a_good_model(example: str, tmp_path: Path, root: Path) -> None:
    """An example runs in an empty folder without a server, and prints nothing of its own library."""
    program = Program(tmp_path, is_new=True)
    out = output(python(program, str(root / "examples" / f"{example}.py"))).splitlines()
    assert out[0].startswith("best parameters {'")
    name, _, score = out[1].rpartition(" ")
    assert name in ("test accuracy", "area under the curve")
    assert float(score) > 0.85
    if "ledger" in example:
        (study,) = json.loads(program.run("study", "list", "--json"))
        assert study["state"] == "complete"


def test_the_page_counts_the_lines_of_the_examples(root: Path) -> None:
    page = (root / "docs" / "sklearn.md").read_text()
    for example in [*(f"{example}.py" for example in EXAMPLES), "notebooks/pipeline.ipynb"]:
        assert f"[{len(lines_of_code(root / 'examples' / example))}](../examples/{example})" in page
