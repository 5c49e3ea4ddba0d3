"""Hostile objectives. Each is a function of this module whose name begins with `hostile_`."""

import ctypes
import fcntl
import gc
import json
import math
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from ledger import LedgerError
from ledger.objectives import artifact_saving

# What the URL of a role with its password looks like to a thief.
SECRET = b"password="
# File in the worker's folder that gets one byte for each message to a trainer's channel.
WRITTEN = "messages-written"
# Seconds that a process left by an objective would live.
LEFT = 600


class Odd:
    """A value that raises whenever it is looked at."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __float__ = __bool__ = __repr__


class OddError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Unending(Exception):
    def __str__(self):
        return "x" * 30_000_000


def hostile_nan(params):
    return math.nan


def hostile_infinity(params):
    return -math.inf


def hostile_none(params):
    return None


def hostile_text(params):
    return "0.5"


def hostile_huge_integer(params):
    return 10**5_000


def hostile_fraction(params):
    return Fraction(1, 3)


def hostile_extreme_loss(params):
    return 1.7e308


def hostile_odd_value(params):
    return Odd()


def hostile_odd_metric(params):
    return {"loss": 1.0, "metric": Odd()}


def hostile_deep_metrics(params):
    value: object = 1
    for _ in range(100_000):
        value = [value]
    return {"loss": 1.0, "deep": value}


def hostile_large_metrics(params):
    return {"loss": 1.0, "large": "x" * 50_000_000}


def hostile_many_metrics(params):
    return {"loss": 1.0, **{f"m{number}": number for number in range(200_000)}}


def hostile_surrogate_metric(params):
    return {"loss": 1.0, "text": "\ud800", "nul": "\0"}


def hostile_escapes_metric(params):
    return {"loss": 1.0, "text": "\x1b]0;title\x07\x9b2J\u202e=cmd|' /C calc'!A0"}


def hostile_huge_number_metric(params):
    return {"loss": 1.0, "big": 10**4_000}


def hostile_error_without_text(params):
    raise OddError


def hostile_long_error(params):
    raise Unending


def hostile_error_with_escapes(params):
    raise ValueError("\x1b[2J\nledger: forged\n\ud800\0")


def hostile_deep_recursion(params):
    return hostile_deep_recursion(params)


def hostile_exit(params):
    sys.exit(0)


def hostile_hard_exit(params):
    os._exit(0)


def hostile_abort(params):
    os.abort()


def hostile_segfault(params):
    ctypes.string_at(0)


def hostile_stop_itself(params):
    os.kill(os.getpid(), signal.SIGSTOP)
    return 1.0


def hostile_interrupt(params):
    raise KeyboardInterrupt


def hostile_clock(params):
    time.perf_counter = lambda: -1e9
    return 1.0


def hostile_infinite_clock(params):
    time.perf_counter = time.monotonic = lambda: math.inf
    return 1.0


def hostile_json(params):
    json.dumps = lambda *_, **__: '{"job": "x"}'
    return 1.0


def hostile_reports(params, context):
    """Report values and steps that are no numbers, or are out of bounds."""
    values = (Odd(), math.nan, 10**5_000, Fraction(1, 3), "x", True, 1.7e308, -0.0, [1])
    steps = (Odd(), -1, 10**5_000, 2**63, math.nan, "x", True, 0, 10**15)
    for value in values:
        for step in steps:
            with suppress(Exception):
                context.report(value, step)
    return 1.0


class OddMetrics(dict[str, float]):
    """Metrics that raise whenever their items are read."""

    def __iter__(self):
        raise RuntimeError("no items")

    keys = values = items = __iter__


def _odd_metrics():
    """Return objects none of which is the metrics of a report."""
    return (
        *([], "x", 1.0, True, Odd(), OddMetrics(a=1.0), [("a", 1.0)], {"a"}, b"{}"),
        *({"a\0": 1.0}, {"": None}, {"x" * 301: 1.0}, {"x" * 50_000_000: 1.0}, {"\ud800": 1.0}, {3: 1.0}, {None: 1.0}),
        *({"a": {"b": {"c": 1.0}}}, {"a": [1.0]}, {"a": "1.0"}, {"a": True}, {"a": 1j}, {"a": Odd()}, {Odd(): 1.0}),
        *(
            {"a": math.nan},
            {"a": math.inf},
            {"a": -math.inf},
            {"a": 10**400},
            {"a": -(10**5_000)},
            {"a": Fraction(10**400)},
        ),
        *({f"{number:0300d}": 0.5 for number in range(33)}, {f"m{number}": number for number in range(200_000)}),
        {f"m{number}": 1e-300 for number in range(40)},
    )


def hostile_metrics_of_reports(params, context):
    """Report wrong metrics. The metric `wrong` contains the places of those that do not raise a LedgerError."""
    odd, wrong = _odd_metrics(), []
    for place, metrics in enumerate(odd):
        try:
            context.report(0.5, place, metrics)
        except LedgerError:
            continue
        except Exception:
            pass
        wrong.append(place)
    context.report(0.5, len(odd), {"rate": Fraction(1, 4), "tiny": 5e-324, "-\x1b[2J\u202e": -0.0})
    return {"loss": 1.0, "wrong": wrong}


def hostile_flood_of_metrics(params, context):
    for step in range(10**9):
        context.report(0.5, step, {f"{number:0300d}": 0.5 for number in range(32)})


def hostile_flood_of_reports(params, context):
    for step in range(10**9):
        context.report(0.5, step)


def hostile_reports_of_a_copy(params, context):
    if os.fork() == 0:
        for step in range(100_000):
            context.report(-1.0, step)
    context.report(0.5, 0)
    return 1.0


def hostile_late_reports(params, context):
    """Report from a thread after the end of the trial, and during later trials."""

    def report():
        for step in range(100):
            time.sleep(0.01)
            with suppress(RuntimeError):
                context.report(0.5, step)

    threading.Thread(target=report).start()
    return 1.0


def hostile_pipes(params):
    _write_everywhere(random.Random(params["x"]), 60)
    return 1.0


def hostile_closed_descriptors(params):
    os.closerange(0, 256)
    return 1.0


def hostile_blocking_descriptors(params):
    _each_descriptor(lambda descriptor: os.set_blocking(descriptor, True))
    time.sleep(LEFT)


def hostile_shut_down_sockets(params):
    _each_descriptor(lambda descriptor: socket.socket(fileno=os.dup(descriptor)).shutdown(socket.SHUT_RDWR))
    time.sleep(LEFT)


def hostile_small_pipes(params):
    _each_descriptor(lambda descriptor: fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 1))
    hostile_blocking_descriptors(params)


def hostile_locks(params):
    _each_descriptor(lambda descriptor: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))
    _each_descriptor(lambda descriptor: fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK))
    time.sleep(LEFT)


def hostile_tokens(params):
    """Read parts of the tokens and of the jobs that the supervisor sends."""
    _each_descriptor(lambda descriptor: os.set_blocking(descriptor, False))
    _each_descriptor(lambda descriptor: os.read(descriptor, 3))
    return 1.0


def hostile_stops_reading(params):
    """Keep Python's global lock after the result, so that the trainer does not read the next jobs."""
    threading.Timer(0.2, re.match, ("(a+)+$", "a" * 64 + "b")).start()
    return 1.0


def hostile_overwrites_files(params):
    """Write to each file that this process has inherited, such as a dataset."""
    _each_descriptor(lambda descriptor: os.ftruncate(descriptor, 0))
    _each_descriptor(lambda descriptor: os.pwrite(descriptor, b"x" * 1_000, 0))
    return 1.0


def hostile_fork(params):
    if os.fork() == 0:
        return 2.0
    return 1.0


def hostile_daemon(params):
    subprocess.Popen(["/bin/sleep", str(LEFT)], start_new_session=True)
    return 1.0


def hostile_daemon_and_hang(params):
    code = f"import os, time; os.setsid(); os.fork() and os._exit(0); time.sleep({LEFT})"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    time.sleep(LEFT)


def hostile_hang(params):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        pass


def hostile_threads(params):
    for _ in range(50):
        threading.Thread(target=time.sleep, args=[LEFT]).start()
    return 1.0


def hostile_output(params):
    for _ in range(400):
        os.write(1, b"flood " * 20_000)
        os.write(2, b"\x1b[31mflood " * 10_000)
    return 1.0


def hostile_limits(params):
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    return 1.0


def hostile_streams(params):
    sys.stdout = sys.stderr = None
    return 1.0


def hostile_warnings(params):
    warnings.simplefilter("error")
    gc.disable()
    sys.setrecursionlimit(60)
    return 1.0


def hostile_import(params):
    for name in ("json", "ledger"):
        del sys.modules[name]
    sys.path.clear()
    return 1.0


def hostile_params(params):
    params.clear()
    return 1.0


def hostile_steals_secrets(params):
    """Look for a password in the processes that started this one. The metric says how many were found."""
    stolen, pid = 0, os.getpid()
    while pid > 1:
        stolen += _search(Path("/proc", str(pid)))
        pid = _parent(pid)
    stolen += sum("password" in value for value in os.environ.values())
    return {"loss": 1.0, "stolen": stolen}


def hostile_connects(params):
    """Look for sockets of the supervisor that this process could have inherited."""
    stolen = 0
    for descriptor in range(3, 256):
        with suppress(OSError):
            if socket.socket(fileno=os.dup(descriptor)).family == socket.AF_INET:
                stolen += 1
    return {"loss": 1.0, "stolen": stolen}


def _search(process):
    stolen = 0
    for name in ("environ", "cmdline"):
        with suppress(OSError):
            stolen += SECRET in (process / name).read_bytes()
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                if link.is_file():
                    stolen += SECRET in link.open("rb").read(100_000)
    with suppress(OSError, ValueError), (process / "maps").open() as maps, (process / "mem").open("rb", 0) as memory:
        for line in maps:
            first, _, last = line.split()[0].partition("-")
            if "[heap]" in line and process.name != str(os.getpid()):
                memory.seek(int(first, 16))
                stolen += SECRET in memory.read(int(last, 16) - int(first, 16))
    return stolen


def _parent(pid):
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


MESSAGES = (
    b'{"job": 0, "kind": "result", "loss": NaN, "seconds": 1.0}\n',
    b'{"job": %d, "kind": "result", "loss": 0.5, "seconds": "abc", "metrics": {}}\n',
    b'{"job": %d, "kind": "result", "loss": 0.5, "seconds": -1e9, "metrics": {"big": 1e5000}}\n',
    b'{"job": %d, "kind": "failed", "seconds": 1.0, "error": null}\n',
    b'{"job": %d, "kind": "banana", "seconds": 1.0}\n',
    b'{"job": %d, "kind": "refused", "seconds": 0.0, "error": "\\u001b[2Jno"}\n',
    b'{"job": %d, "loaded": true, "code": null, "differing": null}\n',
    b'{"job": %d, "loaded": true, "code": {"parts": [{"kind": 7}]}, "differing": null}\n',
    b'{"job": %d, "kind": "result", "loss": 1e999, "seconds": 1.0, "metrics": []}\n',
    b'{"job": %d, "step": 3, "loss": 0.5}\n',
    b'{"job": %d, "step": -1, "loss": 0.5}\n',
    b'{"job": %d, "step": 1e3, "loss": "x"}\n',
    b'{"job": %d, "step": 4, "loss": 0.5, "metrics": {"a": 0.5}}\n',
    b'{"job": %d, "step": 5, "loss": 0.5, "metrics": {"a": 1e400}}\n',
    b'{"job": %d, "step": 6, "loss": 0.5, "metrics": {"\\u0000": 1, "\\ud800": {}}}\n',
    b'{"job": %d, "step": 7, "loss": 0.5, "metrics": [["a", 1]]}\n',
    b'{"job": %d, "step": 8, "loss": 0.5, "metrics": {"' + b"x" * 20_000 + b'": 1}}\n',
    b'{"job": "x"}\n',
    b"[1]\n",
    b"null\n",
    b'{"job": 1e400}\n',
    b"\xff\xfe\n",
    b"\n" * 100,
    b"[" * 100_000 + b"\n",
    b'{"job": ' + b"9" * 5_000 + b"}\n",
    b"x" * 70_000 + b"\n",
)


def _each_descriptor(change):
    """Change each descriptor that this process has inherited, except its standard streams."""
    for descriptor in range(3, 64):
        with suppress(OSError):
            change(descriptor)


def _write_everywhere(rng, count):
    """Write messages to each descriptor that this process can write to, except standard output and error."""
    descriptors = []
    for descriptor in range(3, 64):
        with suppress(OSError):
            os.set_blocking(descriptor, False)
            descriptors.append(descriptor)
    # the supervisor ends this process while it writes, so each written message is counted at once
    written = os.open(WRITTEN, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    for _ in range(count):
        message = rng.choice(MESSAGES).replace(b"%d", str(rng.randrange(40)).encode())
        if rng.random() < 0.3:
            place = rng.randrange(len(message))
            message = message[:place] + rng.randbytes(3) + message[place + 1 :]
        for descriptor in descriptors:
            with suppress(OSError):
                os.write(descriptor, message)
        os.write(written, b".")


def hostile_artifact_names(params, context):
    for name in ("../../a", "/etc/passwd", "a\nb", "\ud800", "", "x" * 10_000, None, Odd()):
        with suppress(Exception):
            context.save_artifact(name, b"x")
    return 1.0


def hostile_artifact_that_is_no_file(params, context):
    for path in ("/dev/zero", "/proc/self/mem", "/", "/dev/stdin"):
        with suppress(Exception):
            context.save_artifact("a", path)
    return 1.0


def hostile_many_artifacts(params, context):
    for number in range(150):
        context.save_artifact(f"a{number}", b"x")
    return 1.0


def hostile_artifact_left_early(params, context):
    """Leave `save_artifact` by a signal, and save another artifact afterwards."""

    def leave(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, leave)
    for _ in range(20):
        with suppress(TimeoutError):
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.01))
            context.save_artifact("large", bytes(3_000_000))
            signal.setitimer(signal.ITIMER_REAL, 0)
    context.save_artifact("last", b"x")
    return 1.0


def hostile_artifact_in_a_thread(params, context):
    threading.Thread(target=lambda: context.save_artifact("late", bytes(30_000_000)), daemon=True).start()
    return 1.0


def hostile_artifact_in_a_fork(params, context):
    if (child := os.fork()) == 0:
        with suppress(Exception):
            context.save_artifact("forked", b"x")
        os._exit(0)
    os.waitpid(child, 0)
    return 1.0


def hostile_checkpoint_steps(params, context):
    for step in (-1, 2**70, True, None, "1", float("nan"), 5, 4):
        with suppress(Exception), context.checkpoint(step) as folder:
            (folder / "state").touch()
    return 1.0


def hostile_checkpoint_files(params, context):
    for step, target in enumerate(("/etc/passwd", "/", "..", "/dev/zero", "missing")):
        with suppress(Exception), context.checkpoint(step) as folder:
            (folder / "link").symlink_to(target)
    with suppress(Exception), context.checkpoint(9) as folder:
        os.mkfifo(folder / "pipe")
    return 1.0


def hostile_checkpoint_archive(params, context):
    """Keep and restore archives that no worker has made."""
    sender = artifact_saving.saver_of("checkpoint")
    assert sender is not None
    for step, data in enumerate((b"", b"no archive", b"PK\5\6" + bytes(18), os.urandom(100_000))):
        sender.keep(context, step, len(data), iter([data] if data else []))
        context.restore()
    return 1.0


def hostile_restore_left_early(params, context):
    with context.checkpoint(1) as folder:
        (folder / "state").write_bytes(bytes(3_000_000))

    def leave(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, leave)
    for _ in range(20):
        with suppress(TimeoutError):
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.01))
            context.restore()
            signal.setitimer(signal.ITIMER_REAL, 0)
    return 1.0


HOSTILE = sorted(name for name in globals() if name.startswith("hostile_"))
CHANNEL = hostile_pipes.__name__
