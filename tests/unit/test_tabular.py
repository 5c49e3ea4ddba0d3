"""Datasets from files: read, or refused in one line with the place and the way out."""

import cProfile
import io
import math
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger.errors import UsageError
from ledger.objectives import Context, load, tabular
from ledger.objectives.table_checks import check_rows
from ledger.objectives.table_columns import ColumnRoles, check_names
from ledger.objectives.tabular import digest, read, read_holdout
from ledger.objectives.tasks import CLASSIFICATION, REGRESSION

PETALS = "petal,colour,kind\n" + "".join(f"{1 + row / 10},{'red' if row % 2 else ''},{row % 2}\n" for row in range(20))


def table(text, target="kind", folds=None):
    result = read(text.encode() if isinstance(text, str) else text, "csv", ColumnRoles(target), "t.csv")
    check_rows(result, folds, target, "t.csv")
    return result


def test_numbers_stay_texts_are_encoded_and_classes_are_sorted():
    text = "\ufeffa, city ,y\n1,Bern,no\n,Basel,yes\r\n\n-2e3,,no\n" + "3,NA,yes\n" * 6 + '"4","Bern","no"\n'
    result = table(text, "y")
    assert result.features[:4].tolist()[0] == [1, 0, 1]
    assert math.isnan(result.features[1, 0])
    assert result.features[1:4, 1:].tolist() == [[1, 0], [0, 0], [0, 0]]
    assert result.features[2, 0] == -2000
    assert result.labels == ("no", "yes")
    assert result.targets.tolist() == [0, 1, 0, *[1] * 6, 0]
    assert not result.features.flags.writeable


class Counted(str):
    """A column name that counts its comparisons."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Counted.compared += 1
        return super().__eq__(other)


def test_the_check_of_column_names_does_not_compare_all_pairs():
    names = [Counted(f"c{index}") for index in range(2_000)]
    check_names(names, ColumnRoles("c1999"), "t.csv", "line 1: ")
    # a search in all earlier names would need two million comparisons
    assert Counted.compared < 10 * len(names)


@pytest.mark.parametrize("cell", ["1", "-2.5", "red"])
def test_a_wide_file_is_read_with_few_calls_per_cell(cell):
    columns, rows = 1_000, 4
    body = "".join(",".join([cell] * (columns - 1) + [str(row % 2)]) + "\n" for row in range(rows))
    content = f"{','.join(f'c{index}' for index in range(columns))}\n{body}".encode()
    profile = cProfile.Profile()
    profile.runcall(read, content, "csv", ColumnRoles(f"c{columns - 1}"), "t.csv")
    # with 21 calls, a file with 100,000 columns and 4 rows took 3 s
    assert sum(entry.callcount for entry in profile.getstats()) < 16 * columns * rows


def test_a_hundred_thousand_columns_are_read_or_refused_in_one_line():
    names = [f"c{index}" for index in range(100_000)]
    body = "".join(",".join(["1"] * (len(names) - 1) + [str(row % 2)]) + "\n" for row in range(3))
    assert read(f"{','.join(names)}\n{body}".encode(), "csv", ColumnRoles(names[-1]), "t.csv").features.shape == (
        3,
        99_999,
    )
    for header, target in ((names, "nope"), ([*names[:-1], "c7"], "c0")):
        with pytest.raises(UsageError) as refused:
            read(f"{','.join(header)}\n{body}".encode(), "csv", ColumnRoles(target), "t.csv")
        assert len(str(refused.value)) < 6_000
        assert str(refused.value).isprintable()


def test_whole_numbers_are_classes_in_their_order():
    assert table("a,y\n" + "1,10\n2,9.0\n" * 5, "y").labels == (9, 10)


def rows(*lines, header="a,y"):
    return "\n".join([header, *lines, *["1,no", "2,yes"] * 5]) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "t.csv: the file is empty; its first line must name the columns"),
        ("a,y\n", "t.csv: the file has no rows; add rows below the names of the columns"),
        (rows(header="a,z"), 't.csv: the target "y" is not a column of the file; there are a, z'),
        (rows(header="a,Y"), "t.csv: the target \"y\" is not a column of the file; did you mean 'Y'?"),
        (
            "a;y\n1;no\n",
            't.csv: the target "y" is not a column of the file; separate the columns by commas, not',
        ),
        (rows(header="y,y"), 't.csv: line 1: two columns have the name "y"; rename one'),
        (rows(header=",y"), "t.csv: line 1: column 1 has no name; give the column a name"),
        ("y\nno\n", 't.csv: the target "y" is the only column; add columns with features'),
        (rows("1,no,3"), "t.csv: line 2: the line has 3 cells, but the first line names 2 columns; correct"),
        (rows("1,no", "x,no"), 't.csv: line 3, column "a": "x" is text in a column of numbers; correct the text'),
        (
            rows("inf,no"),
            't.csv: line 2, column "a": "inf" is not finite; write a finite number, or leave',
        ),
        (rows("1e999,no"), 't.csv: line 2, column "a": "1e999" is not finite'),
        (rows("1,"), 't.csv: line 2, column "y": the class is missing; add the class or leave the row out'),
        (rows("1,NaN"), 't.csv: line 2, column "y": the class is missing; add the class or leave the row out'),
        (
            rows("1,maybe"),
            't.csv: column "y": class "maybe" has 1 row, but a class needs two rows, one row for training and one row'
            " for scoring",
        ),
        ("a,y\n1,no\n2,no\n", 't.csv: column "y": every row has the class "no"; a classifier needs two or more'),
        (
            "a,y\n1,0.5\n2,1.5\n",
            "t.csv: a split of 2 rows has only 1 row for scoring, but a regression needs 2 rows for scoring; add rows",
        ),
        ("a,y\n,0\n,1\n", 't.csv: column "a" has no value in any row; leave the column out'),
        ("a,y\n1,a\n2,b\n1,a\n2,b\n", None),
        (
            "a,y\n1,a\n2,b\n1,a\n2,b\n1,c\n2,c\n3,d\n3,d\n",
            't.csv: column "y": only a fifth of the 8 rows is for scoring, and this fifth is too small for',
        ),
        (
            "a,y\n" + "".join(f"n{row},{row % 2}\n" for row in range(101)),
            't.csv: column "a" has more than 100',
        ),
        (b"a,y\n1,n\xe9\n", "t.csv: line 2: not UTF-8; save the file as UTF-8"),
        ('a,y\n1,"no\n', "t.csv: line 2: unexpected end of data; correct this line of the csv file"),
    ],
)
def test_an_unusable_file_is_refused_in_one_line_with_the_place(text, said):
    if said is None:
        # each class has two rows, but a fifth of all rows does not contain both classes
        with pytest.raises(UsageError, match="a fifth of the 4 rows"):
            table(text, "y")
        return
    with pytest.raises(UsageError) as caught:
        table(text, "y")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_class_with_fewer_rows_than_folds_is_refused():
    table(PETALS, folds=10)
    with pytest.raises(
        UsageError, match="class 0 has 10 rows, but each of 11 folds needs a row of this class; .* or use fewer folds"
    ):
        table(PETALS, folds=11)


def test_a_file_is_refused_by_its_name_or_size(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("a,y\n")
    with pytest.raises(UsageError, match=r"a.txt: the name must end in one of .csv, .parquet, .pq"):
        tabular.read_file(tmp_path / "a.txt")
    with pytest.raises(UsageError, match="none.csv: No such file or directory; give the path of a csv or parquet file"):
        tabular.read_file(tmp_path / "none.csv")
    monkeypatch.setattr(tabular, "LARGEST_FILE", 3)
    (tmp_path / "a.csv").write_text("a,y\n")
    with pytest.raises(UsageError, match="larger than .* which is the ledger's limit"):
        tabular.read_file(tmp_path / "a.csv")


def parquet(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_parquet_is_read_as_csv_is():
    content = parquet(
        petal=[1 + row / 10 for row in range(20)],
        colour=pa.array(["red" if row % 2 else None for row in range(20)]).dictionary_encode(),
        kind=[bool(row % 2) for row in range(20)],
    )
    result, expected = read(content, "parquet", ColumnRoles("kind"), "t.parquet"), table(PETALS)
    assert result.features.tolist() == expected.features.tolist()
    assert result.targets.tolist() == expected.targets.tolist()


def test_a_parquet_file_with_unsupported_columns_is_refused():
    with pytest.raises(UsageError, match=r't.pq: column "a": the type list<.*> is not number, text or boolean'):
        read(parquet(a=[[1], [2]], y=[0, 1]), "parquet", ColumnRoles("y"), "t.pq")
    with pytest.raises(UsageError, match=r"t.pq: .*; save the file as parquet again"):
        read(b"a,y\n1,2\n", "parquet", ColumnRoles("y"), "t.pq")
    with pytest.raises(UsageError, match=r't.pq: row 2, column "y": the class is missing'):
        read(parquet(a=[1, 2], y=["no", None]), "parquet", ColumnRoles("y"), "t.pq")


def data(text):
    return {"name": "t.csv", "sha256": digest(text.encode()), "target_column": "kind", "format": "csv"}


@pytest.mark.parametrize("model", ["svm", "xgb", "lgbm"])
def test_a_model_gives_the_same_loss_twice_on_a_file_with_gaps(model):
    text = PETALS.replace("1.5,", ",").replace("2.1,", "nan,")
    objective = {"model": model, "data": data(text), "cv": 3}
    results = [load(objective, (), contents=[text.encode()])({}, Context("s", 0, 1, 7, 7)) for _ in range(2)]
    assert results[0].loss == results[1].loss
    folds = results[0].metrics["accuracy_folds"]
    assert len(folds) == 3
    assert results[0].metrics["accuracy"] == sum(folds) / 3
    assert results[0].loss == 1 - results[0].metrics["accuracy"]


def test_a_gap_gets_the_median_of_the_training_rows():
    import numpy as np

    from ledger.objectives.fitting import _imputed
    from ledger.objectives.splits import split

    result = table("a,kind\n" + "".join(f"{row if row % 3 else ''},{row % 2}\n" for row in range(40)))
    train, test = split(result, 7)
    median = np.nanmedian(train.features)
    for rows, imputed in zip((train, test), _imputed(train.features, test.features), strict=True):
        gaps = np.isnan(rows.features)
        assert set(imputed[gaps]) == {median}
        assert np.array_equal(imputed[~gaps], rows.features[~gaps])


@pytest.mark.parametrize("content", [[], [b"another"]])
def test_content_with_another_digest_is_refused(content):
    from ledger.errors import LedgerError

    with pytest.raises(LedgerError, match="t.csv does not have the SHA-256 that the study has recorded"):
        load({"model": "svm", "data": data(PETALS)}, (), contents=content)


FLATS = "area,city,price,tenant,day,share\n" + "".join(
    f"{40 + row},{'Bern' if row % 2 else 'Chur'},{100 + row / 4},t{row % 6},2024-01-{1 + row % 28:02d},{row % 3}\n"
    for row in range(40)
)
ROLES = ColumnRoles("price", weight="share")


def flats(text=FLATS, roles=ROLES, task=None):
    return read(text.encode(), "csv", roles, "t.csv", task)


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        (["no", "yes"], CLASSIFICATION),
        (["0", "1"], CLASSIFICATION),
        (["1.0", "2.0"], CLASSIFICATION),
        ([str(value) for value in range(20)], CLASSIFICATION),
        ([str(value) for value in range(21)], REGRESSION),
        (["1", "1.5"], REGRESSION),
        (["1", "one"], CLASSIFICATION),
    ],
)
def test_the_values_of_the_target_choose_the_task(cells, task):
    text = "a,y\n" + "".join(f"{row},{cells[row % len(cells)]}\n" for row in range(84))
    assert read(text.encode(), "csv", ColumnRoles("y"), "t.csv").task == task


def test_the_task_can_be_given():
    text = "a,y\n" + "".join(f"{row},{row % 3}\n" for row in range(30))
    as_numbers = read(text.encode(), "csv", ColumnRoles("y"), "t.csv", REGRESSION)
    assert as_numbers.labels is None
    assert as_numbers.targets.tolist() == [float(row % 3) for row in range(30)]
    many = "a,y\n" + "".join(f"{row},{row % 30}\n" for row in range(60))
    assert len(read(many.encode(), "csv", ColumnRoles("y"), "t.csv", CLASSIFICATION).labels or ()) == 30


def test_columns_with_a_role_are_no_features():
    result = flats(roles=ColumnRoles("price", group="tenant", weight="share"))
    assert result.features.shape == (40, 3 + 28), "the area, two cities, and the texts of the day"
    assert result.labels is None
    assert result.weights.tolist()[:4] == [0, 1, 2, 0]
    assert result.groups.tolist()[:7] == [0, 1, 2, 3, 4, 5, 0]
    assert not result.is_ordered


@pytest.mark.parametrize(
    "days",
    [
        ["2024-01-31", "2023-12-31", "2024-02"],
        ["3", "-1", "10"],
        ["2024-01-01T13:00+02:00", "2024-01-01T09:00Z", "2024-01-02"],
    ],
)
def test_rows_are_sorted_by_their_time(days):
    text = "a,day,y\n" + "".join(f"{number},{day},{number / 2}\n" for number, day in enumerate(days))
    result = read(text.encode(), "csv", ColumnRoles("y", time="day"), "t.csv")
    assert result.is_ordered
    assert result.features[:, 0].tolist() == [1, 0, 2]
    assert result.targets.tolist() == [0.5, 0, 1]


def test_parquet_may_hold_dates_only_in_the_time_column():
    days = [date(2024, 1, 3), date(2023, 5, 1), date(2024, 1, 2)]
    moments = [datetime(2024, 1, day, tzinfo=UTC) for day in (3, 1, 2)]
    for values in (days, moments):
        content = parquet(a=[0, 1, 2], day=values, y=[0.5, 1.5, 2.5])
        result = read(content, "parquet", ColumnRoles("y", time="day"), "t.pq")
        assert result.features[:, 0].tolist() == [1, 2, 0]
        with pytest.raises(UsageError, match='column "day": the type .* is not number, text or boolean'):
            read(content, "parquet", ColumnRoles("y"), "t.pq")


@pytest.mark.parametrize(
    ("text", "roles", "task", "said"),
    [
        (FLATS, ColumnRoles("price", group="tenants"), None, "is not a column of the file; did you mean 'tenant'?"),
        (FLATS, ColumnRoles("price", time="when"), None, 'the time column "when" is not a column of the file; there'),
        (
            FLATS,
            ColumnRoles("price", weight="weightt"),
            None,
            'the weight column "weightt" is not a column of the file',
        ),
        (FLATS, ColumnRoles("price", weight="price"), None, '"price" is the target and the weight column; name two'),
        (FLATS, ColumnRoles("price", weight="city"), None, 'line 2, column "city": "Chur" is not a weight; write a'),
        (
            FLATS,
            ColumnRoles("city"),
            REGRESSION,
            'line 2, column "city": "Chur" is text, but the target of a regression',
        ),
        (FLATS, ColumnRoles("price"), CLASSIFICATION, 'line 3, column "price": 100.25 is not a whole number, but a'),
        (
            FLATS,
            ColumnRoles("price", time="city"),
            None,
            'line 2, column "city": "Chur" is not a time; write a number,',
        ),
        (FLATS + "1,Bern,1.5,t1,7,1\n", ColumnRoles("price", time="day"), None, "text in a time column that also"),
        (FLATS + "1,Bern,1.5,t1,,1\n", ColumnRoles("price", time="day"), None, "the time is missing; add the time or"),
        (FLATS + "1,Bern,1.5,,2024-01-01,1\n", ColumnRoles("price", group="tenant"), None, "the group is missing"),
        (FLATS + "1,Bern,1.5,t1,2024-01-01,-2\n", ROLES, None, 'line 42, column "share": "-2" is not a weight'),
        (FLATS + "1,Bern,1.5,t1,2024-01-01,\n", ROLES, None, 'line 42, column "share": the weight is missing; add'),
        (FLATS + "1,Bern,1.5,t1,2024-01-01,nan\n", ROLES, None, 'line 42, column "share": the weight is missing; add'),
        (FLATS + "1,Bern,1.5,t1,2024-01-01,inf\n", ROLES, None, 'line 42, column "share": "inf" is not finite'),
        (FLATS + "1,Bern,,t1,2024-01-01,1\n", ROLES, None, 'line 42, column "price": the value is missing; add the'),
        ("a,y,w\n1,1.5,0\n2,2.5,0\n", ColumnRoles("y", weight="w"), None, 'column "w": each weight is 0; write a'),
        ("y,w\n1,1.5\n", ColumnRoles("y", weight="w"), None, "each column has a role (target, weight column); add"),
    ],
)
def test_an_unusable_column_with_a_role_is_refused_with_its_place(text, roles, task, said):
    with pytest.raises(UsageError) as refused:
        flats(text, roles, task)
    assert said in str(refused.value)
    assert str(refused.value).startswith("t.csv: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("columns", "folds", "said"),
    [
        ({"y": [1.5] * 10}, None, 'column "y": every row has the value 1.5; a regression needs two or more values'),
        (
            {"y": [1.5, 2.5] * 3},
            4,
            "a split of 6 rows has only 1 row for scoring, but a regression needs 2 rows for scoring; add rows",
        ),
        ({"y": [1.5, 2.5] * 5, "g": ["a"] * 10}, None, 'column "g": all rows belong to one group; a split needs'),
        (
            {"y": [1.5, 2.5] * 5, "g": ["a", "b"] * 5},
            3,
            'column "g": 2 groups are too few for 3 folds, because each fold',
        ),
        (
            {"y": ["no"] * 5 + ["yes"] * 5, "g": ["a", "b", "c", "a", "b"] + ["d"] * 5},
            None,
            'column "g": only one group has rows of class "yes", but a class needs two groups, one group for training'
            " and one group",
        ),
        ({"y": [1.5, 2.5, 3.5], "t": [1, 2, 3]}, 5, "3 rows are too few for a split by time into 6 parts; add rows"),
        (
            {"y": [1.5, 2.5] * 4, "t": range(8)},
            6,
            "a split of 8 rows has only 1 row for scoring, but a regression needs 2 rows for scoring",
        ),
    ],
)
def test_too_few_rows_or_groups_are_refused(columns, folds, said):
    names = ["a", *columns]
    cells = zip(range(100), *columns.values(), strict=False)
    text = ",".join(names) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in cells)
    roles = ColumnRoles("y", group="g" if "g" in columns else None, time="t" if "t" in columns else None)
    result = read(text.encode(), "csv", roles, "t.csv")
    with pytest.raises(UsageError) as refused:
        check_rows(result, folds, "y", "t.csv")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def holdout_of(text, training=FLATS, roles=ROLES):
    encoding = flats(training, roles).encoding
    assert encoding is not None
    return read_holdout(text.encode(), "csv", encoding, "h.csv")


def test_a_hold_out_file_is_encoded_like_the_training_rows():
    turned = "price,share,day,city,area,tenant\n1.5,1,2024-01-03,Bern,50,t0\n2.5,0,,Genf,,t77\n"
    train, holdout = flats(), holdout_of(turned)
    assert holdout.features.shape[1] == train.features.shape[1]
    assert holdout.targets.tolist() == [1.5, 2.5]
    assert holdout.weights.tolist() == [1, 0]
    area, bern, chur = holdout.features[:, :3].T.tolist()
    assert area[0] == 50
    assert math.isnan(area[1])
    assert (bern, chur) == ([1, 0], [0, 0]), "a text that no training row has counts as a missing text"


def test_the_classes_of_a_hold_out_file_are_those_of_the_training_rows():
    result = holdout_of("kind,colour,petal\n1,red,2.5\n0,,1\n", PETALS, ColumnRoles("kind"))
    assert result.targets.tolist() == [1, 0]
    assert result.labels == (0, 1)


@pytest.mark.parametrize(
    ("text", "training", "roles", "said"),
    [
        (FLATS.replace("area", "size"), FLATS, ROLES, 'the file with the training rows has no column "size"; remove'),
        (
            "area,city,price,tenant,share\n1,Bern,1.5,t,1\n",
            FLATS,
            ROLES,
            'the hold-out file has no column "day", but the file with the training rows has this column',
        ),
        (FLATS.replace("price", "cost"), FLATS, ROLES, 'the target "price" is not a column of the file'),
        (
            FLATS.replace("40,Chur", "big,Chur"),
            FLATS,
            ROLES,
            'line 2, column "area": "big" is text, but the column has',
        ),
        (FLATS.replace("100.0", "dear"), FLATS, ROLES, 'line 2, column "price": "dear" is text, but the target of a'),
        ("petal,colour,kind\n1,red,2\n", PETALS, ColumnRoles("kind"), 'line 2, column "kind": no training row has the'),
        ("petal,colour,kind\n1,red,x\n", PETALS, ColumnRoles("kind"), 'no training row has the class "x"; correct the'),
        ("petal,colour,kind\n1,red,\n", PETALS, ColumnRoles("kind"), 'line 2, column "kind": the class is missing'),
        ("petal,colour,kind\n", PETALS, ColumnRoles("kind"), "the file has no rows; add rows below the names of"),
    ],
)
def test_a_hold_out_file_that_does_not_fit_is_refused(text, training, roles, said):
    with pytest.raises(UsageError) as refused:
        holdout_of(text, training, roles)
    assert said in str(refused.value)
    assert str(refused.value).startswith("h.csv: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("model", ["svm", "xgb", "lgbm"])
def test_a_regression_on_a_file_with_gaps_has_the_same_loss_twice(model):
    text = FLATS.replace("45,", ",").replace("60,", "nan,")
    entry = {**data(text), "target_column": "price", "weight_column": "share"}
    objective = {"model": model, "data": entry, "task": "regression", "cv": 3}
    results = [load(objective, (), contents=[text.encode()])({}, Context("s", 0, 1, 7, 7)) for _ in range(2)]
    assert results[0].loss == results[1].loss
    assert results[0].loss == 1 - results[0].metrics["r2"]


def test_a_pipeline_gets_the_missing_numbers():
    text = PETALS.replace("1.5,", ",")
    steps = [["impute", "sklearn.impute:SimpleImputer"], ["svc", "sklearn.svm:SVC"]]
    objective = {"steps": steps, "data": data(text), "params": {"impute__strategy": "most_frequent"}}
    assert load(objective, (), contents=[text.encode()])({}, Context("s", 0, 1, 7, 7)).loss < 1
    without = {"steps": [["scale", "sklearn.preprocessing:StandardScaler"], steps[1]], "data": data(text)}
    with pytest.raises(ValueError, match="NaN"):
        load(without, (), contents=[text.encode()])({}, Context("s", 0, 1, 7, 7))
