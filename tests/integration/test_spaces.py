"""Grids, ordered choices, constants, and choices of every JSON type: recorded, shown, exported and read back."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import optuna
import pyarrow.parquet as pq
import pytest
from optuna.storages import RDBStorage
from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import Connection
from sqlalchemy.exc import DataError

import ledger
from ledger.database import flattened, overview, protocol, queries, studies, transfer, trials
from ledger.database.rows import StudyRow
from ledger.export.documents import write_csv
from ledger.export.parquet import write_parquet
from ledger.imports import table
from ledger.manager.registration import register
from ledger.optuna import connect as reading
from ledger.optuna import imports as optuna_imports
from ledger.optuna import views as optuna_views
from ledger.optuna.export import write_optuna
from ledger.report.page import render
from ledger.study.file import assemble
from ledger.study.python_values import python_params
from ledger.study.spec import StudySpec
from ledger.verification import verify
from tests.integration.ledgers import make_study, managed, spec, take
from tests.integration.moving import exported, moved, without_releases
from tests.integration.test_commands import run as run
from tests.integration.test_manager import workers as workers

SPACE = """
dropout = { type = "real", low = 0.0, high = 0.5, step = 0.1 }
batch = { type = "integer", low = 16, high = 256, powers_of = 2 }
rate = { type = "real", low = 1e-7, high = 1e-1, powers_of = 10 }
width = { type = "integer", low = 8, high = 128, step = 8 }
size = { type = "categorical", choices = ["s", "m", "l", "xl"], ordered = true }
depth = { type = "categorical", choices = "[null, 4, 8]" }
layers = { type = "categorical", choices = [[64], [64, 32], ["a", 1e-7]], tuples = true }
mixed = { type = "categorical", choices = '["1", 1, null, false, [1, {"b": [2], "a": "é"}], "null"]' }
objects = [{ kind = "linear" }, { kind = "rbf", gamma = 0.5 }]
fixed = "constant"
"""
NAMES = ["dropout", "batch", "rate", "width", "size", "depth", "layers", "mixed", "objects", "fixed"]


def study(tmp_path: Any, name: str = "s", **options: Any) -> StudySpec:
    file = tmp_path / "study.toml"
    file.write_text(f'[study]\nname = "{name}"\n[objective]\nfunction = "m:f"\n[space]\n{SPACE}')
    return assemble({"iterations": 5, "batch_size": 4, "seed": 3, **options}, file)


def loss(params: dict[str, Any]) -> float:
    worth = {"s": 3, "m": 1, "l": 0, "xl": 2}[params["size"]]
    return float(abs(params["dropout"] - 0.3) + abs(params["batch"] - 64) / 64 + worth + (params["depth"] is None))


@pytest.fixture
def complete(db: Connection, workers: Any, tmp_path: Any) -> StudyRow:
    """A complete study with every kind of dimension."""
    workers(loss)
    return managed(db, register(db, study(tmp_path))).run()


def rows(db: Connection, row: StudyRow) -> list[dict[str, Any]]:
    space = StudySpec.from_spec(row.name, row.budget, row.spec).space
    return [space.normalise(trial.params) for trial in trials.all_of(db, row.id)]


def test_a_study_of_every_kind_ends_verifies_and_is_moved(db, complete, tmp_path):
    assert complete.state == "complete"
    points = rows(db, complete)
    assert len({repr(point) for point in points}) == 20
    assert {type(point["layers"]) for point in points} == {tuple}
    assert verify(transfer.snapshot(db, complete.id)).recomputed == 5
    document = exported(db, "s")
    there = moved(db, document, "there")
    assert there.spec == complete.spec
    assert without_releases(exported(db, "there"))["trials"] == without_releases(document)["trials"]
    assert rows(db, there) == points
    # A study file with the same space continues the study.
    assert register(db, study(tmp_path, iterations=6)).budget == 24


def test_python_gets_tuples_and_none_as_they_were(complete, url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", url)
    result = ledger.load_study("s")
    assert {trial.params["layers"] for trial in result.trials} <= {(64,), (64, 32), ("a", 1e-7)}
    assert {trial.params["depth"] for trial in result.trials} <= {None, 4, 8}
    assert list(result.best_params) == NAMES
    frame = result.trials_dataframe()
    for number, trial in enumerate(result.trials):
        for name in ("depth", "layers", "mixed"):
            assert repr(frame.loc[number, f"params_{name}"]) == repr(trial.params[name])


def test_a_claim_names_the_dimensions_with_tuples(db, connection, tmp_path):
    row = register(db, study(tmp_path))
    (dimension,) = [each for each in row.spec["space"] if each["name"] == "layers"]
    assert dimension["tuples"] is True
    propose_one(db, row)
    held = take(connection)
    assert held.tuples == [dimension]
    assert isinstance(held.params["layers"], list)
    assert python_params(held.params, held.tuples)["layers"] == tuple(held.params["layers"])
    # The answer to a repeated call is the same.
    assert protocol.claim(connection, "s", [held.claim], "w") == [held]
    make_study(db, "plain")
    assert take(connection, "plain").tuples == []


def propose_one(db: Connection, row: StudyRow) -> dict[str, Any]:
    space = StudySpec.from_spec(row.name, row.budget, row.spec).space
    point = {dimension.name: dimension.value(1 if (dimension.size() or 1) > 1 else 0) for dimension in space.dimensions}
    trials.enqueue(db, row.id, [point])
    return point


def test_every_view_shows_every_choice(db, complete, connection):
    number = trials.all_of(db, complete.id)[0].number
    with connection.cursor(row_factory=dict_row) as cursor:
        shown = {
            row["parameter"]: row
            for row in cursor.execute("select * from ledger.parameters where trial = %s", (number,)).fetchall()
        }
    params = trials.get(db, complete, number).params
    space = {each["name"]: each for each in complete.spec["space"]}
    for name, value in params.items():
        text = shown[name]["text"]
        assert (text if isinstance(value, str) else json.loads(text)) == value
    assert shown["size"]["position"] == pytest.approx(space["size"]["choices"].index(params["size"]) / 3)
    assert shown["depth"]["position"] is None
    assert shown["dropout"]["position"] == pytest.approx(params["dropout"] / 0.5)


def test_the_queries_count_null_and_give_ordered_choices_one_column(db, complete, connection):
    answers = {
        name: connection.execute(queries.find(name).with_values({})).fetchall()
        for name in ("best_per_category", "good_region", "importance", "slow_parameters", "length_scales")
    }
    depths = [trial.params["depth"] for trial in trials.all_of(db, complete.id)]
    complete_of = {row[2]: row[3] for row in answers["best_per_category"] if row[1] == "depth"}
    assert complete_of == {json.dumps(depth): depths.count(depth) for depth in depths}
    assert {row[1]: row[5] for row in answers["good_region"]}["depth"] == f"{len({*depths})} choices"
    assert {row[1] for row in answers["importance"]} == {row[1] for row in answers["slow_parameters"]} == {*NAMES}
    # A constant has no length scale.
    assert {row[3] for row in answers["length_scales"]} == {*NAMES} - {"fixed"}


def test_the_flattened_view_has_typed_columns(db, complete, connection):
    studies.flatten(db, complete)
    types = dict(
        connection.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute"
            " join pg_class on pg_class.oid = attrelid where relname = 'study:s' and attnum > 0"
        ).fetchall()
    )
    expected = {"dropout": "double precision", "batch": "bigint", "rate": "double precision", "width": "bigint"}
    expected |= {"size": "text", "depth": "bigint", "layers": "jsonb", "mixed": "text", "objects": "jsonb"}
    assert {name: types[name] for name in expected} == expected
    view = sql.Identifier("ledger", flattened.view_name("s"))
    with connection.cursor(row_factory=dict_row) as cursor:
        shown = cursor.execute(sql.SQL("select * from {} order by trial").format(view)).fetchall()
    for row, trial in zip(shown, trials.all_of(db, complete.id), strict=True):
        assert {name: row[name] for name in ("depth", "layers", "objects", "size", "rate")} == {
            name: trial.params[name] for name in ("depth", "layers", "objects", "size", "rate")
        }


def written_csv(db: Connection, row: StudyRow) -> str:
    output = io.StringIO()
    write_csv(db, row, output)
    return output.getvalue()


def test_a_csv_export_is_imported_with_every_choice(db, complete, tmp_path):
    content = written_csv(db, complete)
    space = StudySpec.from_spec("s", 20, complete.spec).space
    read = [row.read(space) for row in table.read_rows("s.csv", content.encode(), "loss", space, ignore_extra=True)]
    assert [repr(one.params) for one in read] == list(map(repr, rows(db, complete)))
    cells = [row["params_depth"] for row in csv.DictReader(io.StringIO(content))]
    assert set(cells) <= {"null", "4", "8"}


def test_a_parquet_export_has_typed_columns(db, complete, tmp_path):
    file = tmp_path / "s.parquet"
    with file.open("wb") as output:
        write_parquet(db, complete, output)
    found = pq.read_table(file)
    types = {name: str(found.schema.field(f"params_{name}").type) for name in NAMES}
    numbers = {"dropout": "double", "batch": "int64", "rate": "double", "width": "int64", "depth": "int64"}
    assert types == {**dict.fromkeys(NAMES, "string"), **numbers}
    for row, trial in zip(found.to_pylist(), trials.all_of(db, complete.id), strict=True):
        for name in ("dropout", "batch", "rate", "width", "depth", "size", "fixed"):
            assert row[f"params_{name}"] == trial.params[name]
        for name in ("layers", "objects"):
            assert json.loads(row[f"params_{name}"]) == trial.params[name]
        mixed = row["params_mixed"]
        assert (None if mixed is None else json.loads(mixed)) == trial.params["mixed"]


def test_optuna_reads_exports_and_gives_back_every_kind(db, complete, connection, url, tmp_path):
    optuna_views.enable(db)
    file = tmp_path / "s.db"
    write_optuna(db, complete, file)
    storage = RDBStorage(f"sqlite:///{file}")
    written = optuna.load_study(study_name="s", storage=storage)
    with reading.storage(url) as live:
        read = optuna.load_study(study_name="s", storage=live)
        for theirs, ours in zip(written.trials, read.trials, strict=True):
            theirs._trial_id = ours._trial_id
            assert theirs == ours
            ours._validate()
        distributions = optuna.distributions
        assert read.trials[0].distributions == {
            "dropout": distributions.FloatDistribution(0.0, 0.5, step=0.1),
            "batch": distributions.IntDistribution(16, 256, log=True),
            "rate": distributions.FloatDistribution(1e-7, 1e-1, log=True),
            "width": distributions.IntDistribution(8, 128, step=8),
            "size": distributions.CategoricalDistribution(("s", "m", "l", "xl")),
            "depth": distributions.CategoricalDistribution((None, 4, 8)),
            "layers": distributions.CategoricalDistribution(("[64]", "[64, 32]", '["a", 0.0000001]')),
            "mixed": distributions.CategoricalDistribution(("1", 1, None, False, '[1, {"a": "é", "b": [2]}]', "null")),
            "objects": distributions.CategoricalDistribution(('{"kind": "linear"}', '{"kind": "rbf", "gamma": 0.5}')),
            "fixed": distributions.CategoricalDistribution(("constant",)),
        }
    spec = StudySpec.from_spec("s", 20, complete.spec)
    imported = optuna_imports.load(f"sqlite:///{file}", "s").rows(spec.objective.scale)
    back = [row.read(spec.space) for row in imported]
    assert [repr(one.params) for one in back] == list(map(repr, rows(db, complete)))
    storage.remove_session()
    storage.engine.dispose()


def test_commands_show_and_take_every_choice(db, complete, run, url, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", url)
    open_study = register(db, study(tmp_path, "open"))
    points = {
        "dropout": "0.1", "batch": "32", "rate": "1e-6", "width": "16", "size": "xl", "depth": "None",
        "layers": "(64, 32)", "mixed": "[1, {\"a\": \"é\", \"b\": [2]}]", "objects": '{"kind": "linear"}',
        "fixed": "constant",
    }  # fmt: skip
    code, _, error = run("trial", "enqueue", "open", *(f"{name}={text}" for name, text in points.items()))
    assert code == 0, error
    enqueued = trials.all_of(db, open_study.id)[-1]
    assert enqueued.params == {
        "dropout": 0.1, "batch": 32, "rate": 1e-6, "width": 16, "size": "xl", "depth": None, "layers": [64, 32],
        "mixed": [1, {"a": "é", "b": [2]}], "objects": {"kind": "linear"}, "fixed": "constant",
    }  # fmt: skip
    code, _, error = run(
        "trial", "enqueue", "open", *(f"{name}={text}" for name, text in {**points, "batch": "33"}.items())
    )
    assert code == 2
    assert "parameter 'batch': 33 is not an allowed value (powers of 2); the nearest values are 32 and 64" in error
    code, out, _ = run("study", "show", "s")
    assert code == 0
    best = ledger.load_study("s").best_params
    assert f"'layers': {best['layers']!r}" in out
    assert f"'depth': {best['depth']!r}" in out


def test_a_report_is_written_with_every_kind(db, complete):
    page = render(overview.read(db, complete))
    for text in ("[64, 32]", "null", "constant", "&#39;layers&#39;: ("):
        assert text in page


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": 0}, {"step": "a"}, {"step": None}, {"powers_of": 1}, {"powers_of": [2]}, {"ordered": 1},
        {"ordered": None}, {"tuples": "yes"}, {"tuples": None}, {"default": None}, {"default": "1"}, {"default": -1e9},
        {"type": "categorical", "choices": [[1, 2], "a"], "default": [1]},
    ],
)  # fmt: skip
def test_the_database_refuses_a_dimension_that_no_reader_understands(db, wrong: Mapping[str, Any]):
    of = spec()
    of["space"][0] |= wrong
    with pytest.raises(DataError, match="a malformed step, powers_of, ordered, tuples or default"):
        studies.create(db, "s", of, "0" * 64, 4, {})
