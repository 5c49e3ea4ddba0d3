"""Refusals: a worker that cannot load a study's objective gives the trial back, and users see who refuses and why."""

import json
import logging
import uuid

import pytest

from ledger.database import protocol, reads, studies
from ledger.manager import refusals as watching
from ledger.manager.refusals import RefusalMonitor
from tests.fuzz import run
from tests.integration.ledgers import attempt, claim_one, make_study, take, trial


@pytest.fixture
def announced(db, connection):
    """Make a study, and announce two workers."""
    row = make_study(db, trials=2)
    for name in ("one", "two"):
        protocol.announce(connection, name, "host", 7, {})
    return row


def refusing(db):
    return [(row.worker, row.study, row.reason) for row in reads.refusals(db)]


def test_a_refused_trial_is_pending_again_and_not_counted(connection, announced):
    held = take(connection, worker="one")
    assert protocol.refuse(connection, held, "no package")
    row = trial(connection, held.trial)
    assert (row["state"], row["failures"], row["lost"]) == ("pending", 0, 0)
    assert attempt(connection, held.claim)["outcome"] == "released"
    again = take(connection, worker="two")
    assert again.trial == held.trial
    # the answer was lost, and the worker repeats the call
    assert not protocol.refuse(connection, held, "no package")
    assert protocol.complete(connection, again, 0.5, {}, 1.0) == "recorded"


def test_a_worker_has_one_refusal_for_each_study(db, connection, announced):
    for reason in ("no package", "no package", "x" * 2000):
        assert protocol.refuse(connection, take(connection, worker="one"), reason)
    protocol.refuse(connection, take(connection, worker="two"), "a NUL \0 and a surrogate \ud800")
    assert refusing(db) == [("one", "s", "x" * 1000), ("two", "s", r"a NUL \0 and a surrogate \ud800")]
    assert reads.refusals(db, "another") == []


def test_a_refusal_ends_when_the_worker_has_loaded_the_objective(db, connection, announced):
    protocol.refuse(connection, take(connection, worker="one"), "no package")
    protocol.refuse(connection, take(connection, worker="two"), "no package")
    held = take(connection, worker="one")
    protocol.accept(connection, held)
    protocol.accept(connection, held)
    assert refusing(db) == [("two", "s", "no package")]
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"


def test_refusals_go_with_their_worker(db, connection, announced, advance):
    for worker in ("one", "two"):
        protocol.refuse(connection, take(connection, worker=worker), "no package")
    protocol.announce(connection, "one", "host", 7, {}, stopped=True)
    assert refusing(db) == [("two", "s", "no package")]
    # a worker that is not seen for a while refuses nothing
    advance(31)
    assert refusing(db) == []
    protocol.announce(connection, "three", "host", 7, {})
    protocol.refuse(connection, take(connection, worker="three"), "no package")
    assert connection.execute("select worker from ledger.refusal").fetchall() == [("three",)]


def test_refusals_go_with_their_study(db, connection, announced):
    protocol.refuse(connection, take(connection, worker="one"), "no package")
    assert studies.delete(db, announced) == "deleted"
    assert connection.execute("select count(*) from ledger.refusal").fetchone() == (0,)


def test_only_the_holder_of_a_claim_refuses_and_only_under_its_name(db, connection, announced):
    held = take(connection, worker="one")
    guessed = protocol.ClaimedTrial(**{**vars(held), "claim": uuid.uuid4()})
    assert not protocol.refuse(connection, guessed, "guessed")
    assert refusing(db) == []
    assert trial(connection, held.trial)["state"] == "running"
    # a worker without a row leaves no refusal
    unknown = take(connection, worker="never announced")
    assert protocol.refuse(connection, unknown, "no package")
    assert refusing(db) == []


def test_a_claim_leaves_out_the_studies_that_it_names(db, connection):
    bad, good = make_study(db, "bad"), make_study(db, "good")

    def claimed(*left_out):
        held = protocol.claim(connection, None, [uuid.uuid4()], "w", left_out)
        return [each.study_name for each in held]

    assert claimed() == ["bad"]
    assert claimed(bad.id) == ["good"]
    assert claimed(bad.id, good.id) == []
    assert claim_one(connection, "bad", uuid.uuid4(), "w") is not None
    assert protocol.claim(connection, "bad", [uuid.uuid4()], "w", [bad.id]) == []


def said(url, *arguments):
    code, out, error = run(arguments, {"DATABASE_URL": url})
    assert code == 0, error
    return out


def test_listings_say_who_refuses_what_and_why(url, connection, announced):
    assert "refuses" not in said(url, "worker", "list") + said(url, "study", "show", "s")
    protocol.refuse(connection, take(connection, worker="one"), "no\npackage \x1b")
    assert r"one refuses study s: no package \x1b" in said(url, "worker", "list").splitlines()
    assert r"worker one refuses the study: no package \x1b" in said(url, "study", "show", "s").splitlines()
    rows = {row["name"]: row["refusals"] for row in json.loads(said(url, "worker", "list", "--json"))}
    assert rows["two"] == []
    assert [(each["study"], each["reason"]) for each in rows["one"]] == [("s", "no\npackage \x1b")]
    (shown,) = json.loads(said(url, "study", "show", "s", "--json"))["refusals"]
    assert (shown["worker"], shown["reason"]) == ("one", "no\npackage \x1b")
    assert shown["refused_at"] == rows["one"][0]["refused_at"]


@pytest.fixture
def looks(db, announced, monkeypatch, caplog):
    """Return a function that lets a manager look at the refusals, and returns the messages that it logs."""
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.0)
    watch = RefusalMonitor(db, announced.id, announced.name)

    def look():
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="ledger.manager"):
            watch.look()
        return caplog.messages

    return look


def test_a_manager_names_a_study_that_every_live_worker_refuses_once(connection, looks):
    assert looks() == []
    protocol.refuse(connection, take(connection, worker="one"), "no package")
    assert looks() == [], "the other worker may train it"
    protocol.refuse(connection, take(connection, worker="two"), "not allowed")
    assert looks() == [
        "study s waits, because no live worker can load the study's objective: no package; not allowed; repair a worker"
        " or start another worker; `ledger study show s` shows the errors of the workers"
    ]
    assert looks() == []
    protocol.refuse(connection, take(connection, worker="two"), "no package")
    (message,) = looks()
    assert "objective: no package; repair" in message
    assert looks() == []


def test_a_manager_names_a_study_again_after_it_was_trained(connection, looks):
    for worker in ("one", "two"):
        protocol.refuse(connection, take(connection, worker=worker), "no package")
    assert len(looks()) == 1
    for worker in ("one", "two"):
        held = take(connection, worker=worker)
        protocol.accept(connection, held)
        assert looks() == []
        protocol.release(connection, held)
    for worker in ("one", "two"):
        protocol.refuse(connection, take(connection, worker=worker), "no package")
    assert len(looks()) == 1
