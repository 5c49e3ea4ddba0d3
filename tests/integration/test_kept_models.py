"""The search for the kept model of a trial in the ledger, whose artifacts a worker can choose."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

import ledger
from ledger.database import protocol, studies
from ledger.objectives.model_document import DOCUMENT, MODEL
from tests.integration.ledgers import add_iteration, make_study, spec, take
from tests.integration.test_artifacts import save
from tests.integration.test_json import DESCRIPTION


def complete(db: Connection, connection: psycopg.Connection[Any], artifacts: dict[str, bytes]) -> None:
    """Complete trial 0 of the study s, after its first attempt has saved artifacts."""
    make_study(db)
    held = take(connection)
    for name, content in artifacts.items():
        save(connection, held, name, content)
    protocol.complete(connection, held, 0.25, {"accuracy": 0.75}, 1.5)


def described(**changes: Any) -> bytes:
    return DESCRIPTION.model_copy(update=changes).model_dump_json().encode()


@pytest.mark.filterwarnings("ignore:the model of study s was trained with other versions")
@pytest.mark.parametrize(
    ("artifacts", "message"),
    [
        ({MODEL: b"other", DOCUMENT: described()}, "model.json names the SHA-256 "),
        ({MODEL: b"model", DOCUMENT: described(loss=0.2)}, "model.json names the loss 0.2, but the ledger has 0.25"),
        ({MODEL: b"model", DOCUMENT: described(value=0.9)}, "model.json names the value 0.9, but"),
        ({MODEL: b"model", DOCUMENT: described(trial=1)}, "model.json names the trial 1, but the ledger has 0"),
        ({MODEL: b"model", DOCUMENT: described(metric="f1")}, "model.json names the metric f1, but the ledger has acc"),
        ({MODEL: b"model", DOCUMENT: b"{}"}, "^model.json: "),
        ({MODEL: b"model", DOCUMENT: described()}, "^the file of the model cannot be read "),
        ({MODEL: b"model"}, "^study s keeps no models"),
        ({DOCUMENT: described()}, "^study s keeps no models"),
    ],
)
def test_another_model_under_the_same_name_is_refused(db, connection, url, artifacts, message):
    complete(db, connection, artifacts)
    with pytest.raises(ledger.LedgerError, match=message) as refused:
        ledger.load_model("s", database=url)
    assert "\n" not in str(refused.value)


def test_only_a_complete_trial_has_a_model(db, connection, url):
    make_study(db)
    with pytest.raises(ledger.LedgerError, match="^study s has no complete trial yet"):
        ledger.load_model("s", database=url)
    with pytest.raises(ledger.LedgerError, match="^trial 1 of study s is pending: only a complete trial has a kept"):
        ledger.load_model("s", 1, database=url)
    with pytest.raises(ledger.LedgerError, match="no trial 9"):
        ledger.load_model("s", 9, database=url)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\0", r"'a\\x00'"), ("\ud800", r"'\\ud800'"), ("x" * 10**6, r"'x+\.\.\.x+'")],
    ids=["zero", "surrogate", "long"],
)
def test_a_name_that_no_study_can_have_is_unknown(db, url, name, shown):
    for read in (ledger.load_model, ledger.load_study):
        with pytest.raises(ledger.LedgerError, match=f"^there is no study {shown}: ") as refused:
            read(name, database=url)
        assert "\n" not in str(refused.value)


def test_a_message_names_only_trials_whose_model_can_be_loaded(db, connection, url):
    row = studies.create(
        db, "s", {**spec(), "objective": {**spec()["objective"], "keep_models": "best"}}, "0" * 64, 4, {}
    )
    assert row is not None
    add_iteration(db, row, 0, 4)
    best, beaten, running, halved = [take(connection) for _ in range(4)]
    for held, names in ((beaten, (MODEL, DOCUMENT)), (running, (MODEL, DOCUMENT)), (halved, (MODEL,))):
        for name in names:
            save(connection, held, name, b"x")
    for held, loss in ((best, 0.1), (beaten, 0.2), (halved, 0.3)):
        protocol.complete(connection, held, loss, {"accuracy": 1 - loss}, 1.5)
    with pytest.raises(ledger.LedgerError, match=f"^trial {best.trial} .* trials with a model: {beaten.trial}; "):
        ledger.load_model("s", database=url)


def test_the_model_of_a_function_is_unknown(db, url):
    studies.create(db, "own", {**spec(), "objective": {"function": "a:b"}}, "0" * 64, 1, {})
    with pytest.raises(ledger.UsageError, match="^load_model: the ledger does not know the model of study own"):
        ledger.load_model("own", database=url)
