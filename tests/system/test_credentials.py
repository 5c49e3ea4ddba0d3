"""An objective looks for the password of the database in the processes of its worker, as the same user."""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ledger.database import migration
from ledger.database.connection import engine
from tests import variables
from tests.system.accounts import USER, can_change_user, is_root, open_folder, with_python, without_rights
from tests.system.programs import own_study
from tests.system.servers import VERSIONS, Server

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc"),
    pytest.mark.usefixtures("new_processes"),
]

# Writes to found.json which files of its own process and of the processes above it could be read, and which of them
# contain the password. The file `needle` contains the password backwards, and the id of the last process to search.
SPY = """
import json, os, pathlib

def ancestors(last):
    pid = os.getpid()
    while pid not in (last, 1, 0):
        yield pid
        pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

def memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as file:
        for line in maps:
            first, last = (int(bound, 16) for bound in line.split()[0].split("-"))
            try:
                file.seek(first)
                yield file.read(min(last - first, 1 << 26))
            except (OSError, ValueError, OverflowError):
                pass

def files(pid):
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            descriptor = os.open(f"/proc/{pid}/fd/{name}", os.O_RDONLY | os.O_NONBLOCK)
            yield os.read(descriptor, 1 << 16)
        except OSError:
            pass  # a socket, or a pipe that is empty

def spy(params):
    needle, last = pathlib.Path("needle").read_text().split()
    needle = needle[::-1].encode()
    read, found = [], []
    for level, pid in enumerate(ancestors(int(last))):
        for name in ("environ", "cmdline", "mem", "fd"):
            if level == 0 and name == "mem":
                continue  # this process contains the needle
            try:
                if name in ("environ", "cmdline"):
                    pieces = [pathlib.Path(f"/proc/{pid}/{name}").read_bytes()]
                else:
                    pieces = memory(pid) if name == "mem" else files(pid)
                contains = any([needle in piece for piece in pieces])
            except OSError:
                continue
            read.append(f"{level} {name}")
            if contains:
                found.append(f"{level} {name}")
    if needle.decode() in os.environ.values():
        found.append("os.environ")
    home = pathlib.Path.home()
    users = [os.getuid(), os.getgid(), os.getgroups(), str(home)]
    pathlib.Path("found.json").write_text(json.dumps({"read": read, "found": found, "users": users}))
    return params["x"] ** 2

def spy_and_tell(params):
    with open("/dev/stderr", "w") as stderr:
        print("the spy looks", file=stderr)
    return spy(params)
"""

SCRIPT = """
import ledger
from mine import spy

@ledger.objective(space={"x": (-1.0, 1.0)})
def watch(params):
    return spy(params)

if __name__ == "__main__":
    ledger.Study(watch, name="own", trials=1, batch_size=1).run(workers=1)
"""


@pytest.fixture(scope="module", params=VERSIONS)
def host(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), version=request.param) as server:
        yield server


@pytest.fixture
def url(host: Server) -> str:
    with engine(host.url).connect() as connection:
        connection.exec_driver_sql("drop schema if exists ledger cascade")
        connection.commit()
        migration.upgrade(connection)
    return host.url


@pytest.fixture
def folder(host: Server) -> Iterator[Path]:
    with open_folder() as folder:
        own_study(folder, SPY, "spy", batch_size=1)
        (folder / "script.py").write_text(SCRIPT)
        (folder / "needle").write_text(f"{host.password[::-1]} {os.getpid()}")
        yield folder


def environment(folder: Path, **given: str) -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if k not in variables.ALL and not k.startswith("PG")}
    # the memory of a tracer of coverage is large
    return {**ours, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **given}


def run(
    folder: Path,
    command: list[str],
    *,
    prefix: tuple[str, ...] | None = None,
    stdin: int = subprocess.DEVNULL,
    **given: str,
) -> None:
    """Run a command of Python to its end, as the user without rights."""
    ended = subprocess.run(
        [*(without_rights() if prefix is None else prefix), sys.executable, *command],
        cwd=folder,
        env=environment(folder, **given),
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


@contextmanager
def managed(folder: Path, url: str) -> Iterator[None]:
    """Run the manager of the study during the block, which must complete the study."""
    manager = [sys.executable, "-m", "ledger", "manager", "own.toml"]
    with subprocess.Popen(
        manager, cwd=folder, env=environment(folder, DATABASE_URL=url), stdout=subprocess.DEVNULL
    ) as managing:
        try:
            yield
            assert managing.wait() == 0
        finally:
            managing.kill()


def found(folder: Path) -> dict[str, list[Any]]:
    document: dict[str, list[Any]] = json.loads((folder / "found.json").read_text())
    return document


if is_root() and not can_change_user():
    pytest.skip("root's objective reads everything, and no other user can run Python here", allow_module_level=True)


RUN = ["-m", "ledger", "run", "own.toml", "--allow", "mine", "--workers", "1"]
WORKER = ["-m", "ledger", "worker", "--study", "own", "--until-complete", "--allow", "mine"]


def test_an_objective_finds_a_password_in_a_process_that_does_not_hide_it(folder, url):
    child = "import mine; mine.spy({'x': 1.0})"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True, env={{}})"
    run(folder, ["-c", parent], DATABASE_URL=url)
    assert set(found(folder)["found"]) >= {"1 environ", "1 mem"}


@pytest.mark.parametrize("way", ["variable", "option", "variable of libpq"])
def test_an_objective_finds_no_password_in_run_and_worker(folder, url, host, way):
    command, given = list(RUN), {}
    if way == "variable":
        given = {"DATABASE_URL": url}
    elif way == "option":
        command += ["--database-url", url]
    else:
        given = {"DATABASE_URL": url.replace(f":{host.password}", ""), "PGPASSWORD": host.password}
    run(folder, command, **given)
    # the command lines of the trainer, the worker and `ledger run`; and what the objective has itself
    assert found(folder)["read"] == ["0 environ", "0 cmdline", "0 fd", "1 cmdline", "2 cmdline"]
    assert found(folder)["found"] == []


@pytest.mark.parametrize("way", ["variable", "option", "pipe"])
def test_an_objective_finds_no_password_in_a_worker_that_a_user_starts(folder, url, way):
    with managed(folder, url):
        if way == "variable":
            run(folder, WORKER, DATABASE_URL=url)
        elif way == "option":
            run(folder, [*WORKER, f"--database-url={url}"])
        else:
            reading, writing = os.pipe()
            os.fchown(reading, folder.stat().st_uid, -1)
            os.write(writing, url.encode())
            os.close(writing)
            run(folder, [*WORKER, "--database-url-file", "/dev/stdin"], stdin=reading)
    assert found(folder)["read"] == ["0 environ", "0 cmdline", "0 fd", "1 cmdline"]
    assert found(folder)["found"] == []


def test_an_objective_finds_no_password_in_a_script_that_runs_a_study(folder, url):
    run(folder, ["script.py"], DATABASE_URL=url)
    assert found(folder)["read"] == ["0 environ", "0 cmdline", "0 fd", "1 cmdline", "2 cmdline"]
    assert found(folder)["found"] == []


@pytest.mark.skipif(not can_change_user(), reason="only root can run a trainer as another user")
def test_the_objective_of_a_worker_of_root_runs_as_the_trainer_user(folder, url):
    own_study(folder, SPY, "spy_and_tell", batch_size=1)
    run(folder, [*RUN, "--trainer-user", USER], prefix=with_python(), DATABASE_URL=url)
    user = pwd.getpwnam(USER)
    groups = os.getgrouplist(USER, user.pw_gid)
    assert found(folder)["users"] == [user.pw_uid, user.pw_gid, groups, user.pw_dir]
    assert found(folder)["read"] == ["0 environ", "0 cmdline", "0 fd", "1 cmdline", "2 cmdline"]
    assert found(folder)["found"] == []


@pytest.mark.skipif(not can_change_user(), reason="only root can run a trainer as another user")
def test_a_trainer_user_reads_the_dataset_that_only_its_worker_may_open(folder, url):
    data = folder / "train.csv"
    data.touch(mode=0o600)
    data.write_text("a,b,y\n" + "".join(f"{row},{row % 7},{row % 2}\n" for row in range(60)))
    command = [
        "-m",
        "ledger",
        "run",
        "--model",
        "svm",
        "--data",
        "train.csv",
        "--target-column",
        "y",
        "--iterations",
        "1",
    ]
    run(folder, [*command, "--workers", "1", "--trainer-user", USER], prefix=with_python(), DATABASE_URL=url)
