"""The flattened view of a study: any names of parameters and metrics, kept by an upgrade, removed with the study."""

import math
import uuid
from typing import Any

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from ledger.database import flattened, migration, protocol, studies
from ledger.database.connection import engine
from ledger.errors import LedgerError
from tests.databases import upgrade
from tests.fuzz import cases
from tests.integration.ledgers import make_study, propose, spec, take
from tests.integration.test_commands import run, there  # noqa: F401, the program on a ledger with a study
from tests.roles import make_roles

SPACE = [
    {"name": "C", "type": "real", "low": 0.01, "high": 100.0, "prior": "log-uniform"},
    {"name": "depth", "type": "integer", "low": 2, "high": 10, "prior": "uniform"},
    {"name": "kernel", "type": "categorical", "choices": ["rbf", "poly"]},
    {"name": "shrinking", "type": "categorical", "choices": [True, False]},
    {"name": "bins", "type": "categorical", "choices": [8, 16]},
]
POINTS = [
    {"C": 1e-2, "depth": 2, "kernel": "rbf", "shrinking": True, "bins": 8},
    {"C": 10, "depth": 10, "kernel": "poly", "shrinking": False, "bins": 16},
]


def table(connection: psycopg.Connection[Any], study: str) -> list[dict[str, Any]]:
    view = sql.Identifier("ledger", flattened.view_name(study))
    with connection.cursor(row_factory=dict_row) as cursor:
        # not prepared, because the columns of the view change
        return cursor.execute(sql.SQL("select * from {} order by trial").format(view), prepare=False).fetchall()


def types(connection: psycopg.Connection[Any], study: str) -> dict[str, str]:
    found = connection.execute(
        "select attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum) from pg_attribute"
        " join pg_class on pg_class.oid = attrelid where relname = %s and attnum > 0",
        (flattened.view_name(study),),
    ).fetchall()
    assert all(comment for _, _, comment in found)
    return {name: type_ for name, type_, _ in found}


def study_of(db, space, points, name="s"):
    row = studies.create(db, name, {**spec(len(points)), "space": space}, "0" * 64, 1, {})
    assert row is not None
    propose(db, row, 0, points)
    return row


def test_each_parameter_and_metric_is_a_column_in_its_type(db, connection):
    row = study_of(db, SPACE, POINTS)
    studies.flatten(db, row)
    assert [trial["C"] for trial in table(connection, "s")] == [0.01, 10.0]
    protocol.complete(connection, take(connection), 0.25, {"accuracy": 0.75, "note": "good", "folds": [1, 2]}, 1.5)
    made = studies.flatten(db, row)
    assert (made.name, len(made.columns), made.omitted) == ("study:s", 8, [])
    expected = {"trial": "integer", "iteration": "integer", "state": "text"}
    expected |= dict.fromkeys(("value", "loss", "seconds"), "double precision")
    expected |= {"C": "double precision", "depth": "bigint", "kernel": "text", "shrinking": "boolean", "bins": "bigint"}
    assert types(connection, "s") == expected | {"accuracy": "double precision", "folds": "jsonb", "note": "text"}
    head = {"trial": 0, "iteration": 0, "state": "complete", "value": 0.75, "loss": 0.25, "seconds": 1.5}
    metrics = {"accuracy": 0.75, "folds": [1, 2], "note": "good"}
    head_of_1 = {"trial": 1, "iteration": 0, "state": "pending", "value": None, "loss": None, "seconds": None}
    assert table(connection, "s") == [
        {**head, **POINTS[0], **metrics},
        {**head_of_1, **POINTS[1], **dict.fromkeys(metrics)},
    ]


def test_a_metric_of_another_type_than_before_breaks_no_view(db, connection):
    row = study_of(db, SPACE, POINTS)
    protocol.complete(connection, take(connection), 0.25, {"a": 0.75, "b": True, "c": "x"}, 1.5)
    studies.flatten(db, row)
    protocol.complete(connection, take(connection), 0.25, {"a": "none", "b": 1e300, "c": {"d": 1}}, 1.5)
    assert [(trial["a"], trial["b"], trial["c"]) for trial in table(connection, "s")] == [
        (0.75, True, "x"),
        (None, None, '{"d": 1}'),
    ]
    studies.flatten(db, row)
    assert [trial["a"] for trial in table(connection, "s")] == [0.75, "none"]


# names that a space accepts, and that an objective can report
parameters = st.lists(
    st.text(min_size=1, max_size=200).filter(lambda name: name.isprintable() and bool(name.strip()))
    | st.sampled_from(["loss", "trial", "state", "seconds", "param_loss", "ctid", "tableoid", "oid", '"', "%s", "{}"]),
    min_size=1,
    max_size=5,
    unique=True,
)
metrics = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80)
    | st.sampled_from(["loss", "C", "", "metric_", "metric_loss", '"; drop table ledger.study; --', "$$", "\\"]),
    max_size=5,
    unique=True,
)


@pytest.fixture
def unicode(server):
    """Connection and connection of a ledger that can hold any text, which a server's default encoding may not."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as maintenance:
        maintenance.execute(f"create database {name} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'")
        url = make_conninfo(server, dbname=name)
        try:
            upgrade(url)
            with engine(url).connect() as own, psycopg.connect(url, autocommit=True) as connection:
                yield own, connection
        finally:
            maintenance.execute(f"drop database {name} with (force)")


@cases(25)
@given(parameters=parameters, metrics=metrics)
@example(parameters=["x" * 63, "x" * 64, "x" * 200, "param_" + "x" * 63], metrics=["x" * 63, "x" * 64])
@example(parameters=["é" * 32, "é" * 31 + "x", "é" * 100], metrics=["é" * 32])
@example(parameters=["value", "param_value"], metrics=["value"])
@example(parameters=["loss", "param_loss", "param_loss~2", "LOSS"], metrics=["loss", "metric_loss", "param_loss"])
def test_any_names_make_a_view_whose_values_are_those_of_the_trial(unicode, parameters, metrics):
    db, connection = unicode
    point = {name: index / 8 for index, name in enumerate(parameters)}
    reported = {name: float(index) for index, name in enumerate(metrics)}
    space = [{"name": name, "type": "real", "low": 0.0, "high": 1.0, "prior": "uniform"} for name in parameters]
    row = study_of(db, space, [point])
    try:
        protocol.complete(connection, take(connection), 0.5, reported, 1.0)
        made = studies.flatten(db, row)
        (found,) = table(connection, "s")
        assert len(found) == 6 + len(parameters) + len(metrics)
        assert (found["trial"], found["state"], found["loss"]) == (0, "complete", 0.5)
        of_trial = {("params", name): value for name, value in point.items()}
        of_trial |= {("metrics", name): value for name, value in reported.items()}
        assert {(column.source, column.key): found[column.name] for column in made.columns} == of_trial
        assert all(types(connection, "s")[column.name] == "double precision" for column in made.columns)
    finally:
        studies.delete(db, row)
    assert connection.execute("select to_regclass('ledger.\"study:s\"')").fetchone() == (None,)


def test_a_view_leaves_metrics_out_and_refuses_too_many_parameters(db, connection):
    row = study_of(db, SPACE, POINTS)
    protocol.complete(connection, take(connection), 0.5, {f"m{index:04}": index for index in range(1600)}, 1.0)
    made = studies.flatten(db, row)
    assert made.omitted == [f"m{index:04}" for index in range(1589, 1600)]
    assert table(connection, "s")[0]["m1588"] == 1588
    wide = [{"name": f"x{index}", "type": "integer", "low": 0, "high": 1, "prior": "uniform"} for index in range(1600)]
    row = study_of(db, wide, [{one["name"]: 0 for one in wide}], "wide")
    with pytest.raises(LedgerError, match="study wide has 1600 parameters, but a view has at most 1594"):
        studies.flatten(db, row)


def test_an_upgrade_keeps_it_for_readers_and_what_is_built_on_it(server, url):
    of = make_roles(url)
    upgrade(of("ledger_owner"))
    with (
        engine(url).connect() as superuser,
        engine(of("ledger_owner")).connect() as owner,
        psycopg.connect(of("ledger_owner"), autocommit=True) as connection,
        psycopg.connect(of("ledger_reader"), autocommit=True) as reader,
    ):
        db = owner
        row = study_of(db, SPACE, POINTS)
        # any role may make it; it belongs to the owner
        studies.flatten(superuser, row)
        assert len(table(reader, "s")) == 2
        connection.execute('create view ledger.mine as select "C" from ledger."study:s"')
        for _ in range(2):
            migration.upgrade(owner)
            assert len(table(reader, "s")) == 2
        # the same columns, and one more at the end, fit what is built on it; others do not
        studies.flatten(db, row)
        protocol.complete(connection, take(connection), 0.5, {"b": 1.0}, 1.0)
        assert studies.flatten(db, row).columns[-1].name == "b"
        protocol.complete(connection, take(connection), 0.5, {"a": 1.0}, 1.0)
        refusal = r'"study:s" cannot be dropped \(view ledger.mine depends on .*\): first drop the objects that depend'
        with pytest.raises(LedgerError, match=refusal):
            studies.flatten(db, row)
        with pytest.raises(LedgerError, match=refusal):
            studies.delete(db, row)
        assert studies.find(db, "s") is not None
        assert math.isclose(table(reader, "s")[0]["C"], 0.01)
        connection.execute("drop view ledger.mine")
        studies.delete(db, row)
        assert connection.execute("select to_regclass('ledger.\"study:s\"')").fetchone() == (None,)


def test_the_command_says_how_to_read_it(there, db, connection):  # noqa: F811
    code, out, _ = there("study", "view", "svm-1")
    assert (code, out.count("\n")) == (0, 1)
    assert out.startswith('view ledger."study:svm-1" has columns for 1 parameters and 0 metrics: `ledger db psql -c ')
    assert [trial["C"] for trial in table(connection, "svm-1")] == [1.0, 1.001, 1.002, 1.003]
    make_study(db, "other")
    assert there("study", "view", "svm-2")[::2] == (1, "ledger: there is no study 'svm-2': did you mean svm-1?\n")
