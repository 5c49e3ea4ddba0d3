"""Bounds of the SQL functions and of the tables: what the ledger accepts, every reader can read."""

import json
import uuid
from itertools import product
from typing import Any

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from ledger.database import bounds, flattened, iteration_totals, protocol, queries, reads, status, studies, trials
from ledger.database.connection import connect, driver, engine
from ledger.database.rows import (
    AnnotationRow,
    ArtifactRow,
    AttemptRow,
    CodeVersionRow,
    CutoffRow,
    IterationRow,
    ProgressRow,
    PromotionRow,
    ReportRow,
    StudyRow,
    TrialRow,
    VerdictRow,
    WorkerRow,
)
from ledger.database.selecting import fetch, query, rows_of
from ledger.errors import LedgerError
from ledger.manager.registration import register
from ledger.objectives.fingerprint import digest_parts, parts_from_json, watched
from ledger.optuna import views as optuna_views
from ledger.study.dimensions import PRIORS
from ledger.study.early_stopping import EarlyStopping
from ledger.study.file import assemble
from ledger.study.space import Space
from ledger.study.spec import MODES
from tests.databases import upgrade
from tests.fuzz import cases, run, texts
from tests.integration.ledgers import LIMITS, attempt, claim_one, make_study, propose, spec, take, trial
from tests.integration.test_privileges import VIEWS

# A depth that Python's JSON module refuses.
DEEP = "[" * 1_500 + "]" * 1_500
LARGE = json.dumps("x" * 2_000_000)
UNREADABLE = {
    "a number of 5,001 digits": '{"v": 1e5000}',
    "a negative number of 5,001 digits": '{"v": -1e5000}',
    "a number beyond a double in an array": '{"v": [1, [1e309]]}',
    "1,500 nested arrays": '{"v": ' + DEEP + "}",
    "two megabytes": '{"v": ' + LARGE + "}",
    "an array": "[]",
    "a number": "1",
}
NEITHER_TEXT_NOR_INTEGER: tuple[Any, ...] = (None, 5.5, True, [], {}, ["x"])
RANGE = {"type": "real", "low": 1.0, "high": 2.0}
DATA: dict[str, Any] = {"name": "a.csv", "sha256": "0" * 64, "target_column": "y", "format": "csv", "rows": 1}
MALFORMED_DATA: tuple[Any, ...] = (
    *(5, {}, "abc", [1], True, None, {"sha256": None, "name": None}, {"sha256": 5, "name": 7}),
    *({**DATA, key: value} for key, value in product(DATA, NEITHER_TEXT_NOR_INTEGER)),
    *({**DATA, "rows": rows} for rows in ("1", -1, 10**12)),
    *({**DATA, "name": "x" * 301}, {**DATA, "sha256": "0" * 63}, {**DATA, "sha256": "\x1b[2J"}),
    *({key: DATA[key] for key in DATA if key != missing} for missing in DATA),
)
NOT_FOLDS: tuple[Any, ...] = (None, "5", 2.5, -1, [], True, {})
NOT_COMMANDS: tuple[Any, ...] = (None, 5, True, "ls", {}, [], [5], ["ls", None], ["ls", ["x"]], ["x"] * 1_001)
NOT_STEPS: tuple[Any, ...] = (None, "svc", {}, 5, ["svc"], [[]], [["a"]], [["a", 5]], [["a", "b", "c"]], [["a", None]])
NOT_OBJECTS: tuple[Any, ...] = (None, 5, True, [], "heavy")
NOT_COLUMNS: tuple[Any, ...] = (None, 5, True, [1], {})
HOLDOUT: dict[str, Any] = {key: value for key, value in DATA.items() if key != "target_column"}
NOT_HOLDOUTS: tuple[Any, ...] = (
    *(5, {}, "abc", [1], True, None),
    *({**HOLDOUT, key: value} for key, value in product(HOLDOUT, NEITHER_TEXT_NOR_INTEGER)),
    *({key: HOLDOUT[key] for key in HOLDOUT if key != missing} for missing in HOLDOUT),
)
NOT_MODES: tuple[Any, ...] = (None, 5, [], {}, "Batch", "", "\x1b[2J\x9b31m\u202e")
NOT_BATCH_SIZES: tuple[Any, ...] = (None, "2", 2.5, True, [], {}, -1, 0, bounds.LARGEST_BATCH + 1, 10**12)
NOT_BOOLEANS: tuple[Any, ...] = (None, 5, "no", [], {})
NOT_TEXTS: tuple[Any, ...] = (None, 5, True, [1], {}, "x" * 301)
# A part of a spec that readers or workers could not read, and the words of the message that name this part.
RULE: dict[str, Any] = EarlyStopping(rule="median", min_resource=2, max_resource=9).model_dump(
    exclude_none=True, exclude={"brackets"}
)
NOT_RESOURCES: tuple[Any, ...] = ("epochs", "none", 5, [], {})
NOT_RULES: tuple[Any, ...] = (
    *(None, 5, "halving", [], {}),
    *({key: RULE[key] for key in RULE if key != missing} for missing in RULE),
    *({**RULE, "rule": rule} for rule in ("none", "asha", None, 1)),
    *({**RULE, "eta": eta} for eta in (0, 1, 17, 2.5, "3", None, True)),
    *(
        {**RULE, key: step}
        for key in ("min_resource", "max_resource")
        for step in (0, -1, 2.5, "4", None, 2**31, 10**30)
    ),
    *({**RULE, "audit": share} for share in (-0.1, 1.1, "0.5", None)),
    *({**RULE, "enforce": word} for word in (1, "yes", None)),
    *({**RULE, "min_resource": 9}, {**RULE, "min_resource": 1, "max_resource": 102}),
    *({**RULE, "resource": resource} for resource in NOT_RESOURCES),
)
MALFORMED: list[tuple[dict[str, Any], str]] = [
    *(({"objective": {"model": "svm", "data": data}}, "objective, data") for data in MALFORMED_DATA),
    *(
        ({"objective": {key: value}}, f"objective, {key}")
        for key, value in product(
            ("model", "estimator", "dataset", "task", "metric", "function", "params_as"), NOT_TEXTS
        )
    ),
    *(({"objective": {"command": command}}, "objective, command") for command in NOT_COMMANDS),
    *(({"objective": {"model": "svm", "cv": cv}}, "objective, cv") for cv in NOT_FOLDS),
    *(({"objective": {"model": "svm", "repeats": repeats}}, "objective, repeats") for repeats in NOT_FOLDS),
    *(({"objective": {"steps": steps}}, "objective, steps") for steps in NOT_STEPS),
    *(({"objective": {"model": "svm", "params": params}}, "objective, params") for params in NOT_OBJECTS),
    *(({"objective": {"model": "svm", "class_weights": weights}}, "class_weights") for weights in NOT_OBJECTS),
    *(
        ({"objective": {"model": "svm", "data": {**DATA, key: value}}}, f"data: {key}")
        for key, value in product(("group_column", "time_column", "weight_column"), NOT_COLUMNS)
    ),
    *(({"objective": {"model": "svm", "data": {**DATA, "holdout": data}}}, "data: holdout") for data in NOT_HOLDOUTS),
    *(({"objective": {"record_source": value}}, "objective, record_source") for value in NOT_BOOLEANS),
    *(({"objective": {"model": "svm", "keep_models": value}}, "keep_models") for value in ("none", "all", True, 1)),
    ({"objective": {"function": "a:b", "keep_models": "best"}}, "keep_models"),
    *(({"mode": mode}, "the mode") for mode in NOT_MODES),
    *(({"batch_size": size}, "batch_size must be an integer from 1 to 10000") for size in NOT_BATCH_SIZES),
    *(
        ({"space": [{"name": "x", "type": kind, "low": 1, "high": 2, **prior}]}, "known prior")
        for kind in ("real", "integer")
        for prior in ({}, {"prior": None}, {"prior": 5}, {"prior": "normal"})
    ),
    *(({"stopping": rule}, "stopping must be an object with the rule") for rule in NOT_RULES),
    *(
        (
            {"objective": objective, "stopping": {**RULE, "resource": resource}},
            "no resource that the objective does not",
        )
        for objective, resource in (
            *(({"function": "m:f"}, resource) for resource in ("rows", "rounds")),
            *(({"estimator": "a:B"}, "rounds"), ({"model": "xgb", "cv": 3}, "rounds")),
        )
    ),
]
COMMANDS = (
    *(("worker", "list"), ("trial", "list", "s"), ("trial", "show", "s", "0"), ("study", "show", "s")),
    *(("study", "list"), ("status", "s"), ("report", "s", "--output", "report.html")),
    *(("export", "s"), ("export", "s", "--format", "csv"), ("query", "outcomes"), ("query", "worker_activity")),
)


@pytest.mark.parametrize("document", UNREADABLE.values(), ids=UNREADABLE)
def test_an_answer_that_no_reader_could_read_is_refused(db, connection, document):
    make_study(db)
    held = take(connection)
    the = (held.study_id, held.trial, held.claim)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="the metrics") as refused:
        connection.execute("select ledger.complete(%s, %s, %s, 0.5, %s)", (*the, document))
    assert len(str(refused.value.diag.message_primary)) < 200
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="worker w, the versions"):
        connection.execute("select ledger.announce('w', 'host', 1, %s)", (document,))
    protocol.announce(connection, "w", "host", 1, {"python": "3"})
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="worker w, the versions"):
        connection.execute("select ledger.announce('w', 'host', 1, %s)", (document,))
    assert trial(connection)["state"] == "running"
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"


def test_the_readers_read_what_is_just_within_the_bounds(db, connection, url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row = register(db, assemble({"name": "s", "model": "svm", "trials": 3}))
    propose(db, row, 0, [{"C": 1.0, "gamma": gamma} for gamma in (0.001, 0.01, 0.1)])
    metrics: dict[str, Any] = {
        "m" * bounds.LONGEST_NAME: 1.7976931348623157e308,
        "small": 5e-324,
        "deep": json.loads("[" * (bounds.DEEPEST_JSON - 1) + "1" + "]" * (bounds.DEEPEST_JSON - 1)),
    }
    metrics["large"] = "x" * (bounds.LARGEST_JSON - 12 - len(json.dumps(metrics)) - 700)
    worker = "w" * bounds.LONGEST_NAME
    protocol.announce(connection, worker, "h" * bounds.LONGEST_NAME, 1, {"python": "3" * 9_000})
    assert protocol.complete(connection, take(connection, worker=worker), 1e308, metrics, 1e9) == "recorded"
    assert protocol.complete(connection, take(connection, worker=worker), -1e308, {}, 5e-324) == "recorded"
    assert protocol.fail(connection, take(connection, worker=worker), "x" * 30_000_000, 1e9, "crashed") == "retry"
    for command in COMMANDS:
        code, _, error = run(command, {"DATABASE_URL": url})
        assert code == 0, error


def test_a_spec_that_readers_or_workers_could_not_read_is_refused(db, connection):
    def create(name: str, part: dict[str, Any]) -> Any:
        # JSON without escapes, as a database in the encoding SQL_ASCII needs it
        arguments = (name, json.dumps({**spec(), **part}, ensure_ascii=False))
        return connection.execute("select ledger.create_study(%s, %s, '', 1, '{}')", arguments).fetchone()

    for part, named in MALFORMED:
        with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
            create("s", part)
        message = str(refused.value.diag.message_primary)
        assert message.startswith("study s, the spec: "), part
        assert named in message, part
        assert "\n" not in message
    accepted: list[dict[str, Any]] = [
        *({"objective": {"model": "svm", "data": DATA, "metric": "roc_auc", "cv": 5}}, {"objective": {}}),
        {"objective": {"estimator": "a:B", "params": {"c": None}, "task": "regression", "class_weights": "balanced"}},
        {"objective": {"steps": [["a", "b:C"], ["d", "e:F"]], "class_weights": {"no": 0.5}, "repeats": 2}},
        *({"stopping": rule} for rule in (RULE, {**RULE, "min_resource": 1, "max_resource": 101, "audit": 1})),
        {"stopping": {**RULE, "rule": "halving", "min_resource": 1, "max_resource": 2**31 - 1, "audit": 0}},
        *({"stopping": {**RULE, "resource": resource}} for resource in ("rows", "rounds", None)),
        {"objective": {"data": {**DATA, "holdout": HOLDOUT, "group_column": "g", "weight_column": "w" * 400}}},
        *({"mode": mode} for mode in MODES),
        *({"batch_size": size} for size in (1, bounds.LARGEST_BATCH)),
        *({"space": Space.from_toml({"x": {**RANGE, "prior": prior}}).to_json()} for prior in PRIORS),
    ]
    for number, part in enumerate(accepted):
        assert create(f"s{number}", part) != (None,)


def test_a_malformed_spec_of_an_earlier_version_is_shown_and_cancelled(db, connection, url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    connection.execute("alter table ledger.study disable trigger studies_are_readable")
    for number, (part, _) in enumerate(MALFORMED):
        if "data" in part.get("objective", {}) or "space" in part:
            name = f"s{number}"
            assert studies.create(db, name, {**spec(), **part}, "0" * 64, 1, {}) is not None
            for command in (["study", "show", name], ["study", "view", name]):
                code, _, error = run(command, {"DATABASE_URL": url})
                assert (code, error) == (0, ""), part
    connection.execute("alter table ledger.study enable always trigger studies_are_readable")
    assert run(["study", "cancel", "s0"], {"DATABASE_URL": url})[0] == 0


@pytest.mark.parametrize("seconds", [1.7e308, 1e9 + 1, -1.0, float("inf"), float("nan")])
def test_implausible_seconds_are_refused(db, connection, seconds):
    make_study(db)
    held = take(connection)
    for call in (
        lambda: protocol.complete(connection, held, 0.5, {}, seconds),
        lambda: protocol.fail(connection, held, "it broke", seconds),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="seconds: .* is not a plausible duration"):
            call()
    assert trial(connection)["state"] == "running"


def test_a_late_result_has_the_same_bounds(db, connection):
    make_study(db)
    held = take(connection)
    assert protocol.fail(connection, held, "it broke", 1.0) == "retry"
    connection.execute("update ledger.attempt set outcome = 'stale' where outcome = 'lost'")
    late = take(connection)
    trials.cancel(db, late.study_id, [late.trial], "enough")
    for loss, seconds in ((float("nan"), 1.0), (0.5, 1.7e308)):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            protocol.complete(connection, late, loss, {}, seconds)
    assert protocol.complete(connection, late, 0.5, {}, 1.0) == "stale"


def test_names_that_are_too_long_are_refused(db, connection):
    make_study(db)
    claim = uuid.uuid4()
    name = "w" * 50_000_000
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="the name of the worker: a text of 50000000 char"):
        claim_one(connection, "s", claim, name)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="worker w+, the name: a text of 50000000 char"):
        protocol.announce(connection, name, "host", 1, {})
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="the name of the host: a text of 301 characters"):
        protocol.announce(connection, "w", "h" * 301, 1, {})
    held = claim_one(connection, "s", claim, "w")
    assert held is not None
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="the name of a metric: a text of 301 characters"):
        protocol.complete(connection, held, 0.5, {"m" * 301: 1}, 1.0)


def test_a_long_error_keeps_its_head_and_its_tail(db, connection):
    make_study(db)
    error = "Traceback\n" + "x" * 30_000_000 + "\nValueError: the reason"
    # the statement of a worker in another language, and the client of this package
    for call in (
        lambda held: connection.execute(
            "select ledger.fail(%s, %s, %s, %s)", (held.study_id, held.trial, held.claim, error)
        ),
        lambda held: protocol.fail(connection, held, error, 1.0),
    ):
        held = take(connection)
        call(held)
        for kept in (attempt(connection, held.claim)["error"], trial(connection)["error"]):
            assert kept == bounds.shortened(error)
            assert len(kept) <= bounds.LONGEST_ERROR
            assert kept.startswith("Traceback\nxxx")
            assert kept.endswith("xxx\nValueError: the reason")
            assert "characters are left out here" in kept


def test_bytes_that_are_no_text_are_refused_in_any_database(server):
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as maintenance:
        maintenance.execute(
            f"create database {name} template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
        )
        try:
            url = make_conninfo(server, dbname=name, client_encoding="SQL_ASCII")
            upgrade(make_conninfo(server, dbname=name))
            with psycopg.connect(url, autocommit=True) as connection:
                for host, versions in (
                    (b"\xff", b"{}"),
                    (b"h", b'{"v": "\xff"}'),
                    (b"h", b'{"v": "%s\xff"}' % (b"x" * 300)),
                ):
                    with pytest.raises(psycopg.DataError, match="invalid byte sequence"):
                        connection.execute(b"select ledger.announce('w', '%s', 1, '%s')" % (host, versions))
                connection.execute("select ledger.announce('w', 'é', 1, '{}')".encode())
            with engine(make_conninfo(server, dbname=name)).connect() as db:
                assert [row.host for row, _ in reads.workers(db)] == ["é"]
        finally:
            maintenance.execute(f"drop database {name} with (force)")


def test_a_refusal_is_one_line_of_a_command(db, connection, url):
    row = make_study(db)
    with pytest.raises(LedgerError, match="the parameters: more than 1000000 bytes of JSON") as refused:
        trials.enqueue(db, row.id, [{"C": "x" * 2_000_000}])
    assert "\n" not in str(refused.value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**320), 10**320)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([5e-324, 1.7976931348623157e308, 10**308, 10**309, -(10**309), 1e-300])
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@cases(200)
@given(st.dictionaries(texts, json_values))
@example({"v": json.loads("[" * 100 + "]" * 100)})
@example({"v": json.loads("[" * 99 + "1" + "]" * 99)})
@example({"v": json.loads("[" * 100 + "1" + "]" * 100)})
@example({"v": "x" * 999_991})
@example({"v": "x" * 999_992})
@example({"v": [1e300] * 3_000})
@example({"v": [1e300] * 4_000})
@example({"v": "é" * 499_995})
@example({"v": "é" * 499_996})
def test_clients_check_the_bounds_of_the_database(connection, value):
    (fault,) = connection.execute("select ledger.json_fault('it', %s)", (Jsonb(value),)).fetchone()
    own = bounds.json_fault(value)
    assert fault == (None if own is None else f"it: {own}")


@given(texts, st.integers(0, 400))
def test_clients_shorten_as_the_database_does(connection, said, length):
    error = said + "x" * (bounds.LONGEST_ERROR - 200 + length)
    assert connection.execute("select ledger.shortened(%s)", (error,)).fetchone() == (bounds.shortened(error),)


# Rows


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw most values from the first strategy, because one refused value hides all other values of its row."""
    return st.integers(0, 49).flatmap(lambda drawn: odd if drawn == 33 else usual)


EDGES = [0.0, -0.0, 5e-324, -5e-324, 1e-320, 2.3e-308, 1e-9, 1.0, 1e9, 1e16, 1e300, 1.7976931348623157e308]
finite = st.sampled_from([*EDGES, *(-edge for edge in EDGES)]) | st.floats(allow_nan=False, allow_infinity=False)
floats = mostly(finite, st.sampled_from([float("nan"), float("inf"), float("-inf")]))
seconds = mostly(st.sampled_from([0.0, -0.0, 5e-324, 1e-9, 0.5, 3600.0, 1e9]) | st.floats(0, 1e9), floats)
moments = mostly(
    st.sampled_from(
        ["1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2199-12-31T23:59:59.999999Z"]
    ),
    st.sampled_from(
        [
            *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "4000-01-01 BC", "infinity", "-infinity"),
            *("1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "100000-01-01"),
        ]
    ),
)
naturals = mostly(st.integers(0, 3), st.sampled_from([-1, 2**31 - 1]))
steps = mostly(st.integers(0, 10**15), st.sampled_from([-1, 10**15 + 1]))
names = mostly(st.sampled_from(["w", "v", "", "\x1b[31m"]), texts)
errors = st.none() | texts
any_json = st.recursive(
    st.sampled_from(
        [
            *("1e5000", "-1e5000", "1e-5000", "1e309", "1.7976931348623157e308", "5e-324", "1e400", DEEP, "null"),
            *('"abc"', "true", "0", "-0", "[]", "{}", "0.5", "2147483648", "1e16", '"1e5000"'),
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]")
        | st.dictionaries(st.sampled_from(["x", "y", "name", "low", "theta"]), inner, max_size=3).map(
            lambda items: "{" + ",".join(f'"{key}": {value}' for key, value in items.items()) + "}"
        )
    ),
    max_leaves=5,
)
scalars = st.sampled_from(
    ["0", "1", "-0", "0.5", "10", "1e300", "5e-324", "1e-400", "-1e308", "1e400", '"a"', "true", "null", "[1]", "1e19"]
)


def an_object(**fields: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return JSON objects with some of the fields."""
    return st.fixed_dictionaries({}, optional=fields).map(
        lambda chosen: "{" + ", ".join(f'"{name}": {value}' for name, value in chosen.items()) + "}"
    )


dimensions = st.fixed_dictionaries(
    {
        "name": st.sampled_from(['"x"', '"y"', '"accuracy"', '"loss"']),
        "type": st.sampled_from(['"real"', '"integer"', '"categorical"']),
        "prior": mostly(st.sampled_from(['"uniform"', '"log-uniform"']), st.sampled_from(["null", "1"])),
        "low": mostly(st.sampled_from(["0", "1", "5e-324", "-1e308", "0.1"]), scalars),
        "high": mostly(st.sampled_from(["10", "1e308", "1e-320", "2"]), scalars),
        "choices": mostly(
            st.sampled_from(["[]", '["a"]', "[1, 0.5, true]", "[1e300]", "[1, 1.0, null]", '[[1], {"x": [null]}]']),
            any_json,
        ),
    },
    optional={
        "step": mostly(st.sampled_from(["1", "0.1", "1e-300"]), any_json),
        "powers_of": mostly(st.sampled_from(["2", "10"]), any_json),
        "ordered": mostly(st.sampled_from(["true", "false"]), any_json),
        "tuples": mostly(st.sampled_from(["true", "false", '[[0, "x"]]', "[]"]), any_json),
    },
).map(lambda chosen: "{" + ", ".join(f'"{name}": {value}' for name, value in chosen.items()) + "}")
specs = st.builds(
    lambda space, objective, mode, limits: (
        f'{{"batch_size": 1, "seed": 1, "mode": {mode}, "objective": {objective}, "limits": {limits},'
        f' "space": [{", ".join(space)}]}}'
    ),
    st.lists(dimensions, max_size=2),
    mostly(
        st.sampled_from(["{}", '{"metric": "accuracy"}', json.dumps({"model": "svm", "cv": 5, "data": DATA})]),
        any_json | st.sampled_from(['{"model": 1, "data": []}', '{"data": {"sha256": 1}}']),
    ),
    mostly(st.sampled_from(['"batch"', '"steady"']), any_json),
    mostly(
        st.just(json.dumps(LIMITS)),
        st.sampled_from(
            [
                json.dumps({**LIMITS, name: value})
                for name in ("lease", "trial_timeout")
                for value in (1e12, -1, "1e12", 1e300, None, "x")
            ]
        ),
    ),
)
params = an_object(x=scalars, y=scalars, accuracy=scalars)
metrics = mostly(an_object(x=scalars, accuracy=scalars, loss=any_json), any_json)
surrogates = mostly(
    an_object(
        estimator=scalars,
        kernel=st.sampled_from(['"Matern"', "1", "[]"]),
        known=scalars,
        observations=scalars,
        theta=st.lists(scalars, max_size=6).map(lambda items: "[" + ", ".join(items) + "]") | any_json,
    ),
    any_json,
)


code_parts = st.lists(
    mostly(
        an_object(
            code=mostly(st.just('"0"'), any_json), shown=mostly(st.just('"7"'), any_json), unwatched=st.just('"lock"')
        ).map(
            lambda part: part.replace("{", '{"kind": "function", "name": "loss"' + (", " if part != "{}" else ""), 1)
        ),
        an_object(kind=any_json, name=any_json, mine=any_json),
    ),
    max_size=2,
).map(lambda parts: "[" + ", ".join(parts) + "]")


def insert(connection: psycopg.Connection[Any], table: str, row: dict[str, Any]) -> bool:
    """Insert a row as the owner of the tables. Return whether the tables accept the row."""
    statement = sql.SQL("insert into ledger.{} ({}) values ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join([sql.Placeholder()] * len(row)),
    )
    try:
        with connection.transaction():
            connection.execute(statement, list(row.values()))
    except (psycopg.DataError, psycopg.IntegrityError):
        return False
    return True


def test_no_view_fails_for_any_row_that_the_tables_accept(url):
    accepted = dict.fromkeys(("study", "worker", "manager", "code_version", "iteration", "trial", "attempt"), 0)
    accepted |= {"study_annotation": 0, "trial_annotation": 0, "report": 0, "cutoff": 0, "verdict": 0}
    accepted["promotion"] = 0
    accepted |= {"artifact_content": 0, "artifact": 0, "artifact_piece": 0}
    known = queries.known()
    with engine(url).connect() as db:
        connection = driver(db)

        assert optuna_views.enable(db)
        views = connection.execute(
            "select schemaname, viewname from pg_views where schemaname in ('ledger', 'optuna')"
        ).fetchall()
        assert {view for _, view in views} > VIEWS | {"trial_params", "study_user_attributes"}
        connection.commit()

        def add(table: str, row: dict[str, Any]) -> bool:
            there = insert(connection, table, row)
            accepted[table] += there
            return there

        @cases(300)
        @given(st.data())
        def check(data: st.DataObject) -> None:
            draw = data.draw
            # in a transaction, so that each insertion has a savepoint
            db.begin()
            connection.execute("select")
            try:
                study = {
                    "name": "s",
                    "spec": draw(specs),
                    "spec_hash": draw(names),
                    "budget": 1,
                    "state": "running",
                    "reason": draw(errors),
                    "created_at": draw(moments),
                    "versions": draw(mostly(st.just("{}"), any_json)),
                }
                there = add("study", study)
                for name in ("w", "v"):
                    add(
                        "worker",
                        {
                            "name": name,
                            "host": draw(names),
                            "pid": 1,
                            "versions": draw(mostly(st.just("{}"), any_json)),
                            "started_at": draw(moments),
                            "last_seen_at": draw(moments),
                            "stopped_at": draw(st.none() | moments),
                        },
                    )
                if there:
                    add_rows(data)
                read_everything()
            finally:
                db.rollback()

        def add_rows(data: st.DataObject) -> None:
            draw = data.draw
            ((study_id,),) = connection.execute("select id from ledger.study").fetchall()
            of_study = {"study_id": study_id}
            manager = {
                "claim": uuid.uuid4(),
                "name": draw(names),
                "claimed_at": draw(moments),
                "lease": draw(mostly(st.just("30 s"), st.sampled_from(["200000 years", "0", "-1 s"]))),
                "lease_until": draw(moments),
            }
            add("manager", {**of_study, **manager})
            parts = draw(mostly(code_parts, any_json))
            try:
                digest = digest_parts(json.loads(parts))
            except Exception:
                digest = "0" * 64
            code = {
                "number": draw(naturals),
                "first_trial": draw(naturals),
                "sha256": draw(mostly(st.just(digest), texts)),
                "parts": parts,
                "sources": draw(mostly(st.sampled_from(["{}", '{"a.py": "x"}']), any_json)),
                "git_commit": draw(st.none() | texts),
                "versions": draw(mostly(st.just("{}"), any_json)),
                "recorded_at": draw(moments),
            }
            add("code_version", {**of_study, **code})
            add("study_annotation", {**of_study, **annotation(draw)})
            is_told = draw(st.booleans())
            totals = [column.name for column in iteration_totals.columns() if column.name.startswith("total_")]
            numbers = draw(mostly(st.none() | st.just("{0,2}"), st.sampled_from(["{-7}", "{null}", "{{1}}"])))
            told = {
                "told_at": draw(moments),
                "told": draw(naturals),
                **{name: draw(naturals) for name in totals},
                "last_complete": draw(st.none() | naturals),
                "improvements": numbers,
                "mean_loss": draw(floats),
                "best_loss": draw(floats),
            }
            iteration = {
                "number": 0,
                "first_trial": 0,
                "round": 0,
                "size": draw(mostly(st.just(3), naturals)),
                "asked_at": draw(moments),
                "ask_seconds": draw(seconds),
                "tell_seconds": draw(seconds),
                **(told if is_told else {}),
                "surrogate": draw(surrogates),
                "environment": draw(mostly(st.just("{}"), any_json)),
                "seen": draw(mostly(st.none() | st.just("{}"), st.sampled_from(["{1}", "{null}", "{{1}}"]))),
                "seen_rungs": draw(mostly(st.none(), st.sampled_from(["{}", "{null}", "{1}", "{-1}", "{{1}}"]))),
            }
            if not add("iteration", {**of_study, **iteration}):
                return
            cutoff = {"iteration": 0, "rung": draw(steps), "loss": draw(floats), "compared": draw(naturals)}
            add("cutoff", {**of_study, **cutoff})
            for number in range(3):
                states = ["complete", "complete", "pruned", "failed", "pending", "paused", "running"]
                state = draw(st.sampled_from(states))
                row = {
                    "number": number,
                    "iteration": 0,
                    "round": draw(naturals),
                    "source": "proposed",
                    "params": draw(params),
                    "state": state,
                    "attempts": draw(naturals),
                    "failures": draw(naturals),
                    "crashes": draw(naturals),
                    "lost": draw(naturals),
                    "available_at": draw(moments),
                    "claimed_at": draw(moments),
                    "claim": uuid.uuid4(),
                    "worker": draw(names),
                    "error": draw(texts),
                }
                if state == "running":
                    row |= {"lease_until": draw(moments), "deadline_at": draw(moments)}
                if state in ("complete", "pruned", "failed"):
                    row["finished_at"] = draw(moments)
                if state == "pruned":
                    row |= {"pruned_step": draw(steps), "pruned_loss": draw(st.none() | floats)}
                if state == "complete":
                    row |= {"loss": draw(floats), "metrics": draw(metrics)}
                if add("trial", {**of_study, **row}):
                    add("trial_annotation", {**of_study, "trial": number, **annotation(draw)})
                    for place in (1, 2):
                        outcomes = ["complete", "failed", "crashed", "stale", "released", "paused", None]
                        outcome = draw(st.sampled_from(outcomes))
                        of_trial = {
                            "claim": uuid.uuid4(),
                            "trial": number,
                            "number": place,
                            "worker": draw(names),
                            "claimed_at": draw(moments),
                            "ended_at": None if outcome is None else draw(moments),
                            "outcome": outcome,
                            "error": draw(errors),
                            "loss": draw(floats),
                            "seconds": draw(st.none() | seconds),
                        }
                        if add("attempt", {**of_study, **of_trial}):
                            add_artifact(draw, {**of_study, "trial": number, "attempt": place})
                        report = {
                            "trial": number,
                            "attempt": place,
                            "step": draw(steps),
                            "loss": draw(floats),
                            "metrics": draw(st.none() | metrics),
                            "reported_at": draw(moments),
                            "after_step": draw(st.none() | steps),
                        }
                        add("report", {**of_study, **report})
                    step, compared = draw(steps), draw(naturals)
                    verdict = {
                        "trial": number,
                        "rung": step,
                        "attempt": draw(naturals),
                        "step": draw(mostly(st.just(step), steps)),
                        "loss": draw(st.none() | floats),
                        "cutoff": draw(st.none() | floats),
                        "compared": compared,
                        "arrival": draw(mostly(st.sampled_from([None, compared + 1]), naturals)),
                        "stops": draw(st.booleans()),
                        "audited": draw(st.booleans()),
                        "decided_at": draw(moments),
                    }
                    add("verdict", {**of_study, **verdict})
                    promotion = {
                        "trial": number,
                        "rung": draw(mostly(st.just(step), steps)),
                        "arrivals": draw(naturals),
                        "promoted_at": draw(moments),
                    }
                    add("promotion", {**of_study, **promotion})

        def add_artifact(draw: Any, of_attempt: dict[str, Any]) -> None:
            facts = {
                "sha256": draw(mostly(st.just("0" * 64), texts)),
                "size": draw(mostly(st.just(0), st.integers(-(2**63), 2**63 - 1))),
                "store": draw(st.none() | mostly(st.just("s3://bucket"), texts)),
            }
            content = {
                **facts,
                "id": uuid.uuid4(),
                "begun_at": draw(moments),
                "stored_at": draw(st.none() | moments),
                "discarded_at": draw(mostly(st.none(), moments)),
            }
            if add("artifact_content", content):
                name = draw(mostly(st.sampled_from(["model.bin", ".checkpoint-0", f".checkpoint-{10**15}"]), texts))
                saved = {**facts, "content": content["id"], "saved_at": draw(moments)}
                removed = {"content": None, "removed_at": draw(moments)} if draw(st.booleans()) else {}
                add("artifact", {**of_attempt, "name": name, **saved, **removed})
                add("artifact_piece", {"content": content["id"], "number": 0, "bytes": draw(st.binary(max_size=9))})

        def annotation(draw: Any) -> dict[str, Any]:
            return {
                "tags": draw(mostly(st.sampled_from(["{}", "{a,b}", '{"é 1"}']), st.sampled_from(["{null}", "{{a}}"]))),
                "note": draw(st.none() | texts),
                "attributes": draw(mostly(st.sampled_from(["{}", '{"state": 1, "mine": [null]}']), any_json)),
                "annotated_by": draw(names),
                "annotated_at": draw(moments),
            }

        def read_everything() -> None:
            for view in views:
                connection.execute(sql.SQL("select * from {}").format(sql.Identifier(*view))).fetchall()
            for each in known.values():
                connection.execute(each.with_values({})).fetchall()
            rows = (StudyRow, IterationRow, TrialRow, AttemptRow, WorkerRow, ProgressRow)
            for row in (*rows, AnnotationRow, ReportRow, CutoffRow, VerdictRow, PromotionRow, ArtifactRow):
                fetch(db, row, rows_of(row))
            for version in fetch(db, CodeVersionRow, rows_of(CodeVersionRow)):
                watched(parts_from_json(version.parts))
            for row in connection.execute("select id, name, spec -> 'space' from ledger.study").fetchall():
                db.execute(query("status"), {"study": row[0], **status.LIMITS}).all()
                flat = flattened.create(connection.cursor(), *row)
                connection.execute(sql.SQL("select * from {}").format(sql.Identifier("ledger", flat.name))).fetchall()

        check()
    # the strategies draw rows that the tables accept
    assert min(accepted.values()) > 25, accepted


def test_a_document_that_python_cannot_read_hides_no_other_row(db, connection, url):
    make_study(db)
    protocol.announce(connection, "good", "host", 1, {"python": "3"})
    # only the owner of the tables can switch the check off
    connection.execute("alter table ledger.worker disable trigger workers_are_readable")
    connection.execute("select ledger.announce('bad', 'host', 1, %s)", ('{"v": 1e5000}',))
    assert {row.name: "unreadable" in row.versions for row, _ in reads.workers(db)} == {"good": False, "bad": True}
    with connect(url) as plain:
        assert len(plain.execute("select versions from ledger.worker").fetchall()) == 2


def test_every_table_refuses_rows_that_a_reader_could_not_read(connection):
    unchecked = connection.execute(
        "select relname from pg_class where relnamespace = 'ledger'::regnamespace and relkind = 'r'"
        " and relname <> 'alembic_version' and not exists (select from pg_trigger"
        " where tgrelid = pg_class.oid and tgname like '%are_readable' and tgenabled = 'A')"
    ).fetchall()
    # a reader can read any bytes
    assert unchecked == [("artifact_piece",)]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("state = 'pruned', pruned_step = 2, pruned_loss = 'infinity'", "trial 0, pruned_loss: "),
        ("state = 'pruned', pruned_step = 2, pruned_loss = 'nan'", "trial 0, pruned_loss: "),
        ("state = 'pruned', pruned_step = -1", "trial 0, pruned_step: "),
        ("state = 'complete', loss = 'infinity', metrics = '{}'", "trial 0, the loss: "),
        ("state = 'complete', loss = 0.5, metrics = '[]'", "trial 0, the metrics: they are not an object"),
        (
            "state = 'complete', loss = 0.5, metrics = jsonb_build_object(repeat('x', 1000), 1)",
            "trial 0, the name of a metric: ",
        ),
        ("params = '{\"x\": 1e5000}'", "trial 0, the parameters: "),
    ],
)
def test_an_update_to_an_unreadable_trial_is_refused(db, connection, change, fault):
    make_study(db, trials=1)
    take(connection)
    before = trial(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        connection.execute(f"update ledger.trial set finished_at = ledger.clock(), {change}")
    assert str(refused.value).startswith(fault)
    assert trial(connection) == before
