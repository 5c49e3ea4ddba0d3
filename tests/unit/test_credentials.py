"""The options --database-url-file and --trainer-user are refused in one line that names the way out."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.access import read_url
from ledger.errors import LedgerError
from ledger.worker import credentials
from ledger.worker.system_user import find_system_user
from tests.fuzz import check_told, run

OTHER = pwd.getpwuid(65534).pw_name
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a trainer of another user")


def refused(*words: str, **environment: str) -> str:
    code, _, error = run(words, environment)
    assert code == 2
    check_told(code, error)
    return error


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "url"
    path.touch(mode=0o600)
    path.write_text("postgresql://user:secret@nowhere.invalid/ledger\n")
    return path


def test_a_file_of_its_owner_alone_contains_the_url_of_the_database(file):
    assert read_url(file) == "postgresql://user:secret@nowhere.invalid/ledger"
    file.chmod(0o400)
    assert read_url(file) == "postgresql://user:secret@nowhere.invalid/ledger"


def test_a_pipe_may_contain_the_url_of_the_database():
    reading, writing = os.pipe()
    os.write(writing, b"dbname=ledger")
    os.close(writing)
    assert read_url(Path(f"/dev/fd/{reading}")) == "dbname=ledger"
    os.close(reading)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_url_file_that_other_users_may_open_is_refused(file, mode):
    file.chmod(mode)
    error = refused("study", "list", "--database-url-file", str(file))
    assert f"other users have access to {file}: run `chmod 600 {file}`" in error
    assert "secret" not in error


@only_root
def test_a_url_file_of_another_user_is_refused(file):
    os.chown(file, 65534, 65534)
    assert "belongs to another user" in refused("worker", LEDGER_DATABASE_URL_FILE=str(file))


@pytest.mark.parametrize(("content", "said"), [(b" \n", "is empty"), (b"\xff", "is not text in UTF-8")])
def test_a_url_file_without_a_url_is_refused(file, content, said):
    file.write_bytes(content)
    assert said in refused("study", "list", "--database-url-file", str(file))


def test_a_url_file_that_is_no_file_is_refused(tmp_path):
    assert "cannot be read" in refused("study", "list", "--database-url-file", str(tmp_path / "none"))
    assert "cannot be read" in refused("study", "list", "--database-url-file", str(tmp_path))
    assert "is neither a file nor a pipe" in refused("study", "list", "--database-url-file", "/dev/null")


def test_a_url_and_a_url_file_exclude_each_other(file):
    error = refused("study", "list", "--database-url-file", str(file), DATABASE_URL="dbname=ledger")
    assert "exclude each other: remove one of them" in error


@pytest.mark.parametrize("command", [["worker"], ["run"], ["resume", "s"]])
@pytest.mark.parametrize(
    ("user", "euid", "said"),
    [
        ("none\x1b", 0, "none\\x1b is not a user of this machine"),
        ("root", 0, "root is root"),
        (OTHER, 1000, "start the worker as root, or omit --trainer-user"),
    ],
)
def test_a_trainer_user_that_cannot_be_is_refused(tmp_path, monkeypatch, command, user, euid, said):
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    assert said in refused(*command, "--trainer-user", user, LEDGER_HOME=str(tmp_path / "home"))
    assert not (tmp_path / "home").exists()


@only_root
def test_a_trainer_user_that_cannot_read_python_is_told(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(LedgerError, match=f"user {OTHER} .* cannot run the trainer .*Permission denied") as error:
        find_system_user(OTHER).check()
    assert "\n" not in str(error.value)


def test_a_program_that_calls_a_command_itself_is_not_started_again(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ledger", "worker", "--database-url", "secret"])
    monkeypatch.setenv("DATABASE_URL", "secret")
    credentials.conceal()
    assert (sys.argv[-1], os.environ["DATABASE_URL"]) == ("secret", "secret")


@pytest.mark.parametrize("name", ["python -m", "script"])
def test_a_command_sees_its_arguments_and_variables_as_they_were_given(tmp_path, name):
    package = tmp_path / "shown"
    package.mkdir()
    code = "import os, sys\nfrom ledger.worker.credentials import conceal\nconceal()\n"
    code += "from pathlib import Path\nprint(sys.argv[1:], os.environ['DATABASE_URL'], sys.flags.dev_mode)\n"
    code += "print(b'secret' in Path('/proc/self/cmdline').read_bytes() + Path('/proc/self/environ').read_bytes())\n"
    (package / "__main__.py").write_text(code)
    command = ["-m", "shown"] if name == "python -m" else [str(package / "__main__.py")]
    words = ["worker", "--database-url", "secret", "--database-url=secret 2", "a b", ""]
    out = subprocess.run(
        [sys.executable, "-X", "dev", *command, *words],
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": "secret 3"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    seen = "False" if sys.platform == "linux" else out.splitlines()[1]
    assert out == f"{words} secret 3 True\n{seen}\n"


def test_a_wrong_descriptor_of_credentials_is_told(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["ledger", "worker"])
    assert "does not name a file with credentials" in refused_with_code_1("worker", LEDGER_CREDENTIALS_FD="12345")


def refused_with_code_1(*words: str, **environment: str) -> str:
    code, _, error = run(words, environment)
    assert code == 1
    check_told(code, error)
    return error
