"""The processes that the tests fork from a template are like new processes."""

import json
import os
import subprocess
import sys

import pytest

from tests.system import preloaded

# Prints what a program can know about its start, and reads a descriptor that its first argument names.
FACTS = """
import json, os, signal, sys
from pathlib import Path

def shown(name):
    return os.fsdecode(Path("/proc/self", name).read_bytes()).rstrip("\\0").split("\\0")

print(json.dumps({
    "arguments": [sys.argv, sys.orig_argv, shown("cmdline")],
    "path": sys.path,
    "folder": os.getcwd(),
    "environment": [dict(os.environ), sorted(shown("environ"))],
    "parent": os.getppid(),
    "leads": [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()],
    "handlers": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
    "passed": os.read(int(sys.argv[1]), 6).decode(),
    "streams": [(stream.encoding, stream.errors) for stream in (sys.stdin, sys.stdout, sys.stderr)],
    "name": __name__,
}))
print("ledger.search" in sys.modules)
sys.exit(3)
"""
# Starts itself again in the same process, or runs the script of its second argument in another one.
NESTED = """
import os, subprocess, sys
how, script, descriptor = sys.argv[1:]
command = [sys.executable, script, descriptor]
if how == "execve":
    os.execve(sys.executable, command, {"HOW": how, **os.environ})
process = subprocess.Popen(command, pass_fds=[int(descriptor)], env={"HOW": how, **os.environ}, process_group=0)
sys.exit(process.wait())
"""


def facts(folder, *arguments, **options):
    """Return the facts of a process, and whether it was forked."""
    passed, writer = os.pipe()
    os.write(writer, b"passed")
    os.close(writer)
    environment = {**os.environ, "PYTHONPATH": str(folder), "OF_TEST": "é\udcff"}
    process = subprocess.Popen(
        [sys.executable, *arguments, str(passed)],
        cwd=folder,
        env=environment,
        pass_fds=[passed],
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    os.close(passed)
    out, _ = process.communicate()
    assert process.returncode == 3
    lines = out.splitlines()
    return json.loads(lines[0]), lines[1] == "True", process.pid


@pytest.mark.skipif(sys.platform != "linux", reason="the template needs Linux")
@pytest.mark.parametrize("way", ["session", "group", "execve", "child"])
def test_a_forked_process_begins_as_a_new_one_does(tmp_path, way):
    (tmp_path / "facts.py").write_text(FACTS)
    (tmp_path / "nested.py").write_text(NESTED)
    options = {"start_new_session": True} if way == "session" else {}
    arguments = ["facts.py"] if way in ("session", "group") else ["nested.py", way, "facts.py"]
    forked, is_forked, pid = facts(tmp_path, *arguments, **options)
    with preloaded.without_template():
        new, is_new_forked, new_pid = facts(tmp_path, *arguments, **options)
    assert is_forked == ("COVERAGE_PROCESS_CONFIG" not in os.environ)
    assert not is_new_forked
    # the numbers of descriptors and of processes differ
    parents = [forked.pop("parent"), new.pop("parent")]
    assert parents == ([pid, new_pid] if way == "child" else [os.getpid()] * 2)
    assert {name: found for name, found in forked.items() if found != new[name]} == {}
