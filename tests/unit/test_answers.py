"""The answers of a trainer process, which an objective can forge."""

import json
import os
from typing import Any

import pytest

from ledger.database.bounds import LARGEST_JSON, LONGEST_ERROR
from ledger.objectives.fingerprint import CodePart, ObjectiveCode
from ledger.worker.channel import SupervisorChannel
from ledger.worker.outcome import (
    LARGEST_ANSWER,
    AttemptOutcome,
    LoadedCode,
    MalformedAnswerError,
    TrainerAnswer,
    parse_answer,
)

RESULT: dict[str, Any] = {
    "job": 3,
    "kind": "result",
    "seconds": 0.5,
    "loss": 0.25,
    "metrics": {"a": [1, {"b": None}]},
    "error": None,
}
FAILED: dict[str, Any] = RESULT | {"kind": "failed", "loss": None, "metrics": None, "error": "it failed"}


def parse(fields, **changes):
    return parse_answer(json.dumps(fields | changes).encode(), trains=True)


def test_an_answer_of_the_trainer_is_its_outcome():
    assert parse(RESULT) == TrainerAnswer(3, AttemptOutcome("result", 0.5, 0.25, {"a": [1, {"b": None}]}))
    assert parse(RESULT, loss=2, seconds=1) == TrainerAnswer(3, AttemptOutcome("result", 1.0, 2.0, RESULT["metrics"]))
    for kind in ("failed", "refused"):
        assert parse(FAILED, kind=kind) == TrainerAnswer(3, AttemptOutcome(kind, 0.5, error="it failed"))
    code = ObjectiveCode((CodePart("function", "loss", "0" * 64),), {"a.py": "1" * 64}, {"a.py": "x"}, "c", True, {})
    for loaded in (LoadedCode(), LoadedCode(code, "module value `N`")):
        assert parse(loaded.to_answer(7)) == TrainerAnswer(7, loaded)
    checked = json.dumps(RESULT | {"loss": None, "metrics": None}).encode()
    assert parse_answer(checked, trains=False) == TrainerAnswer(3, AttemptOutcome("result", 0.5))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "the answer is not JSON"),
        (b"[" * 100_000, "the answer is not JSON: RecursionError"),
        (b'{"job": 3', "the answer is not JSON"),
        (b"\xff", "the answer is not JSON: UnicodeDecodeError"),
        (b'{"job": ' + b"9" * 5_000 + b"}", "the answer is not JSON: ValueError"),
        (b"[]", "the answer is not a JSON object"),
        (b"null", "the answer is not a JSON object"),
        (b'{"loaded": true}', "the number of the job is not an integer"),
        (b'{"job": "3", "loaded": true}', "the number of the job is not an integer"),
        (b'{"job": true, "loaded": true}', "the number of the job is not an integer"),
        (b'{"job": 3, "loaded": false}', "the answer has a wrong set of fields: loaded"),
        (b'{"job": 3, "loaded": true}', "the answer has a wrong set of fields: loaded"),
        (b'{"job": 3, "loaded": true, "code": null, "differing": 5}', 'the field "differing" is not a text'),
        (b'{"job": 3, "loaded": true, "code": [], "differing": null}', "the code is not an object with a list of"),
        (b'{"job": 3}', "the answer has a wrong set of fields: "),
    ],
)
def test_a_line_that_is_no_answer_is_malformed(line, reason):
    with pytest.raises(MalformedAnswerError) as caught:
        parse_answer(line, trains=True)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


DEEP = json.loads("[" * 200 + "]" * 200)


NUMBERS: list[Any] = [float("nan"), -float("inf"), None, "0.5", "abc", True, [0], {}, 10**400]
WRONG: list[tuple[dict[str, Any], str, list[Any]]] = [
    (RESULT, "loss", NUMBERS),
    (RESULT, "seconds", NUMBERS),
    (
        RESULT,
        "metrics",
        [None, [], "{}", {"loss": 1}, {"a": "\0"}, {"a": DEEP}, {"a": "\ud800"}, {"a": [float("inf")]}],
    ),
    (RESULT, "kind", ["banana", "failed", "refused", "timeout", None, 1, ["result"]]),
    (RESULT, "error", ["an error"]),
    (RESULT, "more", [1]),
    (FAILED, "error", [None, 1, ["it"], "x" * (LONGEST_ERROR + 1)]),
    (FAILED, "kind", ["banana", "timeout", "result", None]),
    (FAILED, "loss", [0.5]),
    (FAILED, "metrics", [{}]),
    (FAILED, "seconds", ["abc"]),
]


@pytest.mark.parametrize(
    ("fields", "changes"), [(fields, {name: value}) for fields, name, values in WRONG for value in values]
)
def test_every_field_of_an_answer_is_checked(fields, changes):
    with pytest.raises(MalformedAnswerError) as caught:
        parse(fields, **changes)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_a_number_outside_the_range_of_a_float_is_malformed():
    with pytest.raises(MalformedAnswerError):
        parse_answer(json.dumps(RESULT).replace("0.25", "1e999").encode(), trains=True)
    with pytest.raises(MalformedAnswerError):
        parse_answer(json.dumps(RESULT).replace("null", "1e999").encode(), trains=True)


@pytest.fixture
def channel():
    channel = SupervisorChannel()
    yield channel
    channel.close_trainer_end()
    channel.close()


def test_a_line_without_an_end_is_malformed_before_it_fills_the_memory(channel):
    _, answers, *_ = channel.trainer_descriptors
    sent = 0
    with pytest.raises(MalformedAnswerError, match="longer than"):
        while sent <= LARGEST_ANSWER:
            sent += os.write(answers, b"x" * 65_536)
            assert channel.read() == ([], False)
    assert sent <= LARGEST_ANSWER + 65_536


def test_the_longest_answers_of_a_trainer_are_no_longer_than_the_limit():
    metrics = json.dumps({"a": "\U0001f600" * ((LARGEST_JSON - 20) // 4)}, ensure_ascii=False).encode()
    error = json.dumps("\x01" * LONGEST_ERROR).encode()
    assert len(metrics) + len(error) < LARGEST_ANSWER


CODE = ObjectiveCode((CodePart("function", "loss", "0" * 64),)).to_json()


@pytest.mark.parametrize(
    "wrong",
    [
        {"parts": [7]},
        {"parts": [{"kind": "function"}]},
        {"parts": [{"kind": "function", "name": "loss", "more": "x"}]},
        {"parts": [{"kind": "function", "name": None}]},
        {"sources": {"a.py": 7}},
        {"texts": None},
        {"versions": []},
        {"git_commit": 7},
        {"git_clean": "yes"},
        {"sha256": "0" * 64},
    ],
)
def test_a_malformed_code_in_an_answer_is_malformed(wrong):
    with pytest.raises(MalformedAnswerError) as caught:
        parse({"job": 3, "loaded": True, "code": CODE | wrong, "differing": None})
    assert "\n" not in str(caught.value)
