"""The output of an objective: its limit, its end, and the trial to which it belongs."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.worker.output import BURST_BYTES, KEPT, ByteRateLimiter, TrainerOutputReader

TOKEN = "0123456789abcdef"


class Pipes:
    """An output with the writing ends of its pipes."""

    def __init__(self, limit: ByteRateLimiter) -> None:
        pairs = [os.pipe() for _ in range(2)]
        self.stdout, self.stderr = (writing for _, writing in pairs)
        self.output = TrainerOutputReader([os.fdopen(reading, "rb") for reading, _ in pairs], TOKEN, limit)

    def close(self) -> None:
        for writing in (self.stdout, self.stderr):
            os.close(writing)
        self.output.last_error(60)


@contextmanager
def passed_on() -> Iterator[bytearray]:
    """Yield what reaches the standard output and standard error of this process during the block, after its end."""
    reading, writing = os.pipe()
    passed = bytearray()

    def collect() -> None:
        while data := os.read(reading, 1 << 16):
            passed.extend(data)

    thread = threading.Thread(target=collect)
    thread.start()
    with os.fdopen(writing, "w") as stream, redirect_stdout(stream), redirect_stderr(stream):
        yield passed
    thread.join()
    os.close(reading)


def mark(job: int) -> bytes:
    return b"\x1e" + f"{TOKEN}{job:016x}".encode() + b"\x1e"


def write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def test_a_flood_of_output_is_left_out_of_the_log_with_a_note(caplog):
    with passed_on() as passed, caplog.at_level(logging.WARNING, "ledger.worker"):
        pipes = Pipes(ByteRateLimiter(burst=1000, rate=1))
        pipes.output.expect(range(1))
        write(pipes.stdout, b"begin\n" + b"x" * 50_000_000)
        write(pipes.stderr, b"y" * 1_000_000 + b"end")
        (text,) = pipes.output.take([0], rest=True)
        pipes.close()
    assert text.endswith("end")
    assert len(text) == KEPT
    (note,) = [record.getMessage() for record in caplog.records]
    assert note.startswith(f"{51_000_009 - 1000} bytes of the objective's output are left out here")
    assert "\n" not in note
    assert passed.startswith(b"begin\nxxx")
    # the note begins on a new line
    assert len(passed) <= 1002
    assert passed.endswith(b"\n")


def test_the_limit_lets_usual_output_pass_unchanged(caplog):
    usual = os.urandom(BURST_BYTES // 2).replace(b"\x1e", b"")
    with passed_on() as passed:
        pipes = Pipes(ByteRateLimiter())
        write(pipes.stdout, usual)
        pipes.close()
    assert passed == usual
    assert not caplog.records


def test_the_output_of_a_trial_is_known_by_its_marks():
    with passed_on() as passed:
        pipes = Pipes(ByteRateLimiter())
        pipes.output.expect(range(4, 8))
        write(pipes.stdout, b"four " + mark(4) + b"six " + mark(6) + b"sev")
        write(pipes.stderr, b"FOUR " + mark(4) + b"SIX " + mark(6))
        got = [sorted(text.split()) for text in pipes.output.take([4, 5, 6], rest=False)]
        write(pipes.stdout, b"en")
        (last,) = pipes.output.take([7], rest=True)
        pipes.close()
    assert got == [["FOUR", "four"], [], ["SIX", "six"]]
    assert last == "seven"
    assert b"\x1e" not in passed


@given(st.data())
def test_marks_are_found_wherever_the_pipe_divides_them(data):
    jobs = data.draw(st.lists(st.text("ab\x1e0123\n", max_size=60).map(str.encode), min_size=1, max_size=5))
    stream = b"".join(text + mark(job) for job, text in enumerate(jobs))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    output = _fed([stream[first:last] for first, last in zip([0, *cuts], [*cuts, len(stream)], strict=True)], len(jobs))
    assert output.take(range(len(jobs)), rest=False) == [text.decode() for text in jobs]


def _fed(pieces: list[bytes], jobs: int) -> Any:
    """Return an output without a process that has received the pieces one after the other."""
    pipes = Pipes(ByteRateLimiter(burst=0))
    pipes.close()
    pipes.output.expect(range(jobs))
    for piece in filter(None, pieces):
        pipes.output._receive(0, piece)
    return pipes.output
