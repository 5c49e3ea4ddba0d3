"""Texts of the database that contain control characters: no command that reads prints such a character."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from ledger.database import queries
from ledger.study.file import assemble
from tests.fuzz import run
from tests.integration.ledgers import make_study

# An escape sequence with ESC, one with the C1 character CSI, and a character that reverses the direction of text.
ESCAPES = "\x1b[2J\x9b31m\u202e"
FORBIDDEN = frozenset("\x1b\x9b\u202e")
OBJECTIVE = {
    "model": "svm",
    "metric": "accuracy",
    "cv": 5,
    "data": {"name": "a.csv", "sha256": "0" * 64, "target_column": "y", "format": "csv", "rows": 1},
}
SPACE = [
    {"name": "C", "type": "real", "low": 1.0, "high": 2.0, "prior": "uniform"},
    {"name": "kind", "type": "categorical", "choices": ["a", "b"]},
    {"name": "pair", "type": "categorical", "choices": [["c"], {"d": "e"}], "tuples": True},
]
# The columns in which the ledger stores only words of its own, or names that the table restricts.
PLAIN = {
    *(
        ("study", "name"),
        ("study", "state"),
        ("study", "direction"),
        ("study", "stopped_by"),
        ("trial", "source"),
        ("trial", "state"),
        ("attempt", "outcome"),
    ),
    *(("dataset", "sha256"), ("code_version", "sha256"), ("source", "sha256")),
    *(("artifact", "name"), ("artifact", "sha256"), ("artifact_content", "sha256")),
}


def as_jsonb(value: Any) -> Jsonb:
    """Return JSON whose characters are no escapes, as a database in the encoding SQL_ASCII needs them."""
    return Jsonb(value, dumps=lambda given: json.dumps(given, ensure_ascii=False))


def with_escapes(value: Any) -> Iterator[Any]:
    """Yield a JSON value again for each text that it contains, with escapes at the end of this text."""
    if isinstance(value, str):
        yield value + ESCAPES
    elif isinstance(value, dict):
        for key, inner in value.items():
            for changed in with_escapes(inner):
                yield {**value, key: changed}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            for changed in with_escapes(inner):
                yield [*value[:index], changed, *value[index + 1 :]]


def widest(connection: psycopg.Connection[Any], spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec with escapes in as many texts as the tables accept."""
    for place in range(len(list(with_escapes(spec)))):
        candidate = list(with_escapes(spec))[place]
        if connection.execute("select ledger.spec_fault(%s) is null", (as_jsonb(candidate),)).fetchone() == (True,):
            spec = candidate
    return spec


@pytest.fixture
def filled(db, connection) -> list[str]:
    """Fill the text columns of each table with escapes. Return the names of the studies."""
    asked = assemble({"name": "s", "model": "svm", "trials": 4})
    spec = widest(connection, {**asked.spec(), "objective": OBJECTIVE, "space": SPACE})
    assert ESCAPES in spec["objective"]["metric"]
    metric, parameter = spec["objective"]["metric"], spec["space"][0]["name"]
    odd = as_jsonb({f"key{ESCAPES}": f"value{ESCAPES}"})
    # The ledger refuses control characters in the URL of a store. The locale of the database decides whether the last
    # of the escapes is one.
    address, is_control = "nothing://[2J", "select %s::text ~ '[[:cntrl:]]'"
    if connection.execute(is_control, (ESCAPES[-1],)).fetchone() == (False,):
        address += ESCAPES[-1]
    names = []
    make_study(db, "plain")
    for name, state in (("ended", "failed"), ("open", "running")):
        names.append(name)
        connection.execute(
            "insert into ledger.study (name, spec, spec_hash, budget, state, reason, created_at, finished_at, versions)"
            " values (%s, %s, %s, 4, %s, %s, now(), case when %s = 'failed' then now() end, %s)",
            (name, as_jsonb(spec), ESCAPES, state, ESCAPES, state, odd),
        )
        ((study,),) = connection.execute("select max(id) from ledger.study").fetchall()
        connection.execute(
            "insert into ledger.iteration (study_id, number, first_trial, round, size, asked_at, ask_seconds,"
            " tell_seconds, surrogate, environment) values (%s, 0, 0, 0, 7, now(), 0, 0, %s, %s)",
            (study, as_jsonb({"estimator": ESCAPES, "kernel": ESCAPES, "theta": [0.0]}), odd),
        )
        for number, reached in enumerate(("complete", "failed", "running", "pending", "cancelled", "pruned", "paused")):
            claim = uuid.uuid4()
            connection.execute(
                "insert into ledger.trial (study_id, number, iteration, round, source, params, available_at, state,"
                " attempts, claimed_at, claim, worker, error, lease_until, finished_at, pruned_step, loss, metrics)"
                " values"
                " (%s, %s, 0, 0, 'proposed', %s, now(), %s, 1, now(), %s, %s, %s, case when %s = 'running' then now()"
                " end, case when %s in ('complete', 'pruned', 'failed', 'cancelled') then now() end, %s, %s, %s)",
                (
                    *(
                        study,
                        number,
                        as_jsonb({parameter: 1 + number / 8, "kind": ESCAPES}),
                        reached,
                        claim,
                        f"w{ESCAPES}",
                        ESCAPES,
                    ),
                    *(reached, reached, 1 if reached == "pruned" else None, 0.5 if reached == "complete" else None),
                    as_jsonb({metric: 0.5, f"m{ESCAPES}": ESCAPES}) if reached == "complete" else None,
                ),
            )
            outcome = {"cancelled": "lost", "running": None, "pending": None}.get(reached, reached)
            connection.execute(
                "insert into ledger.attempt (claim, study_id, trial, number, worker, claimed_at, ended_at, outcome,"
                " error, output, loss, seconds) values (%s, %s, %s, 1, %s, now(), %s, %s, %s, %s, 0.5, 1)",
                (
                    *(claim, study, number, f"w{ESCAPES}", None if outcome is None else "now", outcome),
                    *(f"Error{ESCAPES}", f"output{ESCAPES}\n{ESCAPES}"),
                ),
            )
            connection.execute(
                "insert into ledger.report (study_id, trial, attempt, step, loss, metrics, reported_at)"
                " values (%s, %s, 1, 0, 0.5, %s, now())",
                (study, number, odd),
            )
        if state == "running":
            connection.execute(
                "insert into ledger.cancellation (study_id, trial, reason, asked_at) values (%s, 2, %s, now())",
                (study, ESCAPES),
            )
            connection.execute(
                "insert into ledger.worker (name, host, pid, versions, started_at, last_seen_at)"
                " values (%s, %s, 1, %s, now(), now())",
                (f"w{ESCAPES}", ESCAPES, odd),
            )
            connection.execute(
                "insert into ledger.refusal (worker, study_id, reason, refused_at) values (%s, %s, %s, now())",
                (f"w{ESCAPES}", study, ESCAPES),
            )
        parts = as_jsonb(
            [
                {"kind": ESCAPES, "name": ESCAPES, "shown": ESCAPES},
                {"kind": "x", "name": "y", "unwatched": ESCAPES},
            ]
        )
        connection.execute(
            "insert into ledger.code_version (study_id, number, first_trial, sha256, parts, sources, git_commit,"
            " git_clean, versions, recorded_at) values (%s, 0, 0, ledger.code_digest(%s), %s, %s, %s, true, %s, now())",
            (
                *(study, parts, parts),
                as_jsonb({f"file{ESCAPES}": hashlib.sha256(ESCAPES.encode()).hexdigest(), "odd": ESCAPES}),
                *(ESCAPES, odd),
            ),
        )
        content = connection.execute(
            "insert into ledger.artifact_content (id, store, sha256, size, begun_at, stored_at)"
            " values (gen_random_uuid(), %s, encode(sha256('a'), 'hex'), 1, now(), now()) returning id",
            (address,),
        ).fetchone()
        assert content is not None
        connection.execute(
            "insert into ledger.artifact (study_id, trial, attempt, name, sha256, size, store, content, saved_at)"
            " select %s, 0, 1, 'a.bin', sha256, size, store, id, now() from ledger.artifact_content where id = %s",
            (study, content[0]),
        )
        for table, trial in (("study_annotation", ""), ("trial_annotation", "0, ")):
            connection.execute(
                f"insert into ledger.{table} values (%s, {trial}'{{tag}}', %s, %s, %s, now())",
                (study, ESCAPES, odd, ESCAPES),
            )
        connection.execute(
            "insert into ledger.manager (study_id, claim, name, claimed_at, lease, lease_until)"
            " values (%s, gen_random_uuid(), %s, now(), '1 h', now() + interval '1 h')",
            (study, ESCAPES),
        )
    connection.execute(
        "insert into ledger.dataset (sha256, name, content, created_at)"
        " values (encode(sha256('a'), 'hex'), %s, 'a', now())",
        (ESCAPES,),
    )
    connection.execute(
        "insert into ledger.source (sha256, text) values (%s, %s)",
        (hashlib.sha256(ESCAPES.encode()).hexdigest(), ESCAPES),
    )
    return names


def unfilled(connection: psycopg.Connection[Any]) -> set[tuple[str, str]]:
    """Return the columns with texts or JSON that contain no escapes in any row."""
    columns = connection.execute(
        "select table_name, column_name from information_schema.columns"
        " where table_schema = 'ledger' and data_type in ('text', 'jsonb', 'character varying')"
        " and table_name <> 'alembic_version' and exists (select from pg_tables where schemaname = 'ledger'"
        " and tablename = table_name)"
    ).fetchall()
    empty = set()
    for table, column in columns:
        texts = connection.execute(f'select "{column}"::text from ledger."{table}"').fetchall()
        # The text of jsonb shows a control character as its code, but the rest of the escapes unchanged.
        if not any("[2J" in (text or "") for (text,) in texts):
            empty.add((table, column))
    return empty


def test_no_reading_command_prints_a_raw_escape(url, connection, filled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert unfilled(connection) == PLAIN, "a new text column needs escapes here"
    commands = [
        *(
            ["worker", "list"],
            ["study", "list"],
            ["study", "delete", "--name", "*", "--dry-run"],
            ["db", "check"],
            ["db", "current"],
            ["access", "list"],
        ),
        *(["optuna", "enable"], ["optuna", "status"], ["query", "--list"]),
        *(["query", name] for name in queries.known()),
    ]
    for name in filled:
        commands += [
            *(["study", "show", name], ["trial", "list", name], ["status", name], ["study", "view", name]),
            *(["trial", "show", name, str(number)] for number in range(7)),
            *(["why", name, "5"], ["stopping", "replay", name, "--max-resource", "9"]),
            *(["artifact", "list", name], ["artifact", "get", name, "0", "a.bin"]),
            *(["verify", name], ["report", name, "--output", "report.html"], ["study", "source", name]),
            *(["export", name, "--format", "csv", "--spreadsheet"], ["export", name], ["status", name, "--watch"]),
        ]
    commands.remove(["status", "open", "--watch"])  # does not end
    commands += [["study", "annotate", "ended", "--tag", "a"], ["trial", "annotate", "open", "0", "--tag", "a"]]
    commands += [["artifact", "rm", "ended", "0"], ["artifact", "sweep"]]
    commands += [["trial", "cancel", "ended", "0"], ["trial", "retry", "open", "0"], ["study", "cancel", "open"]]
    for command in commands:
        code, out, error = run(command, {"DATABASE_URL": url, "LEDGER_HOME": str(tmp_path / "home")})
        assert code in (0, 1, 2), command
        assert "Traceback" not in error, command
        found = FORBIDDEN & set(out + error)
        assert not found, (command, out, error)
