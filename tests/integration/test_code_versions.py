"""The code of a study's objective: recorded, compared, accepted, moved and verified."""

import hashlib
import io
import json
import uuid
from dataclasses import replace

import hypothesis
import hypothesis.strategies as st
import psycopg
import pytest

from ledger.database import codes, overview, protocol, studies, transfer, trials
from ledger.database.connection import engine, to_json
from ledger.errors import LedgerError, UsageError
from ledger.manager import objective_change
from ledger.manager.registration import record, register
from ledger.objectives.fingerprint import CodePart, ObjectiveCode, digest_parts
from ledger.report.page import render
from ledger.verification import verify
from tests.databases import new_database
from tests.fuzz import run
from tests.integration.ledgers import add_iteration, make_study, take
from tests.integration.moving import exported, moved
from tests.integration.test_manager import study
from tests.integration.test_moved_studies import REFUSED, _set

# texts that jsonb can hold
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)

TEXT = "SCALE = 0\n\ndef f(params):\n    return SCALE\n"


def coded(scale: int = 0, text: str = TEXT) -> ObjectiveCode:
    parts = (
        CodePart("function", "f", code="a" * 64),
        CodePart("module value", "SCALE", code="b" * 64, value=str(scale) * 64, shown=str(scale)),
        CodePart("module value", "LOCK", unwatched="lock"),
    )
    return ObjectiveCode(
        parts, {"m.py": hashlib.sha256(text.encode()).hexdigest()}, {"m.py": text}, "c" * 40, False, {"python": "3.11"}
    )


@pytest.fixture
def asked(tmp_path):
    return study(tmp_path)


def train(db, connection):
    """Add a complete trial to the study."""
    trials.enqueue(db, studies.get(db, "s").id, [{"x": 0.5}])
    assert protocol.complete(connection, take(connection), 0.5, {}, 1.0) == "recorded"


def versions(db, name="s"):
    return codes.versions_of(db, studies.get(db, name).id)


def test_a_study_records_its_code_and_keeps_each_text_once(db, connection, asked):
    register(db, asked, coded())
    other = asked.model_copy(update={"name": "t"})
    register(db, other, coded())
    (version,) = versions(db)
    assert (version.number, version.first_trial, version.sha256) == (0, 0, coded().sha256)
    assert (version.git_commit, version.git_clean, version.versions) == ("c" * 40, False, {"python": "3.11"})
    assert codes.texts_of(db, version.sources.values()) == {coded().sources["m.py"]: TEXT}
    assert connection.execute("select count(*) from ledger.source").fetchone() == (1,)
    assert connection.execute("select count(*) from ledger.code_version").fetchone() == (2,)


def test_an_unchanged_code_continues_without_a_word(db, asked, caplog):
    register(db, asked, coded())
    caplog.clear()
    with caplog.at_level("INFO"):
        assert register(db, asked, coded()).name == "s"
        # another commit, other packages and comments are no change
        register(db, asked, replace(coded(text=f"# comment\n{TEXT}"), git_commit="d" * 40, versions={}))
    assert caplog.messages == []
    assert len(versions(db)) == 1


def test_a_changed_code_is_refused_in_one_line_with_the_ways_out(db, connection, asked):
    register(db, asked, coded())
    train(db, connection)
    with pytest.raises(LedgerError) as refused:
        register(db, asked, coded(100))
    assert str(refused.value) == (
        "the objective of study s differs from the recorded objective (module value `SCALE` (0, now 100)): use"
        ' if_changed="accept" to run the next trials with the new code, or if_changed="new" to start a new study, or'
        " choose another name"
    )
    assert len(versions(db)) == 1


def test_a_change_needs_no_acceptance_before_the_first_loss(db, connection, asked, caplog):
    row = register(db, asked, coded())
    add_iteration(db, row, 0, 1)
    protocol.fail(connection, take(connection), "NameError", 1.0)
    with caplog.at_level("INFO"):
        register(db, asked, coded(1))
    assert caplog.messages[-1] == "study s: the new code is valid from trial 1 (module value `SCALE` (0, now 1))"
    assert [version.sha256 for version in versions(db)] == [coded().sha256, coded(1).sha256]


def test_an_accepted_code_holds_from_the_first_open_trial(db, connection, asked, caplog):
    row = register(db, asked, coded())
    add_iteration(db, row, 0, 3)
    assert protocol.complete(connection, take(connection), 0.5, {}, 1.0) == "recorded"
    with caplog.at_level("INFO"):
        register(db, asked, coded(1), "accept")
    assert caplog.messages[-1] == "study s: the new code is valid from trial 1 (module value `SCALE` (0, now 1))"
    for _ in range(2):
        assert protocol.complete(connection, take(connection), 0.5, {}, 1.0) == "recorded"
    register(db, asked, coded(2), "accept")
    register(db, asked, coded(2), "accept")
    assert [(version.number, version.first_trial) for version in versions(db)] == [(0, 0), (1, 1), (2, 3)]
    # what was recorded last is compared
    with pytest.raises(LedgerError, match=r"SCALE` \(2, now 1\)"):
        register(db, asked, coded(1))


def test_a_new_study_of_the_changed_code_is_continued(db, asked):
    register(db, asked, coded())
    made = register(db, asked, coded(1), "new")
    assert made.name == f"s-{coded(1).sha256[:6]}"
    assert register(db, asked, coded(1), "new").id == made.id
    assert register(db, asked, coded(), "new").name == "s"
    assert [version.sha256 for version in versions(db, made.name)] == [coded(1).sha256]


def test_only_known_ways_are_accepted():
    with pytest.raises(UsageError, match="if_changed 'accepted' is unknown; did you mean 'accept'"):
        objective_change.check_if_changed("accepted")
    for way in ("refuse", "accept", "new"):
        objective_change.check_if_changed(way)


def test_a_study_without_a_recorded_code_gets_one(db, asked):
    assert record(db, asked) is not None
    assert versions(db) == []
    register(db, asked)
    register(db, asked, coded())
    assert [version.sha256 for version in versions(db)] == [coded().sha256]
    # a machine that has not loaded the objective compares nothing
    register(db, asked)


def test_a_code_that_another_manager_has_recorded_is_compared_again(db, asked):
    row = register(db, asked, coded())
    assert codes.record(db, row.id, None, coded(1).to_json()) == "changed"
    assert codes.record(db, row.id, 0, coded(1).to_json()) == "recorded"
    assert codes.record(db, row.id, 0, coded(2).to_json()) == "changed"
    assert codes.record(db, 999, None, coded().to_json()) == "unknown"


def test_a_hash_without_the_text_is_enough(db, connection, asked):
    register(db, asked, coded().without_source())
    train(db, connection)
    (version,) = versions(db)
    assert version.sources == coded().sources
    assert codes.texts_of(db, version.sources.values()) == {}
    assert "shown" not in str(version.parts)
    with pytest.raises(LedgerError, match=r"recorded objective \(module value `SCALE`\): use if_changed"):
        register(db, asked, coded(1).without_source())


def test_the_first_worker_records_the_code_and_the_others_compare(db, connection):
    row = make_study(db, trials=3)
    held = [take(connection) for _ in range(3)]
    assert [each.code for each in held] == [None] * 3
    assert protocol.report_code(connection, held[0], coded().to_json()) == 0
    assert protocol.report_code(connection, held[1], coded(1).to_json()) == 0
    recorded = protocol.objective_code(connection, row.id, 0)
    assert recorded == {"sha256": coded().sha256, "parts": coded().to_json()["parts"]}
    assert protocol.objective_code(connection, row.id, 1) is None
    protocol.release(connection, *held)
    assert take(connection).code == 0
    codes.record(db, row.id, 0, coded(1).to_json())
    again = take(connection)
    assert again.code == 1
    # a repeated call gets the same answer
    assert protocol.claim(connection, "s", [again.claim], "w")[0].code == 1


def test_only_the_holder_of_a_claim_records_a_code(db, connection):
    make_study(db)
    held = take(connection)
    stranger = protocol.ClaimedTrial(**{**vars(held), "claim": uuid.uuid4()})
    assert protocol.report_code(connection, stranger, coded().to_json()) is None
    assert protocol.release(connection, held) == {held.claim}
    assert protocol.report_code(connection, held, coded().to_json()) is None
    assert versions(db) == []


def test_an_open_transaction_keeps_no_other_worker_or_manager_waiting(url, db, connection, asked):
    make_study(db)
    with psycopg.connect(url) as holder:
        holder.execute("set idle_in_transaction_session_timeout = 0")
        held = take(connection)
        assert protocol.report_code(holder, held, coded().to_json()) == 0
        # the other worker trains without a comparison, and tries again with its next claim
        assert protocol.report_code(connection, take(connection), coded(1).to_json()) is None
        # the same text is left out of the other study
        register(db, asked.model_copy(update={"name": "other"}), coded())
        holder.rollback()
    (version,) = versions(db, "other")
    assert codes.texts_of(db, version.sources.values()) == {}
    assert protocol.report_code(connection, held, coded().to_json()) == 0


def test_a_code_that_no_reader_could_read_is_refused(db, connection):
    make_study(db)
    held = take(connection)
    good = coded().to_json()
    for wrong, said in (
        ({"parts": {}}, "the parts: they are not a list"),
        ({"parts": [5]}, "the parts: they are not a list of objects"),
        ({"parts": [{"kind": "function"}]}, "the parts: a part is not"),
        ({"parts": [{"kind": "function", "name": 5}]}, "the parts: a part is not"),
        ({"parts": [{"kind": "function", "name": "x" * 301}]}, "the parts: a part is not"),
        ({"parts": [{"kind": "function", "name": "f", "more": "x"}]}, "the parts: a part is not"),
        ({"sources": {"a": 5}}, "the sources: they are not"),
        ({"sources": {"a" * 301: "0"}}, "the sources: the name of a file"),
        ({"versions": {"a": 5}}, "the versions: they are not"),
        ({"versions": {"a": "x" * 20_000}}, "the versions: more than"),
        ({"git_commit": "x" * 301}, "the commit: a text of 301"),
        ({"sha256": "x"}, "the sha256: it is not the SHA-256 of the parts"),
        ({"sha256": None}, "the sha256: it is not"),
        ({"sha256": coded(1).sha256}, "the sha256: it is not"),
        ({"parts": [{**part, "code": ""} for part in good["parts"]]}, "the sha256: it is not"),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
            protocol.report_code(connection, held, {**good, **wrong})
        assert said in str(refused.value.diag.message_primary)
    with pytest.raises(psycopg.IntegrityError):
        protocol.report_code(connection, held, {**good, "git_commit": None, "git_clean": True})
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="texts: they have more than 1000000 bytes together"):
        long = "x" * 1_000_001
        sources = {"a": hashlib.sha256(long.encode()).hexdigest()}
        protocol.report_code(connection, held, {**good, "sources": sources, "texts": {"a": long}})
    # a text that belongs to no file of the code is not kept
    assert protocol.report_code(connection, held, {**good, "texts": {"a": "another"}}) == 0
    assert connection.execute("select count(*) from ledger.source").fetchone() == (0,)


@hypothesis.given(
    st.lists(
        st.dictionaries(st.sampled_from(["code", "value", "shown", "unwatched"]), texts, max_size=4).flatmap(
            lambda part: st.fixed_dictionaries({"kind": texts, "name": texts}).map(lambda names: {**names, **part})
        ),
        max_size=5,
    )
)
@hypothesis.settings(max_examples=50)
def test_the_database_computes_the_same_digest(connection, parts):
    found = connection.execute("select ledger.code_digest(cast(%s as jsonb))", (to_json(parts),)).fetchone()
    assert found == (digest_parts(parts),)


def test_a_worker_records_no_text_of_a_secret_code(db, connection, asked):
    row = make_study(db)
    connection.execute(
        "update ledger.study set spec = jsonb_set(spec, '{objective,record_source}', 'false') where id = %s", (row.id,)
    )
    assert protocol.report_code(connection, take(connection), coded().to_json()) == 0
    (version,) = versions(db)
    assert (version.sha256, version.parts) == (coded().sha256, coded().without_source().to_json()["parts"])
    assert codes.texts_of(db, version.sources.values()) == {}


def test_an_open_transaction_stops_no_manager(url, db, connection, asked):
    row = make_study(db)
    with psycopg.connect(url) as holder:
        assert protocol.report_code(holder, take(connection), coded().to_json()) == 0
        with pytest.raises(objective_change.CodeLockedError, match="another session is recording the code of study s"):
            objective_change.accept(db, row, coded(1))
        holder.rollback()
    assert objective_change.accept(db, row, coded(1)) == []


def test_texts_that_another_session_keeps_locked_are_left_out_together(url, db, connection, asked):
    many = {f"{number}.py": f"x = {number}" for number in range(30)}
    code = replace(
        coded(), sources={name: hashlib.sha256(text.encode()).hexdigest() for name, text in many.items()}, texts=many
    )
    make_study(db)
    with psycopg.connect(url) as holder:
        assert protocol.report_code(holder, take(connection), code.to_json()) == 0
        # a wait of half a second for each text would exceed the time limit of statements
        register(db, asked.model_copy(update={"name": "other"}), code)
        holder.rollback()
    (version,) = versions(db, "other")
    assert codes.texts_of(db, version.sources.values()) == {}


def test_the_code_moves_with_its_study(db, connection, server, template, asked):
    register(db, asked, coded())
    train(db, connection)
    register(db, asked, coded(1), "accept")
    document = exported(db)
    assert [version["first_trial"] for version in document["code_versions"]] == [0, 1]
    assert document["sources"] == {coded().sources["m.py"]: TEXT}
    with new_database(server, template) as url, engine(url).connect() as there:
        moved(there, document)
        assert exported(there) == document
        moved(there, document, "t")
        with pytest.raises(LedgerError, match=r"SCALE` \(1, now 0\)"):
            register(there, asked, coded())
        assert register(there, asked, coded(1)).name == "s"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("code_versions", 0, "number", value=1), "code version 0 is missing, and the next code version is 1"),
        (
            _set("code_versions", 1, "first_trial", value=7),
            "code version 1 is valid from trial 7, but this trial number must be at least 0 (the first trial of the"
            " previous version) and at most 0 (the number of trials)",
        ),
        (
            _set("code_versions", 0, "sha256", value="0" * 64),
            "code version 0 has the recorded hash 00000000, but the parts",
        ),
        (_set("code_versions", 0, "parts", 0, "code", value="0" * 64), "but the parts of the version have another"),
        (_set("sources", value={"0" * 64: "x"}), "the hash of a source text differs from the recorded hash"),
        (_set("sources", hashlib.sha256(b"x").hexdigest(), value="x"), "belongs to no code version"),
        (_set("code_versions", 0, "parts", value=[{"kind": 5}]), "is damaged at code_versions[0].parts"),
        (_set("sources", "a", value="\0"), "is damaged at sources.a"),
    ],
)
def test_a_damaged_code_is_found_by_verify_and_refused_by_an_import(db, asked, change, said):
    register(db, asked, coded())
    register(db, asked, coded(1), "accept")
    document = exported(db)
    change(document)
    with pytest.raises(LedgerError) as refused:
        moved(db, document, "t")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert all(change is not other for other, *_ in REFUSED)


def test_verify_the_report_and_the_commands_name_the_code(db, url, asked):
    row = register(db, asked, coded())
    register(db, asked, coded(1, TEXT.replace("0", "1")), "accept")
    snapshot = transfer.snapshot(db, row.id)
    assert len(verify(snapshot).code_versions) == 2
    page = render(overview.read(db, row))
    for fact in (coded(1).sha256, "c" * 40 + ", with uncommitted changes", "function `f`", "not watched: module value"):
        assert fact in page

    def said(*words, code=0):
        found, out, error = run(words, {"DATABASE_URL": url})
        assert found == code, error
        return error if code else out

    assert f"code version 1 is valid from trial 0: SHA-256 {coded(1).sha256}" in said("verify", "s")
    assert [each["number"] for each in json.loads(said("verify", "s", "--json"))["code_versions"]] == [0, 1]
    shown = said("study", "source", "s")
    for line in (
        f"# SHA-256 {coded(1).sha256}",
        "# git commit " + "c" * 40 + ", with uncommitted changes",
        "# packages: python 3.11",
        "# watched: function `f`, module value `SCALE` (1)",
        "# not watched: module value `LOCK` (lock)",
        "SCALE = 1",
        "    return SCALE",
    ):
        assert line in shown.splitlines()
    # the output is a Python program
    compile(shown, "shown", "exec")
    assert "SCALE = 0" in said("study", "source", "s", "--number", "0").splitlines()
    document = json.loads(said("study", "source", "s", "--json"))
    assert document["texts"] == {"m.py": TEXT.replace("0", "1")}
    assert "study s has no version 2 of its code: give --number 0 to 1" in said(
        "study", "source", "s", "--number", "2", code=1
    )


def test_a_study_without_a_source_says_why(db, url, asked):
    make_study(db, "model")
    register(db, asked)
    for name, reason in (
        ("model", "trains a built-in model, so the ledger has no source text of your own code"),
        ("s", "the first worker of the study records the code"),
    ):
        code, _, error = run(["study", "source", name], {"DATABASE_URL": url})
        assert (code, error.count("\n")) == (1, 1)
        assert reason in error


def test_a_text_that_the_database_cannot_store_leaves_its_hash(server, tmp_path):
    name = f"latin_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as maintenance:
        maintenance.execute(f"create database {name} encoding 'LATIN1' locale 'C' template template0")
        try:
            url = psycopg.conninfo.make_conninfo(server, dbname=name)
            from tests.databases import upgrade

            upgrade(url)
            with engine(url).connect() as db:
                register(db, study(tmp_path), coded(text="# Ω\n"))
                (version,) = versions(db)
                assert codes.texts_of(db, version.sources.values()) == {}
        finally:
            maintenance.execute(f"drop database {name} with (force)")


def test_an_export_of_a_model_has_no_code(db):
    make_study(db)
    output = io.StringIO()
    from ledger.export.documents import write_json

    write_json(db, studies.get(db, "s"), output)
    document = json.loads(output.getvalue())
    assert (document["code_versions"], document["sources"]) == ([], {})
