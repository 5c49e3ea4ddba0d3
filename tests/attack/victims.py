"""The ledger under attack: a server with roles, a real study with its manager, and workers of their own."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.fleet import Member
from tests.chaos.studies import NAME, Plan, program
from tests.roles import ROLES, make_roles
from tests.system.accounts import USER, is_root, without_rights
from tests.system.programs import Program, wait_until
from tests.system.servers import Server

PLAN = Plan("rugged", iterations=100_000, batch_size=4, seed=11, base_estimator="ET", rule="groups", has_two_rungs=True)
TRIAL_SECONDS = 0.2
# Seconds that the manager and the workers have to stop.
LEAVE = 60.0
# Seconds that a command may take. `ledger verify` recomputes each proposal of a forest, which takes about a second.
_LONGEST = 1_200.0


@dataclass
class Victims:
    """A ledger with a running study.

    Attributes
    ----------
    folder : Path
        Folder of all files and logs.
    urls : mapping
        For each role, the database's URL with a login of the role.
    members : list of Member
        The manager and the workers of the study, and the workers that take any study.
    store : Path
        A link to the folder in which one of the workers that take any study keeps artifacts.
    """

    folder: Path
    server: Server
    urls: dict[str, str]
    owner: Program
    members: list[Member] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.folder / "stored" / "store"

    @property
    def manager(self) -> Member:
        return self.members[0]

    @property
    def workers(self) -> list[Member]:
        return self.members[1:]

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a query as the superuser."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            return connection.execute(statement, values).fetchall()

    def ended(self, members: Sequence[Member]) -> list[str]:
        """Return the logs of members that ended without a request, with exit code and last line."""
        return [f"{one.log.stem}: exit code {one.exit_code}: {one.last_words}" for one in members if not one.runs]

    def tracebacks(self) -> list[str]:
        """Return the logs with a traceback. The workers of any study also log the output of hostile objectives."""
        own = [one for one in self.members if not one.log.name.startswith("any-")]
        return [one.log.name for one in own if "Traceback" in one.log.read_text(errors="replace")]


@contextmanager
def victims(folder: Path) -> Iterator[Victims]:
    """Start the server, the study, its manager, 2 workers of the study, and 2 workers for any study."""
    with Server(folder / "server", max_connections=60) as server:
        of = make_roles(server.url)
        urls = {role: of(role) for role in ROLES}
        owner = program(folder / "owner", trial_seconds=0, DATABASE_URL=urls["ledger_owner"])
        owner.run("db", "upgrade")
        with psycopg.connect(server.url, autocommit=True) as connection:
            # A manager may cancel each study, so the attack must not guess the id of the study that has to go on.
            connection.execute("alter table ledger.study alter column id restart with 5000")
        under_attack = Victims(folder, server, urls, owner)
        try:
            _start(under_attack, folder)
            wait_until(lambda: under_attack.query("select from ledger.trial where state = 'complete'"))
            yield under_attack
        finally:
            for member in under_attack.members:
                if member.runs:
                    member.kill()


def dismiss(under_attack: Victims) -> list[str]:
    """Ask all members to stop, and return those that did not stop in time."""
    running = [member for member in under_attack.members if member.runs]
    for member in running:
        member.ask_to_leave()
    return [member.log.stem for member in running if member.wait(LEAVE) is None]


def _start(under_attack: Victims, folder: Path) -> None:
    logs = folder / "logs"
    logs.mkdir()
    manager = program(folder / "manager", trial_seconds=0, DATABASE_URL=under_attack.urls["ledger_manager"])
    worker = program(folder / "worker", trial_seconds=TRIAL_SECONDS, DATABASE_URL=under_attack.urls["ledger_worker"])
    # root could read the memory of every process
    as_user = program(
        folder / "as-user",
        trial_seconds=0,
        prefix=without_rights(),
        DATABASE_URL=under_attack.urls["ledger_worker"],
        PYTHONDONTWRITEBYTECODE="1",
    )
    contents = under_attack.store.with_name("contents")
    contents.mkdir(parents=True)
    under_attack.store.symlink_to(contents)
    if is_root():
        shutil.chown(as_user.folder, USER)
        shutil.chown(contents, USER)
    members = under_attack.members
    members.append(Member(manager, ["manager", str(PLAN.write(folder))], logs / "manager.log"))
    for number in range(2):
        command = ["worker", "--study", NAME, "--allow", "tests.chaos"]
        members.append(Member(worker, command, logs / f"worker-{number}.log"))
    for number, options in enumerate([[], ["--store", str(under_attack.store)]]):
        command = ["worker", "--allow", "tests", "--trial-timeout", "5", *options]
        members.append(Member(as_user, command, logs / f"any-{number}.log"))


def run_commands(under_attack: Victims) -> list[str]:
    """Run each command that shows the ledger. Returns those that failed, with their last line."""
    commands = [
        ["study", "list"],
        ["study", "show", NAME],
        ["status", NAME],
        ["trial", "list", NAME],
        ["worker", "list"],
        ["export", NAME, "--format", "json"],
        ["export", NAME, "--format", "csv"],
        ["report", NAME, "--output", str(under_attack.folder / "report.html")],
        ["verify", NAME],
        ["db", "check"],
    ]
    failed = []
    for command in commands:
        process = under_attack.owner.start(*command)
        try:
            _, error = process.communicate(timeout=_LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            error = f"no end within {_LONGEST} s"
        if process.returncode != 0 or "Traceback" in error:
            failed.append(f"{' '.join(command[:2])}: {error.strip().splitlines()[-1:]}")
    return failed
