"""A ledger on a separate embedded server, with generated histories and real processes of the program."""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection

from benchmarks.objectives import SECONDS, valley
from ledger import embedded
from ledger.database import migration, trials
from ledger.database.connection import engine
from ledger.database.rows import StudyRow
from ledger.manager.registration import register
from ledger.study.file import assemble
from tests.integration.ledgers import propose, tell

ROOT = Path(__file__).parents[1]
NAMES = ("x", "y", "z")
# Seconds after which a benchmark stops waiting.
PATIENCE = 600.0
POLL = 0.002

_FILE = """
[study]
name = "{name}"
iterations = {iterations}
batch_size = {batch_size}
mode = "{mode}"
[objective]
function = "benchmarks.objectives:{function}"
[space]
{space}
"""


class Ledger:
    """A ledger with an up-to-date schema.

    Attributes
    ----------
    url : str
    folder : Path
        A folder for files, which is removed with the ledger.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    @contextmanager
    def db(self) -> Iterator[Connection]:
        with engine(self.url).connect() as connection:
            yield connection

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement, parameters).fetchall()

    def database(self, name: str) -> str:
        """Create another database on the same server, for another tool, and return its SQLAlchemy URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"create database {name}")
        folder = quote(str(conninfo_to_dict(self.url)["host"]))
        return f"postgresql+psycopg://{embedded.NAME}@/{name}?host={folder}&port={embedded.PORT}"

    # Histories

    def study(
        self,
        name: str,
        *,
        iterations: int,
        batch_size: int,
        function: str = "valley",
        mode: str = "batch",
        more: str = "",
    ) -> StudyRow:
        """Register a study with a GP, EI and three real parameters. `more` is added to the study file."""
        file = self.folder / f"{name}.toml"
        space = "\n".join(f'{one} = {{ type = "real", low = 0.0, high = 1.0 }}' for one in NAMES)
        facts = {"iterations": iterations, "batch_size": batch_size, "function": function, "mode": mode}
        file.write_text(_FILE.format(name=name, space=space, **facts) + more)
        with self.db() as db:
            return register(db, assemble({}, file))

    def fill(self, row: StudyRow, trials: int, batch: int) -> tuple[list[list[float]], list[float]]:
        """Record complete trials in iterations that are told. Returns their points and losses."""
        source = random.Random(0)
        for number in range(trials // batch):
            self.propose(row, number, [[source.random() for _ in NAMES] for _ in range(batch)])
            self.finish(row, number)
        found = self.query("select params, loss from ledger.trials where study_id = %s order by trial", row.id)
        return [[params[name] for name in NAMES] for params, _ in found], [loss for _, loss in found]

    def propose(self, row: StudyRow, number: int, points: Sequence[Sequence[float]]) -> None:
        params = [dict(zip(NAMES, map(float, point), strict=True)) for point in points]
        with self.db() as db:
            propose(db, row, number, params)

    def finish(self, row: StudyRow, number: int) -> None:
        """Complete the trials of an iteration without a worker, and mark the iteration as told."""
        statement = (
            "update ledger.trial set state = 'complete', loss = %s, metrics = '{}', finished_at = ledger.clock()"
            " where study_id = %s and number = %s"
        )
        with psycopg.connect(self.url, autocommit=True) as connection, self.db() as db:
            proposed = trials.all_of(db, row.id, iteration=number)
            losses = [valley(trial.params) for trial in proposed]
            with connection.cursor() as cursor, connection.transaction():
                cursor.executemany(
                    statement, [(loss, row.id, trial.number) for trial, loss in zip(proposed, losses, strict=True)]
                )
            assert tell(db, row, number, statistics.fmean(losses), min(losses)) == "told"

    def iterations(self, row: StudyRow) -> int:
        """Return the number of proposed iterations."""
        return int(self.query("select count(*) from ledger.iterations where study_id = %s", row.id)[0][0])

    # Processes

    @contextmanager
    def program(self, *arguments: str, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run `ledger`, and kill it at the end if it still runs. Its output goes to a log file in the folder."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("LEDGER_", "WORKER_"))}
        environment |= {"DATABASE_URL": self.url, "PYTHONPATH": str(ROOT), **variables}
        with (self.folder / f"{arguments[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ledger", *arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        assert process.stdin is not None
        with process.stdin:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()

    @contextmanager
    def workers(self, count: int, study: str, seconds: float = 0.0, **variables: str) -> Iterator[list[int]]:
        """Start workers of a study, wait until they are all ready, and yield their process ids."""
        with ExitStack() as stack:
            variables = {SECONDS: str(seconds), **variables}
            processes = [stack.enter_context(self._worker(study, variables)) for _ in range(count)]
            self.wait_until(lambda: self._waiting() == count, processes)
            yield [process.pid for process in processes]
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(60)

    def _worker(self, study: str, variables: Mapping[str, str]) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        arguments = ("worker", "--study", study, "--allow", "benchmarks", "--exit-on-eof", "--log-level", "warning")
        return self.program(*arguments, **variables)

    def _waiting(self) -> int:
        return int(self.query("select count(*) from ledger.workers where stopped_at is null")[0][0])

    def wait_until(
        self,
        condition: Callable[[], bool],
        processes: "Sequence[subprocess.Popen[bytes]]",
    ) -> None:
        """Wait for a condition. If a process exits first, exit with the last line of each log."""
        end = time.monotonic() + PATIENCE
        while not condition():
            ended = [process for process in processes if process.poll() is not None]
            if ended or time.monotonic() > end:
                logs = [file.read_text().strip().splitlines()[-1:] for file in self.folder.glob("*.log")]
                raise SystemExit(f"{'a process ended' if ended else 'nothing happened'}; the logs end with {logs}")
            time.sleep(POLL)


@contextmanager
def ledger() -> Iterator[Ledger]:
    """Yield a new ledger."""
    with tempfile.TemporaryDirectory() as name, embedded.running(Path(name) / "home", create=True) as url:
        with engine(url).connect() as connection:
            migration.upgrade(connection)
        yield Ledger(url, Path(name))
