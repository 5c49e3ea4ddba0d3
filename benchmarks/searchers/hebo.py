"""Searches of HEBO (Cowen-Rivers and others 2022, *HEBO: Pushing the Limits of Sample-Efficient Hyperparameter
Optimisation*).

HEBO needs older versions of some packages than the ledger. Therefore HEBO runs in a process of its own, with the
Python of another environment.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from functools import cache
from typing import IO, Any

from benchmarks.searchers import hebo_process
from benchmarks.searchers.searcher import Params, Setting, with_choices
from ledger.study.dimensions import Categorical, Integer

# Environment variable with the Python that has HEBO.
VARIABLE = "BENCHMARK_HEBO"


@cache
def version(package: str) -> str | None:
    """Return the version of a package in the environment of HEBO, or None."""
    python = os.environ.get(VARIABLE)
    if python is None:
        return None
    code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    try:
        found = subprocess.run([python, "-c", code, package], capture_output=True, text=True, check=False)
    except OSError as error:
        sys.exit(f"${VARIABLE} is no Python: {error}")
    return found.stdout.strip() if found.returncode == 0 else None


class HeboSearcher:
    """HEBO with its default settings. It begins with one random point for each parameter, and one more."""

    def __init__(self, setting: Setting) -> None:
        self._dimensions = setting.dimensions
        self._seconds = 0.0
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, `_end` closes it
        self._process = subprocess.Popen(
            # Without -I, the process would import this module as the package `hebo`.
            [os.environ[VARIABLE], "-I", hebo_process.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        weakref.finalize(self, _end, self._process, self._errors)
        self._send({"seed": setting.seed, "parameters": [_parameter(one) for one in setting.dimensions]})

    def ask(self, size: int) -> list[Params]:
        return [with_choices(self._dimensions, row) for row in self._answer({"ask": size})["points"]]

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None:  # noqa: ARG002
        self._answer({"tell": list(losses)})

    def processor_seconds(self) -> float:
        """Return the processor seconds of this process and of the process of HEBO."""
        return time.process_time() + self._seconds

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        # If the process has ended, the missing answer says so.
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(message), file=self._process.stdin, flush=True)

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        self._send(message)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            last = (self._errors.read().strip().splitlines() or ["no error was printed"])[-1]
            raise RuntimeError(f"HEBO in the Python ${VARIABLE} has ended: {last}")
        answer: dict[str, Any] = json.loads(line)
        self._seconds = answer["seconds"]
        return answer


def _end(process: "subprocess.Popen[str]", errors: IO[str]) -> None:
    with errors, contextlib.suppress(BrokenPipeError):
        process.communicate()


def _parameter(dimension: Any) -> dict[str, Any]:
    if isinstance(dimension, Categorical):
        return {"name": dimension.name, "type": "cat", "categories": list(range(len(dimension.choices)))}
    is_log, is_integer = dimension.prior == "log-uniform", isinstance(dimension, Integer)
    kind = {(False, False): "num", (False, True): "int", (True, False): "pow", (True, True): "pow_int"}
    return {"name": dimension.name, "type": kind[is_log, is_integer], "lb": dimension.low, "ub": dimension.high}
