"""Many studies: lists with filters, annotations, new names, the archive, and the deletion of several studies."""

import json
import uuid
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import Connection, event

import ledger as package
from ledger.database import annotations, flattened, protocol, studies, study_list
from ledger.database.annotations import AnnotationChange
from ledger.database.bounds import LARGEST_ATTRIBUTES, LONGEST_NOTE, MOST_ATTRIBUTES, MOST_TAGS
from ledger.database.connection import driver, engine
from ledger.database.rows import AnnotationRow
from ledger.database.study_list import ORDERS, StudyFilter
from ledger.errors import LedgerError, UsageError
from tests.databases import new_database
from tests.integration.ledgers import finish, hold, make_study, spec, take, tell
from tests.integration.moving import exported, moved
from tests.integration.test_commands import Run
from tests.integration.test_commands import run as run
from tests.integration.test_moved_studies import under_way
from tests.integration.test_views import nodes

COMMAND = {"command": ["./train.sh", "{lr}"]}
PIPELINE = {"steps": [["scale", "sklearn.preprocessing:StandardScaler"], ["svc", "sklearn.svm:SVC"]]}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "svm-1": {"model": "svm", "dataset": "digits"},
    "svm-2": {"model": "svm", "dataset": "wine"},
    "forest": {"estimator": "sklearn.ensemble:RandomForestClassifier", "dataset": "digits"},
    "own_f": {"function": "mine.train:f"},
    "pipe": {**PIPELINE, "data": {"name": "flats.csv"}},
    "shell": COMMAND,
}


@pytest.fixture
def many(run: Run, db: Connection, connection: psycopg.Connection[Any], url: str, monkeypatch) -> None:
    """A ledger with studies of several objectives, each an hour older than the next one."""
    monkeypatch.setenv("DATABASE_URL", url)
    for age, (name, objective) in enumerate(reversed(OBJECTIVES.items())):
        # the spec of an earlier version, because some objectives are not whole
        connection.execute("alter table ledger.study disable trigger studies_are_readable")
        row = studies.create(db, name, {**spec(1), "objective": objective}, "0" * 64, 1, {})
        connection.execute("alter table ledger.study enable always trigger studies_are_readable")
        assert row is not None
        connection.execute(
            "update ledger.study set created_at = created_at - make_interval(hours => %s) where id = %s",
            (age, row.id),
        )


def named(db: Connection, chosen: StudyFilter, *args: Any, **options: Any) -> list[str]:
    return [row.study for row in study_list.read(db, chosen, *args, **options)]


def test_filters_choose_studies(many, db):
    svm = studies.get(db, "svm-1")
    annotations.annotate_study(db, svm.id, AnnotationChange(tags=["paper", "digits"]))
    annotations.annotate_study(db, studies.get(db, "pipe").id, AnnotationChange(tags=["paper"]))
    studies.pause(db, studies.get(db, "shell").id)
    for chosen, expected in (
        (StudyFilter(name="svm-*"), ["svm-1", "svm-2"]),
        (StudyFilter(name="svm-?", states=["running"]), ["svm-1", "svm-2"]),
        (StudyFilter(name="own_?"), ["own_f"]),
        (StudyFilter(name="svm_1"), []),
        (StudyFilter(tags=["paper"]), ["pipe", "svm-1"]),
        (StudyFilter(tags=["paper", "digits"]), ["svm-1"]),
        (StudyFilter(states=["paused", "complete"]), ["shell"]),
        (StudyFilter(objective="sklearn.*"), ["forest", "pipe"]),
        (StudyFilter(objective="./train.sh*"), ["shell"]),
        (StudyFilter(dataset="digits"), ["forest", "svm-1"]),
        (StudyFilter(dataset="*.csv"), ["pipe"]),
        (StudyFilter(newer=timedelta(minutes=90)), ["pipe", "shell"]),
        (StudyFilter(older=timedelta(minutes=210)), ["svm-1", "svm-2"]),
        (StudyFilter(archived=True), []),
    ):
        assert sorted(named(db, chosen)) == expected, chosen


def test_orders_and_limits_are_the_databases(many, db, connection):
    assert named(db, StudyFilter()) == list(OBJECTIVES)
    assert named(db, StudyFilter(), "name") == sorted(OBJECTIVES)
    for order in ORDERS:
        forwards = named(db, StudyFilter(), order)
        assert sorted(forwards) == sorted(OBJECTIVES)
        assert named(db, StudyFilter(), order, limit=2) == forwards[:2]
        assert sorted(named(db, StudyFilter(), order, reverse=True)) == sorted(OBJECTIVES)
    for name, loss in (("a", 0.5), ("b", 0.25)):
        make_study(db, name, 1)
        assert protocol.complete(connection, take(connection, name), loss, {}, 1.0) == "recorded"
    assert named(db, StudyFilter(), "best", limit=2) == ["b", "a"]
    assert named(db, StudyFilter(), "best", reverse=True, limit=2) == ["a", "b"]
    assert sorted(named(db, StudyFilter(), "trials", reverse=True, limit=2)) == ["a", "b"]
    assert named(db, StudyFilter(), "name", limit=1) == ["a"]


def test_a_list_reads_only_what_it_shows(server, template):
    with new_database(server, template) as url, engine(url).connect() as db:
        connection = driver(db)
        connection.execute(
            "insert into ledger.study (name, spec, spec_hash, budget, state, created_at, versions)"
            " select 's' || n, %s, '', 1, 'running', ledger.clock() - make_interval(secs => n), '{}'"
            " from generate_series(1, 3000) as n",
            (json.dumps(spec(1)),),
        )
        connection.commit()
        connection.execute("analyze ledger.study")
        connection.commit()
        statements: list[tuple[str, Any]] = []
        event.listen(db, "before_cursor_execute", lambda *seen: statements.append(seen[2:4]))
        for shown, chosen, order in (
            (["s3000", "s2999", "s2998"], StudyFilter(), "created"),
            (["s29", "s290"], StudyFilter(name="s29*"), "name"),
        ):
            assert named(db, chosen, order, limit=len(shown)) == shown
            statement, parameters = statements.pop()
            answer = connection.execute(f"explain (analyze, format json) {statement}", parameters).fetchone()
            assert answer is not None
            loops = [node["Actual Loops"] for node in nodes(answer[0][0]["Plan"])]
            assert max(loops) == len(shown), "the database computes the progress of the shown studies only"
        assert len(named(db, StudyFilter(), "best")) == 3000


def test_an_annotation_merges_and_says_who_and_when(db, connection):
    row = make_study(db)
    change = AnnotationChange(tags=["b", "a"], note="first", attributes={"k": [1, None], "l": 2})
    assert annotations.annotate_study(db, row.id, change) == "annotated"
    assert annotations.annotate_study(db, row.id, change) == "unchanged"
    assert annotations.annotate_study(db, row.id, AnnotationChange(untag=["a", "z"], remove=["l"])) == "annotated"
    found = annotations.of_study(db, row.id)
    user, now = connection.execute("select session_user, ledger.clock()").fetchone() or ("", None)
    assert isinstance(found, AnnotationRow)
    assert (found.tags, found.note, found.attributes, found.annotated_by) == (["b"], "first", {"k": [1, None]}, user)
    assert now is not None
    assert found.annotated_at <= now
    clear = AnnotationChange(untag=["b"], note="", remove=["k"])
    assert annotations.annotate_study(db, row.id, clear) == "annotated"
    assert annotations.of_study(db, row.id) is None
    assert annotations.annotate_study(db, 99, change) == "unknown"
    assert annotations.annotate_trial(db, row.id, 99, change) == "unknown"


def test_an_ended_trial_takes_an_annotation_and_does_not_change(db, connection):
    row = make_study(db, trials=1)
    assert protocol.complete(connection, take(connection), 0.5, {}, 1.0) == "recorded"
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    assert finish(db, row, "complete") == "finished"
    before = connection.execute("select trial::text from ledger.trial").fetchall()
    assert annotations.annotate_trial(db, row.id, 0, AnnotationChange(tags=["odd"])) == "annotated"
    assert connection.execute("select trial::text from ledger.trial").fetchall() == before
    assert [each.tags for each in annotations.of_trials(db, row.id)] == [["odd"]]


@pytest.mark.parametrize(
    "given",
    [
        {"tags": [f"t{number}" for number in range(MOST_TAGS + 1)]},
        {"tags": ["x" * 101]},
        {"tags": [" "]},
        {"tags": "paper"},
        {"tags": ["a\0"]},
        {"note": "x" * (LONGEST_NOTE + 1)},
        {"attributes": {f"k{number}": 1 for number in range(MOST_ATTRIBUTES + 1)}},
        {"attributes": {"k": "x" * LARGEST_ATTRIBUTES}},
        {"attributes": {"": 1}},
        {"attributes": {"x" * 301: 1}},
        {"attributes": {"k": float("nan")}},
        {"attributes": {"k": object()}},
        {"attributes": ["k"]},
    ],
)
def test_a_change_beyond_the_bounds_is_refused_in_one_line(given):
    with pytest.raises(UsageError) as refused:
        AnnotationChange(**given)
    assert "\n" not in str(refused.value)


def test_the_database_refuses_what_any_client_sends_beyond_the_bounds(db, connection):
    row = make_study(db)
    for arguments in (
        ("{" + ",".join(f"t{number}" for number in range(101)) + "}", None, "{}"),
        ("{" + "x" * 101 + "}", None, "{}"),
        ('{"a\tb"}', None, "{}"),
        ("{}", "x" * 10_001, "{}"),
        ("{}", None, "[]"),
        ("{}", None, '"text"'),
        ("{}", None, json.dumps({str(number): 1 for number in range(101)})),
        ("{}", None, json.dumps({"x": "y" * 10_001})),
        ("{}", None, json.dumps({"x" * 301: 1})),
        ("{}", None, '{"": 1}'),
        ("{}", None, '{"x":' + "[" * 150 + "]" * 150 + "}"),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="the annotation of study s, "):
            connection.execute(
                "select ledger.annotate_study(%s, %s::text[], '{}', %s, %s::jsonb)", (row.id, *arguments)
            )
    many = AnnotationChange(tags=[f"t{number}" for number in range(MOST_TAGS)])
    assert annotations.annotate_trial(db, row.id, 0, many) == "annotated"
    with pytest.raises(UsageError, match="the annotation of trial 0, the tags: 101 tags are too many"):
        annotations.annotate_trial(db, row.id, 0, AnnotationChange(tags=["one more"]))


def test_an_open_annotation_keeps_no_session_waiting(db, url):
    row = make_study(db)
    with psycopg.connect(url) as other:
        other.execute("select ledger.annotate_study(%s, '{a}')", (row.id,))
        with pytest.raises(LedgerError, match="another session has locked the annotation of the study"):
            annotations.annotate_study(db, row.id, AnnotationChange(tags=["b"]))
        # a worker and a manager go on
        hold(db, row)
    assert annotations.annotate_study(db, row.id, AnnotationChange(tags=["b"])) == "annotated"


def test_a_renamed_study_keeps_its_trials_and_its_view(db, connection, url):
    row = make_study(db)
    make_study(db, "taken")
    view = studies.flatten(db, row)
    assert studies.rename(db, row, "taken") == "taken"
    assert studies.rename(db, row, "s") == "unchanged"
    assert studies.rename(db, row, "better") == "renamed"
    assert studies.find(db, "s") is None
    renamed = studies.get(db, "better")
    assert connection.execute('select count(*) from ledger."study:better"').fetchone() == (4,)
    comment = connection.execute("select obj_description('ledger.\"study:better\"'::regclass)").fetchone()
    assert comment is not None
    assert "ledger study view better" in comment[0]
    assert view.name == flattened.view_name("s")
    assert take(connection, "better").study_name == "better"
    hold(db, renamed)
    assert studies.rename(db, renamed, "again") == "managed"
    assert studies.archive(db, renamed) == "managed"
    assert studies.delete(db, studies.get(db, "taken")) == "deleted"


def test_an_archived_study_is_hidden_and_readable(many, run: Run, db):
    assert run("study", "archive", "svm-1", "pipe")[0] == 0
    assert named(db, StudyFilter(archived=True)) == ["svm-1", "pipe"]
    assert "svm-1" not in run("study", "list")[1]
    assert "svm-1" in run("study", "list", "--archived")[1]
    assert "archived" in run("study", "show", "svm-1")[1]
    assert run("study", "unarchive", "svm-1")[0] == 0
    assert "svm-1" in run("study", "list")[1]


def test_several_studies_are_deleted_after_a_dry_run(many, run: Run, db):
    code, out, error = run("study", "delete", "--name", "svm-*", "--dry-run")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["STUDY", "svm-1", "svm-2"]
    assert error == "ledger: the command would delete 2 studies\n"
    code, _, error = run("study", "delete", "--name", "svm-*")
    assert code == 2
    assert "would delete 2 studies with all trials: add --yes" in error
    assert len(named(db, StudyFilter())) == 6
    assert run("study", "delete", "--name", "svm-*", "--yes")[0] == 0
    assert run("study", "delete", "own_f", "own_f", "pipe", "--yes")[:2] == (
        0,
        "study own_f is deleted\nstudy pipe is deleted\n",
    )
    assert named(db, StudyFilter()) == ["forest", "shell"]
    code, _, error = run("study", "delete", "forest", "nowhere", "--yes")
    assert code == 1
    assert "there is no study 'nowhere'" in error
    assert named(db, StudyFilter()) == ["forest", "shell"], "nothing is deleted if one of the studies does not exist"
    for arguments in ([], ["forest", "--tag", "a"]):
        code, _, error = run("study", "delete", *arguments, "--yes")
        assert code == 2
        assert "say which studies" in error


def test_the_commands_annotate_and_show(db, run: Run, url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", url)
    make_study(db)
    command = ["study", "annotate", "s", "--tag", "paper", "--tag", "a", "--note", "it works"]
    assert run(*command, "--attribute", "ticket=117", "--attribute", "who=me") == (
        0,
        'study s: tags a, paper; note it works; attributes {"who": "me", "ticket": 117}\n',
        "",
    )
    assert run("study", "annotate", "s", "--untag", "z")[1].endswith("(unchanged)\n")
    assert run("trial", "annotate", "s", "1", "--tag", "odd")[1] == "trial 1 of study s: tags odd\n"
    assert "note        it works" in run("study", "show", "s")[1]
    assert "tags        odd" in run("trial", "show", "s", "1")[1]
    assert run("study", "list")[1].splitlines()[0].endswith("TAGS")
    assert json.loads(run("study", "show", "s", "--json")[1])["attributes"] == {"ticket": 117, "who": "me"}
    code, _, error = run("study", "annotate", "s")
    assert code == 2
    assert "say what to change" in error
    code, _, error = run("study", "annotate", "s", "--attribute", "ticket")
    assert code == 2
    assert "write NAME=VALUE" in error
    assert run("study", "rename", "s", "two words")[0] == 2
    assert run("study", "rename", "s", "t") == (0, "study s is now named t\n", "")


def test_python_lists_and_annotates(db, url, connection, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", url)
    make_study(db, trials=1)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    result = package.load_study("s").annotate(tags=["paper"], note="it works", attributes={"ticket": 117})
    assert (result.tags, result.note, result.attributes) == (("paper",), "it works", {"ticket": 117})
    result = result.annotate(trial=0, tags=["odd"], attributes={"seen": True})
    assert (result.trials[0].tags, result.trials[0].attributes) == (("odd",), {"seen": True})
    assert result.trials_dataframe().loc[0, "attributes_seen"]
    assert "paper" in result._repr_html_()
    (listed,) = package.list_studies(tag="paper", newer="1h", state=["running", "paused"])
    assert (listed.name, listed.complete, listed.tags, listed.archived) == ("s", 1, ("paper",), False)
    assert package.list_studies(older=timedelta(hours=1)) == []
    for wrong in ({"sort": "size"}, {"limit": 0}, {"state": "ended"}, {"newer": "soon"}, {"name": 7}):
        with pytest.raises(UsageError):
            package.list_studies(**wrong)
    with pytest.raises(LedgerError, match="there is no trial 9"):
        result.annotate(trial=9, tags=["odd"])
    result.annotate(trial=np.int64(0), tags=["counted"])  # type: ignore[arg-type]
    for trial in ("0", True, 0.0, 2**31):
        with pytest.raises(UsageError, match="^annotate: `trial` must be the number of a trial"):
            result.annotate(trial=trial, tags=["odd"])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="say what to change"):
        result.annotate()


def test_a_moved_study_keeps_its_annotations(db, url, server, template, tmp_path):
    under_way(db, url, tmp_path)
    row = studies.get(db, "s")
    annotations.annotate_study(db, row.id, AnnotationChange(tags=["paper"], note="it works", attributes={"k": 1}))
    annotations.annotate_trial(db, row.id, 2, AnnotationChange(note="odd"))
    document = exported(db)
    assert [each["trial"] for each in document["annotations"]] == [None, 2]
    with new_database(server, template) as elsewhere, engine(elsewhere).connect() as there:
        moved(there, document)
        assert exported(there)["annotations"] == document["annotations"]
        # an export without the key is from an earlier version
        older = {key: value for key, value in document.items() if key != "annotations"}
        moved(there, older, "older")
        assert exported(there, "older")["annotations"] == []
        damaged = {**document, "annotations": [{**document["annotations"][0], "tags": ["", ""]}]}
        with pytest.raises(LedgerError, match="the database refuses it"):
            moved(there, damaged, "damaged")
        assert studies.find(there, "damaged") is None


def test_a_claim_of_a_renamed_study_goes_on(db, connection):
    row = make_study(db)
    held = protocol.claim(connection, "s", [uuid.uuid4()], "w")[0]
    assert studies.rename(db, row, "t") == "renamed"
    assert protocol.heartbeat(connection, held)
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"
    assert protocol.claim(connection, "s", [uuid.uuid4()], "w") == []
