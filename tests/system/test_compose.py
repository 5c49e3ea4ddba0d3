"""The whole search in containers, through the real engine, in a project and on a port of its own."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import docker_answers

PROJECT = "ledger-test"
# `down --rmi all` removes the database's image too, which other tests need
KEPT = "kept-for-tests:postgres"

pytestmark = [
    pytest.mark.compose,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not docker_answers(), reason="no Docker engine answers"),
]

Compose = Callable[..., str]


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    """Runs `docker compose …` in a folder of the project and returns its standard output."""
    root = Path(__file__).parents[2]

    def run(*arguments: str, folder: str = ".", **settings: str) -> str:
        environment = {
            **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "LEDGER_HOME")},
            "COMPOSE_PROJECT_NAME": PROJECT,
            "LEDGER_DB_PORT": "0",
            "NUM_ITERATIONS": "2",
            "NUM_HYPERPARAM_SETS": "8",
            **settings,
        }
        process = subprocess.run(
            ["docker", "compose", "--ansi", "never", "--progress", "quiet", *arguments],
            cwd=root / folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0 or arguments[0] == "wait", process.stdout + process.stderr
        return process.stdout

    subprocess.run(["docker", "tag", "postgres:17", KEPT], check=True)
    run("down", "--volumes", "--remove-orphans")
    try:
        yield run
    finally:
        run("down", "--rmi", "local", "--volumes", "--remove-orphans")
        subprocess.run(["docker", "tag", KEPT, "postgres:17"], check=True)
        subprocess.run(["docker", "rmi", KEPT], check=True, capture_output=True)


def search(compose: Compose, model: str, folder: str) -> str:
    """Run a study to its end, as a user does, and return the manager's exit code."""
    compose("up", "--detach", "--build", "--scale", "worker=4", folder=folder, MODEL_CHOICE=model)
    return outcome(compose)


def outcome(compose: Compose) -> str:
    """Wait for the manager's end and return its exit code."""
    compose("wait", "manager")
    return str(json.loads(compose("ps", "--all", "--format", "json", "manager"))["ExitCode"])


def ask(compose: Compose, question: str) -> str:
    return compose("exec", "-T", "db", "psql", "-AtF,", "-c", question).strip()


def test_both_folders_mean_the_same_project(compose):
    root, inner = (json.loads(compose("config", "--format", "json", folder=folder)) for folder in (".", "compose"))
    assert {key: root[key] for key in ("name", "services", "volumes")} == {
        key: inner[key] for key in ("name", "services", "volumes")
    }
    assert [port["host_ip"] for port in root["services"]["db"]["ports"]] == ["127.0.0.1"]


def test_the_project_is_named_ledger_from_both_folders(root):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
    for folder in (".", "compose"):
        found = subprocess.run(
            ["docker", "compose", "config", "--format", "json"],
            cwd=root / folder,
            env=environment,
            capture_output=True,
            check=True,
        )
        assert json.loads(found.stdout)["name"] == "ledger"


@pytest.mark.parametrize(("model", "folder"), [("svm", "."), ("xgb", "compose"), ("lgbm", "compose")])
def test_a_study_completes_on_four_workers_and_nothing_is_claimed_twice(compose, model, folder):
    assert search(compose, model, folder) == "0", compose("logs", "manager")
    study = f"(select id from ledger.study where name like '{model}-%')"
    assert ask(compose, f"select state from ledger.study where id = {study}") == "complete"
    trials = ask(
        compose,
        f"select count(*), count(*) filter (where state = 'complete') from ledger.trial where study_id = {study}",
    )
    assert trials == "16,16"
    attempts = f"ledger.attempt where study_id = {study}"
    assert ask(compose, f"select count(*), count(distinct trial) from {attempts}") == "16,16"
    assert ask(compose, f"select count(distinct worker) from {attempts}") == "4"
    most_at_once = ask(
        compose,
        f"select max(others) from (select (select count(distinct other.worker) from ledger.attempt as other"
        f" where other.study_id = attempt.study_id and attempt.claimed_at"
        f" between other.claimed_at and other.ended_at) as others from {attempts}) as found",
    )
    assert int(most_at_once) >= 3
    assert "accuracy" in compose("logs", "--no-log-prefix", "manager")


def test_no_password_is_logged_and_the_containers_are_not_root(compose):
    password = compose("exec", "-T", "db", "cat", "/password/postgres").strip()
    assert len(password) == 48
    assert password not in compose("logs")
    assert password not in compose("config")
    assert compose("exec", "-T", "worker", "id", "-u").strip() == "10001"


def test_no_cuda_library_is_in_the_image(compose):
    packages = compose("exec", "-T", "worker", "python", "-m", "pip", "list").lower()
    assert "xgboost" in packages
    assert "nvidia" not in packages


def test_workers_that_are_stopped_leave_with_exit_code_0(compose):
    compose("stop", "--timeout", "60", "worker")
    lines = compose("ps", "--all", "--format", "json", "worker").splitlines()
    assert [json.loads(line)["ExitCode"] for line in lines] == [0, 0, 0, 0]


def test_down_loses_nothing_and_a_complete_study_is_shown_again(compose):
    compose("down")
    assert search(compose, "svm", "compose") == "0"
    logs = compose("logs", "--no-log-prefix", "manager")
    assert "complete" in logs
    assert "proposed" not in logs
    assert ask(compose, "select count(*) from ledger.study") == "3"


def test_a_study_file_and_an_own_objective_are_mounted(compose, root):
    settings = {"LEDGER_STUDY_FILE": "valley.toml", "LEDGER_ALLOW": "valley", "MODEL_CHOICE": ""}
    settings |= {"NUM_ITERATIONS": "", "NUM_HYPERPARAM_SETS": ""}
    compose("up", "--detach", "--scale", "worker=2", **settings)
    assert outcome(compose) == "0", compose("logs", "manager")
    assert "valley" in ask(compose, "select objective ->> 'function' from ledger.study order by id desc limit 1")


def test_down_with_everything_removes_all(compose):
    compose("down", "--rmi", "all", "--volumes", "--remove-orphans")
    for kind in (["container", "ls", "--all"], ["volume", "ls"], ["network", "ls"]):
        left = subprocess.run(
            ["docker", *kind, "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert left.stdout == ""
    images = subprocess.run(["docker", "images", "--quiet", f"{PROJECT}-*"], capture_output=True, text=True, check=True)
    assert images.stdout == ""
