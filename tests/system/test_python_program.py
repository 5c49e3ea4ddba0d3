"""Searches that a Python program starts in one call, in the background, or by ask and tell."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.system.programs import Program, wait_until

HEAD = """
import json, os, pathlib, signal, sys, time
import ledger

SPACE = {"x": (-5.0, 5.0), "kind": ["a", None, (1, 2)]}

def bowl(params):
    return (params["x"] - 1) ** 2 + (params["kind"] is None)

def show(value):
    print(json.dumps(value), flush=True)
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def start(program: Program, script: str, *arguments: str) -> "subprocess.Popen[str]":
    file = program.folder / "script.py"
    file.write_text(HEAD + script)
    return program.start_python(str(file), *arguments)


def lines(process: "subprocess.Popen[str]") -> list[object]:
    """The JSON lines of a program that ends with success."""
    out, error = process.communicate()
    assert process.returncode == 0, error
    assert error == "", "the library prints nothing"
    return [json.loads(line) for line in out.splitlines()]


def test_one_call_returns_the_best_and_calls_back_with_each_trial(program: Program) -> None:
    script = """
if __name__ == "__main__":
    ended = []
    lowest = ledger.minimize(bowl, SPACE, trials=9, workers=4, callbacks=[ended.append])
    show([lowest.state, lowest.spec["batch_size"], sorted(trial.number for trial in ended)])
    show(lowest.best_value == bowl(lowest.best_params) == min(trial.value for trial in ended))
    highest = ledger.maximize(lambda params: 3 - bowl(params), SPACE, trials=4, workers=1, name="hill")
    show(highest.best_value == 3 - bowl(highest.best_params) == max(trial.value for trial in highest.trials))
    again = []
    show(ledger.minimize(bowl, SPACE, trials=9, workers=4, callbacks=[again.append]) == lowest)
    show(len(again))
"""
    assert lines(start(program, script)) == [["complete", 4, [*range(9)]], True, True, True, 0]
    assert "4 trials" in program.run("verify", "hill")


def test_a_callback_stops_a_search_and_a_later_run_continues_it(program: Program) -> None:
    script = """
if __name__ == "__main__":
    study = ledger.Study(bowl, space=SPACE, name="enough", trials=12, batch_size=2)
    stopped = study.run(workers=2, callbacks=[lambda trial: study.stop() if trial.number >= 4 else None])
    show([stopped.state, len(stopped.trials) < 12])
    ended = []
    show([study.run(workers=2, callbacks=[ended.append]).state, len(ended) < 12])
"""
    assert lines(start(program, script)) == [["running", True], ["complete", True]]
    assert "12 trials" in program.run("verify", "enough")


def test_an_exception_of_a_callback_ends_the_search(program: Program) -> None:
    script = """
def wrong(trial):
    raise RuntimeError(f"not trial {trial.number}")

if __name__ == "__main__":
    try:
        ledger.Study(bowl, space=SPACE, name="wrong", trials=12).run(workers=1, callbacks=[wrong])
    except RuntimeError as error:
        show([str(error), ledger.load_study("wrong").state])
"""
    assert lines(start(program, script)) == [["not trial 0", "running"]]


def test_an_interrupted_search_says_how_to_continue_it(program: Program) -> None:
    script = """
if __name__ == "__main__":
    study = ledger.Study(bowl, space=SPACE, name="kept", trials=6, batch_size=2)
    try:
        study.run(workers=1, callbacks=[lambda trial: signal.raise_signal(signal.SIGINT)])
    except KeyboardInterrupt as interrupt:
        show([interrupt.__notes__, ledger.load_study("kept").state])
    show(study.run(workers=1).state)
"""
    note = "Study kept is in the ledger. To continue the search, run the program again."
    assert lines(start(program, script)) == [[[note], "running"], "complete"]


def test_a_search_in_the_background_is_waited_for_and_stopped(program: Program) -> None:
    script = """
def slow(params):
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
    return bowl(params)

if __name__ == "__main__":
    running = ledger.Study(slow, space=SPACE, name="slow", trials=4).start(workers=2)
    show([running.wait(0.1), repr(running)])
    try:
        running.result(timeout=0.1)
    except ledger.LedgerError as error:
        show(str(error))
    pathlib.Path("go").touch()
    show(running.result().state)
    other = ledger.Study(bowl, space=SPACE, name="other", trials=100_000).start(workers=1)
    other.stop()
    show([other.result().state, repr(other)])
    failed = ledger.Study(lambda params: 1 / 0, space=SPACE, name="failed", trials=4).start(workers=1)
    try:
        failed.result()
    except ledger.StudyFailedError as error:
        show(error.exception)
"""
    assert lines(start(program, script)) == [
        [False, "<search of study slow: running>"],
        "study slow still runs after 0.1 s: wait longer, or call stop()",
        "complete",
        ["running", "<search of study other: ended>"],
        "ZeroDivisionError",
    ]


def test_a_program_that_ends_stops_its_search_in_the_background(program: Program) -> None:
    script = """
if __name__ == "__main__":
    study = ledger.Study(bowl, space=SPACE, name="left", trials=100_000)
    ended = []
    running = study.start(workers=1, callbacks=[ended.append])
    while not ended:
        time.sleep(0.02)
"""
    assert lines(start(program, script)) == []
    document = program.document("left")
    assert document["study"]["state"] == "running"
    assert {attempt["outcome"] for attempt in document["attempts"]} <= {"complete", "released"}
    assert not [trial for trial in document["trials"] if trial["state"] == "running"]


LOOP = """
if __name__ == "__main__":
    name, trials, waits = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    study = ledger.Study(
        bowl, space=SPACE, name=name, trials=trials, batch_size=3, limits={"lease": 2.0, "heartbeat": 0.4}
    )
    if not waits:
        show(study.run(workers=2).state)
    asked = {}
    while waits and (trial := study.ask()) is not None:
        asked[trial.number] = trial.params
        show(trial.number)
        while waits[0] != "-" and not pathlib.Path(waits[0]).exists():
            time.sleep(0.02)
        study.tell(trial, bowl(trial.params))
    trials = {trial.number: trial.params for trial in ledger.load_study(name).trials}
    show(all(asked[number] == trials[number] for number in asked))
"""


def test_asked_trials_are_those_of_workers_and_the_study_verifies(program: Program) -> None:
    assert lines(start(program, LOOP, "asked", "8", "-")) == [*range(8), True]
    assert lines(start(program, LOOP, "trained", "8")) == ["complete", True]
    documents = [program.document(name)["trials"] for name in ("asked", "trained")]
    asked, trained = ([(trial["params"], trial["loss"]) for trial in document] for document in documents)
    assert asked == trained
    assert "8 trials" in program.run("verify", "asked")


CURVES = """
RULE = {"rule": "halving", "eta": 2, "max_resource": 8, "audit": 0.0}

def curve(params, context):
    for step in range(1, 9):
        context.report(abs(params["x"]) + 1 / step, step)
        if context.should_prune():
            raise ledger.TrialPruned
    return abs(params["x"])

if __name__ == "__main__":
    name, is_asked = sys.argv[1], sys.argv[1] == "asked"
    study = ledger.Study(curve, space=SPACE, name=name, trials=12, batch_size=4, seed=3, stopping=RULE)
    if not is_asked:
        study.run(workers=2)
    while is_asked and (trial := study.ask()) is not None:
        try:
            value = curve(trial.params, trial)
        except ledger.TrialPruned as pruned:
            study.tell(trial, error=pruned)
        else:
            study.tell(trial, value)
"""


def test_a_rule_stops_the_trials_that_a_program_asks_for(program: Program) -> None:
    for name in ("asked", "trained"):
        assert lines(start(program, CURVES, name)) == []
    ends = [
        [
            (trial["params"], trial["state"], trial["loss"], trial["pruned_step"], trial["pruned_loss"])
            for trial in found
        ]
        for found in (program.document(name)["trials"] for name in ("asked", "trained"))
    ]
    assert ends[0] == ends[1]
    assert {state for _, state, *_ in ends[0]} == {"complete", "pruned"}
    assert "12 trials" in program.run("verify", "asked")


def test_an_asked_trial_says_what_it_cannot_report_or_prune(program: Program) -> None:
    script = """
study = ledger.Study(space=SPACE, name="wrong", trials=2, batch_size=2)
trial = study.ask()

def said(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except Exception as error:
        show([type(error).__name__, str(error)])

said(trial.report, "0.5", 1)
said(trial.report, 0.5, -1)
said(study.tell, trial, error=ledger.TrialPruned())
said(trial.report, 0.5, 1, {"rate": "high"})
trial.report(float("nan"), 1, {"rate": 0.25})
study.tell(trial, 0.5)
said(trial.report, 0.5, 2)
show(trial.should_prune())
"""
    assert lines(start(program, script)) == [
        ["TypeError", 'the reported value is "0.5", which is not a number: report a real number'],
        ["ValueError", "the step of the report is -1: give an integer from 0 to 1000000000000000"],
        [
            "UsageError",
            "tell: the rule of early stopping has not stopped trial 0: call tell with TrialPruned only if"
            " should_prune() has returned True",
        ],
        ["InvalidResultError", "the objective reported a metric 'rate' that is not a number: 'high'"],
        ["UsageError", "report: trial 0 of study wrong is not a running trial of this program"],
        False,
    ]


def test_a_trial_of_a_killed_program_goes_to_another_program(program: Program) -> None:
    killed = start(program, LOOP, "own", "6", "never")
    assert killed.stdout is not None
    assert killed.stdout.readline() == "0\n"
    # The other program waits, because `readline` could read ahead, and `lines` would not see what is read ahead.
    other = start(program, LOOP, "own", "6", "go")
    assert other.stdout is not None
    assert other.stdout.readline() == "1\n", "the other program gets another trial"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (program.folder / "go").touch()
    assert sorted(int(str(line)) for line in lines(other)[:-1]) == [0, 2, 3, 4, 5]
    document = program.document("own")
    assert document["study"]["state"] == "complete"
    assert [trial["lost"] for trial in document["trials"]] == [1, 0, 0, 0, 0, 0]
    assert "6 trials" in program.run("verify", "own")


def test_a_thread_renews_the_claim_of_a_long_trial(program: Program) -> None:
    holding = start(program, LOOP, "long", "1", "go")
    assert holding.stdout is not None
    assert holding.stdout.readline() == "0\n"
    claimed = "select attempts, claimed_at + interval '6 seconds' < now() from ledger.trials where study = 'long'"
    wait_until(lambda: program.query(claimed) == [(1, True)])
    (program.folder / "go").touch()
    assert lines(holding) == [True]
    assert [attempt["outcome"] for attempt in program.document("long")["attempts"]] == ["complete"]


def test_threads_of_one_program_ask_and_wait_for_each_other(program: Program) -> None:
    script = """
from concurrent.futures import ThreadPoolExecutor

def train(_):
    trained = []
    while (trial := study.ask()) is not None:
        time.sleep(0.05)
        study.tell(trial, bowl(trial.params))
        trained.append(trial.number)
    return trained

if __name__ == "__main__":
    study = ledger.Study(space=SPACE, name="threads", trials=12, batch_size=3)
    with ThreadPoolExecutor(4) as pool:
        trained = [number for numbers in pool.map(train, range(4)) for number in numbers]
    show(sorted(trained))
"""
    assert lines(start(program, script)) == [[*range(12)]]
    assert {attempt["outcome"] for attempt in program.document("threads")["attempts"]} == {"complete"}
    assert "12 trials" in program.run("verify", "threads")


def test_a_program_gives_back_what_it_holds_when_it_ends(program: Program) -> None:
    script = """
if __name__ == "__main__":
    study = ledger.Study(space=SPACE, name="held", trials=6)
    first, second = study.ask(), study.ask()
    for call in (study.ask, lambda: study.tell(first, float("nan")), lambda: study.tell(9, 1.0), lambda: study.run()):
        try:
            call()
        except ledger.LedgerError as error:
            show([type(error).__name__, str(error)])
    study.tell(first, {"value": 2.0, "cost": 3})
    study.tell(second, error=ValueError("no gradient"))
    study.ask()
"""
    out = lines(start(program, script))
    assert out == [
        [
            "LedgerError",
            "ask: before the next proposal, study held needs the results of 2 trials that this program runs: call"
            ' tell() for a running trial first, or pass mode="steady" or a larger batch_size to Study()',
        ],
        ["UsageError", "tell: trial 0: the objective returned nan; return a finite number"],
        ["UsageError", "tell: trial 9 of study held is not a running trial of this program: call ask() first"],
        [
            "UsageError",
            "study held has no objective: call Study(objective, ...), or train the trials by ask() and tell()",
        ],
    ]
    document = program.document("held")
    assert [trial["state"] for trial in document["trials"]] == ["complete", "failed", "pending", "pending"]
    assert document["trials"][0]["metrics"] == {"cost": 3}
    assert "ValueError: no gradient" in document["trials"][1]["error"]
    assert [attempt["outcome"] for attempt in document["attempts"]] == ["complete", "failed", "released"]
