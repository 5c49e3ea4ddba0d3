"""Datasets from files on the command line: refused, or stored with their study. See test_tabular for the files."""

from hashlib import sha256

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Connection

from ledger.database import datasets, studies
from ledger.objectives.tabular import LARGEST_FILE
from tests.integration.ledgers import spec
from tests.integration.test_commands import run as run

GOOD = "a,y\n" + "1,no\n2,yes\n" * 10
FILES = {
    "good.csv": GOOD,
    "other.csv": GOOD + "3,no\n",
    "text.csv": "a,y\n1,0\nx,1\n2,0\n3,1\n",
    "a.txt": GOOD,
    "bytes.parquet": GOOD,
    "flats.csv": "area,city,owner,below,price\n"
    + "".join(f"{row},{'Chur' if row % 3 else 'Bern'},{row % 4},-1,{row + 0.5}\n" for row in range(20)),
    "classes.csv": "a,t,w,y\n"
    + "".join(f"{row},{row},{int(row < 16)},{'b' if row % 2 and row > 6 else 'a'}\n" for row in range(20)),
}


@pytest.fixture
def files(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    (tmp_path / "folder.csv").mkdir()


def of(file, target="y"):
    return ["--data", file, "--target-column", target]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            of("none.csv"),
            "--data or LEDGER_DATA: none.csv: No such file or directory; give the path of a csv or parquet",
        ),
        (of("folder.csv"), "--data or LEDGER_DATA: folder.csv: Is a directory; give the path of a csv or parquet file"),
        (
            of("a.txt"),
            "a.txt: the name must end in one of .csv, .parquet, .pq; save the data in a file with one of these endings",
        ),
        (of("bytes.parquet"), "bytes.parquet: "),
        (of("large.csv"), "large.csv: the file is larger than 64 MB, which is the ledger's limit; leave columns"),
        (of("good.csv", "z"), 'good.csv: the target "z" is not a column of the file; there are a, y'),
        (
            of("text.csv"),
            'text.csv: line 3, column "a": "x" is text in a column of numbers; correct the text, or',
        ),
        (
            [*of("good.csv"), "--cv", "11"],
            'class "no" has 10 rows, but each of 11 folds needs a row of this class; add rows',
        ),
        ([*of("good.csv"), "--cv", "1"], "'--cv' (env var: 'LEDGER_CV'): 1 is not in the range 2<=x<=48"),
        (
            [*of("good.csv"), "--metric", "roc_acu"],
            '--metric or LEDGER_METRIC: unknown metric "roc_acu"; did you mean \'roc',
        ),
        ([*of("good.csv"), "--metric", "r2"], '"r2" scores a regression, but the task is classification; use roc_auc'),
        ([*of("good.csv"), "--metric", "neg_log_loss"], "which an svm does not compute; use roc_auc, or the model xgb"),
        (
            ["--dataset", "iris", "--metric", "roc_auc"],
            '"roc_auc" is for two classes, but the data have 3 classes; use roc_auc',
        ),
        (["--dataset", "irsi"], 'unknown "irsi"; choose breast_cancer, iris, wine, digits, diabetes'),
        (["--data", "good.csv"], "--data or LEDGER_DATA: the target column is missing; add --target-column with"),
        (
            ["--target-column", "y"],
            "--target-column or LEDGER_TARGET_COLUMN: a target column needs a data file; add --data",
        ),
        ([*of("good.csv"), "--dataset", "iris"], "dataset and data exclude each other; remove one of them"),
        ([*of("flats.csv", "price"), "--task", "classification"], 'column "price": 0.5 is not a whole number'),
        ([*of("flats.csv", "city"), "--task", "regression"], 'column "city": "Bern" is text, but the target of a reg'),
        ([*of("flats.csv", "price"), "--group-column", "owners"], "is not a column of the file; did you mean 'owner'?"),
        ([*of("flats.csv", "price"), "--group-column", "owner", "--cv", "5"], "4 groups are too few for 5 folds"),
        (
            [*of("flats.csv", "price"), "--weight-column", "below"],
            'line 2, column "below": "-1" is not a weight; write',
        ),
        ([*of("flats.csv", "price"), "--time-column", "city"], 'line 2, column "city": "Bern" is not a time; write a'),
        (
            [*of("flats.csv", "price"), "--holdout", "good.csv"],
            'good.csv: the target "price" is not a column of the f',
        ),
        ([*of("good.csv"), "--holdout", "flats.csv"], 'flats.csv: the target "y" is not a column of the file'),
        (
            [*of("classes.csv", "y"), "--time-column", "t", "--cv", "3"],
            'split 1 of 3: the rows for training do not contain class "b", which the model needs; use fewer folds',
        ),
        (
            [*of("classes.csv", "y"), "--weight-column", "w", "--time-column", "t"],
            "the split: each row for scoring has the weight 0; use fewer folds, or give more rows a positive weight",
        ),
    ],
)
@pytest.mark.usefixtures("files")
def test_bad_data_are_refused_in_one_line_before_anything_is_written(run, tmp_path, options, said):
    code, out, error = run("run", *options)
    assert (code, out, error.count("\n")) == (2, "", 1), error
    assert said in error
    assert not (tmp_path / "home").exists()


@pytest.mark.usefixtures("files")
def test_a_study_that_is_recorded_keeps_its_file_with_it(run, db, url, tmp_path, connection):
    pq.write_table(pa.table({"a": [1, 2] * 10, "y": ["no", "yes"] * 10}), tmp_path / "good.parquet")
    for name, file in (("one", "good.csv"), ("two", "good.csv"), ("three", "good.parquet")):
        options = [*of(file), "--cv", "5", "--metric", "f1", "--name", name]
        assert run("study", "create", *options, "--database-url", url)[0] == 0
    code, _, error = run("study", "create", *of("other.csv"), "--name", "one", "--database-url", url)
    assert (code, error.count("\n")) == (1, 1)
    kept = connection.execute("select name, bytes, studies from ledger.datasets order by name").fetchall()
    assert kept[0] == ("good.csv", len(GOOD), 2)
    assert kept[1][0] == "good.parquet"
    assert len(kept) == 2, "not that of the study that is not recorded"
    data = studies.get(db, "one").spec["objective"]["data"]
    assert (data["name"], data["rows"]) == ("good.csv", 20)
    assert b"".join(datasets.pieces(db, data["sha256"])) == GOOD.encode()
    out = run("study", "show", "one", "--database-url", url)[1]
    assert f"data        good.csv, 20 rows, target y, SHA-256 {data['sha256']}\n" in out
    for name, left in (("one", 2), ("two", 1), ("three", 0)):
        assert run("study", "delete", name, "--yes", "--database-url", url)[0] == 0
        assert connection.execute("select count(*) from ledger.datasets").fetchone() == (left,)


@pytest.mark.usefixtures("files")
def test_a_study_keeps_its_hold_out_file_as_long_as_a_study_uses_it(run, db, url, tmp_path, connection):
    (tmp_path / "later.csv").write_text(GOOD + "9,no\n8,yes\n")
    for name, file, holdout in (("one", "good.csv", "later.csv"), ("two", "later.csv", "good.csv")):
        options = [*of(file), "--holdout", holdout, "--name", name]
        assert run("study", "create", *options, "--database-url", url)[0] == 0
    assert connection.execute("select name, studies from ledger.datasets order by name").fetchall() == [
        ("good.csv", 2),
        ("later.csv", 2),
    ]
    data = studies.get(db, "one").spec["objective"]["data"]
    out = run("study", "show", "one", "--database-url", url)[1]
    assert f"hold-out    later.csv, 22 rows, SHA-256 {data['holdout']['sha256']}\n" in out
    for name, left in (("one", 2), ("two", 0)):
        assert run("study", "delete", name, "--yes", "--database-url", url)[0] == 0
        assert connection.execute("select count(*) from ledger.datasets").fetchone() == (left,)


OWN = """
from sklearn.linear_model import Ridge
class Own(Ridge):
    pass
"""
SPACE = '[space]\n{} = {{type = "real", low = 0.1, high = 10.0}}\n'


@pytest.mark.parametrize(
    ("options", "space", "code", "said"),
    [
        (
            ["--estimator", "sklearn.linear_model:Ridge"],
            "alpha",
            2,
            "Ridge is a regressor, but the task is classificati",
        ),
        (
            ["--estimator", "sklearn.linear_model:Ridge", "--dataset", "diabetes"],
            "alphaa",
            2,
            "ledger: [space] Ridge has no parameter 'alphaa'; did you mean 'alpha'?",
        ),
        (
            ["--estimator", "sklearn.linear_model:Ridge", "--dataset", "diabetes"],
            "max_iter",
            2,
            "ledger: [space] The 'max_iter' parameter of Ridge must be",
        ),
        (["--estimator", "sklearn.linear_model:Rigde"], "alpha", 1, "has no 'Rigde'; name a class of this module; did"),
        (["--estimator", "sklearn.datasets:load_iris"], "alpha", 1, "is not an estimator class; name a class such as"),
        (["--estimator", "Ridge"], "alpha", 2, "estimator 'Ridge' must have the form package.module:Class"),
        (["--estimator", "own:Own", "--dataset", "diabetes"], "alpha", 1, "permit the module with --allow own"),
        (
            ["--estimator", "sklearn.cluster:KMeans"],
            "tol",
            2,
            "KMeans is an estimator of the kind clusterer, and cannot predict a target",
        ),
        (
            ["--estimator", "sklearn.svm:LinearSVC", "--metric", "neg_log_loss"],
            "C",
            2,
            "the metric neg_log_loss needs the probability of each class, but LinearSVC has no predict_proba",
        ),
        (
            [
                *of("flats.csv", "price"),
                "--estimator",
                "sklearn.neighbors:KNeighborsRegressor",
                "--weight-column",
                "area",
            ],
            "p",
            2,
            "the fit method of KNeighborsRegressor has no argument sample_weight; leave weight_column and"
            " class_weights out",
        ),
    ],
)
@pytest.mark.usefixtures("files")
def test_a_bad_estimator_is_refused_before_anything_is_written(run, tmp_path, options, space, code, said):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "study.toml").write_text(SPACE.format(space))
    found, out, error = run("run", "study.toml", *options)
    assert (found, out, error.count("\n")) == (code, "", 1), error
    assert said in error
    assert not (tmp_path / "home").exists()
    if "own:Own" not in options:  # a manager runs no code of a user
        assert run("study", "create", "study.toml", *options)[::2] == (found, error)
        assert not (tmp_path / "home").exists()


def test_a_file_without_a_study_is_removed_after_a_day(url, db, connection, advance):
    def keep(content: bytes) -> str:
        ((digest,),) = connection.execute("select ledger.keep_dataset('a.csv', %s)", (content,)).fetchall()
        return str(digest)

    def kept() -> set[str]:
        return {digest for (digest,) in connection.execute("select sha256 from ledger.datasets").fetchall()}

    used, spare = b"a,y\n1,2\n", keep(b"spare")
    digest = sha256(used).hexdigest()
    data = {"name": "a.csv", "sha256": digest, "target_column": "y", "format": "csv", "rows": 1}
    made = {**spec(), "objective": {"model": "svm", "data": data}}
    studies.create(db, "s", made, "0" * 64, 1, {}, [datasets.StoredDataset(digest, "a.csv", used)])
    advance(23 * 3600)
    second = keep(b"second")
    assert kept() == {digest, spare, second}
    advance(25 * 3600)
    with psycopg.connect(url) as other:
        # a transaction that is about to record a study with the file
        assert other.execute("select ledger.hold_dataset(%s)", (spare,)).fetchone() == (True,)
        keep(b"second")
        assert kept() == {digest, spare, second}
    keep(b"second")
    assert kept() == {digest, second}


def test_what_compose_leaves_empty_is_not_set(run, db: Connection, url, monkeypatch):
    for name in ("LEDGER_DATASET", "LEDGER_DATA", "LEDGER_TARGET_COLUMN", "LEDGER_CV", "LEDGER_METRIC"):
        monkeypatch.setenv(name, "")
    assert run("study", "create", "--name", "s", "--database-url", url)[0] == 0
    assert studies.get(db, "s").spec["objective"] == {"model": "svm", "dataset": "breast_cancer"}
