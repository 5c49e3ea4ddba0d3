"""Splits of a dataset into training rows and test rows: by class, group and time, repeated, and with a hold-out."""

import numpy as np
import pytest

from ledger.errors import UsageError
from ledger.objectives import Context, load
from ledger.objectives.splits import check_splits, splits
from ledger.objectives.tabular import DatasetArrays, digest


def table(rows=40, *, labels=None, groups=None, is_ordered=False, weights=None, holdout=None, targets=None):
    features = np.arange(rows, dtype=float)[:, None]
    if targets is None:
        targets = np.arange(rows, dtype=float) if labels is None else np.arange(rows) % len(labels)
    return DatasetArrays(
        features,
        np.asarray(targets),
        labels,
        groups=None if groups is None else np.asarray(groups),
        weights=None if weights is None else np.asarray(weights, dtype=float),
        is_ordered=is_ordered,
        holdout=holdout,
    )


def rows_of(dataset, folds=None, repeats=1, seed=7):
    """The numbers of the training rows and of the test rows of each split."""
    return [
        tuple([int(row) for row in part.features[:, 0]] for part in pair)
        for pair in splits(dataset, seed, folds, repeats)
    ]


def test_each_row_of_a_regression_scores_once_in_a_cross_validation():
    found = rows_of(table(41), folds=4)
    assert len(found) == 4
    assert sorted(row for _, test in found for row in test) == list(range(41))
    for train, test in found:
        assert sorted(train + test) == list(range(41))
    assert found == rows_of(table(41), folds=4)
    assert found != rows_of(table(41), folds=4, seed=8)
    ((train, test),) = rows_of(table(41))
    assert len(test) == 9
    assert sorted(train + test) == list(range(41))


@pytest.mark.parametrize("labels", [None, ("a", "b")])
@pytest.mark.parametrize("groups", [None, [row // 4 for row in range(40)]])
def test_a_repeated_cross_validation_begins_with_the_plain_one(labels, groups):
    dataset = table(labels=labels, groups=groups)
    plain, repeated = rows_of(dataset, folds=5), rows_of(dataset, folds=5, repeats=3)
    assert repeated[:5] == plain
    assert len(repeated) == 15
    assert len({tuple(map(tuple, pair)) for pair in repeated}) > 10, "each repetition has other folds"
    for first in range(0, 15, 5):
        assert sorted(row for _, test in repeated[first : first + 5] for row in test) == list(range(40))


@pytest.mark.parametrize("folds", [None, 2, 5])
@pytest.mark.parametrize("labels", [None, ("a", "b", "c")])
def test_no_split_separates_the_rows_of_a_group(labels, folds):
    groups = [row // 3 % 7 for row in range(60)]
    dataset = table(60, labels=labels, groups=groups)
    found = rows_of(dataset, folds=folds)
    assert len(found) == (folds or 1)
    for train, test in found:
        assert train
        assert test
        assert not {groups[row] for row in train} & {groups[row] for row in test}
        assert sorted(train + test) == list(range(60))
    assert found != rows_of(dataset, folds=folds, seed=1)


def test_a_single_split_of_few_groups_scores_one_of_them():
    ((train, test),) = rows_of(table(30, groups=[0] * 10 + [1] * 10 + [2] * 10))
    assert (len(train), len(test)) == (20, 10)


def test_the_rows_that_score_are_later_than_the_training_rows():
    assert rows_of(table(10, is_ordered=True)) == [(list(range(8)), [8, 9])]
    assert rows_of(table(9, is_ordered=True), folds=2) == [
        ([0, 1, 2], [3, 4, 5]),
        ([0, 1, 2, 3, 4, 5], [6, 7, 8]),
    ]


def test_a_hold_out_file_scores_and_all_other_rows_train():
    holdout = table(3)
    assert rows_of(table(5, holdout=holdout)) == [([0, 1, 2, 3, 4], [0, 1, 2])]


def test_the_weights_follow_their_rows():
    dataset = table(30, weights=[float(row) for row in range(30)])
    for train, test in splits(dataset, 7, 3):
        for part in (train, test):
            assert part.weights is not None
            assert part.weights.tolist() == part.features[:, 0].tolist()


@pytest.mark.parametrize(
    ("dataset", "folds", "metric", "said"),
    [
        (
            table(8, labels=("a", "b"), targets=[0, 0, 0, 0, 1, 0, 1, 1], is_ordered=True),
            3,
            "accuracy",
            'split 1 of 3: the rows for training do not contain class "b", which the model needs; use fewer folds',
        ),
        (
            table(8, labels=("a", "b"), targets=[0, 1, 0, 0, 1, 0, 1, 1], is_ordered=True),
            3,
            "roc_auc",
            'split 1 of 3: the rows for scoring do not contain class "b", which roc_auc needs; use fewer folds',
        ),
        (
            table(10, weights=[1] * 8 + [0, 0], is_ordered=True),
            None,
            "r2",
            "the split: each row for scoring has the weight 0; use fewer folds, or give more rows a positive weight",
        ),
        (
            table(6, groups=[0, 0, 0, 0, 0, 1]),
            2,
            "r2",
            "a regression needs 2 rows for scoring; use fewer folds, or add rows",
        ),
    ],
)
def test_a_split_that_cannot_train_or_score_is_refused(dataset, folds, metric, said):
    with pytest.raises(UsageError) as refused:
        check_splits(dataset, 7, folds, 1, metric)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_class_that_no_test_row_has_is_fine_for_the_accuracy():
    check_splits(table(8, labels=("a", "b"), targets=[0, 1, 0, 0, 1, 0, 1, 1], is_ordered=True), 7, 3, 1, "accuracy")


def evaluate(text, **objective):
    """Train on a csv file with the features a and b and the target y."""
    content = text.encode()
    data = {
        "name": "t.csv",
        "sha256": digest(content),
        "target_column": "y",
        "format": "csv",
        **objective.pop("data", {}),
    }
    contents = [content]
    if "holdout" in data:
        contents.append(data["holdout"].encode())
        data["holdout"] = {"name": "h.csv", "sha256": digest(contents[1]), "format": "csv"}
    loaded = load({"model": "xgb", "data": data, "params": {"n_estimators": 5}, **objective}, (), contents=contents)
    return loaded({}, Context("s", 0, 1, 7, 7)).metrics


def lines(rows, header="a,b,y"):
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def test_a_weight_of_two_counts_as_two_rows():
    rows = [(row, row % 7, row % 5 + 0.5) for row in range(40)]
    holdout = [(row + 0.5, row % 3, row % 4 + 0.5) for row in range(10)]
    weighted = evaluate(
        lines([(*row, 1 + row[0] % 2) for row in rows], "a,b,y,w"),
        task="regression",
        data={
            "weight_column": "w",
            "holdout": lines([(*row, 1 + index % 2) for index, row in enumerate(holdout)], "a,b,y,w"),
        },
    )
    doubled = evaluate(
        lines([row for row in rows for _ in range(1 + row[0] % 2)]),
        task="regression",
        data={"holdout": lines([row for index, row in enumerate(holdout) for _ in range(1 + index % 2)])},
    )
    assert weighted["r2"] == pytest.approx(doubled["r2"], rel=1e-3)
    assert weighted["r2"] != pytest.approx(
        evaluate(lines(rows), task="regression", data={"holdout": lines(holdout)})["r2"], rel=1e-3
    )


def test_the_accuracy_is_weighted_by_the_rows():
    text = lines([(row, 0, "no" if row % 2 else "yes") for row in range(20)], "a,b,y")
    holdout = lines([(1.0, 0, "yes", 3), (1.0, 0, "no", 1)], "a,b,y,w")
    weighted = text.replace("a,b,y\n", "a,b,y,w\n").replace("no\n", "no,1\n").replace("yes\n", "yes,1\n")
    found = evaluate(weighted, data={"weight_column": "w", "holdout": holdout})["accuracy"]
    assert found in (0.25, 0.75), "one of the two equal rows is right"


def test_a_repeated_cross_validation_records_the_score_of_each_fold():
    text = lines([(row, row % 3, row % 5 + 0.25) for row in range(30)])
    metrics = evaluate(text, task="regression", cv=3, repeats=2, metric="neg_mean_absolute_error")
    scores = metrics["neg_mean_absolute_error_folds"]
    assert len(scores) == 6
    assert metrics["neg_mean_absolute_error"] == pytest.approx(sum(scores) / 6)
    assert metrics["neg_mean_absolute_error_std"] == pytest.approx(np.std(scores))
