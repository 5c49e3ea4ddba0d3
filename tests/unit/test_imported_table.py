"""A csv file of finished trials is read whole, or refused in one line with its place, the column and the way out."""

import pytest

from ledger.errors import UsageError
from ledger.imports.history import gather
from ledger.imports.table import read_rows
from ledger.study.space import Space

SPACE = Space.from_toml(
    {
        "C": {"type": "real", "low": 0.001, "high": 1000.0},
        "kernel": {"type": "categorical", "choices": ["rbf", "sigmoid"]},
    }
)
HEADER = "C,kernel,loss\n"


def read(text, *, loss="loss", ignore_extra=False, skip_unusable=False, recorded=()):
    content = text if isinstance(text, bytes) else text.encode()
    rows = read_rows("old.csv", content, loss, SPACE, ignore_extra=ignore_extra)
    return gather("old.csv", rows, SPACE, dict(recorded), skip_unusable=skip_unusable)


def points(history):
    return [(one.params["C"], one.params["kernel"], one.loss) for one in history.finished]


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "1,rbf,0.5\n2.5,sigmoid,-1e-3\n",
        "\ufeffloss , kernel,C\r\n0.5,rbf,1\r\n\r\n-0.001,sigmoid,2.5\r\n",
        'params_C,params_kernel,loss\n"1","rbf",0.5\n2.5,sigmoid,-0.001',
    ],
)
def test_rows_are_typed_by_the_space_in_any_order_of_columns(text):
    assert points(read(text)) == [(1.0, "rbf", 0.5), (2.5, "sigmoid", -0.001)]


def test_a_header_with_a_hundred_thousand_columns_is_read_or_refused():
    more = [f"c{index}" for index in range(100_000)]
    row = "1,rbf,0.5" + ",1" * len(more)
    assert points(read(f"C,kernel,loss,{','.join(more)}\n{row}\n", ignore_extra=True)) == [(1.0, "rbf", 0.5)]
    with pytest.raises(UsageError, match="two columns are named"):
        read(f"C,kernel,loss,{','.join([*more, 'c0'])}\n{row},1\n", ignore_extra=True)


def test_the_losses_column_is_named_and_others_are_passed_by():
    assert points(read("C,kernel,error,note\n1,rbf,0.5,x\n", loss="error", ignore_extra=True)) == [(1.0, "rbf", 0.5)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "old.csv:1: the file has no header; write a header with C, kernel, loss"),
        (b"\xff", "old.csv: not UTF-8 at byte 0; save the file as UTF-8"),
        ("C,loss\n1,0.5\n", 'old.csv:1: parameter "kernel" has no column; there are C, loss'),
        ("C,Kernel,loss\n", "old.csv:1: parameter \"kernel\" has no column; did you mean 'Kernel'?"),
        ("C,kernel,error\n", 'old.csv:1: the loss "loss" has no column; there are C, kernel, error; use --loss'),
        ("C;kernel;loss\n", 'old.csv:1: parameter "C" has no column; the columns are separated by ";": use commas'),
        ("C,kernel,loss,C\n", 'old.csv:1: two columns are named "C"; rename one'),
        ("C,kernel,loss,note\n", 'old.csv:1: column "note" is neither a parameter of the study nor the loss'),
        (HEADER, "old.csv: the ledger can import none of the finished trials"),
        (HEADER + "1,rbf,0.5\nmuch,rbf,0.5\n", "old.csv:3: parameter 'C': \"much\" is not a number in [0.001, 1000.0]"),
        (
            HEADER + "\n5000,rbf,0.5\n",
            "old.csv:3: parameter 'C': 5000.0 is not in [0.001, 1000.0]; correct the row, or use",
        ),
        (HEADER + "nan,rbf,0.5\n", "old.csv:2: parameter 'C': NaN is not in [0.001, 1000.0]"),
        (HEADER + "1,poly,0.5\n", "old.csv:2: parameter 'kernel': \"poly\" is not one of"),
        (HEADER + "1,rbf,nan\n", "old.csv:2: the loss NaN is not finite"),
        (HEADER + "1,rbf,inf\n", "old.csv:2: the loss Infinity is not finite"),
        (HEADER + "1,rbf,low\n", 'old.csv:2: column "loss": "low" is not a number'),
        (HEADER + "1,rbf,\n", 'old.csv:2: column "loss" is empty, but a finished trial needs a loss'),
        (HEADER + "1,rbf\n", "old.csv:2: the row has 2 cells, but the header has 3 cells"),
        (HEADER + "1,rbf,0.5\n1.0,rbf,0.25\n", "old.csv:3: the parameters are the same as in old.csv:2"),
        (HEADER + '1,"rbf,0.5\n', "old.csv:2: unexpected end of data; correct this line of the csv file"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(text, said):
    with pytest.raises(UsageError) as refused:
        read(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_column_of_losses_that_is_a_parameter_is_refused():
    with pytest.raises(
        UsageError, match='old.csv:1: column "C" is a parameter; use --loss to name the column of the losses'
    ):
        read(HEADER, loss="C")


def test_unusable_rows_are_skipped_and_counted_if_asked():
    text = HEADER + "1,rbf,0.5\n5000,rbf,0.5\n1,rbf,0.4\n2,rbf,nan\n7,rbf,0.1\n3,rbf,1\n"
    recorded = {'{"C": 7.0, "kernel": "rbf"}': "trial 4 (pending) of study s"}
    history = read(text, skip_unusable=True, recorded=recorded)
    assert points(history) == [(1.0, "rbf", 0.5), (3.0, "rbf", 1.0)]
    assert [reason.split(": ")[0] for reason in history.left_out] == [f"old.csv:{line}" for line in (3, 4, 5, 6)]
    assert "the parameters are the same as in trial 4 (pending) of study s" in history.left_out[3]
    assert history.repeated == 1
    again = read(HEADER + "7,rbf,0.1\n5000,rbf,0.5\n", skip_unusable=True, recorded=recorded)
    assert (again.finished, again.repeated, len(again.left_out)) == ([], 1, 2)
    with pytest.raises(
        UsageError,
        match="old.csv: the ledger can import none of the finished trials: the first of 1 errors is old.csv:2: ",
    ):
        read(HEADER + "1,poly,0.5\n", skip_unusable=True)
