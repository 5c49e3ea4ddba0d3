"""A worker that claims several short trials loses none of them when it ends, and blocks no other worker."""

import signal

import pytest

from tests.system.programs import Program, own_study, wait_until

TRIALS, EVENT = 20, 10
# The worker claims trial 0 alone, and learns that trials are short. It then claims several in one call, on an idle
# machine all of them.
OBJECTIVE = """
import os, pathlib, signal, time

def short(params, context):
    if context.trial == 10 and context.attempt == 1:
        {event}
    return params["x"] ** 2
"""
WAIT = """
        pathlib.Path("begun").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.02)
"""


class Search:
    def __init__(self, folder, event, lease):
        own_study(folder, OBJECTIVE.format(event=event), "short", batch_size=TRIALS, heartbeat=0.5, lease=lease)
        self.folder, self.program = folder, Program(folder)
        self.started = []
        self.manager = self.start("manager", "own.toml")
        wait_until(lambda: self.program.query("select from ledger.trial"))
        self.first = self.worker()

    def start(self, *command):
        self.started.append(self.program.start(*command))
        return self.started[-1]

    def worker(self):
        return self.start("worker", "--study", "own", "--until-complete", "--allow", "mine")

    def outcomes(self, *trials):
        those = f"trial between {trials[0]} and {trials[-1]}"
        rows = self.program.query(f"select outcome from ledger.attempt where {those} order by trial, number")
        return [outcome for (outcome,) in rows]

    def claimed_together(self):
        """How many trials the largest claim held, which depends on the machine: at least two."""
        claims = "select count(*) as trials from ledger.attempt group by claimed_at"
        return self.program.query(f"select max(trials) from ({claims}) as claims")[0][0]

    def ends(self, *workers):
        for process in (*workers, self.manager):
            _, error = process.communicate()
            assert process.returncode == 0, error
            assert "Traceback" not in error
        document = self.program.document("own")
        assert [trial["state"] for trial in document["trials"]] == ["complete"] * TRIALS
        assert {trial["failures"] for trial in document["trials"]} == {0}
        return document


@pytest.fixture
def search(request, tmp_path):
    search = Search(tmp_path, *request.param)
    yield search
    for process in search.started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("search", [("os.kill(os.getppid(), signal.SIGKILL)", 5.0)], indirect=True, ids=["killed"])
def test_what_a_killed_worker_held_is_lost_once_and_done_by_another(search):
    search.first.communicate()
    assert search.first.returncode == -signal.SIGKILL
    held = {trial for (trial,) in search.program.query("select trial from ledger.attempt where outcome is null")}
    assert EVENT in held
    assert search.claimed_together() > 1
    document = search.ends(search.worker())
    assert {trial["number"]: trial["lost"] for trial in document["trials"]} == {
        number: int(number in held) for number in range(TRIALS)
    }
    lost = [attempt["trial"] for attempt in document["attempts"] if attempt["outcome"] == "lost"]
    assert sorted(lost) == sorted(held)
    assert len(document["attempts"]) == TRIALS + len(held)


@pytest.mark.parametrize(
    "search", [("os.kill(os.getppid(), signal.SIGTERM)" + WAIT, 60.0)], indirect=True, ids=["told to leave"]
)
def test_a_worker_told_to_leave_returns_the_trials_it_has_not_begun(search):
    wait_until((search.folder / "begun").exists)
    assert search.claimed_together() > 1
    wait_until(lambda: None not in search.outcomes(EVENT + 1, TRIALS - 1))
    assert set(search.outcomes(EVENT + 1, TRIALS - 1)) <= {"released"}
    (search.folder / "go").touch()
    _, error = search.first.communicate()
    assert search.first.returncode == 0, error
    assert f"has stopped after it ran {EVENT + 1} attempts of trials" in error
    assert search.outcomes(0, EVENT) == ["complete"] * (EVENT + 1)
    document = search.ends(search.worker())
    assert {trial["lost"] for trial in document["trials"]} == {0}


@pytest.mark.parametrize("search", [(WAIT.lstrip(), 60.0)], indirect=True, ids=["a long one"])
def test_a_long_trial_delays_neither_results_nor_other_trials(search):
    wait_until((search.folder / "begun").exists)
    wait_until(lambda: search.outcomes(0, EVENT - 1) == ["complete"] * EVENT)
    second = search.worker()
    after = range(EVENT + 1, TRIALS)
    wait_until(lambda: search.outcomes(*after).count("complete") == len(after))
    assert search.outcomes(EVENT, EVENT) == [None]
    (search.folder / "go").touch()
    document = search.ends(search.first, second)
    assert {trial["lost"] for trial in document["trials"]} == {0}
    assert {attempt["outcome"] for attempt in document["attempts"]} == {"complete", "released"}
