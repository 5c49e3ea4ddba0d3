"""Optuna on the live ledger: it shows the content of the ledger, and cannot write to it."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any

import optuna
import psycopg
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from optuna_dashboard import get_note
from optuna_dashboard._note import get_note_from_system_attrs
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from ledger.database import annotations, migration, protocol, studies, trials
from ledger.database.annotations import AnnotationChange
from ledger.database.connection import engine
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError, UsageError
from ledger.optuna import connect as reading
from ledger.optuna import views as optuna_views
from ledger.optuna.export import write_optuna
from tests.databases import new_database
from tests.integration.ledgers import finish, make_study, propose, spec, take, tell

SPACE: list[dict[str, Any]] = [
    {"name": "rate", "type": "real", "low": 1e-5, "high": 1.0, "prior": "log-uniform"},
    {"name": "momentum", "type": "real", "low": 0.0, "high": 1.0, "prior": "uniform"},
    {"name": "layers", "type": "integer", "low": 1, "high": 9, "prior": "uniform"},
    {"name": "width", "type": "integer", "low": 1, "high": 1024, "prior": "log-uniform"},
    {"name": "kernel", "type": "categorical", "choices": ["rbf", "sigmoid", "été"]},
    {"name": "shrinking", "type": "categorical", "choices": [True, False]},
    {"name": "size", "type": "categorical", "choices": [16, 2.5, 1]},
]
PLOTS = (
    *("plot_optimization_history", "plot_slice", "plot_contour", "plot_param_importances"),
    *("plot_parallel_coordinate", "plot_edf", "plot_timeline", "plot_rank"),
)


def point(i: int) -> dict[str, Any]:
    return {
        "rate": 1e-5 * 3**i,
        # an integer, because jsonb returns whole numbers as integers
        "momentum": 1 if i == 3 else i / 16,
        "layers": 1 + i % 9,
        "width": 2 ** (i % 11),
        "kernel": SPACE[4]["choices"][i % 3],
        "shrinking": i % 2 == 0,
        "size": SPACE[6]["choices"][i % 3],
    }


def make_mixed(db: Connection, name: str, trials: int = 10) -> StudyRow:
    """A study of every kind of dimension, its trials pending."""
    row = studies.create(db, name, {**spec(trials, max_failures=1), "space": SPACE}, "0" * 64, 1, {})
    assert row is not None
    propose(db, row, 0, [point(i) for i in range(trials)])
    return row


def complete(connection: psycopg.Connection[Any], study: str, trials: int) -> None:
    for _ in range(trials):
        held = take(connection, study)
        loss = (held.trial - 4.3) ** 2
        assert protocol.complete(connection, held, loss, {"accuracy": 1 - loss, "worker": "mine"}, 1.5) == "recorded"


@pytest.fixture(scope="module")
def ledger(server: str, template: str) -> Iterator[str]:
    """Return the URL of a ledger with Optuna's views, a running study with trials in all states, and a complete one."""
    with (
        new_database(server, template) as url,
        engine(url).connect() as own,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        db = own
        assert optuna_views.enable(own)
        row = make_mixed(db, "runs")
        make_mixed(db, "complete", 6)
        complete(connection, "runs", 6)
        protocol.fail(connection, take(connection, "runs"), "Traceback\nValueError: no", 0.5)
        trials.cancel(db, row.id, [9], "not wanted")
        assert trials.retry(db, row.id, [6]) == [10]
        take(connection, "runs", "busy")
        complete(connection, "complete", 6)
        assert tell(db, studies.get(db, "complete"), 0, 1.0, 0.09) == "told"
        assert finish(db, studies.get(db, "complete"), "complete", None) == "finished"
        yield url


@contextmanager
def pasted(url: str) -> Iterator[RDBStorage]:
    """Open the storage with the URL that users paste."""
    # the URL leaves only this out
    arguments = {"password": conninfo_to_dict(url).get("password")}
    storage = RDBStorage(reading.url(url), engine_kwargs={"connect_args": arguments, "poolclass": NullPool})
    yield storage
    storage.remove_session()


def load(storage: RDBStorage, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=storage)


@pytest.fixture
def of(ledger: str) -> Iterator[Any]:
    """Return a function that loads a study with Optuna."""
    with reading.storage(ledger) as storage:
        yield lambda name: optuna.load_study(study_name=name, storage=storage)


def tables(url: str) -> dict[str, list[Any]]:
    """Return the columns of schema optuna, the labels of its types, and its versions."""
    asked = {
        "columns": "select table_name, column_name, replace(data_type, 'bigint', 'integer'), udt_schema"
        " from information_schema.columns where table_schema = 'optuna' and table_name <> 'ledger_trials'",
        "labels": "select typname, enumlabel, enumsortorder from pg_enum join pg_type on pg_type.oid = enumtypid"
        " where typnamespace = 'optuna'::regnamespace",
        "alembic": "select * from optuna.alembic_version",
        "version": "select * from optuna.version_info",
    }
    with psycopg.connect(url) as connection:
        return {name: sorted(connection.execute(question).fetchall()) for name, question in asked.items()}


def test_the_views_have_the_columns_and_types_of_optunas_own_tables(ledger, empty_url):
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("create schema optuna")
    with pasted(empty_url):
        pass
    theirs = tables(empty_url)
    assert len(theirs["columns"]) > 40
    assert tables(ledger) == theirs


def test_optuna_reads_what_the_ledger_holds(ledger, of):
    study = of("runs")
    states = [trial.state for trial in study.trials]
    assert states == [
        *([TrialState.COMPLETE] * 6),
        TrialState.FAIL,
        TrialState.RUNNING,
        TrialState.WAITING,
        TrialState.FAIL,
        TrialState.WAITING,
    ]
    with psycopg.connect(ledger) as connection:
        rows = connection.execute(
            "select trial, params, value, claimed_at, finished_at, attempts, iteration, source, retry_of, worker,"
            " error from ledger.trials where study = 'runs' order by trial"
        ).fetchall()
    for trial, row in zip(study.trials, rows, strict=True):
        number, params, value, claimed_at, finished_at, attempts, iteration, source, retry_of, worker, error = row
        assert trial.number == number
        assert list(trial.params) == [dimension["name"] for dimension in SPACE]
        assert trial.params == params
        wanted = point(6 if number == 10 else number)
        assert {name: type(value) for name, value in trial.params.items()} == {
            name: float if name == "momentum" else type(value) for name, value in wanted.items()
        }
        assert trial.value == value
        attributes = {
            "attempts": attempts,
            "iteration": iteration,
            "source": source,
            "retry_of": retry_of,
            "worker": worker,
            "error": error,
            "cancelled": True if number == 9 else None,
            **({"metrics_accuracy": value, "metrics_worker": "mine"} if value is not None else {}),
        }
        assert trial.user_attrs == {name: value for name, value in attributes.items() if value is not None}
        # Optuna's times are local and have no time zone
        ended = None if finished_at is None else finished_at.astimezone().replace(tzinfo=None)
        assert trial.datetime_complete == ended
        started = claimed_at or finished_at
        if trial.state == TrialState.WAITING:
            assert trial.datetime_start is None
        else:
            assert trial.datetime_start == started.astimezone().replace(tzinfo=None)
        trial._validate()
    assert study.directions == [optuna.study.StudyDirection.MAXIMIZE]
    assert study.user_attrs["state"] == "running"
    assert study.user_attrs["space"] == SPACE
    assert study.trials[0].distributions == {
        "rate": optuna.distributions.FloatDistribution(1e-5, 1.0, log=True),
        "momentum": optuna.distributions.FloatDistribution(0.0, 1.0),
        "layers": optuna.distributions.IntDistribution(1, 9),
        "width": optuna.distributions.IntDistribution(1, 1024, log=True),
        "kernel": optuna.distributions.CategoricalDistribution(("rbf", "sigmoid", "été")),
        "shrinking": optuna.distributions.CategoricalDistribution((True, False)),
        "size": optuna.distributions.CategoricalDistribution((16, 2.5, 1)),
    }


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_times_are_the_same_moments_wherever_optuna_runs(ledger, monkeypatch, zone):
    with psycopg.connect(ledger) as connection:
        asked = "select claimed_at from ledger.trials where study = 'complete' and trial = 0"
        ((claimed_at,),) = connection.execute(asked).fetchall()
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        with reading.storage(ledger) as storage:
            (first, *_) = optuna.load_study(study_name="complete", storage=storage).trials
        assert first.datetime_start is not None
        assert first.datetime_start.astimezone(UTC) == claimed_at
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("name", ["runs", "complete"])
def test_what_optuna_makes_of_a_study_works(of, name):
    study = of(name)
    assert study.best_trial.number == 4
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.best_value == pytest.approx(0.91)
    assert study.best_params == {**point(4)}
    frame = study.trials_dataframe()
    assert len(frame) == len(study.trials)
    assert {"number", "value", "params_rate", "user_attrs_metrics_accuracy", "state"} <= set(frame.columns)
    assert set(optuna.importance.get_param_importances(study)) == {dimension["name"] for dimension in SPACE}
    for plot in PLOTS:
        figure = getattr(optuna.visualization, plot)(study)
        assert figure.data, plot
    timeline = optuna.visualization.plot_timeline(study)
    assert {bars.name for bars in timeline.data} == (
        {"COMPLETE", "FAIL", "RUNNING", "WAITING"} if name == "runs" else {"COMPLETE"}
    )


def test_several_studies_are_kept_apart(ledger, of):
    names = optuna.get_all_study_names(storage=of("runs")._storage)
    assert names == ["runs", "complete"]
    summaries = {one.study_name: one for one in optuna.get_all_study_summaries(storage=of("runs")._storage)}
    assert {name: one.n_trials for name, one in summaries.items()} == {"runs": 11, "complete": 6}
    ids = [trial._trial_id for name in names for trial in of(name).trials]
    assert len(set(ids)) == 17


def test_a_study_that_runs_is_read_live_with_what_was_read_before(url):
    with (
        engine(url).connect() as own,
        psycopg.connect(url, autocommit=True) as connection,
        pasted(_enabled(url)) as storage,
    ):
        make_mixed(own, "s", 4)
        study = load(storage, "s")
        assert [trial.state.name for trial in study.trials] == ["WAITING"] * 4
        with pytest.raises(ValueError, match="Record does not exist"):
            _ = study.best_trial
        complete(connection, "s", 1)
        held = take(connection, "s")
        assert [trial.state.name for trial in study.trials] == ["COMPLETE", "RUNNING", "WAITING", "WAITING"]
        complete(connection, "s", 1)
        assert [trial.state.name for trial in study.trials] == ["COMPLETE", "RUNNING", "COMPLETE", "WAITING"]
        protocol.complete(connection, held, 0.25, {}, 1.0)
        assert (study.best_trial.number, study.best_value) == (1, 0.75)
        row = studies.get(own, "s")
        propose(own, row, 1, [point(7)])
        assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 4]
        assert study.trials[4].params == point(7)


def _enabled(url: str) -> str:
    with engine(url).connect() as own:
        optuna_views.enable(own)
    return url


def everything(url: str) -> dict[str, Any]:
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "select relname from pg_class where relnamespace = 'ledger'::regnamespace and relkind = 'r'"
        ).fetchall()
        return {name: connection.execute(f"select * from ledger.{name} order by 1").fetchall() for (name,) in tables}


@pytest.mark.parametrize("role", ["owner", "reader"])
def test_a_write_through_optuna_is_refused_and_changes_nothing(ledger, role):
    with psycopg.connect(ledger, autocommit=True) as connection:
        name = f"reader_{uuid.uuid4().hex[:8]}"
        url = ledger
        if role == "reader":
            connection.execute(f"create role {name} login password 'reads'")
            connection.execute(f"grant usage on schema optuna to {name}")
            connection.execute(f"grant select on all tables in schema optuna to {name}")
            url = make_conninfo(ledger, user=name, password="reads")
        try:
            with pasted(url) as storage:
                _refused(ledger, load(storage, "runs"), role)
        finally:
            if role == "reader":
                connection.execute(f"drop owned by {name}")
                connection.execute(f"drop role {name}")


def _refused(ledger: str, study: optuna.Study, role: str) -> None:
    before = everything(ledger)
    storage = study._storage
    running = study.trials[7]._trial_id
    said = "permission denied for view" if role == "reader" else "Optuna only reads this ledger"
    tries = {
        "user attribute of a study": lambda: study.set_user_attr("mine", 1),
        "metric names": lambda: study._storage.set_study_system_attr(study._study_id, "mine", ["loss"]),
        "tell": lambda: study.tell(7, 1.0),
        "end": lambda: storage.set_trial_state_values(running, TrialState.COMPLETE, [0.0]),
        "parameter": lambda: storage._backend.set_trial_param(
            running, "mine", 0.0, optuna.distributions.FloatDistribution(0, 1)
        ),
        "intermediate value": lambda: storage.set_trial_intermediate_value(running, 1, 0.5),
        "heartbeat": lambda: storage.record_heartbeat(running),
        "delete": lambda: optuna.delete_study(study_name="complete", storage=storage),
        "create": lambda: optuna.create_study(study_name="mine", storage=storage),
        # Optuna would claim the waiting trial
        "ask": lambda: study.ask(),
    }
    for what, act in tries.items():
        with pytest.raises(StorageInternalError) as refused:
            act()
        assert isinstance(refused.value.__cause__.orig, errors.InsufficientPrivilege), what
        assert said in str(refused.value.__cause__), what
    # PostgreSQL refuses this statement of Optuna for any view
    with pytest.raises(StorageInternalError):
        storage.set_trial_user_attr(running, "mine", 1)
    # Optuna itself may refuse to change a finished trial
    with pytest.raises((optuna.exceptions.UpdateFinishedTrialError, StorageInternalError)):
        storage.set_trial_state_values(study.trials[0]._trial_id, TrialState.COMPLETE, [0.0])
    assert everything(ledger) == before


def test_ids_are_unique_ordered_and_fit_optunas_integer(url):
    studies = (1, 2, 511, 512, 8191, 8192, 262_143, 262_144)
    numbers = (0, 1, 4095, 4096, 4097, 65_535, 65_536, 1_048_575, 1_048_576)
    with psycopg.connect(url, autocommit=True) as connection, engine(url).connect() as own:
        optuna_views.enable(own)
        for study in studies:
            connection.execute(
                "insert into ledger.study (id, name, spec, spec_hash, budget, state, created_at, versions)"
                " overriding system value values (%s, %s, %s, '', 1, 'running', now(), '{}')",
                (study, f"s{study}", psycopg.types.json.Jsonb(spec())),
            )
        connection.execute(
            "insert into ledger.iteration (study_id, number, first_trial, round, size, asked_at, ask_seconds,"
            " tell_seconds, environment) select id, 0, 0, 0, 1, now(), 0, 0, '{}' from ledger.study"
        )
        connection.execute(
            "insert into ledger.trial (study_id, number, iteration, round, source, params, available_at)"
            " select id, number, 0, 0, 'proposed', jsonb_build_object('C', number), now()"
            " from ledger.study, unnest(%s) as number",
            (list(numbers),),
        )
        rows = connection.execute(
            "select trial_id, study_id, number from optuna.trials order by study_id, number"
        ).fetchall()
        assert all(0 <= trial_id < 2**31 for trial_id, _, _ in rows)
        assert len({trial_id for trial_id, _, _ in rows}) == len(rows)
        assert rows == sorted(rows, key=lambda row: (row[1], row[0]))
        shown = {study: sum(1 for row in rows if row[1] == study) for study in studies}
        assert shown == {1: 8, 2: 8, 511: 8, 512: 6, 8191: 6, 8192: 3, 262_143: 3, 262_144: 0}
        # each of these studies has trials beyond its limit
        assert set(optuna_views.not_shown(own)) == {f"s{study}" for study in studies}


@pytest.mark.parametrize("view", ["trials", "trial_params", "trial_values", "trial_user_attributes"])
def test_what_optuna_asks_by_a_trials_id_keeps_its_index(ledger, view):
    with psycopg.connect(ledger) as connection:
        connection.execute("set local enable_seqscan = off")
        plan = connection.execute(f"explain select * from optuna.{view} where trial_id in (4096, 4097)").fetchall()
        assert "trial_optuna_id" in str(plan)


def test_an_upgrade_keeps_the_views_and_disabling_removes_them(url):
    with engine(url).connect() as own, psycopg.connect(url, autocommit=True) as connection:
        migration.upgrade(own)
        assert connection.execute("select to_regnamespace('optuna')").fetchone() == (None,)
        assert optuna_views.enable(own)
        assert not optuna_views.enable(own)
        make_study(own)
        connection.execute("create view public.mine as select study_name from optuna.studies")
        connection.execute("drop view optuna.trial_params")
        connection.execute("drop index ledger.trial_optuna_id")
        migration.upgrade(own)
        with pasted(url) as storage:
            assert len(load(storage, "s").trials[0].params) == 1
        assert connection.execute("select * from public.mine").fetchall() == [("s",)]
        assert connection.execute("select to_regclass('ledger.trial_optuna_id')").fetchone() != (None,)
        assert optuna_views.disable(own)
        assert not optuna_views.disable(own)
        for left in ("to_regnamespace('optuna')", "to_regclass('ledger.trial_optuna_id')"):
            assert connection.execute(f"select {left}").fetchone() == (None,)


def test_a_schema_of_somebody_else_is_refused_by_name_and_stays(url):
    with engine(url).connect() as own, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create schema optuna create table studies (study_id int)")
        for act in (optuna_views.enable, optuna_views.disable):
            with pytest.raises(LedgerError, match="optuna"):
                act(own)
        assert not optuna_views.enabled(own)
        with pytest.raises(LedgerError, match="run `ledger optuna enable`"), reading.storage(url):
            pass
        migration.upgrade(own)
        assert connection.execute(
            "select count(*) from pg_class where relnamespace = 'optuna'::regnamespace"
        ).fetchone() == (1,)


def test_optuna_itself_refuses_views_of_another_version(url):
    """Imitate a later version of Optuna with other tables."""
    with engine(url).connect() as own, psycopg.connect(url, autocommit=True) as connection:
        optuna_views.enable(own)
        connection.execute("create or replace view optuna.alembic_version as select 'v9'::varchar as version_num")
        said = r"The runtime optuna version 5\.0\.\d+ is no longer compatible"
        with pytest.raises(RuntimeError, match=said), pasted(url):
            pass


def annotate(ledger: str) -> None:
    """Annotate the complete study and its first trial. Some attributes have the names of facts of the ledger."""
    with engine(ledger).connect() as own:
        row = studies.get(own, "complete")
        attributes = {"ticket": 117, "seed": [1], "state": None, "mine": {"a": "é"}}
        change = AnnotationChange(tags=["b", "a"], note="# a *note*", attributes=attributes)
        assert annotations.annotate_study(own, row.id, change) in ("annotated", "unchanged")
        of_trial = {"worker": "mine", "metrics_accuracy": 2, "reviewed": True}
        change = AnnotationChange(tags=["odd"], note="too low?", attributes=of_trial)
        assert annotations.annotate_trial(own, row.id, 0, change) in ("annotated", "unchanged")


def notes_of_trials(study: optuna.Study) -> list[str]:
    system = study._storage.get_study_system_attrs(study._study_id)
    return [get_note_from_system_attrs(system, trial._trial_id)["body"] for trial in study.trials]


def test_the_dashboard_reads_notes_tags_and_attributes(ledger, of):
    annotate(ledger)
    study = of("complete")
    assert {name: study.user_attrs[name] for name in ("tags", "ticket", "attributes_seed", "mine")} == {
        "tags": ["a", "b"],
        "ticket": 117,
        "attributes_seed": [1],
        "mine": {"a": "é"},
    }
    assert study.user_attrs["best_value"] == study.best_value
    assert get_note(study) == "# a *note*"
    assert notes_of_trials(study)[:2] == ["too low?", ""]
    given = study.trials[0].user_attrs
    assert given["tags"] == ["odd"]
    assert given["reviewed"] is True
    assert given["attributes_worker"] == "mine"
    assert given["worker"] != "mine"


def test_an_export_is_what_optuna_reads_in_the_ledger(ledger, of, tmp_path):
    annotate(ledger)
    for name in ("runs", "complete"):
        file = tmp_path / f"{name} with ? and %.db"
        with engine(ledger).connect() as own:
            write_optuna(own, studies.get(own, name), file)
        moved = file.rename(tmp_path / f"{name}.db")
        storage = RDBStorage(f"sqlite:///{moved}")
        written = optuna.load_study(study_name=name, storage=storage)
        read = of(name)
        assert written.user_attrs == read.user_attrs
        assert written.directions == read.directions
        assert get_note(written) == get_note(read)
        assert notes_of_trials(written) == notes_of_trials(read)
        for theirs, ours in zip(written.trials, read.trials, strict=True):
            theirs._trial_id = ours._trial_id
            assert theirs == ours
        # Optuna continues the study
        asked = written.ask()
        assert asked.number == (8 if name == "runs" else 6)
        storage.remove_session()
        storage.engine.dispose()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["complete.db", "runs.db"]


def test_an_export_keeps_an_existing_storage_and_no_partial_file(ledger, tmp_path, monkeypatch):
    with engine(ledger).connect() as own:
        db = own
        study = studies.get(db, "complete")
        file = tmp_path / "study.db"
        file.write_text("theirs")
        with pytest.raises(UsageError, match=r"study\.db exists, and may contain other studies"):
            write_optuna(db, study, file)
        assert file.read_text() == "theirs"
        file.unlink()
        monkeypatch.setitem(study.spec["space"][2], "high", 3)
        with pytest.raises(LedgerError, match="Optuna refuses trial 3 of study complete: .*'layers'"):
            write_optuna(db, study, file)
        assert list(tmp_path.iterdir()) == []
