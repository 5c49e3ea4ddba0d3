"""The result of a command: what it prints, and the file that it writes. Both are foreign input."""

import json
import math
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.objectives.command_result import LARGEST_RESULT, LONGEST_REPORT, ReportParser, from_file, from_output
from ledger.objectives.result import InvalidResultError, to_result


def printed(output: bytes, size: int | None = None):
    return from_output(output, len(output) if size is None else size)


@pytest.mark.parametrize(
    ("output", "loss"),
    [
        *((b"0.5", 0.5), (b"0.5\n", 0.5), (b"0.5\r\n", 0.5), (b"\n\n 0.5 \n\n", 0.5), (b"-3", -3.0), (b"+.5e-3", 5e-4)),
        *(
            (b"7.", 7.0),
            (b"1E3", 1000.0),
            (b"0.1\n0.2\n", 0.2),
            (b"0.5\ndone\n", 0.5),
            (b"loss 0.1\n0.5\nloss 0.2", 0.5),
        ),
        *(
            (b" 10%\r 90%\r0.5", 0.5),
            (b"\xff\xfe\x00binary\n0.5\n\x80", 0.5),
            (b"0.5\n0x1F\n1_000\n1,5\n0.5.5\n[1] 2", 0.5),
        ),
        *((b'{"value": 1}', 1.0), (b'{"value": 0.25}\nbye', 0.25), (b'{"epoch": 3}\n0.5\n{"epoch": 4}', 0.5)),
        *((b'0.1\n{"value": 0.5}\r\n', 0.5), (b"0.5\n{oops}\n{", 0.5), (b'0.5\n["value", 7]', 0.5)),
    ],
)
def test_the_result_is_the_last_number_or_object_with_a_value(output, loss):
    result = to_result(printed(output))
    assert (result.loss, result.metrics) == (loss, {})


def test_other_keys_are_metrics():
    result = to_result(printed('{"value": 0.5, "name": "é", "curve": [1, null]}'.encode()))
    assert result.metrics == {"name": "é", "curve": [1, None]}


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (b"", 'no line of standard output is a number or a JSON object with "value"; the output is empty'),
        (b"\n \r\n", "the output is empty"),
        (b"finished\n", "the last line is finished: print the result at the end"),
        (b"loss=0.5", "the last line is loss=0.5"),
        (b"\x00\xff\x1b[2J", r"the last line is \x00"),
        *((text.encode(), f"ends with the result {text}: print a finite number") for text in ("nan", "-nan", "NaN")),
        *((text.encode(), f"ends with the result {text}") for text in ("inf", "-Inf", "Infinity", "NA", "1e5000")),
        (b"0.5\nnan\n", "ends with the result nan"),
        (b"9" * 5_000, "ends with the result 999"),
        (b'{"value": NaN}', "ends with the result NaN"),
        (b'{"value": 1e5000}', "ends with the result Infinity"),
        (b'{"value": -Infinity}', "ends with the result -Infinity"),
        (b'{"value": 1' + b"0" * 400 + b"}", "print a finite number"),
        (b'{"value": 1' + b"0" * 5_000 + b"}", "is not valid JSON"),
        (b'0.5\n{"value": null}', 'ends with a result whose "value" is null: print a finite number'),
        (b'0.5\n{"value": "0.5"}', 'whose "value" is "0.5"'),
        (b'{"value": true}', 'whose "value" is true'),
        (b'{"value": [1]}', 'whose "value" is [1]'),
        (b'0.5\n{"value": 0.25', "is not valid JSON"),
        (b"0.5\n{'value': 0.25}", "is not valid JSON"),
        (b'0.5\n{"value": 0.25, "a": "\xff"}', "is not valid JSON"),
        (b'{"value": 0.25, "a": "\xed\xa0\x80"}', "is not valid JSON"),
        (b'{"value": ' + b"[" * 100_000, "too many nested levels"),
        (b'{"value": 0.5, "loss": 0.25}', 'rename the metric "loss"'),
    ],
)
def test_output_without_a_finite_result_is_refused_in_one_line(output, said):
    with pytest.raises(InvalidResultError) as refused:
        printed(output)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (rb'{"value": 0.5, "a": "\ud800"}', "an unpaired UTF-16 surrogate is not allowed"),
        (rb'{"value": 0.5, "a": "\u0000"}', "a NUL character is not allowed"),
        (b'{"value": 0.5, "a": NaN}', "not valid JSON"),
        (b'{"value": 0.5, "a": 1e400}', "not valid JSON"),
        (b'{"value": 0.5, "a": ' + b"[" * 200 + b"]" * 200 + b"}", "nested levels"),
        (b'{"value": 0.5, "a": "' + b"x" * 1_100_000 + b'"}', "more than 1000000 bytes"),
    ],
)
def test_metrics_that_the_ledger_cannot_store_are_refused(output, said):
    with pytest.raises(InvalidResultError, match=said) as refused:
        to_result(printed(output))
    assert "\n" not in str(refused.value)


def test_a_line_that_lost_its_beginning_is_no_result():
    tail = b"0.5" * 10
    assert printed(tail + b"\n0.25", size=1_000)["value"] == 0.25
    for whole in (tail + b"\n", tail + b"\nbye"):
        with pytest.raises(InvalidResultError, match="no line of standard output"):
            printed(whole, size=1_000)
    with pytest.raises(InvalidResultError, match="the last line of standard output has more than 2,000,000 bytes"):
        printed(b"5" * 100, size=LARGEST_RESULT + 1)


@given(
    output=st.binary()
    | st.lists(st.sampled_from([b'{"value":', b"nan", b"1e9", b"}", b"[", b'"', b"\n", b"\r", b" "])).map(b"".join)
)
@example(output=b"1" * 100_000 + b"x")
@example(output=b'{"value": 1, "' + b"\\u" * 1_000)
def test_any_output_is_a_result_or_is_refused(output):
    said = ""
    try:
        result = to_result(printed(output))
    except InvalidResultError as refused:
        said = str(refused)
    else:
        json.dumps(result.metrics, allow_nan=False)
    assert said.isprintable()


def test_a_result_file_is_one_number_or_one_object(tmp_path):
    file = tmp_path / "result"
    assert from_file(str(file)) is None
    file.write_text(json.dumps({"value": 0.5, "curve": [1, 2]}, indent=2) + "\n")
    assert from_file(str(file)) == {"value": 0.5, "curve": [1, 2]}
    file.write_text(" 7\r\n")
    assert from_file(str(file)) == {"value": 7.0}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the result file is not a number or a JSON object"),
        (b"0.1\n0.2", "it contains 0.1 0.2"),
        (b"nan", "the result file ends with the result nan"),
        (b'{"value"', "is not valid JSON"),
        (b"5" * (LARGEST_RESULT + 1), "the result file has more than 2,000,000 bytes"),
    ],
)
def test_a_result_file_without_a_result_is_refused(tmp_path, content, said):
    (tmp_path / "result").write_bytes(content)
    with pytest.raises(InvalidResultError, match=said):
        from_file(str(tmp_path / "result"))


def test_a_result_file_that_is_no_regular_file_blocks_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "link", "folder"):
        with pytest.raises(InvalidResultError, match=r"^the result file .* regular file$"):
            from_file(str(tmp_path / name))


def test_reports_are_lines_with_a_step_and_a_value():
    lines = ReportParser()
    assert lines.read(b'{"step": 0, "value": 1}\n{"value": -2.5, "step": 7, "rate": 0.1}\r') == [
        (0, 1, None),
        (7, -2.5, None),
    ]
    assert lines.read(b'\nepoch 8: {"step": 8, "value": 1}\n{"step": 9') == []
    assert lines.read(b', "value": ') == []
    assert lines.read(b"1e-3}\n") == [(9, 0.001, None)]
    ((step, value, metrics),) = lines.read(b'{"step": 10, "value": NaN, "metrics": {"rate": 0.5}}\n')
    assert (step, math.isnan(value), metrics) == (10, True, {"rate": 0.5})


@pytest.mark.parametrize(
    "line",
    [
        b'{"step": -1, "value": 1}',
        b'{"step": 1.0, "value": 1}',
        b'{"step": "1", "value": 1}',
        b'{"step": true, "value": 1}',
        b'{"step": 1, "value": "1"}',
        b'{"step": 1, "value": true}',
        b'{"step": 1, "value": null}',
        b'{"step": 10000000000000000, "value": 1}',
        b'{"step": 1}',
        b'[{"step": 1, "value": 1}]',
        b'"step"',
        b'{"step": 1, "value": 1',
        b'{"step": 1, "value": \xff}',
        b'{"step": ' + b"[" * 900,
        b'{"step": 1, "value": 1, "more": "' + b"x" * LONGEST_REPORT + b'"}',
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_another_line_is_no_report_however_it_arrives(line, piece):
    lines = ReportParser()
    output = line + b'\n{"step": 3, "value": 0.5}\n'
    found = []
    for start in range(0, len(output), piece):
        found += lines.read(output[start : start + piece])
    assert found == [(3, 0.5, None)]


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b'{"step": 1, "value": 2}', b"\n"]), max_size=20))
def test_any_output_is_searched_for_reports(parts):
    lines = ReportParser()
    for part in parts:
        for step, *_ in lines.read(part):
            assert step >= 0
