"""The exception that describes a failed study."""

import pytest

from ledger.errors import StudyFailedError

USER = '  File "/home/u/mine.py", line {number}, in f\n    return g()\n           ^^^\n'
LIBRARY = [
    '  File "/usr/lib/python3.13/json/decoder.py", line 3, in g\n    raise\n',
    '  File "/x/site-packages/numpy/core.py", line 3, in g\n    raise\n',
    '  File "<frozen importlib._bootstrap>", line 3, in g\n',
]
NOTEBOOK = '  File "<ipython-input-3-ab>", line 4, in f\n    return g()\n'


def traceback(*frames, last="ValueError: no\nmore"):
    return "Traceback (most recent call last):\n" + "".join(frames) + last


def test_the_last_frames_within_the_users_code_are_shown():
    frames = [USER.format(number=number) for number in range(5)]
    error = StudyFailedError("study s is failed", traceback(*frames[:4], LIBRARY[0], NOTEBOOK, *LIBRARY))
    shown = "\n".join(error.user_frames()) + "\n"
    assert shown == frames[2] + frames[3] + NOTEBOOK


def test_the_last_traceback_of_a_chain_counts():
    chained = traceback(NOTEBOOK, last="KeyError: 1\n\nDuring handling, another exception occurred:\n\n")
    error = StudyFailedError("study s is failed", chained + traceback(USER.format(number=1), last="my.Error: no"))
    assert error.exception == "my.Error"
    assert error.user_frames()[0].strip() == 'File "/home/u/mine.py", line 1, in f'
    assert error.traceback is not None
    assert "KeyError" in error.traceback


def test_repeated_frames_belong_to_their_frame():
    repeated = "  [Previous line repeated 996 more times]\n"
    error = StudyFailedError("s", traceback(USER.format(number=1), repeated, last="RecursionError: too deep"))
    assert error.user_frames()[-1] == repeated.rstrip()
    assert error.exception == "RecursionError"


@pytest.mark.parametrize("text", [None, "", "signal SIGSEGV", "not done within 3 s", "Traceback"])
def test_an_error_without_a_traceback_has_no_frames(text):
    error = StudyFailedError("study s is failed", text)
    assert (error.exception, error.traceback, error.user_frames()) == (None, None, [])
    assert str(error) == "study s is failed"


def test_a_cut_traceback_has_the_frames_that_are_left():
    error = StudyFailedError("s", traceback(USER.format(number=1), "\n[... 3 MB ...]\n", last="ValueError: x"))
    assert error.exception == "ValueError"
    assert error.user_frames()[0].startswith("  File")
