"""Datasets from files: read, or refused in one line with the place and the way out."""

import io
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger.errors import UsageError
from ledger.objectives import Context, load, tabular
from ledger.objectives.table_columns import check_names
from ledger.objectives.tabular import check_classes, digest, read

PETALS = "petal,colour,kind\n" + "".join(f"{1 + row / 10},{'red' if row % 2 else ''},{row % 2}\n" for row in range(20))


def table(text, target="kind", folds=None):
    result = read(text.encode() if isinstance(text, str) else text, "csv", target, "t.csv")
    check_classes(result, folds, target, "t.csv")
    return result


def test_numbers_stay_texts_are_encoded_and_classes_are_sorted():
    text = "\ufeffa, city ,y\n1,Bern,no\n,Basel,yes\r\n\n-2e3,,no\n" + "3,NA,yes\n" * 6 + '"4","Bern","no"\n'
    result = table(text, "y")
    assert result.features[:4].tolist()[0] == [1, 0, 1]
    assert math.isnan(result.features[1, 0])
    assert result.features[1:4, 1:].tolist() == [[1, 0], [0, 0], [0, 0]]
    assert result.features[2, 0] == -2000
    assert result.labels == ("no", "yes")
    assert result.classes.tolist() == [0, 1, 0, *[1] * 6, 0]
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
    check_names(names, "c1999", "t.csv", "line 1: ")
    # a search in all earlier names would need two million comparisons
    assert Counted.compared < 10 * len(names)


def test_a_hundred_thousand_columns_are_read_or_refused_in_one_line():
    names = [f"c{index}" for index in range(100_000)]
    body = "".join(",".join(["1"] * (len(names) - 1) + [str(row % 2)]) + "\n" for row in range(3))
    assert read(f"{','.join(names)}\n{body}".encode(), "csv", names[-1], "t.csv").features.shape == (3, 99_999)
    for header, target in ((names, "nope"), ([*names[:-1], "c7"], "c0")):
        with pytest.raises(UsageError) as refused:
            read(f"{','.join(header)}\n{body}".encode(), "csv", target, "t.csv")
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
        (rows(header="a,z"), 't.csv: no column is named "y", which is the target; there are a, z'),
        (rows(header="a,Y"), "t.csv: no column is named \"y\", which is the target; did you mean 'Y'?"),
        (
            "a;y\n1;no\n",
            't.csv: no column is named "y", which is the target; separate the columns by commas, not',
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
            't.csv: column "y": class "maybe" has 1 row, but a class needs a row for training and a row for scoring',
        ),
        ("a,y\n1,no\n2,no\n", 't.csv: column "y": every row has the class "no"; a classifier needs two or more'),
        ("a,y\n1,0.5\n2,1.5\n", 't.csv: line 2, column "y": 0.5 is not a whole number, but a class must be text'),
        ("a,y\n,0\n,1\n", 't.csv: column "a" has no value in any row; leave the column out'),
        ("a,y\n1,a\n2,b\n1,a\n2,b\n", None),
        ("a,y\n1,a\n2,b\n1,a\n2,b\n1,c\n2,c\n3,d\n3,d\n", 't.csv: column "y": a fifth of 8 rows is used for scoring'),
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
        with pytest.raises(UsageError, match="a fifth of 4 rows"):
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
    result, expected = read(content, "parquet", "kind", "t.parquet"), table(PETALS)
    assert result.features.tolist() == expected.features.tolist()
    assert result.classes.tolist() == expected.classes.tolist()


def test_a_parquet_file_with_unsupported_columns_is_refused():
    with pytest.raises(UsageError, match=r't.pq: column "a": the type list<.*> is not number, text or boolean'):
        read(parquet(a=[[1], [2]], y=[0, 1]), "parquet", "y", "t.pq")
    with pytest.raises(UsageError, match=r"t.pq: .*; save the file as parquet again"):
        read(b"a,y\n1,2\n", "parquet", "y", "t.pq")
    with pytest.raises(UsageError, match=r't.pq: row 2, column "y": the class is missing'):
        read(parquet(a=[1, 2], y=["no", None]), "parquet", "y", "t.pq")


def data(text):
    return {"name": "t.csv", "sha256": digest(text.encode()), "target": "kind", "format": "csv"}


@pytest.mark.parametrize("model", ["svm", "xgb", "lgbm"])
def test_a_model_gives_the_same_loss_twice_on_a_file_with_gaps(model):
    text = PETALS.replace("1.5,", ",").replace("2.1,", "nan,")
    objective = {"model": model, "data": data(text), "cv": 3}
    results = [load(objective, (), content=text.encode())({}, Context("s", 0, 1, 7, 7)) for _ in range(2)]
    assert results[0].loss == results[1].loss
    folds = results[0].metrics["accuracy_folds"]
    assert len(folds) == 3
    assert results[0].metrics["accuracy"] == sum(folds) / 3
    assert results[0].loss == 1 - results[0].metrics["accuracy"]


def test_a_gap_gets_the_median_of_the_training_rows():
    from ledger.objectives import builtin, datasets

    result = table("a,kind\n" + "".join(f"{row if row % 3 else ''},{row % 2}\n" for row in range(40)))
    x_train, _, y_train, _ = datasets.split(result, 7)
    import numpy as np
    from sklearn.svm import SVC

    model = builtin._with_imputer(SVC()).fit(x_train, y_train)
    assert model[0].statistics_.tolist() == [np.nanmedian(x_train)]


@pytest.mark.parametrize("content", [None, b"another"])
def test_content_with_another_digest_is_refused(content):
    from ledger.errors import LedgerError

    with pytest.raises(LedgerError, match="t.csv does not have the SHA-256 that the study has recorded"):
        load({"model": "svm", "data": data(PETALS)}, (), content=content)
