"""JSON output: one document with exactly the keys in docs/json.md."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger import content_verification
from ledger.database import codes, logins, protocol, studies
from ledger.errors import UsageError
from ledger.objectives.fingerprint import CodePart, ObjectiveCode
from ledger.objectives.model_document import DOCUMENT, MODEL, InputColumn, ModelDocument
from ledger.store import StoreError
from tests.integration.ledgers import take
from tests.integration.test_artifacts import save, sha256
from tests.integration.test_commands import Run, propose, run  # noqa: F401 (a fixture)
from tests.roles import make_roles
from tests.unit.test_commands_help import LISTINGS, commands

# The values of these keys depend on the study or on the objective.
OPAQUE = {"params", "metrics", "spec", "versions", "sources", "texts"}
CODE = ObjectiveCode(
    (CodePart("module value", "N", "a" * 64, "b" * 64, "7"), CodePart("module value", "LOCK", unwatched="lock")),
    {"m.py": "c" * 64},
    {},
    "d" * 40,
    True,
    {"python": "3.11"},
).to_json()
DESCRIPTION = ModelDocument(
    format=1,
    study="s",
    trial=0,
    attempt=2,
    params={"C": 1.0},
    loss=0.25,
    metric="accuracy",
    value=0.75,
    task="classification",
    dataset="breast_cancer",
    dataset_sha256=None,
    rows=569,
    target=None,
    columns=[InputColumn(name="area"), InputColumn(name="kind", texts=["a", "b"])],
    missing_numbers="refused",
    classes=[0, 1],
    versions={"python": "3.11"},
    sha256=sha256(b"model"),
)
# Each listing with its arguments.
ARGUMENTS = {
    "study list": [],
    "study show": ["s"],
    "study source": ["s"],
    "trial list": ["s"],
    "trial show": ["s", "0"],
    "trial reports": ["s", "0"],
    "why": ["s", "0"],
    "stopping replay": ["s", "--max-resource", "3"],
    "artifact list": ["s", "--removed"],
    "model": ["s"],
    "worker list": [],
    "status": ["s"],
    "best": ["s"],
    "compare": ["s"],
    "where": [],
    "verify": ["s"],
    "optuna status": [],
    "query": ["--list"],
    "db check": [],
    "db current": [],
    "access list": [],
}
# A document can include the keys of another one.
INCLUDES = {"study show": "study list", "trial show": "trial list"}


@pytest.fixture
def ledger(run: Run, url, db, connection, monkeypatch) -> Run:  # noqa: F811
    """The program on a ledger with the study s: a trial complete, after a failure, one running, and a recorded code."""
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("FORCE_COLOR", "1")
    propose(db)
    codes.record(db, studies.get(db, "s").id, None, CODE)
    protocol.announce(connection, "w", "host", 7, {"python": "3"})
    protocol.fail(connection, take(connection), "the trainer process died", 0.5, "crashed")
    trained = take(connection)
    protocol.report(connection, trained, [0], [0.5])
    save(connection, trained, "model.bin", b"model")
    save(connection, trained, MODEL, b"model")
    save(connection, trained, DOCUMENT, DESCRIPTION.model_dump_json().encode())
    protocol.complete(connection, trained, 0.25, {"accuracy": 0.75}, 1.5)
    take(connection)
    return run


@pytest.fixture
def login(url, connection) -> Iterator[None]:
    """Add a login, which belongs to the whole server, and remove it at the end."""
    make_roles(url)
    name = f"login_{connection.info.dbname}"
    logins.add(connection, name, "reader", "correct horse")
    yield
    logins.remove(connection, name)


def documented(root, listing: str) -> set[str]:
    text = (root / "docs" / "json.md").read_text()
    (section,) = re.findall(rf"^## ledger {listing}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    keys = set()
    for row in re.findall(r"^\| (`.*?) \|$", section, re.MULTILINE):
        keys |= set(re.findall(r"`([a-z_][a-z_0-9]*)`", row))
    return keys


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from keys_of(each)
    elif isinstance(value, dict):
        for key, below in value.items():
            yield key
            if key not in OPAQUE:
                yield from keys_of(below)


def leaves(value: Any) -> Iterator[tuple[str, Any]]:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            for key, below in each.items():
                if key not in OPAQUE:
                    yield from leaves(below) if isinstance(below, list | dict) else [(key, below)]


def test_every_listing_is_tried_here():
    listings = {" ".join(path[1:]) for path in commands() if path[-1] in LISTINGS}
    assert listings == set(ARGUMENTS), "a listing without its section in docs/json.md and its arguments here"


@pytest.mark.parametrize("listing", ARGUMENTS)
def test_a_listing_is_one_document_with_the_keys_of_its_documentation(ledger, login, root, listing):
    code, out, error = ledger(*listing.split(), *ARGUMENTS[listing], "--json")
    assert (code, error) == (0, "")
    assert "\x1b" not in out
    document = json.loads(out)
    named = documented(root, listing) | (documented(root, INCLUDES[listing]) if listing in INCLUDES else set())
    found = set(keys_of(document))
    assert found, "there is something to list"
    assert found <= named
    own = documented(root, listing)
    # explanations also contain code, such as states
    first_cells = set(re.findall(r"`([a-z_][a-z_0-9]*)`", " ".join(first_column(root, listing))))
    assert first_cells - {"difference"} <= found
    assert first_cells <= own
    for key, value in leaves(document):
        if value is not None and (key.endswith("_at") or key in ("now", "since")):
            assert datetime.fromisoformat(value).utcoffset() == timedelta(0), key
        if value is not None and "seconds" in key:
            assert isinstance(value, float | int), key


def first_column(root, listing: str) -> list[str]:
    text = (root / "docs" / "json.md").read_text()
    section = text.split(f"\n## ledger {listing}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| (`.*?) \| ", section, re.MULTILINE)


def test_what_is_documented_of_a_difference_and_of_nothing_is_so(ledger, connection):
    connection.execute("update ledger.trial set attempts = attempts + 1 where state = 'running'")
    code, out, error = ledger("verify", "s", "--json")
    assert (code, error.count("\n")) == (1, 1)
    document = json.loads(out)
    assert set(document) == {"study", "agrees", "difference"}
    assert document["agrees"] is False
    assert document["difference"] in error
    assert json.loads(ledger("trial", "list", "s", "--state", "cancelled", "--json")[1]) == []


@pytest.mark.parametrize(("error", "code"), [(UsageError, 2), (StoreError, 1)])
def test_a_store_that_is_not_there_is_no_difference(ledger, monkeypatch, error, code):
    def fail(*_: Any) -> None:
        raise error("the store is away")

    monkeypatch.setattr(content_verification, "verify", fail)
    assert ledger("verify", "s", "--json") == (code, "", "ledger: the store is away\n")


def test_json_of_one_study_is_exact(ledger):
    document = json.loads(ledger("study", "show", "s", "--json")[1])
    trials = json.loads(ledger("trial", "list", "s", "--json")[1])
    shown = json.loads(ledger("trial", "show", "s", "0", "--json")[1])
    assert document["best"]["params"] == trials[document["best"]["number"]]["params"]
    assert document["best"]["loss"] == 0.25
    assert shown["attempt_list"][0]["outcome"] == "crashed"
    assert shown["params"] == trials[0]["params"]
    assert json.loads(ledger("study", "list", "--json")[1])[0]["study"] == "s"


def test_a_live_view_is_no_document(ledger):
    code, out, error = ledger("status", "s", "--watch", "--json")
    assert (code, out) == (2, "")
    assert "leave --watch out" in error


def test_the_picture_of_a_study_is_plain_off_a_terminal(ledger, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR")
    code, out, error = ledger("status", "s")
    assert (code, error) == (0, "")
    assert "\x1b" not in out
    assert "1 complete" in out
    assert "best value  0.75  accuracy, maximize, trial " in out
    assert ledger("status", "t")[::2] == (
        1,
        "ledger: there is no study 't': `ledger study list` shows the studies\n",
    )
