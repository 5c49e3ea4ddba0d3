"""Attacks by files: damaged exports, study files, tables and points, read by the program in this process."""

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.attack.tally import Tally
from tests.attack.values import DOCUMENTS, FLOATS, TEXTS, TIMES
from tests.attack.victims import Victims
from tests.fuzz import run

_STUDY = b"""
[study]
name = "from-a-file"
iterations = 2
batch_size = 2
seed = 1
[objective]
model = "svm"
[space]
C = { type = "real", low = 0.1, high = 10.0, prior = "log-uniform" }
kernel = { type = "categorical", choices = ["rbf", "linear"] }
[limits]
lease = 30.0
"""
_TRIALS = b"C,kernel,loss\n1.0,rbf,0.25\n2.0,linear,0.5\n"
_POINTS = b'{"C": 1.0, "kernel": "rbf"}\n{"C": 2.0, "kernel": "linear"}\n'
_DATA = b"age,city,left\n41.0,Bern,yes\n47.5,Basel,no\n33.0,Chur,yes\n29.0,Bern,no\n"


class Files:
    """Writes damaged files, and gives them to the commands that read files."""

    def __init__(self, victims: Victims, tally: Tally, rng: random.Random) -> None:
        self._tally, self._rng = tally, rng
        self._folder = victims.folder / "files"
        self._folder.mkdir()
        self._environment = {
            "DATABASE_URL": victims.urls["ledger_manager"],
            "LEDGER_HOME": str(self._folder / "home"),
        }
        process = victims.owner
        (self._folder / "own.toml").write_bytes(_STUDY)
        process.run("study", "create", str(self._folder / "own.toml"), "--name", "exported")
        self._export: dict[str, Any] = json.loads(process.run("export", "exported", "--format", "json"))
        self.tracebacks: list[str] = []

    def attack(self, count: int) -> None:
        """Read damaged files."""
        for _ in range(count):
            self._rng.choice(
                [
                    self._import,
                    self._create,
                    self._import_trials,
                    self._enqueue_points,
                    self._data,
                    self._parquet,
                ]
            )()

    def _import(self) -> None:
        document = json.loads(json.dumps(self._export))
        document["study"]["name"] = f"imported-{self._rng.getrandbits(40)}"
        for _ in range(self._rng.choice([0, 1, 1, 2])):
            self._damage(document)
        self._read("export", json.dumps(document).encode(), ".json", "import")

    def _create(self) -> None:
        self._read("study file", self._damaged(_STUDY), ".toml", "study", "create")

    def _import_trials(self) -> None:
        extra = ["--into", "exported", "--loss", "loss"]
        self._read("csv of trials", self._damaged(_TRIALS), ".csv", "import", "csv", extra=extra)

    def _enqueue_points(self) -> None:
        self._read("file of points", self._damaged(_POINTS), ".jsonl", "trial", "enqueue", "exported", "--file")

    def _data(self) -> None:
        extra = ["--target-column", "left", "--model", "svm", "--name", f"data-{self._rng.getrandbits(40)}"]
        self._read("csv of a dataset", self._damaged(_DATA), ".csv", "study", "create", "--data", extra=extra)

    def _parquet(self) -> None:
        content = b"PAR1" + self._rng.randbytes(self._rng.choice([0, 8, 400])) + b"PAR1"
        extra = ["--target-column", "left", "--model", "svm"]
        self._read("parquet", content, ".parquet", "study", "create", "--data", extra=extra)

    def _read(self, kind: str, content: bytes, suffix: str, *command: str, extra: Sequence[str] = ()) -> None:
        self._tally.tried(f"file: {kind}")
        file = self._folder / f"attack{suffix}"
        file.write_bytes(content)
        words = [*command, str(file), *extra]
        before = Path.cwd()
        try:
            os.chdir(self._folder)
            code, _, error = run(words, self._environment)
        except BaseException as raised:
            if isinstance(raised, KeyboardInterrupt):
                raise
            self.tracebacks.append(f"{kind}: {type(raised).__name__}: {raised}"[:300])
            return
        finally:
            os.chdir(before)
        if code:
            self._tally.refused(f"file: {kind}")
        if code not in (0, 1, 2) or "Traceback" in error:
            self.tracebacks.append(f"{kind}: exit code {code}: {error[-300:]}")

    def _damaged(self, content: bytes) -> bytes:
        rng = self._rng
        for _ in range(rng.choice([0, 1, 1, 3])):
            start = rng.randrange(len(content) + 1)
            end = min(len(content), start + rng.choice([0, 1, 5, 40]))
            new = rng.choice(
                [
                    rng.randbytes(3),
                    rng.choice([*TEXTS, *FLOATS, *TIMES]).encode("utf-8", "surrogatepass")[:20_000],
                    rng.choice(DOCUMENTS).encode()[:20_000],
                    content[start:end] * 50,
                    b"",
                ]
            )
            content = content[:start] + new + content[end:]
        return content

    def _damage(self, document: Any) -> None:
        """Replace a random value of a JSON document."""
        rng = self._rng
        while True:
            key = rng.choice(list(document) if isinstance(document, dict) else range(len(document)))
            if isinstance(document[key], dict | list) and document[key] and rng.random() < 0.85:
                document = document[key]
                continue
            odd: list[Any] = [None, True, -1, 10**30, 1e308, float("nan"), [], {}, "\ud800", "a\0b"]
            document[key] = rng.choice([*TEXTS, *TIMES, *odd])
            return
