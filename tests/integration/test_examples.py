"""The examples in docstrings that read or write a ledger."""

import doctest
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import ledger
from ledger.database.connection import engine
from ledger.optuna import views
from tests import examples


@ledger.objective(space={"x": (-5.0, 5.0)})
def parabola(params: dict[str, Any]) -> float:
    return float((params["x"] - 1) ** 2)


@pytest.fixture(scope="module")
def database(servers: Any) -> str:
    """URL of a ledger that holds the study of the examples, and that Optuna may read."""
    server = servers.url("embedded")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database examples template {}").format(sql.Identifier(servers.template(server)))
        )
    url = make_conninfo(server, dbname="examples")
    ledger.Study(parabola, name="parabola", trials=6, batch_size=2, database=url).run(workers=2)
    flowers = ledger.estimator("xgb", dataset="iris")
    ledger.Study(flowers, name="flowers", trials=2, keep_models="best", database=url).run(workers=1)
    with engine(url).connect() as connection:
        views.enable(connection)
    return url


@pytest.mark.parametrize("test", examples.collect(uses_ledger=True), ids=lambda test: test.name)
def test_example_in_docstring(test: doctest.DocTest, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    examples.run(test)
