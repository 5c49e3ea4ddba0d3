"""A json export that is imported into another ledger gives the same study, or is refused in one line."""

import copy
import json
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from ledger.database import protocol, studies, transfer, trials
from ledger.database.connection import engine
from ledger.database.trials import ExternalTrial
from ledger.errors import LedgerError, UsageError
from ledger.imports.document import read
from ledger.manager.registration import register
from ledger.study.file import assemble
from ledger.study.spec import StudySpec
from ledger.text import one_line
from ledger.verification import disagreements, verify
from tests.databases import new_database
from tests.fuzz import cases, check_line, texts
from tests.integration.ledgers import claim_one, managed
from tests.integration.moving import as_it_is_elsewhere, exported, moved, without_releases
from tests.integration.test_commands import run as run
from tests.integration.test_manager import square, study
from tests.integration.test_steady import FILE as STEADY
from tests.integration.test_steady import Fleet
from tests.integration.test_verification import history as history
from tests.integration.test_verification import ledger as ledger


@pytest.fixture
def elsewhere(server: str, template: str) -> Iterator[str]:
    """Return the URL of another ledger."""
    with new_database(server, template) as url:
        yield url


@pytest.fixture
def there(elsewhere: str) -> Iterator[Connection]:
    with engine(elsewhere).connect() as connection:
        yield connection


class Stopped(Exception):
    """Stops the manager."""


def work(url: str, stop_after: int | None = None) -> Callable[[Any], None]:
    """Return a listener for the manager's polls, which trains pending trials and then stops the manager."""

    def watch(_progress: Any) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while True:
                if stop_after is not None:
                    ended = connection.execute(
                        "select count(*) from ledger.trial where finished_at is not null and source <> 'imported'"
                    ).fetchone()
                    if ended is not None and ended[0] >= stop_after:
                        raise Stopped
                held = claim_one(connection, "s", uuid.uuid4(), "w")
                if held is None:
                    return
                protocol.announce(connection, "w", "host", 7, {"python": "3"})
                protocol.complete(connection, held, square(held.params), {"accuracy": 0.5, "of": [1, None]}, 0.25)

    return watch


def under_way(db: Connection, url: str, tmp_path: Any, after: int = 4) -> Any:
    """A study with enqueued and imported trials that was stopped after some trials, and what was asked for."""
    asked = study(tmp_path, iterations=4)
    row = register(db, asked)
    trials.enqueue(db, row.id, [{"x": 0.5}])
    trials.import_finished(db, row.id, [ExternalTrial({"x": 0.75}, 0.5625, {})], 0.5625)
    with engine(url).connect() as connection, pytest.raises(Stopped):
        managed(connection, row, work(url, after)).run()
    return asked


def points(db: Connection) -> list[tuple[Any, ...]]:
    return [
        (row.number, row.iteration, row.round, row.source, row.params, row.loss)
        for row in trials.all_of(db, studies.get(db, "s").id)
    ]


def test_a_study_in_which_everything_happened_is_the_same_elsewhere(ledger, there):
    with engine(ledger).connect() as connection:
        document = exported(connection)
    row = moved(there, document)
    assert row.has_ended
    assert exported(there) == document
    assert verify(transfer.snapshot(there, row.id)).recomputed == 6


def test_a_study_in_steady_mode_is_the_same_elsewhere(db, url, connection, there, tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(STEADY)
    managed(db, register(db, assemble({}, file)), Fleet(connection)).run()
    document = exported(db)
    assert any(len(iteration["seen"] or ()) for iteration in document["iterations"])
    row = moved(there, document)
    assert exported(there) == document
    assert verify(transfer.snapshot(there, row.id)).recomputed > 5


def test_a_study_under_way_goes_on_elsewhere_as_it_would_have(db, url, there, elsewhere, tmp_path):
    asked = under_way(db, url, tmp_path)
    document = exported(db)
    assert document["workers"][0]["name"] == "w"
    row = moved(there, document)
    assert (row.state, row.spec_hash) == ("running", asked.spec_hash)
    assert exported(there) == document
    for ledger_of, at in ((db, url), (there, elsewhere)):
        assert managed(ledger_of, register(ledger_of, asked), work(at)).run().state == "complete"
        assert verify(transfer.snapshot(ledger_of, studies.get(ledger_of, "s").id)).trials == 10
    assert points(there) == points(db)


def test_what_runs_there_is_pending_here_and_its_attempt_released(db, url, connection, there, elsewhere, tmp_path):
    under_way(db, url, tmp_path)
    held = claim_one(connection, "s", uuid.uuid4(), "w")
    assert held is not None
    document = exported(db)
    assert document["trials"][held.trial]["state"] == "running"
    row = moved(there, document)
    assert without_releases(exported(there)) == as_it_is_elsewhere(document)
    assert verify(transfer.snapshot(there, row.id)).trials == len(document["trials"])
    with psycopg.connect(elsewhere, autocommit=True) as other:
        # its claim does not exist in this ledger
        assert protocol.complete(other, held, 0.0, {}, 1.0) == "unknown"
        again = claim_one(other, "s", uuid.uuid4(), "v")
        assert again is not None
        assert (again.trial, again.attempt) == (held.trial, 2)
        claims = other.execute("select claim::text from ledger.attempt").fetchall()
    own = connection.execute("select claim::text from ledger.attempt").fetchall()
    assert not set(own) & set(claims), "a claim belongs to its holder alone"


def test_a_name_that_is_taken_is_refused_and_another_given(db, url, tmp_path):
    under_way(db, url, tmp_path)
    document = exported(db)
    with pytest.raises(LedgerError, match="study s exists in this ledger: give the imported study another --name"):
        moved(db, document)
    assert moved(db, document, "t").name == "t"
    assert without_releases(exported(db, "t")) == as_it_is_elsewhere(document, "t")
    with pytest.raises(UsageError, match='name "a b" must consist of 1 to 100 letters'):
        moved(db, document, "a b")


def _set(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        place = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def _drop(*path: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        place = document
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return change


REFUSED = [
    (
        _set("version", value=2),
        "is an export of version 2, but the installed trial-ledger reads only versions up to 1: upgrade trial-ledger",
    ),
    (_set("format", value="x"), 'has format "x", not "trial-ledger study"'),
    (_drop("format"), "is an export from an old version of the ledger, so the file does not contain the whole study"),
    (_drop("trials"), "is damaged at trials"),
    (
        _set("dataset", value={"sha256": "0" * 64, "name": "a.csv", "content": ""}),
        "is damaged at dataset: the study does not use this file",
    ),
    (_drop("trials", 0, "available_at"), "is damaged at trials[0].available_at"),
    (_set("trials", 0, "mine", value=1), "is damaged at trials[0].mine"),
    (_set("trials", 0, "loss", value="low"), 'is damaged at trials[0].loss: "low": must be a valid number'),
    (_set("trials", 0, "attempts", value=True), "is damaged at trials[0].attempts: true: must be a valid integer"),
    (_set("trials", 0, "finished_at", value="soon"), 'is damaged at trials[0].finished_at: "soon"'),
    (_set("trials", 0, "finished_at", value="2026-01-01T00:00:00"), "is damaged at trials[0].finished_at"),
    (_set("trials", 0, "source", value="found"), 'is damaged at trials[0].source: "found"'),
    (_set("iterations", 0, "environment", value=[]), "is damaged at iterations[0].environment"),
    (
        _drop("trials", 2),
        "contains contradictory records, trial 2 is missing, and the next trial is 3: the file is damaged",
    ),
    (
        _drop("attempts", 0),
        "contains contradictory records, trial 0: the trial's row records 1 attempts, but 0 attempts exist",
    ),
    (
        _set("trials", 0, "loss", value=0.125),
        "contains contradictory records, trial 0: the trial's loss is 0.125, but the loss of attempt 1 is",
    ),
    (
        _set("trials", 0, "params", "x", value=7.0),
        "contains contradictory records, trial 0: parameter 'x': 7.0 is not in",
    ),
    (
        _set("iterations", 0, "best_loss", value=0.0),
        "contains contradictory records, iteration 0: `best_loss` is 0.0, but the losses of the trials",
    ),
    (
        _set("study", "spec_hash", value="0" * 64),
        "contains contradictory records, the study itself: `spec_hash` is 00000000, but the hash of the settings is",
    ),
    (_set("study", "spec", "seed", value=8), "contains contradictory records, the study itself: `spec_hash`"),
    (_set("study", "spec", "mode", value="odd"), "this version of the ledger cannot read the study's spec"),
    (_set("study", "name", value="a b"), 'name "a b" must consist of 1 to 100 letters'),
    # errors that only the database detects
    (
        _set("trials", 3, "params", value={"x": 0.5}),
        "study s cannot be imported, because the database refuses it (duplicate key value",
    ),
    (_set("trials", 0, "error", value="\0"), "is damaged at trials[0].error"),
]


def test_a_file_that_is_no_whole_export_is_refused_in_one_line(db, url, there, elsewhere, tmp_path):
    under_way(db, url, tmp_path)
    document = exported(db)
    for change, said in REFUSED:
        changed = copy.deepcopy(document)
        change(changed)
        with pytest.raises(LedgerError) as refused:
            moved(there, changed)
        assert said in str(refused.value)
        assert "\n" not in str(refused.value)
    with psycopg.connect(elsewhere) as connection:
        for table in ("study", "iteration", "trial", "attempt", "worker"):
            assert connection.execute(f"select count(*) from ledger.{table}").fetchone() == (0,)
    assert exported(there_again(there, document)) == document


UNREADABLE = [
    (
        _set("study", "created_at", value="0001-01-01T00:00:00+23:59"),
        "is damaged at study.created_at",
        "plausible time",
    ),
    (_set("study", "finished_at", value="1969-12-31T23:59:59Z"), "is damaged at study.finished_at", "plausible time"),
    (
        _set("workers", 0, "started_at", value="9999-12-31T23:59:59-23:59"),
        "is damaged at workers[0].started_at",
        "the ledger records times from 1970 to 2199",
    ),
    (_set("trials", 0, "available_at", value="2200-01-01T00:00:00Z"), "is damaged at trials[0].available_at", "time"),
    (
        _set("trials", 0, "metrics", value={"a": "\ud800"}),
        "is damaged at trials[0].metrics",
        "an unpaired UTF-16 surrogate",
    ),
    (
        _set("trials", 0, "metrics", value={"\ud800": 1}),
        "is damaged at trials[0].metrics",
        "an unpaired UTF-16 surrogate",
    ),
    (_set("trials", 0, "metrics", value={"a": "\0"}), "is damaged at trials[0].metrics", "a NUL character"),
    (_set("trials", 0, "metrics", value={"a": 10**400}), "is damaged at trials[0].metrics", "range of a double"),
    (_set("trials", 0, "metrics", value={"a": "x" * 2_000_000}), "is damaged at trials[0].metrics", "bytes of JSON"),
    (_set("trials", 0, "metrics", value={"m" * 301: 1}), "the database refuses it (trial 0, ", "the name of a metric"),
    (_set("trials", 0, "error", value="\ud800"), "is damaged at trials[0].error", "an unpaired UTF-16 surrogate"),
    (_set("study", "versions", value={"a": [[]] * 400_000}), "is damaged at study.versions", "bytes of JSON"),
    (
        _set("attempts", 0, "trial", value=-7),
        "trial -7: the trial does not exist",
        "but an attempt refers to it",
    ),
    (
        _set("attempts", 0, "seconds", value=1.7e308),
        "the database refuses it (attempt 1 of trial ",
        "plausible duration",
    ),
    (
        _set("attempts", 0, "error", value="x" * 70_000),
        "is damaged at attempts[0].error",
        "70000 characters",
    ),
    (_set("iterations", 0, "ask_seconds", value=1e300), "the database refuses it (iteration 0, ", "plausible duration"),
    (
        _set("workers", 0, "host", value="h" * 301),
        "the database refuses it (worker w, the name of the host: ",
        "301 char",
    ),
    (_set("workers", 0, "versions", value={"a": 1}), "the database refuses it (worker w, the versions: ", "texts"),
]


def test_an_import_that_no_reader_could_read_writes_nothing(run, db, url, there, elsewhere, tmp_path, monkeypatch):
    under_way(db, url, tmp_path)
    document = exported(db)
    monkeypatch.setenv("DATABASE_URL", elsewhere)
    for change, *said in UNREADABLE:
        changed = copy.deepcopy(document)
        change(changed)
        (tmp_path / "changed.json").write_text(json.dumps(changed))
        code, out, error = run("import", "changed.json")
        assert (code in (1, 2), out, error.count("\n")) == (True, "", 1), error
        for words in said:
            assert words in error
        for command in (("study", "list"), ("worker", "list")):
            code, out, _ = run(*command)
            assert (code, out.count("\n")) == (0, 1), "there is none"
    assert exported(there_again(there, document)) == document
    for words in ("study list", "worker list", "trial list s", "study delete s --yes"):
        assert run(*words.split())[0] == 0


def test_a_study_moves_with_its_hold_out_file_or_is_refused(db, there, tmp_path):
    for name, rows in (("own.csv", 30), ("later.csv", 12)):
        (tmp_path / name).write_text("a,y\n" + "".join(f"{number},{number % 2}\n" for number in range(rows)))
    files = {"data": str(tmp_path / "own.csv"), "holdout": str(tmp_path / "later.csv")}
    register(db, assemble({**files, "target_column": "y", "name": "s"}))
    document = exported(db)
    assert b64decode(document["holdout"]["content"]) == (tmp_path / "later.csv").read_bytes()
    for change, said in (
        (_drop("holdout"), "is damaged: the study's holdout later.csv is missing; export the study again"),
        (_set("holdout", "sha256", value="0" * 64), "is damaged at holdout: the SHA-256 of the content differs"),
        (_set("holdout", value=document["dataset"]), "is damaged at holdout: the SHA-256 of the content differs"),
    ):
        changed = copy.deepcopy(document)
        change(changed)
        with pytest.raises(UsageError) as refused:
            moved(there, changed)
        assert said in str(refused.value)
    assert exported(there_again(there, document)) == document


def test_a_study_moves_with_the_file_that_it_trains_on_or_is_refused(db, there, elsewhere, tmp_path):
    # longer than a piece of it that is read at once
    content = ("a,y\n" + "".join(f"{number},{number % 2}\n" for number in range(150_000))).encode()
    (tmp_path / "own.csv").write_bytes(content)
    asked = assemble({"data": str(tmp_path / "own.csv"), "target_column": "y", "name": "s"})
    register(db, asked)
    document = exported(db)
    assert document["dataset"]["name"] == "own.csv"
    assert b64decode(document["dataset"]["content"]) == content
    damaged = "is damaged at dataset: the SHA-256 of the content differs from the SHA-256 of the study's dataset, "
    short = b64encode(content[:-1]).decode()
    for change, said in (
        (_drop("dataset"), "is damaged: the study's dataset own.csv is missing; export the study again"),
        (_set("dataset", "content", value=short), damaged + sha256(content).hexdigest()),
        (_set("dataset", "sha256", value="0" * 64), damaged),
        (_set("dataset", "content", value="%"), "is damaged at dataset.content: "),
        (_set("dataset", "content", value=7), "is damaged at dataset.content: 7: must be a valid string"),
        (_set("dataset", "mine", value=7), "is damaged at dataset.mine"),
    ):
        changed = copy.deepcopy(document)
        change(changed)
        with pytest.raises(UsageError) as refused:
            moved(there, changed)
        assert said in str(refused.value)
        assert "\n" not in str(refused.value)
    with psycopg.connect(elsewhere) as connection:
        assert connection.execute("select count(*) from ledger.dataset").fetchone() == (0,)
    for name in ("s", "t"):
        moved(there, document, name)
    assert exported(there) == document
    with psycopg.connect(elsewhere) as connection:
        assert connection.execute("select name, bytes, studies from ledger.datasets").fetchall() == [
            ("own.csv", len(content), 2)
        ]


def there_again(there: Connection, document: Any) -> Connection:
    moved(there, document)
    return there


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "export.json:1: not JSON at column 1 (Expecting value), so the file is not a complete export: write an"),
        (b'{"format":\n "trial', "export.json:2: not JSON at column 2"),
        (b"\xff", "export.json: not a json export"),
        (b"[" * 100_000, "export.json: not a json export"),
        (b'{"trials": NaN}', "export.json: not a json export (the value NaN is not valid JSON)"),
        (
            b"[1]",
            "export.json is JSON, but not an export of a study: write an export by `ledger export NAME --output FILE`",
        ),
        (b'{"C": 1.0}', "export.json is JSON, but not an export of a study"),
    ],
)
def test_another_file_is_refused_by_name(content, said):
    with pytest.raises(UsageError) as refused:
        read("export.json", content)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_commands_move_a_study_to_another_ledger(run, db, url, elsewhere, tmp_path, monkeypatch):
    under_way(db, url, tmp_path)
    assert run("export", "s", "--output", "s.json", "--database-url", url)[0] == 0
    monkeypatch.setenv("DATABASE_URL", elsewhere)
    code, out, _ = run("import", "s.json")
    assert (code, out.splitlines()) == (
        0,
        [
            "study s is imported, running: 3 iterations, 6 trials, 4 attempts; `ledger verify s` checks the study",
            "stop the study in its old ledger; `ledger resume s` then continues the study in this ledger",
        ],
    )
    assert run("verify", "s")[0] == 0
    assert run("import", "s.json", "--name", "t")[0] == 0
    assert json.loads(run("export", "t")[1])["study"]["name"] == "t"
    (tmp_path / "old.csv").write_text("x,loss\n")
    for arguments, expected, said in [
        (["s.json"], 1, "study s exists in this ledger"),
        (["none.json"], 2, "none.json: No such file or directory; give the path of a file"),
        (["old.csv"], 2, "`ledger import csv old.csv --into NAME` imports a table of finished trials"),
        (["--name", "t"], 2, "Missing argument 'FILE'"),
    ]:
        code, _, error = run("import", *arguments)
        assert (code, error.count("\n")) == (expected, 1), error
        assert said in error


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield all places in a document."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from _places(inner, (*path, step))


def test_a_changed_export_is_refused_or_agrees_with_itself(db, url, connection, there, elsewhere, tmp_path):
    under_way(db, url, tmp_path)
    assert claim_one(connection, "s", uuid.uuid4(), "w") is not None
    document = exported(db)
    places = list(_places(document))
    odd: st.SearchStrategy[Any] = (
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts | st.sampled_from([[], {}])
    )
    refusals = 0

    @cases(150)
    @given(st.sampled_from(places), st.sampled_from(["set", "drop", "copy"]), odd, st.sampled_from(places))
    def check(path: Any, what: str, value: Any, other: Any) -> None:
        nonlocal refusals
        changed = copy.deepcopy(document)
        if what == "copy":
            value = changed
            for step in other:
                value = value[step]
        (_drop(*path) if what == "drop" else _set(*path, value=copy.deepcopy(value)))(changed)
        try:
            row = moved(there, changed)
        except LedgerError as error:
            refusals += 1
            check_line(one_line(str(error), 1_500))
            with psycopg.connect(elsewhere) as other_ledger:
                for table in ("study", "iteration", "trial", "attempt", "worker"):
                    assert other_ledger.execute(f"select count(*) from ledger.{table}").fetchone() == (0,)
        else:
            snapshot = transfer.snapshot(there, row.id)
            read_again = StudySpec.from_spec(row.name, row.budget, row.spec)
            assert list(disagreements(snapshot, read_again)) == []
            studies.delete(there, row)
            with psycopg.connect(elsewhere) as other_ledger:
                other_ledger.execute("delete from ledger.worker")

    check()
    assert refusals > 50
