"""Whole searches in containers, with the real Docker engine, in a separate project and on a separate port."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.programs import wait_until

PROJECT = "ledger-test"
# `down --rmi all` removes the database's image, which other tests need
KEPT = "kept-for-tests:postgres"

pytestmark = pytest.mark.compose

Compose = Callable[..., str]


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    """Return a function that runs `docker compose …` in a folder of the project and returns its standard output."""
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
    run("down", "--volumes", "--remove-orphans", COMPOSE_PROFILES="dashboard")
    try:
        yield run
    finally:
        run("down", "--rmi", "local", "--volumes", "--remove-orphans", COMPOSE_PROFILES="dashboard")
        subprocess.run(["docker", "tag", KEPT, "postgres:17"], check=True)
        subprocess.run(["docker", "rmi", KEPT], check=True, capture_output=True)


def search(compose: Compose, model: str, folder: str) -> str:
    """Run a study to its end as a user would, and return the manager's exit code."""
    compose("up", "--detach", "--build", "--scale", "worker=4", folder=folder, MODEL_CHOICE=model)
    return outcome(compose)


def outcome(compose: Compose) -> str:
    """Wait for the end of the manager, and return its exit code."""
    compose("wait", "manager")
    return str(json.loads(compose("ps", "--all", "--format", "json", "manager"))["ExitCode"])


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


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
    # trials that were claimed in advance and not begun may have been released
    attempts = f"ledger.attempt where study_id = {study} and outcome <> 'released'"
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


def containers(compose: Compose) -> dict[str, str]:
    """Return the id of one container of each service, including containers that have exited."""
    lines = compose("ps", "--all", "--format", "json").splitlines()
    return {container["Service"]: container["ID"] for container in map(json.loads, lines)}


def test_no_password_is_shown(compose):
    found = compose("run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "roles", "-c", "cat /passwords/*/ledger")
    passwords = [line.rpartition(":")[2] for line in found.split()]
    assert [len(password) for password in passwords] == [48] * 5
    assert len(set(passwords)) == 5
    inspected = docker("inspect", *containers(compose).values())
    images = docker("image", "inspect", *docker("images", "--quiet", f"{PROJECT}-*").split())
    places = [compose("logs"), compose("config"), compose("top"), inspected, images]
    places.append(ask(compose, "select query from pg_stat_activity"))
    assert "ledger" in places[0]
    assert not [password for password in passwords for place in places if password in place]
    hashes = ask(compose, "select count(*) from pg_authid where rolpassword like 'SCRAM-SHA-256$%'")
    assert hashes == "5", "the superuser's, the owner's, the manager's, the worker's and the dashboard's"


def test_containers_are_read_only_and_their_processes_have_no_rights(compose):
    for service, container in containers(compose).items():
        host = json.loads(docker("inspect", "--format", "{{json .HostConfig}}", container))
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert not host["Privileged"], service
        if service != "db":
            assert not host["CapAdd"], service
            assert json.loads(docker("inspect", "--format", "{{json .Config.User}}", container)) == "10001", service
    for service, writable_else in (("db", "/mine"), ("worker", "/home/ledger/mine")):
        status = dict(
            line.split(":", 1) for line in compose("exec", "-T", service, "cat", "/proc/1/status").splitlines()
        )
        assert int(status["CapEff"], 16) == 0, service
        assert int(status["NoNewPrivs"]) == 1, service
        assert status["Uid"].split()[0] != "0", service
        left = compose("exec", "-T", service, "sh", "-c", f"touch {writable_else} 2>&1 || true")
        assert "Read-only file system" in left, service


def test_a_worker_is_healthy_under_its_role(compose):
    container = containers(compose)["worker"]
    wait_until(lambda: docker("inspect", "--format", "{{.State.Health.Status}}", container).strip() == "healthy")


def test_a_worker_reaches_no_password_but_its_own(compose):
    assert compose("exec", "-T", "worker", "cat", "/password/ledger").startswith("db:5432:*:compose_worker:")
    mounted = {}
    for service, container in containers(compose).items():
        mounts = json.loads(docker("inspect", "--format", "{{json .Mounts}}", container))
        mounted[service] = {mount.get("Name", "").removeprefix(f"{PROJECT}_") for mount in mounts} - {""}
    assert mounted["worker"] == {"password-worker"}
    assert mounted["manager"] == {"password-manager"}
    assert mounted["migrate"] == {"password-owner"}
    assert mounted["db"] == {"password", "data"}


def test_a_workers_role_reads_no_table_and_logs_in_as_no_other(compose):
    def python(program):
        return compose("exec", "-T", "worker", "python", "-c", f"import os, psycopg\n{program}").strip()

    url = "os.environ['DATABASE_URL']"
    for table in ("study", "trial", "attempt", "trials"):
        said = python(
            f"try: psycopg.connect({url}).execute('select from ledger.{table}')\nexcept Exception as e: print(e)"
        )
        assert said.startswith("permission denied for "), said
    for role in ("ledger", "ledger_owner", "compose_manager", "ledger_worker"):
        said = python(f"try: psycopg.connect({url}, user='{role}')\nexcept Exception as e: print(e)")
        assert "no password supplied" in said, said
    assert python(f"print(psycopg.connect({url}).info.user)") == "compose_worker"


def test_logins_reach_no_other_database_and_db_check_warns_of_nothing(compose):
    open_to = "datallowconn and has_database_privilege('compose_worker', datname, 'connect')"
    assert ask(compose, f"select datname from pg_database where {open_to}") == "ledger"
    said = compose("run", "--rm", "--no-deps", "-T", "--entrypoint", "ledger", "roles", "db", "check", "--json")
    assert json.loads(said)["warnings"] == []


def test_no_cuda_library_is_in_the_image(compose):
    packages = compose("exec", "-T", "worker", "python", "-m", "pip", "list").lower()
    assert "xgboost" in packages
    assert "nvidia" not in packages


def test_the_dashboard_shows_the_studies_to_this_machine_alone_as_a_reader(compose):
    """The dashboard belongs to a profile, which `down` needs too."""
    profile = {"COMPOSE_PROFILES": "dashboard", "LEDGER_DASHBOARD_PORT": "0"}
    compose("up", "--detach", "--build", "--no-deps", "optuna", **profile)
    compose("wait", "optuna", **profile)
    compose("up", "--detach", "--build", "--no-deps", "dashboard", **profile)
    host, port = compose("port", "dashboard", "8080", **profile).strip().rsplit(":", 1)
    assert host == "127.0.0.1"
    logs = lambda: compose("logs", "--no-log-prefix", "dashboard", **profile)  # noqa: E731
    wait_until(lambda: "the dashboard is at" in logs())
    with urllib.request.urlopen(f"http://{host}:{port}/api/studies") as answer:
        studies = json.load(answer)["study_summaries"]
    named = [study["study_name"].partition("-")[0] for study in studies]
    assert named == ["svm", "xgb", "lgbm"]
    with urllib.request.urlopen(f"http://{host}:{port}/api/studies/{studies[0]['study_id']}?after=0") as answer:
        assert [trial["state"] for trial in json.load(answer)["trials"]] == ["Complete"] * 16
    roles = "select distinct usename from pg_stat_activity where application_name = 'ledger optuna'"
    assert ask(compose, roles) == "ledger_dashboard"
    assert ask(compose, "select pg_has_role('ledger_dashboard', 'ledger_reader', 'usage')") == "t"
    compose("stop", "--timeout", "60", "dashboard", **profile)
    state = json.loads(compose("ps", "--all", "--format", "json", "dashboard", **profile))
    assert state["ExitCode"] == 0, logs()
    compose("rm", "--force", "dashboard", "optuna", **profile)


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


def test_a_ledger_from_before_the_roles_gets_them(compose):
    """An old ledger has only a superuser with a password."""
    compose("stop", "worker", "manager")
    assert ask(compose, "reassign owned by ledger_owner to ledger") == "REASSIGN OWNED"
    roles = [f"ledger_{role}" for role in ("dashboard", "owner", "manager", "worker", "reader")]
    for role in (*roles, "compose_manager", "compose_worker"):
        ask(compose, f"drop owned by {role}")
        ask(compose, f"drop role {role}")
    compose("down")
    docker(
        "volume", "rm", *(f"{PROJECT}_password-{service}" for service in ("owner", "manager", "worker", "dashboard"))
    )
    # the folder of the old password belonged to root
    older = "cd /password && chown root . && chmod 711 . && chown postgres postgres"
    docker("run", "--rm", "--volume", f"{PROJECT}_password:/password", "--entrypoint", "sh", KEPT, "-c", older)
    assert search(compose, "svm", "compose") == "0", compose("logs")
    assert ask(compose, "select count(*) from ledger.study") == "3"
    assert ask(compose, "select distinct tableowner from pg_tables where schemaname = 'ledger'") == "ledger_owner"


def test_a_ledger_whose_roles_could_log_in_gets_logins(compose):
    """A ledger of an older version, in which a worker has taken over the role of the workers."""
    compose("stop", "worker", "manager")
    for service in ("manager", "worker"):
        ask(compose, f"drop role compose_{service}")
        ask(compose, f"alter role ledger_{service} login password 'backdoor99'")
        older = f"echo db:5432:*:ledger_{service}:backdoor99 >/password/ledger && chown 10001 /password/ledger"
        volume = f"{PROJECT}_password-{service}:/password"
        docker("run", "--rm", "--volume", volume, "--entrypoint", "sh", KEPT, "-c", older)
    ask(compose, "alter role ledger_worker set local_preload_libraries = 'missing'")
    compose("down")
    assert search(compose, "svm", "compose") == "0", compose("logs")
    can_log_in = "select rolname from pg_authid where rolname like 'ledger\\_%' and (rolcanlogin or rolpassword <> '')"
    assert ask(compose, f"{can_log_in} order by rolname").split() == ["ledger_dashboard", "ledger_owner"]
    of_workers = "select distinct usename from pg_stat_activity where application_name like 'ledger worker%'"
    wait_until(lambda: ask(compose, of_workers) == "compose_worker")
    assert compose("exec", "-T", "worker", "cat", "/password/ledger").startswith("db:5432:*:compose_worker:")


def test_a_study_file_and_an_own_objective_are_mounted(compose, root):
    settings = {"LEDGER_STUDY_FILE": "valley.toml", "LEDGER_ALLOW": "valley", "MODEL_CHOICE": ""}
    settings |= {"NUM_ITERATIONS": "", "NUM_HYPERPARAM_SETS": ""}
    compose("up", "--detach", "--scale", "worker=2", **settings)
    assert outcome(compose) == "0", compose("logs", "manager")
    assert "valley" in ask(compose, "select objective ->> 'function' from ledger.study order by id desc limit 1")


def test_scaling_from_8_workers_to_2_loses_no_trial_and_costs_no_attempt(compose, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n\n"
        "def slow(params):\n"
        "    while not pathlib.Path(__file__).with_name('go').exists():\n        time.sleep(0.1)\n"
        "    time.sleep(1)\n    return params['x'] ** 2\n"
    )
    (tmp_path / "slow.toml").write_text(
        '[study]\nname = "scaled"\niterations = 2\nbatch_size = 24\n[objective]\nfunction = "slow:slow"\n'
        '[optimizer]\nbase_estimator = "ET"\n[space]\nx = { type = "real", low = -1.0, high = 1.0 }\n'
    )
    settings = {"LEDGER_STUDIES": str(tmp_path), "LEDGER_STUDY_FILE": "slow.toml", "LEDGER_ALLOW": "slow"}
    settings |= {"MODEL_CHOICE": "", "NUM_ITERATIONS": "", "NUM_HYPERPARAM_SETS": ""}
    settings["LEDGER_WORKER_GRACE"] = "25"
    trials = "ledger.trials where study = 'scaled'"
    compose("up", "--detach", "--scale", "worker=8", **settings)
    # Each worker has loaded the objective before the workers are stopped. On a busy machine, the load takes longer than
    # the grace time.
    wait_until(lambda: ask(compose, f"select count(*) from {trials} and state = 'running'") == "8")
    (tmp_path / "go").touch()
    done = "select count(distinct worker) from ledger.attempts where study = 'scaled' and outcome = 'complete'"
    wait_until(lambda: ask(compose, done) == "8")
    # the current trial is finished within the grace time
    compose("up", "--detach", "--scale", "worker=2", **settings)
    assert outcome(compose) == "0", compose("logs", "manager")
    # A worker that is stopped between its claim and the start of the trial releases the trial. The attempt `released`
    # counts against no limit of the trial.
    attempts = (
        "select outcome, count(*) from ledger.attempts where study = 'scaled' and outcome <> 'released' group by 1"
    )
    assert ask(compose, attempts) == "complete,48"
    assert ask(compose, f"select count(*), sum(failures), sum(crashes), sum(lost) from {trials}") == "48,0,0,0"
    assert int(ask(compose, "select count(distinct worker) from ledger.attempts where study = 'scaled'")) == 8


def test_down_with_everything_removes_all(compose):
    compose("down", "--rmi", "all", "--volumes", "--remove-orphans", COMPOSE_PROFILES="dashboard")
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
