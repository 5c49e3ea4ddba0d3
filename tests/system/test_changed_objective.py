"""Story: the code of an objective changes between two runs, between workers, and in a notebook."""

import json
import signal
import sys
from functools import partial

import psycopg
import pytest

from ledger import embedded
from ledger.access import database
from ledger.settings import Settings
from tests.system.programs import Program, own_study, wait_until

OBJECTIVE = """
SCALE = 0

def helper(x):
    return x * x

def square(params):
    # the loss
    return helper(params["x"]) + SCALE
"""
ONE_WORKER = ("--allow", "mine", "--workers", "1")


@pytest.fixture
def program(tmp_path):
    made = Program(tmp_path)
    with database(Settings(home=made.home), create=True):
        yield made


def write(program, text, folder=None):
    (program.folder if folder is None else folder).joinpath("mine.py").write_text(text)


def ended(process):
    """Wait for the end of a program, and return what it wrote to standard error."""
    out, error = process.communicate()
    assert process.returncode == 0, out + error
    return error


def test_a_run_with_a_changed_objective_is_refused_until_it_is_accepted(program):
    own_study(program.folder, OBJECTIVE, "square")
    program.run("run", "own.toml", *ONE_WORKER)
    # comments do not matter, and an unchanged study says nothing about its code
    write(program, OBJECTIVE.replace("# the loss", "# another comment\n"))
    assert "code" not in program.run("run", "own.toml", *ONE_WORKER)
    for old, new, said in (
        ("SCALE = 0", "SCALE = 100", "module value `SCALE` (0, now 100)"),
        ("return x * x", "return x * x + 7", "function `helper`"),
        ("+ SCALE", "- SCALE", "function `square`"),
    ):
        write(program, OBJECTIVE.replace(old, new))
        error = program.run("run", "own.toml", *ONE_WORKER, code=1)
        assert error.count("\n") == 1 or "differs from the recorded objective" in error.splitlines()[-1]
        last = error.splitlines()[-1]
        assert last.startswith(f"ledger: the objective of study own differs from the recorded objective ({said}")
        assert last.endswith(
            "): use --accept-change to run the next trials with the new code, or choose another --name"
        )
        assert "if_changed" not in last
    assert program.run("run", "own.toml", *ONE_WORKER, "--name", "another").startswith("study       another\n")
    write(program, OBJECTIVE.replace("SCALE = 0", "SCALE = 100"))
    program.run("run", "own.toml", *ONE_WORKER, "--accept-change", "--iterations", "2")
    document = program.document("own")
    assert [version["first_trial"] for version in document["code_versions"]] == [0, 2]
    assert [trial["loss"] >= 100 for trial in document["trials"]] == [False, False, True, True]
    assert len(document["sources"]) == 2
    assert "SCALE = 100" in program.run("study", "source", "own")
    assert "the records of study own are consistent" in program.run("verify", "own")


def test_a_worker_with_another_module_gives_the_trial_back(program, tmp_path):
    """Two machines are two folders with different versions of the module."""
    own_study(program.folder, OBJECTIVE, "square", batch_size=4)
    other = tmp_path / "other"
    other.mkdir()
    write(program, OBJECTIVE.replace("x * x", "abs(x)"), other)
    elsewhere = Program(other, DATABASE_URL=embedded.url(program.home))
    # the manager does not import the module, so the first worker records the code
    manager = program.start("manager", "own.toml")
    wait_until(lambda: program.query("select from ledger.trials"))
    first = program.start("worker", "--study", "own", "--allow", "mine", "--max-trials", "1")
    assert ended(first)
    assert program.query("select number, first_trial from ledger.code_versions") == [(0, 0)]
    stale = elsewhere.start("worker", "--allow", "mine")
    reason = "differs from the recorded code (function `helper`)"
    wait_until(lambda: program.query(f"select from ledger.refusals where reason like '%{reason}%'"))
    assert reason in program.run("study", "show", "own")
    stale.send_signal(signal.SIGTERM)
    assert reason in ended(stale)
    # the code of the other machine is accepted, so the first machine's worker refuses
    said = elsewhere.run("study", "accept", "own", "--allow", "mine")
    assert said == "study own: the new code is valid from trial 1 (function `helper`)\n"
    assert elsewhere.run("study", "accept", "own", "--allow", "mine").endswith("is the recorded code\n")
    error = program.run("worker", "--study", "own", "--allow", "mine", code=1)
    assert reason in error.splitlines()[-1]
    elsewhere.run("worker", "--study", "own", "--allow", "mine", "--until-complete")
    assert ended(manager)
    document = program.document("own")
    losses = [trial["loss"] - abs(trial["params"]["x"]) for trial in document["trials"]]
    assert losses[0] != 0
    assert losses[1:] == [0, 0, 0]
    assert program.run("verify", "own").count("code version") == 2


def test_a_running_worker_takes_the_accepted_version_of_its_module(program):
    own_study(program.folder, OBJECTIVE, "square", batch_size=2)
    worker = program.start("worker", "--allow", "mine")
    program.run("manager", "own.toml")
    write(program, OBJECTIVE.replace("SCALE = 0", "SCALE = 100"))
    assert "from trial 2" in program.run("study", "accept", "own", "--allow", "mine")
    program.run("manager", "own.toml", "--iterations", "2")
    worker.send_signal(signal.SIGTERM)
    assert ended(worker)
    assert [trial["loss"] >= 100 for trial in program.document("own")["trials"]] == [False, False, True, True]


def test_a_value_that_depends_on_the_machine_is_named_and_trained(program, tmp_path):
    text = "import os\nCORES = len(os.environ['PLACE'])\ndef square(params):\n    return CORES\n"
    own_study(program.folder, text, "square")
    program.run("study", "create", "own.toml")
    url = embedded.url(program.home)
    for place, trials in (("a", "1"), ("long", "1")):
        worker = Program(tmp_path, DATABASE_URL=url, PLACE=place)
        process = worker.start("worker", "--study", "own", "--allow", "mine", "--max-trials", trials)
        if place == "a":
            manager = program.start("manager", "own.toml")
        error = ended(process)
    assert ended(manager)
    assert "on this machine differ from the recorded values: module value `CORES` (1, now 4)" in error
    assert sorted(trial["loss"] for trial in program.document("own")["trials"]) == [1, 4]


NOTEBOOK = """
import json, sys, ledger
def make(centre):
    def helper(x):
        return x - centre
    @ledger.objective(space={"x": (0.0, 1.0)})
    def loss(params):
        return abs(helper(params["x"])) + scale
    return loss
for scale, centre, way in json.loads(sys.argv[1]):
    study = ledger.Study(make(centre), name="notebook", iterations=1, batch_size=2, record_source=centre != 7)
    try:
        result = study.run(workers=1, if_changed=way)
        print(result.name, len(result.trials), result.best_loss >= 100)
    except ledger.LedgerError as error:
        print(error)
"""


def run_notebook(program, *cells, text=NOTEBOOK):
    """Run the text once with the scale, the centre and the way of each cell. Return the lines of the output."""
    (program.folder / "notebook.py").write_text(text)
    return program.run_python("notebook.py", json.dumps(cells or [(0, 1, "refuse")])).splitlines()


def test_a_changed_function_of_a_notebook_is_noticed(program):
    ran = partial(run_notebook, program)
    assert ran() == ["notebook 2 False"]
    assert ran(text=NOTEBOOK.replace("# ", "#")) == ["notebook 2 False"]
    value, closure, unknown = ran((100, 1, "refuse"), (0, 2, "refuse"), (0, 1, "accepted"))
    assert value.startswith(
        "the objective of study notebook differs from the recorded objective (module value `scale` (0, now 100)):"
        ' use if_changed="accept" to run'
    )
    assert "(closure value `make.helper.centre` (1, now 2))" in closure
    assert "if_changed 'accepted' is unknown" in unknown
    (refused,) = ran(text=NOTEBOOK.replace("return x - centre", "return centre - x"))
    assert "(function `make.helper`)" in refused
    new, again, accepted = ran((100, 1, "new"), (100, 1, "new"), (100, 1, "accept"))
    assert new.startswith("notebook-")
    assert new.endswith(" 2 True")
    assert again == new
    assert accepted == "notebook 2 False"
    extended = NOTEBOOK.replace("iterations=1", "iterations=2")
    assert ran((100, 1, "refuse"), text=extended) == ["notebook 4 False"]
    document = program.document("notebook")
    assert [version["first_trial"] for version in document["code_versions"]] == [0, 2]
    assert [trial["loss"] >= 100 for trial in document["trials"]] == [False, False, True, True]
    (source,) = document["sources"].values()
    assert source.startswith('@ledger.objective(space={"x": (0.0, 1.0)})\ndef loss(params):\n')
    assert "def helper(x):" in source


def test_only_the_hash_of_a_secret_source_is_kept(program):
    text = NOTEBOOK.replace('name="notebook"', 'name="secret"')
    (program.folder / "secret.py").write_text(text)
    program.run_python("secret.py", json.dumps([(5, 7, "refuse")]))
    document = program.document("secret")
    assert document["sources"] == {}
    assert [part.get("shown") for part in document["code_versions"][0]["parts"]] == [None] * 4
    assert "# the ledger has no text" in program.run("study", "source", "secret")
    changed = program.run_python("secret.py", json.dumps([(6, 7, "refuse")]))
    assert '(module value `scale`): use if_changed="accept"' in changed


def test_a_study_created_without_the_module_records_the_source_that_it_may(program):
    own_study(program.folder, OBJECTIVE, "square")
    file = program.folder / "own.toml"
    file.write_text(
        file.read_text().replace('function = "mine:square"', 'function = "mine:square"\nrecord_source = false')
    )
    program.run("study", "create", "own.toml")
    program.run("resume", "own", *ONE_WORKER)
    with psycopg.connect(embedded.url(program.home)) as connection:
        assert connection.execute("select count(*) from ledger.sources").fetchone() == (0,)
        assert connection.execute("select count(*) from ledger.code_versions").fetchone() == (1,)


TRAIN = "import sys\nprint(float(sys.argv[2]) + 0)\n"


def test_a_changed_script_of_a_command_is_noticed(program):
    (program.folder / "space.toml").write_text("[space]\nx = { type = 'real', low = 0.0, high = 1.0 }\n")
    script = program.folder / "train.py"

    def ran(text, *options, code=0):
        script.write_text(text)
        settings = ("--space", "space.toml", "--name", "command", "--batch-size", "2", "--workers", "1", *options)
        return program.run("run", *settings, "--", sys.executable, "train.py", "--x", "{x}", code=code)

    ran(TRAIN, "--iterations", "1")
    ran(TRAIN, "--iterations", "1")
    changed = TRAIN.replace("+ 0", "+ 100")
    error = ran(changed, "--iterations", "2", code=1)
    assert error.splitlines()[-1].startswith(
        "ledger: the objective of study command differs from the recorded objective (command file `train.py`): use"
        " --accept-change"
    )
    # workers that only continue the study refuse the script, too
    allowed = ("--allow-command", f"{sys.executable} train.py {{...}}")
    error = program.run("resume", "command", "--iterations", "2", "--workers", "1", *allowed, code=1)
    assert "on this machine differs from the recorded code (command file `train.py`)" in error
    said = program.run("study", "accept", "command", *allowed)
    assert said == "study command: the new code is valid from trial 2 (command file `train.py`)\n"
    ran(changed, "--iterations", "2")
    document = program.document("command")
    assert [trial["loss"] >= 100 for trial in document["trials"]] == [False, False, True, True]
    assert sorted(document["sources"].values()) == sorted([TRAIN, changed])
    shown = program.run("study", "source", "command", "--number", "0")
    assert shown.startswith(f"# {sys.executable} train.py --x {{x}}\n")
    assert shown.endswith(f"\n{TRAIN}")
    assert "the records of study command are consistent" in program.run("verify", "command")


def test_an_objective_that_failed_in_every_trial_is_corrected_freely(program):
    own_study(program.folder, OBJECTIVE.replace("return x * x", "return x * missing"), "square")
    program.run("run", "own.toml", *ONE_WORKER, code=1)
    write(program, OBJECTIVE)
    program.run("resume", "own", *ONE_WORKER)
    document = program.document("own")
    assert document["study"]["state"] == "complete"
    assert [version["first_trial"] for version in document["code_versions"]] == [0, 2]
    # the recorded losses belong to the corrected objective
    write(program, OBJECTIVE.replace("SCALE = 0", "SCALE = 1"))
    assert "differs from the recorded objective" in program.run("run", "own.toml", *ONE_WORKER, code=1)


def test_a_failed_function_of_a_notebook_is_corrected_freely(program):
    mistake = NOTEBOOK.replace("return abs(", "return missing + abs(")
    assert run_notebook(program, text=mistake)[0].startswith("study notebook is failed")
    assert run_notebook(program) == ["notebook 4 False"]
    assert "differs from the recorded objective" in run_notebook(program, text=mistake)[0]


CALLS = """
import sys, ledger

def loss(params):
    return params["x"] * params["x"]

way, *calls = sys.argv[1:] if __name__ == "__main__" else ["refuse"]
options = {"name": "calls", "trials": 2, "batch_size": 2}
for call in calls:
    try:
        if call == "minimize":
            result = ledger.minimize(loss, {"x": (1.0, 2.0)}, workers=1, if_changed=way, **options)
            print(result.name, result.state)
            continue
        study = ledger.Study(loss, space={"x": (1.0, 2.0)}, **options)
        if call == "start":
            result = study.start(workers=1, if_changed=way).result()
            print(result.name, result.state)
        else:
            while (trial := study.ask(if_changed=way)) is not None:
                study.tell(trial, loss(trial.params))
            print("told")
    except ledger.LedgerError as error:
        print(error)
"""


@pytest.mark.parametrize("first", ["minimize", "ask"])
def test_each_way_to_search_from_python_notices_the_change(program, first):
    def ran(*calls, way="refuse", text=CALLS):
        (program.folder / "calls.py").write_text(text)
        return program.run_python("calls.py", way, *calls).splitlines()

    done = {"minimize": "calls complete", "start": "calls complete", "ask": "told"}
    assert ran(first, *done) == [done[first], *done.values()]
    changed = CALLS.replace('return params["x"]', 'return 7 + params["x"]')
    refused = ran(*done, text=changed)
    assert len(refused) == len(done)
    for line in refused:
        assert line.startswith(
            "the objective of study calls differs from the recorded objective (function `loss`): use"
            ' if_changed="accept"'
        )
        assert "--accept-change" not in line
    assert ["if_changed 'never' is unknown" in line for line in ran(*done, way="never", text=changed)] == [True] * 3
    told, line = ran("ask", "minimize", way="new", text=changed)
    assert told == "told"
    name, state = line.split()
    assert name.startswith("calls-")
    assert state == "complete"
    assert ran("ask", way="accept", text=changed) == ["told"]
    assert [version["first_trial"] for version in program.document("calls")["code_versions"]] == [0, 2]


ESTIMATORS = """
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

class Scale(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self
    def transform(self, X):
        return X / 1

class First(ClassifierMixin, BaseEstimator):
    def __init__(self, shift=0):
        self.shift = shift
    def fit(self, X, y):
        self.classes_ = sorted(set(y))
        return self
    def predict(self, X):
        return [self.classes_[0]] * len(X)
"""
ESTIMATOR_STUDY = """
[study]
name = "own"
batch_size = 2
iterations = 1
[space]
{parameter} = {{ type = "integer", low = 0, high = 9 }}
[objective]
data = "rows.csv"
target_column = "kind"
{estimator}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameter", "estimator", "changed"),
    [
        ("shift", 'estimator = "mine:First"', "First"),
        ("last__shift", 'steps = { scale = "mine:Scale", last = "mine:First" }', "Scale"),
    ],
)
def test_a_changed_class_of_an_own_estimator_is_noticed(program, parameter, estimator, changed):
    (program.folder / "rows.csv").write_text("a,kind\n" + "1,no\n2,yes\n" * 20)
    file = program.folder / "own.toml"
    file.write_text(ESTIMATOR_STUDY.format(parameter=parameter, estimator=estimator))
    write(program, ESTIMATORS)
    program.run("run", "own.toml", *ONE_WORKER)
    program.run("run", "own.toml", *ONE_WORKER)
    old, new = ("X / 1", "X / 2") if changed == "Scale" else ("[0]]", "[1]]")
    write(program, ESTIMATORS.replace(old, new))
    error = program.run("run", "own.toml", *ONE_WORKER, code=1)
    assert "the objective of study own differs from the recorded objective (" in error
    # the base class wraps the method `transform`, so a change of the method is also a change of a function
    named = f"class `{changed}`"
    assert named in error.splitlines()[-1]
    error = program.run("resume", "own", *ONE_WORKER, "--trials", "4", code=1)
    assert any(named in line and "differs from the recorded code (" in line for line in error.splitlines())
    said = program.run("study", "accept", "own", "--allow", "mine")
    assert said.startswith("study own: the new code is valid from trial 2 (")
    assert named in said
    assert f"class {changed}(" in program.run("study", "source", "own", "--number", "0")
    program.run("resume", "own", *ONE_WORKER, "--trials", "4")
    assert "the records of study own are consistent" in program.run("verify", "own")


def test_an_estimator_of_an_installed_package_has_no_own_code(program):
    (program.folder / "own.toml").write_text(
        '[study]\nname = "own"\niterations = 1\n[space]\nmax_depth = { type = "integer", low = 1, high = 3 }\n'
        '[objective]\nestimator = "sklearn.tree:DecisionTreeClassifier"\n'
    )
    program.run("run", "own.toml", "--workers", "1")
    assert program.document("own")["code_versions"] == []
    assert "so the ledger has no source text of your own code" in program.run("study", "source", "own", code=1)
    assert "so there is no code to accept" in program.run("study", "accept", "own", code=1)
