"""Commands as objectives: programs in any language, what they print, how they fail, and the end of their processes."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.objectives import Context
from ledger.worker.trainer import TrainerHandle
from tests.system import cgroups
from tests.system.accounts import USER, can_change_user, open_folder, with_python
from tests.system.programs import Program, alive, children_of, trainers_of, wait_for_text, wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="the test or the worker uses a feature of Linux")
EXAMPLES = Path(__file__).parents[2] / "examples"
PYTHON = [sys.executable, "-I", "-S"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


@pytest.fixture
def trainer(folder):
    trainer = TrainerHandle((), 1, adopts=True, commands=["bash {...}", f"{sys.executable} {{...}}", "./p {...}"])
    yield trainer
    trainer.close()
    assert list(folder.glob("ledger-*")) == [], "the folder for the files of the trials is removed"


def outcomes(trainer, command, *points, **more):
    jobs = [(point, Context("s", number, 1, 70 + number, 7)) for number, point in enumerate(points or [{}])]
    trainer.start({"command": command, **more}, jobs)
    ended = []
    while trainer.jobs:
        ended += trainer.wait(None)
    return ended


def outcome(trainer, *command, **params):
    (ended,) = outcomes(trainer, list(command), params)
    return ended


def bash(trainer, script, **params):
    return outcome(trainer, "bash", "-c", script.replace("{", "{{").replace("}", "}}"), **params)


# Any language

LANGUAGES = {
    "bash": ("p.sh", 'echo "{\\"value\\": $(( $1 * $1 )), \\"name\\": \\"$2\\"}"', ["bash", "p.sh"]),
    "python": (
        "p.py",
        'import sys\nprint(\'{"value": %d, "name": "%s"}\' % (int(sys.argv[1]) ** 2, sys.argv[2]))',
        [*PYTHON, "p.py"],
    ),
    "node": (
        "p.js",
        "const [n, name] = process.argv.slice(2);\nconsole.log(JSON.stringify({value: n * n, name}))",
        ["node", "p.js"],
    ),
    "gcc": (
        "p.c",
        "#include <stdio.h>\n#include <stdlib.h>\nint main(int c, char **v) { int n = atoi(v[1]);"
        ' printf("{\\"value\\": %d, \\"name\\": \\"%s\\"}", n * n, v[2]); return 0; }',
        ["./p"],
    ),
    "Rscript": (
        "p.R",
        'a <- commandArgs(TRUE)\nn <- as.integer(a[1])\ncat(sprintf(\'{"value": %d, "name": "%s"}\\n\', n * n, a[2]))',
        ["Rscript", "p.R"],
    ),
    "julia": (
        "p.jl",
        'n = parse(Int, ARGS[1])\nprintln("{\\"value\\": $(n * n), \\"name\\": \\"$(ARGS[2])\\"}")',
        ["julia", "p.jl"],
    ),
    "perl": ("p.pl", 'printf qq({"value": %d, "name": "%s"}\\n), $ARGV[0] ** 2, $ARGV[1];', ["perl", "p.pl"]),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_program_in_any_language_is_an_objective(folder, language):
    if language != "python" and shutil.which(language) is None:
        pytest.skip(f"{language} is not installed")
    file, code, command = LANGUAGES[language]
    (folder / file).write_text(code)
    if language == "gcc":
        subprocess.run(["gcc", "-o", "p", "p.c"], check=True)
    trainer = TrainerHandle((), 1, adopts=True, commands=[f"{command[0]} {{...}}"])
    try:
        ended = outcomes(
            trainer, [*command, "{n}", "{name}"], {"n": -3, "name": "two words; $(exit 1) é"}, {"n": 5, "name": ""}
        )
    finally:
        trainer.close()
    assert [(one.error, one.loss) for one in ended] == [(None, 9.0), (None, 25.0)]
    assert [one.metrics for one in ended] == [{"name": "two words; $(exit 1) é"}, {"name": ""}]


def test_lines_with_a_step_and_a_value_are_reports(trainer):
    lines = """for n in 1 2 3; do printf '{"step": %d, "value": 0.%d}\\n' $n $n; done"""
    ended = bash(trainer, lines + """; echo '{"step": 4, "value": NaN}'; echo 0.5""")
    assert (ended.error, ended.loss) == (None, 0.5)
    assert [(each.step, each.loss) for each in ended.reports] == [(1, 0.1), (2, 0.2), (3, 0.3), (4, None)]


def test_a_report_of_a_command_can_have_metrics(trainer):
    ended = bash(trainer, """echo '{"step": 1, "value": 0.5, "metrics": {"accuracy": 0.9}}'; echo 0.5""")
    assert [each.metrics for each in ended.reports] == [{"accuracy": 0.9}]


@pytest.mark.parametrize(
    ("metrics", "error"),
    [
        ('{"accuracy": "high"}', "a metric 'accuracy' that is not a number: 'high'"),
        ('{"accuracy": NaN}', "a metric 'accuracy' that is not a finite number: nan"),
        ('{"accuracy": -1e400}', "a metric 'accuracy' that is not a finite number: -inf"),
        (f'{{"accuracy": 1{"0" * 400}}}', "a number beyond the range of a double"),
        ('{"accuracy": {"test": {"fold": 1}}}', "a metric 'accuracy' that is not a number: {'test': {'fold': 1}}"),
        ('{"accuracy": null}', "a metric 'accuracy' that is not a number: None"),
        ('{"\\u0000": 1}', "a NUL character is not allowed"),
        ('{"\\ud800": 1}', "an unpaired UTF-16 surrogate is not allowed"),
        (f'{{"{"x" * 301}": 1}}', "a text of 301 characters is too long"),
        (json.dumps({f"{number:0300d}": 0.5 for number in range(33)}), "metrics of more than 10,000 bytes as JSON"),
        ("[0.5]", "the metrics [0.5]; give a dict with numbers"),
        ('"high"', "the metrics 'high'; give a dict with numbers"),
        ("0", "the metrics 0; give a dict with numbers"),
    ],
    ids=itertools.count(),
)
def test_wrong_metrics_of_a_command_end_the_program(trainer, folder, metrics, error):
    (folder / "line").write_text(f'{{"step": 1, "value": 0.5, "metrics": {metrics}}}\n')
    ended = bash(trainer, "cat line; exec sleep 1000")
    assert (ended.kind, ended.reports) == ("failed", ())
    assert "the objective reported " in ended.error
    assert error in ended.error


def test_a_line_that_is_too_long_for_a_report_is_ignored(trainer, folder):
    (folder / "line").write_text('{"step": 1, "value": 0.5, "metrics": {"' + "x" * 20_000 + '": 1}}\n')
    ended = bash(trainer, "cat line; echo 0.5")
    assert (ended.error, ended.loss, ended.reports) == (None, 0.5, ())


def test_reports_of_a_command_arrive_while_it_runs(trainer, folder):
    begin, end = """echo '{"step": 1, "value": 0.5}'""", """printf '{"step": 2, "value": 3}'"""
    script = f"{begin}; while [ ! -e go ]; do sleep 0.02; done; {end}".replace("{", "{{").replace("}", "}}")
    trainer.start({"command": ["bash", "-c", script]}, [({}, Context("s", 0, 1, 70, 7))])
    while not (taken := trainer.take_reports()):
        assert trainer.wait(None) == []
    (folder / "go").touch()
    while trainer.jobs:
        ended = trainer.wait(None)
    # the line of the result can also be a report, even without a line end
    assert [each.step for each in (*taken, *ended[0].reports)] == [1, 2]
    assert (ended[0].loss, ended[0].metrics) == (3.0, {"step": 2})


def test_a_command_with_too_many_reports_is_ended(trainer):
    script = 'n = 0\nwhile True:\n print(\'{"step": %d, "value": 1}\' % n)\n n += 1'
    ended = outcome(trainer, *PYTHON, "-c", script.replace("{", "{{").replace("}", "}}"))
    assert ended.kind == "failed"
    assert ended.error == "the objective reports more than 100,000 values: report fewer steps, such as every tenth step"
    assert len(ended.reports) <= 100_000


# What a command gets

SHOWS = """
import json, os, sys
found = {name[13:].lower(): value for name, value in os.environ.items() if name.startswith("LEDGER_TRIAL_")}
print(json.dumps({"value": 0, "words": sys.argv[1:], "facts": found, "input": sys.stdin.read(), "at": os.getcwd(),
    "secrets": sorted({"DATABASE_URL", "PGPASSWORD"} & set(os.environ)), "threads": os.environ["OMP_NUM_THREADS"],
    "file": "params_file" in found and json.load(open(found["params_file"])),
    "inside": sorted(os.listdir(found["folder"])), "mode": oct(os.stat(found["folder"]).st_mode)}))
"""


@pytest.mark.parametrize("params_as", ["arguments", "variable", "file"])
def test_a_command_gets_the_facts_of_its_trial(trainer, folder, monkeypatch, params_as):
    monkeypatch.setenv("DATABASE_URL", "secret")
    monkeypatch.setenv("PGPASSWORD", "secret")
    (folder / "shows.py").write_text(SHOWS)
    words = ["{x}", "{trial.number}/{trial.attempt}", "{trial.seed}", "{trial.study_seed}", "{trial.folder}"]
    more = {} if params_as == "arguments" else {"params_as": params_as}
    params = {"x": 0.1, "name": "é", "flag": True}
    _, ended = outcomes(trainer, [*PYTHON, "shows.py", *words], params, params, **more)
    assert ended.error is None
    metrics = ended.metrics
    facts = metrics["facts"]
    assert metrics["words"] == ["0.1", "1/1", "71", "7", facts["folder"]]
    assert {name: facts[name] for name in ("study", "number", "attempt", "seed", "study_seed")} == {
        "study": "s",
        "number": "1",
        "attempt": "1",
        "seed": "71",
        "study_seed": "7",
    }
    assert metrics["at"] == str(folder)
    assert (metrics["input"], metrics["secrets"], metrics["threads"]) == ("", [], "1")
    assert metrics["mode"] == "0o40700"
    assert Path(facts["result_file"]).parent == Path(facts["folder"])
    if params_as == "file":
        assert (metrics["file"], metrics["inside"]) == (params, ["params.json"])
        assert "params" not in facts
    else:
        assert json.loads(facts["params"]) == params
        assert (metrics["file"], metrics["inside"]) == (False, [])
    assert not Path(facts["folder"]).exists(), "the folder of a trial is removed at its end"


def test_a_result_file_has_priority_over_the_output(trainer):
    ended = bash(trainer, 'echo \'{"value": 2,\n "a": 1}\' > "$LEDGER_TRIAL_RESULT_FILE"; echo 5')
    assert (ended.loss, ended.metrics) == (2.0, {"a": 1})
    assert "the result file is not a number" in bash(trainer, 'touch "$LEDGER_TRIAL_RESULT_FILE"; echo 5').error
    assert "is no regular file" in bash(trainer, 'mkfifo "$LEDGER_TRIAL_RESULT_FILE"; echo 5').error


# What a command prints

PRINTS = {
    "no newline": ("printf 0.5", None),
    "CRLF": (r"printf '0.5\r\n'", None),
    "after text without an end": (r"printf 'text\n0.5'; printf more >&2", None),
    "nothing": ("true", "no line of standard output is a number or a JSON object"),
    "a result on standard error": ("echo 0.5 >&2", "no line of standard output is a number"),
    "nan": ("echo nan", "standard output ends with the result nan: print a finite number"),
    "1e5000": ("echo 1e5000", "ends with the result 1e5000"),
    "a lone surrogate": (r"""printf '{"value": 1, "a": "\\ud800"}'""", "unpaired UTF-16 surrogate"),
    "bytes of a surrogate": (r"""printf '{"value": 1, "a": "\xed\xa0\x80"}'""", "is not valid JSON"),
    "binary": ("head -c 100000 /dev/urandom; echo; echo 0.5", None),
    "a NUL": (r"""printf '{"value": 1, "a": "\\u0000"}'""", "a NUL character is not allowed"),
    "an exit code": ("echo 0.5; exit 3", "the command ended with exit code 3"),
    "an exit code with a reason": ("echo 0.5; echo reason >&2; exit 3", "the command ended with exit code 3: reason"),
    "a signal": ("echo 0.5; kill -SEGV $$", "signal SIGSEGV ended the command"),
    "a real-time signal": ("kill -40 $$", "signal 40 ended the command"),
    "SIGKILL": ("kill -KILL $$", "signal SIGKILL ended the command (the kernel sends SIGKILL when memory runs out)"),
}


@pytest.mark.parametrize("case", PRINTS)
def test_each_output_is_a_result_or_a_failure_of_one_line(trainer, case):
    script, said = PRINTS[case]
    ended = bash(trainer, script)
    if said is None:
        assert (ended.kind, ended.loss, ended.error) == ("result", 0.5, None)
    else:
        assert (ended.kind, ended.loss) == ("crashed" if "signal" in said else "failed", None)
        assert said in ended.error.splitlines()[-1]
        assert bash(trainer, "echo 1").loss == 1.0, "the trainer goes on"


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_200_megabytes_of_output_are_read_and_their_end_is_kept(trainer, stream):
    ended = bash(trainer, f"head -c 200000000 /dev/zero | tr '\\0' 'x' {stream}; echo; echo 0.5")
    assert (ended.loss, ended.error) == (0.5, None)
    assert len(ended.output) == 65_536
    assert set(ended.output) <= set("x\n0.5")


def test_a_last_line_without_an_end_is_refused(trainer):
    ended = bash(trainer, "head -c 30000000 /dev/zero | tr '\\0' 5")
    assert ended.error == (
        'the last line of standard output has more than 2,000,000 bytes: print a number or a JSON object with "value"'
        " as the last line"
    )


def test_the_output_belongs_to_the_trial_that_wrote_it(trainer):
    ended = outcomes(
        trainer,
        ["bash", "-c", 'echo "out $1"; echo "err $1" >&2; echo "$1"', "bash", "{n}"],
        *({"n": n} for n in range(8)),
    )
    assert [one.loss for one in ended] == list(range(8))
    for number, one in enumerate(ended):
        assert sorted(one.output.splitlines()) == sorted([f"out {number}", f"err {number}", str(number)])


def test_a_program_that_cannot_start_fails_its_trial_in_one_line(trainer, folder):
    program = folder / "p"
    program.write_bytes(b"\x7fELF nothing")
    program.chmod(0o700)
    assert outcome(trainer, "./p").error == (
        'the command "./p" cannot start (Exec format error): make the file a program that this user can run'
    )
    program.unlink()
    assert '"./p" cannot start (No such file or directory)' in outcome(trainer, "./p").error
    program.write_text("#!/nowhere/python\n")
    program.chmod(0o700)
    assert '"./p" cannot start (No such file or directory)' in outcome(trainer, "./p").error


def test_parameters_above_the_limit_of_the_system_fail_their_trial(trainer):
    long = {"text": "x" * 200_000}
    (ended,) = outcomes(trainer, ["bash", "-c", "echo 1"], long, params_as="variable")
    assert "cannot start (Argument list too long): pass fewer or shorter parameters, or set params_as" in ended.error
    (ended,) = outcomes(trainer, ["bash", "-c", "wc -c < $LEDGER_TRIAL_PARAMS_FILE"], long, params_as="file")
    assert ended.loss > 200_000


def test_a_memory_limit_holds_for_a_command(folder):
    trainer = TrainerHandle((), 1, 200_000_000, commands=[f"{sys.executable} {{...}}"])
    try:
        ended = outcome(trainer, *PYTHON, "-c", "print(len(bytearray(500_000_000)))")
        assert ended.error.splitlines()[-1] == (
            "the command ended with exit code 1 (--memory-limit allows each process of the command at most"
            " 200000000 bytes): MemoryError"
        )
        assert outcome(trainer, *PYTHON, "-c", "print(len(bytearray(5_000_000)))").loss == 5_000_000
    finally:
        trainer.close()


# The end of the processes

# Starts a process that holds the output, one in a session of its own, and one that is detached.
LEAVES = r"""
sleep 1000 & echo $! > child
setsid sleep 1000 & echo $! > session
( setsid bash -c 'echo $$ > detached; exec sleep 1000' > /dev/null 2>&1 & )
while [ ! -s detached ]; do sleep 0.01; done
touch begun
"""


def left(folder):
    return [int((folder / name).read_text()) for name in ("child", "session", "detached")]


@linux
def test_all_processes_of_a_command_end_with_their_trial(trainer, folder):
    assert bash(trainer, LEAVES + "echo 0.5").loss == 0.5
    assert [Path(f"/proc/{pid}").exists() for pid in left(folder)] == [False] * 3
    assert "exit code 3" in bash(trainer, LEAVES + "exit 3").error
    assert [Path(f"/proc/{pid}").exists() for pid in left(folder)] == [False] * 3


@linux
def test_the_processes_of_one_command_end_before_the_next_one_starts(trainer, folder):
    script = (
        "for pid in $(cat child session detached 2> /dev/null); do [ -e /proc/$pid ] && exit 9; done; rm -f detached;"
    )
    ended = outcomes(trainer, ["bash", "-c", script + LEAVES + "echo 1"], {}, {}, {})
    assert [(one.loss, one.error) for one in ended] == [(1.0, None)] * 3


@linux
@pytest.mark.parametrize("how", ["kill", "death"])
def test_all_processes_of_a_command_end_with_the_trainer(trainer, folder, how):
    trainer.start({"command": ["bash", "-c", LEAVES + "sleep 1000"]}, [({}, Context("s", 0, 1, 0, 0))])
    while not (folder / "begun").exists():
        assert trainer.wait(0.1) == []
    if how == "kill":  # as at the time limit
        trainer.kill()
    else:
        (child,) = trainers_of(os.getpid())
        os.kill(child, signal.SIGKILL)
        (ended,) = trainer.wait(None) or trainer.wait(None)
        assert ended.kind == "crashed"
    assert [alive(pid) for pid in left(folder)] == [False] * 3
    assert bash(trainer, "ls $LEDGER_TRIAL_FOLDER/.. | wc -l").loss == 2, "files of a killed trial are removed"


STUDY = """
[study]
name = "own"
iterations = 1
batch_size = {batch_size}
[objective]
command = {command}
[space]
x = {{ type = "real", low = -1.0, high = 1.0 }}
[limits]
{limits}
"""


def study(folder, command, batch_size=1, **limits):
    lines = "\n".join(f"{name} = {value}" for name, value in limits.items())
    (folder / "own.toml").write_text(STUDY.format(command=json.dumps(command), batch_size=batch_size, limits=lines))


@linux
def test_the_time_limit_ends_a_command_with_all_its_processes(tmp_path):
    study(tmp_path, ["bash", "-c", LEAVES + "sleep 1000", "bash", "{x}"], max_failures=1, trial_timeout=6.0)
    program = Program(tmp_path, TMPDIR=str(tmp_path))
    said = program.run("run", "own.toml", "--allow-command", "bash {...}", "--workers", "1", code=1)
    assert "not done within 6 s" in said
    assert [alive(pid) for pid in left(tmp_path)] == [False] * 3
    assert list(tmp_path.glob("ledger-*")) == []


@linux
def test_sigkill_of_a_worker_ends_its_command_with_all_processes(tmp_path):
    study(tmp_path, ["bash", "-c", LEAVES + "echo $$ > main; sleep 1000", "bash", "{x}"])
    program = Program(tmp_path)
    manager = program.start("manager", "own.toml")
    try:
        worker = program.start("worker", "--allow-command", "bash {...}")
        main = int(wait_for_text(tmp_path / "main"))
        worker.kill()
        pids = [*left(tmp_path), main]
        wait_until(lambda: not any(alive(pid) for pid in pids))
    finally:
        manager.terminate()
        for process in (worker, manager):
            process.communicate()


@linux
@pytest.mark.parametrize(
    "script",
    ["touch begun; sleep 1000", "trap 'exit 0' TERM; touch begun; while true; do sleep 0.1; done"],
    ids=["it dies", "it exits"],
)
def test_a_signal_to_all_processes_of_a_worker_counts_no_failure(tmp_path, script):
    study(tmp_path, ["bash", "-c", script, "bash", "{x}"], max_failures=1)
    program = Program(tmp_path)
    manager = program.start("manager", "own.toml")
    try:
        worker = program.start("worker", "--allow-command", "bash {...}", "--grace", "4")
        wait_until((tmp_path / "begun").exists)
        (trainer,) = children_of(worker.pid)
        (command,) = children_of(trainer)
        # A service manager signals all processes of a service at the same time. On a busy machine, the command would
        # otherwise end before the worker has received its signal.
        for pid in (worker.pid, trainer):
            os.kill(pid, signal.SIGSTOP)
        for pid in (command, trainer, worker.pid):
            os.kill(pid, signal.SIGTERM)
        for pid in (worker.pid, trainer):
            os.kill(pid, signal.SIGCONT)
        worker.communicate()
        assert worker.returncode == 0
        assert [attempt["outcome"] for attempt in program.document("own")["attempts"]] == ["released"]
    finally:
        manager.terminate()
        manager.communicate()


@pytest.mark.skipif(not cgroups.is_available(), reason="needs root, who can mount cgroups of version 2")
def test_a_fork_bomb_that_a_command_leaves_ends_with_its_trial(trainer, folder):
    (folder / "bomb.py").write_text(cgroups.FORK_BOMB)
    waits = "while [ $(stat -c %s bomb) -lt 50 ]; do sleep 0.1; done"
    with cgroups.new_cgroup():
        ended = bash(trainer, f"exec 9> bomb; flock 9; {sys.executable} -I -S bomb.py 9 3900000002 & {waits}; echo 0.5")
        # either the trainer has ended all processes, or the supervisor has ended the cgroup of the trainer
        assert (
            ended.loss == 0.5
            or "some processes of the command still ran 5 s after the command had ended" in ended.error
        )
        subprocess.run(["flock", "--nonblock", "bomb", "true"], check=True)  # fails if a process of the bomb lives
        assert set((folder / "bomb").read_text()) == {"."}
        assert bash(trainer, "echo 1").loss == 1.0


# The examples, and the commands of `ledger`


def test_a_shell_script_is_tuned_in_one_line(tmp_path):
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    program = Program(tmp_path)
    folder = "examples/shell-script"
    command = ["--", "bash", f"{folder}/box.sh", "{width}", "{height}"]
    given = ["--space", f"{folder}/space.toml", "--trials", "6", "--batch-size", "3", "--name", "box"]
    assert "trials      6 complete" in program.run("run", *given, *command)
    document = program.document("box")
    for trial in document["trials"]:
        width, height = trial["params"]["width"], trial["params"]["height"]
        depth = 100 / (width * height)
        assert trial["loss"] == pytest.approx(2 * (width * height + width * depth + height * depth), rel=1e-4)
    program.run("verify", "box")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_a_c_program_is_tuned_in_one_line(tmp_path):
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    source, built = str(tmp_path / "examples" / "c-program" / "rosenbrock.c"), str(tmp_path / "rosenbrock")
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", built, source, "-lm"], check=True)
    program = Program(tmp_path)
    given = ["--space", "examples/c-program/space.toml", "--trials", "4", "--workers", "1", "--name", "valley"]
    program.run("run", *given, "--", "./rosenbrock", "--x={x}", "--y={y}")
    document = program.document("valley")
    assert [trial["state"] for trial in document["trials"]] == ["complete"] * 4
    for trial in document["trials"]:
        x, y = trial["params"]["x"], trial["params"]["y"]
        assert trial["loss"] == pytest.approx(100 * (y - x * x) ** 2 + (1 - x) ** 2)
        assert trial["metrics"]["distance"] == pytest.approx(((x - 1) ** 2 + (y - 1) ** 2) ** 0.5)


def test_a_worker_runs_a_command_only_with_permission(tmp_path):
    study(tmp_path, ["bash", "-c", "touch ran; echo 0.5", "bash", "{x}"], batch_size=2)
    program = Program(tmp_path)
    refusal = "this worker has no permission to run the command bash -c 'touch ran; echo 0.5' bash {x}; permit"
    assert refusal in program.run("run", "own.toml", "--workers", "1", code=1)
    manager = program.start("manager", "own.toml")
    wait_until(lambda: program.query("select from ledger.trials"))
    for allowed in ([], ["--allow-command", "bash"], ["--allow", "bash"], ["--allow-command", "bash -c * bash {x}"]):
        said = program.run("worker", "--study", "own", *allowed, code=1)
        assert refusal in said
    assert not (tmp_path / "ran").exists()
    program.run(
        "worker", "--study", "own", "--until-complete", "--allow-command", "bash -c 'touch ran; echo 0.5' bash {x}"
    )
    out, error = manager.communicate()
    assert manager.returncode == 0, error
    assert "trials      2 complete" in out
    resumed = ["resume", "own", "--trials", "4", "--workers", "1"]
    assert refusal in program.run(*resumed, code=1)
    assert [study["budget"] for study in json.loads(program.run("study", "list", "--json"))] == [2]
    assert "trials      4 complete" in program.run(*resumed, "--allow-command", "bash {...}")


def test_a_study_of_a_command_moves_to_another_ledger(tmp_path):
    study(tmp_path, ["bash", "-c", 'echo "$1"', "bash", "{x}"], batch_size=2)
    program = Program(tmp_path)
    allowed = ["--workers", "1", "--allow-command", "bash {...}"]
    program.run("run", "own.toml", *allowed)
    (tmp_path / "own.json").write_text(program.run("export", "own", "--format", "json"))
    other = Program(tmp_path, LEDGER_HOME=str(tmp_path / "other"), is_new=True)
    other.run("import", "own.json")
    other.run("verify", "own")
    assert "trials      4 complete" in other.run("resume", "own", "--trials", "4", *allowed)
    assert "trials      4 complete" in program.run("run", "own.toml", "--trials", "4", *allowed)
    losses = [[trial["loss"] for trial in one.document("own")["trials"]] for one in (program, other)]
    assert losses[0] == losses[1]
    report = str(tmp_path / "report.html")
    program.run("report", "own", "--output", report)
    assert "bash -c" in Path(report).read_text()


@pytest.mark.skipif(not can_change_user(), reason="only root can run a trainer as another user")
def test_a_command_runs_as_the_trainer_user(monkeypatch):
    with open_folder() as folder:
        study(folder, ["bash", "-c", "id -un > user; ls -ld $LEDGER_TRIAL_FOLDER > files; echo 0.5", "bash", "{x}"])
        program = Program(folder, prefix=with_python(), TMPDIR=str(folder))
        allowed = ["--allow-command", "bash {...}", "--trainer-user", USER]
        program.run("run", "own.toml", "--workers", "1", *allowed)
        assert (folder / "user").read_text().strip() == USER
        assert f" {USER} " in (folder / "files").read_text()
        assert list(folder.glob("ledger-*")) == []


PYTHON_STUDY = """
import sys
import ledger
train = ledger.command([sys.executable, "-c", "import sys; print((float(sys.argv[1]) - 1) ** 2)", "{x}"],
                       space={"x": (-5.0, 5.0)})
result = ledger.Study(train, name="own", trials=4, batch_size=2).run(workers=2)
print(all(abs(trial.loss - (trial.params["x"] - 1) ** 2) < 1e-12 for trial in result.trials), result)
"""


def test_a_command_is_an_objective_of_the_python_api(tmp_path):
    (tmp_path / "own.py").write_text(PYTHON_STUDY)
    program = Program(tmp_path)
    ended = subprocess.run(
        [sys.executable, "own.py"], cwd=tmp_path, env=program.environment, capture_output=True, text=True
    )
    assert ended.stdout == "True <study own: complete, 4 of 4 trials complete>\n", ended.stderr
