"""Whole studies that stop trials early: the same verdicts on any workers, and verdicts that `verify` computes again."""

import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ledger.database import protocol, studies, transfer, trials
from ledger.database.connection import engine
from ledger.database.protocol import ClaimedTrial
from ledger.database.rows import TrialRow
from ledger.errors import LedgerError, UsageError
from ledger.imports.document import read
from ledger.manager.registration import register
from ledger.study.file import assemble
from ledger.verification import verify
from ledger.worker.trial_stopping import TrialStopping
from tests.databases import new_database
from tests.integration.ledgers import managed
from tests.integration.moving import exported, moved

FILE = """
[study]
name = "s"
mode = "{mode}"
trials = 24
batch_size = 6
seed = 3
[objective]
function = "m:f"
[space]
x = {{ type = "real", low = -1.0, high = 1.0 }}
[optimizer]
base_estimator = "{estimator}"
[stopping]
rule = "{rule}"
eta = 2
max_resource = 8
audit = {audit}
{groups}
"""
GROUPS = {"rule": "halving", "groups": "group_size = 2"}
STEPS = 8


def loss_at(held: ClaimedTrial, step: int) -> float:
    """The loss of a training. Most curves fall to a limit, some curves cross, and a step of some curves has no loss."""
    x = held.params["x"]
    if held.trial % 7 == 3 and step == 2:
        return float("nan")
    # an offset that no surrogate can learn, so that many trials are bad
    return float((x - 0.3) ** 2 + 0.2 * (1 + x) / step + held.trial * 7 % 11)


@dataclass
class Training:
    """A trial in training."""

    held: ClaimedTrial
    verdicts: TrialStopping
    step: int = 0
    is_waiting: bool = False


@dataclass
class Workers:
    """Workers that train at random speeds, and that are sometimes killed or told to leave."""

    connection: psycopg.Connection[Any]
    seed: int
    count: int
    leaves: float = 0.0
    check: bool = True
    running: list[Training] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def __call__(self, _progress: Any) -> None:
        """Train at a poll of the manager until no work is left, or at random not so long."""
        while True:
            while len(self.running) < self.count:
                held = protocol.claim(self.connection, "s", [uuid.uuid4()], f"w{self.seed}")
                if not held:
                    break
                self.running.append(Training(held[0], TrialStopping(held[0].stopping), self.first_step(held[0])))
            if not self.running or self.random.random() < 0.01:
                return
            training = self.random.choice(self.running)
            if self.random.random() < self.leaves:
                self.running.remove(training)
                protocol.release(self.connection, training.held)
            elif self.has_ended(training):
                self.running.remove(training)

    def first_step(self, held: ClaimedTrial) -> int:
        """Return the step of a checkpoint, or 0 if the training begins again."""
        assert held.stopping is not None
        if held.stopping["rule"] != "promotion":
            return 0
        return self.random.choice([0, max(rung["last_step"] or 0 for rung in held.stopping["rungs"])])

    def has_ended(self, training: Training) -> bool:
        answer, loss = self.answer(training)
        if answer == "release":
            assert protocol.release(self.connection, training.held)
            return True
        if answer == "wait":
            training.is_waiting = True
            return False
        if self.check and not training.verdicts.waits:
            assert answer == ("stop" if training.verdicts.is_stopped else "continue")
        if answer == "stop":
            answer = protocol.prune(self.connection, training.held, 0.5 * training.step)
            stopping = training.held.stopping
            assert stopping is not None
            assert answer == ("paused" if stopping["rule"] == "promotion" else "pruned")
            return True
        if training.step == STEPS:
            assert protocol.complete(self.connection, training.held, loss, {}, 4.0) == "recorded"
            return True
        return False

    def answer(self, training: Training) -> tuple[str, float]:
        """Report the next step, or ask again for the verdict on the last step. Return the answer and the loss."""
        if training.is_waiting:
            training.is_waiting = False
            return protocol.report(self.connection, training.held, [], []), loss_at(training.held, training.step)
        training.step += 1
        loss = loss_at(training.held, training.step)
        metrics = {"rate": 0.5} if training.step == STEPS - 1 else None
        training.verdicts.observe(training.step, None if loss != loss else loss)
        return protocol.report(self.connection, training.held, [training.step], [loss], [metrics]), loss


def search(url: str, folder: Path, workers: Callable[[psycopg.Connection[Any]], Workers], **settings: str) -> None:
    file = folder / "s.toml"
    file.write_text(
        FILE.format(**{"mode": "batch", "estimator": "ET", "rule": "halving", "groups": "", "audit": "0.1", **settings})
    )
    with psycopg.connect(url, autocommit=True) as connection, engine(url).connect() as own:
        assert managed(own, register(own, assemble({}, file)), workers(connection)).run().state == "complete"


def ended(url: str) -> list[TrialRow]:
    with engine(url).connect() as db:
        return trials.all_of(db, studies.get(db, "s").id)


def decided(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select trial, rung, step, loss, cutoff, compared, stops, audited from ledger.verdict order by 1, 2"
        ).fetchall()


def verified(url: str) -> Any:
    with engine(url).connect() as db:
        return verify(transfer.snapshot(db, studies.get(db, "s").id))


def test_the_surrogate_knows_the_verdicts_on_trials_that_have_ended(server, template, tmp_path):
    workers = partial(Workers, seed=2, count=6)
    with new_database(server, template) as url:
        search(url, tmp_path, workers, estimator="GP", audit="0.5", **GROUPS)
        with psycopg.connect(url) as connection:
            late = connection.execute(
                "select count(*) from ledger.verdict join ledger.trial using (study_id)"
                " where verdict.trial = trial.number and decided_at > finished_at"
            ).fetchone()
        assert late != (0,)
        assert verified(url).recomputed == 4


@pytest.mark.parametrize(
    "settings",
    [{"rule": "halving"}, {"rule": "median"}, {"rule": "promotion"}, GROUPS],
    ids=["halving", "median", "promotion", "groups"],
)
def test_verdicts_and_trials_are_the_same_on_any_workers_in_any_order(server, template, tmp_path, settings):
    histories = []
    for seed, count in ((0, 1), (1, 3), (2, 6)):
        with new_database(server, template) as url:
            search(url, tmp_path, partial(Workers, seed=seed, count=count, leaves=0.05 * seed), **settings)
            facts = [(row.params, row.state, row.loss, row.pruned_step, row.pruned_loss) for row in ended(url)]
            histories.append((facts, decided(url)))
            assert verified(url).recomputed == 4
    assert histories[0] == histories[1] == histories[2]
    states = [state for _, state, *_ in histories[0][0]]
    if settings["rule"] != "promotion":
        alone = 6 if settings is not GROUPS else 2
        assert states[:alone] == ["complete"] * alone, "no trial was compared earlier"
        assert states.count("complete") > 6
    assert states.count("pruned") >= 5
    audited = [verdict for verdict in histories[0][1] if verdict[-1] and verdict[-2]]
    assert all(states[number] == "complete" for number, *_ in audited)


@pytest.mark.parametrize(("estimator", "rule"), [("GP", "halving"), ("RF", "halving"), ("GP", "promotion")])
def test_the_proposals_after_pruned_trials_verify(url, tmp_path, estimator, rule):
    search(url, tmp_path, partial(Workers, seed=0, count=2), estimator=estimator, rule=rule)
    assert sum(row.state == "pruned" for row in ended(url)) >= 5
    assert verified(url).recomputed == 4


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("rule", ["halving", "promotion"])
def test_in_steady_mode_the_arrivals_at_a_rung_decide(url, tmp_path, seed, rule):
    # only the database knows the arrivals
    search(url, tmp_path, partial(Workers, seed=seed, count=4, leaves=0.02, check=False), mode="steady", rule=rule)
    assert sum(row.state == "pruned" for row in ended(url)) >= 5
    assert verified(url).recomputed >= 4
    with psycopg.connect(url) as connection:
        arrivals = connection.execute(
            "select array_agg(arrival order by arrival) from ledger.verdict group by rung"
        ).fetchall()
        assert all(numbers == list(range(1, len(numbers) + 1)) for (numbers,) in arrivals)


def test_in_steady_mode_a_promoted_trial_is_seen_again(url, tmp_path):
    search(url, tmp_path, partial(Workers, seed=0, count=3, check=False), mode="steady", rule="promotion")
    with psycopg.connect(url) as connection:
        promoted = connection.execute("select distinct trial from ledger.promotion").fetchall()
        assert promoted
        seen = connection.execute(
            "select seen, seen_rungs from ledger.iteration where seen is not null order by number"
        ).fetchall()
    pairs = [pair for numbers, rungs in seen for pair in zip(numbers, rungs, strict=True)]
    assert len(pairs) == len(set(pairs))
    pauses = {number for number, rung in pairs if rung is not None}
    assert len(pauses) > 5
    counts = Counter(number for number, _ in pairs)
    assert any(counts[number] > 1 for number in pauses), "a trial that paused has paused again or ended later"
    assert all(counts[number] == 1 for number in counts.keys() - {trial for (trial,) in promoted})


@pytest.fixture(scope="module", params=["batch", "steady", "promotion", "steady promotion"])
def history(server: str, template: str, tmp_path_factory: pytest.TempPathFactory, request) -> Iterator[str]:
    """Yield the name of a database with such a study, for copies."""
    with new_database(server, template) as url:
        folder = tmp_path_factory.mktemp("study")
        is_steady = request.param.startswith("steady")
        settings = {
            "mode": "steady" if is_steady else "batch",
            "rule": "promotion" if request.param.endswith("promotion") else "halving",
        }
        search(url, folder, partial(Workers, seed=1, count=3, leaves=0.02, check=not is_steady), **settings)
        yield str(conninfo_to_dict(url)["dbname"])


@pytest.fixture
def ledger(server: str, history: str) -> Iterator[str]:
    with new_database(server, history) as url:
        yield url


STOPPED = "(select min(number) from ledger.trial where state = 'pruned')"
AT = f"where trial = {STOPPED} and stops and not audited"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (f"update ledger.verdict set loss = loss / 2 {AT}", r"trial \d+: the verdict at rung \d: .* loss"),
        (f"update ledger.verdict set step = step - 1, rung = rung {AT}", r"the verdict has step"),
        (f"update ledger.verdict set stops = false {AT}", r"trial \d+: the (state is pruned, but no|verdict at rung)"),
        (f"update ledger.verdict set compared = compared + 1 {AT}", r"trial \d+: the verdict at rung \d: `compared`"),
        (f"update ledger.verdict set cutoff = cutoff - 0.001 {AT}", r"trial \d+: the verdict at rung \d: `cutoff`"),
        (
            "update ledger.verdict set audited = not audited where trial = 2",
            "trial 2: the (state is pruned, but|verdict at rung)",
        ),
        ("update ledger.verdict set attempt = 9 where trial = 2", "the verdict belongs to attempt 9, which does not"),
        (f"delete from ledger.verdict {AT}", r"trial \d+: the state is pruned, but no verdict stops the trial"),
        ("delete from ledger.report where trial = 1 and step = 1", "trial 1: the verdict at rung 1: .* report"),
        ("update ledger.report set loss = 9 where trial = 1 and step = 1", "trial 1: the verdict at rung 1: .* report"),
        (
            "update ledger.verdict set rung = 3 where rung = 4"
            " and trial = (select max(trial) from ledger.verdict where rung = 4)",
            "rung 3 is recorded, but it is not a rung",
        ),
        (f"update ledger.trial set pruned_loss = 9 where number = {STOPPED}", r"trial \d+: `pruned_step` is"),
        (f"update ledger.trial set state = 'complete' where number = {STOPPED}", r"trial \d+: the state is complete"),
        (
            "update ledger.trial set pruned_step = 1 where number = (select min(trial) from ledger.best_trials)",
            "the column `pruned_step` is not null",
        ),
        ("update ledger.iteration set total_pruned = total_pruned + 1 where number = 2", "iteration 2: `total_pruned`"),
    ],
)
def test_a_corrupted_record_is_named(ledger, change, said):
    assert verified(ledger).trials == 24
    corrupt(ledger, change)
    with pytest.raises(LedgerError, match=said) as found:
        verified(ledger)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("change", ["loss = loss + 0.001", "compared = compared + 1"])
def test_a_corrupted_cutoff_is_named(ledger, change):
    corrupt(ledger, f"update ledger.cutoff set {change} where iteration = 2 and rung = 2", required=False)
    with psycopg.connect(ledger) as connection:
        is_batch = connection.execute("select count(*) > 0 from ledger.cutoff").fetchone() == (True,)
    if not is_batch:
        corrupt(ledger, "insert into ledger.cutoff select id, 1, 1, 0.5, 3 from ledger.study")
    with pytest.raises(LedgerError, match="iteration 2: the cutoff at rung 2|a study in steady mode has no cutoffs"):
        verified(ledger)


@pytest.mark.parametrize("history", ["batch", "promotion"], indirect=True)
def test_a_missing_verdict_of_the_last_trial_is_named(ledger):
    """No later cutoff depends on the verdict, and the verdict stops no trial."""
    last = "(select trial, max(rung) from ledger.verdict where not stops group by trial order by trial desc limit 1)"
    corrupt(ledger, f"delete from ledger.verdict where (trial, rung) = {last}")
    with pytest.raises(LedgerError, match=r"trial \d+: the trial has reached rung \d+, but the verdict is missing"):
        verified(ledger)


@pytest.mark.parametrize("history", ["steady", "steady promotion"], indirect=True)
def test_a_missing_verdict_of_the_last_arrival_is_named(ledger):
    """No other row depends on the verdict."""
    last = (
        "(select trial, rung from ledger.verdict as last where not stops and arrival ="
        " (select max(arrival) from ledger.verdict where verdict.rung = last.rung) order by rung limit 1)"
    )
    corrupt(ledger, f"delete from ledger.verdict where (trial, rung) = {last}")
    with pytest.raises(LedgerError, match=r"trial \d+: the trial has reached rung \d+, but the verdict is missing"):
        verified(ledger)


# A rung has the step 1, 2 or 4, so no verdict uses the reports of the step 7.
UNUSED = "study_id = 1 and trial = (select min(trial) from ledger.report where step = 7) and step = 7"


@pytest.mark.parametrize(
    "change",
    [
        f"update ledger.report set loss = loss + 1 where {UNUSED}",
        f"update ledger.report set loss = null where {UNUSED}",
        f"update ledger.report set step = 9 where {UNUSED}",
        f"update ledger.report set after_step = 9 where {UNUSED}",
        f"delete from ledger.report where {UNUSED}",
        "insert into ledger.report select study_id, trial, attempt, 9, loss, null, now() from ledger.report"
        f" where {UNUSED}",
        f"update ledger.report set metrics = null where {UNUSED}",
        f"""update ledger.report set metrics = metrics || '{{"rate": 0.25}}' where {UNUSED}""",
    ],
)
def test_a_changed_report_that_no_verdict_uses_is_named(ledger, change):
    assert verified(ledger).trials == 24
    corrupt(ledger, change)
    with pytest.raises(LedgerError, match=r"trial \d+: the reports or the arrivals differ from the hash"):
        verified(ledger)


def test_a_changed_report_of_an_imported_study_is_named(ledger, server, template):
    with engine(ledger).connect() as db:
        document = exported(db)
    with new_database(server, template) as elsewhere:
        with engine(elsewhere).connect() as there:
            moved(there, document)
        assert verified(elsewhere).trials == 24
        corrupt(elsewhere, f"update ledger.report set loss = loss + 1 where {UNUSED}")
        with pytest.raises(LedgerError, match=r"trial \d+: the reports or the arrivals differ from the hash"):
            verified(elsewhere)


PROMOTED = "(select trial from ledger.promotion where rung = 1 order by trial limit 1)"


@pytest.mark.parametrize("history", ["steady promotion"], indirect=True)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            f"update ledger.promotion set arrivals = (select arrival from ledger.verdict where trial = {PROMOTED}"
            f" and rung = 1) where trial = {PROMOTED} and rung = 1",
            r"trial \d+: the promotion at rung 1: the trial was not among the best 1/2 of the first \d+ arrivals",
        ),
        (
            f"update ledger.promotion set arrivals = 999 where trial = {PROMOTED} and rung = 1",
            r"trial \d+: the promotion at rung 1: `arrivals` is 999, but the trial was arrival \d+, and the rung has 24"
            " arrivals",
        ),
        (
            f"delete from ledger.promotion where trial = {PROMOTED} and rung = 1",
            r"trial \d+: (the verdict at rung \d: the trial was stopped at rung 1, and no|the state is|`pruned_step`)",
        ),
        (
            "insert into ledger.promotion select study_id, trial, rung, arrival, now() from ledger.verdict"
            " where not stops order by trial limit 1",
            r"trial \d+: the promotion at rung \d: the trial did not wait at the rung, because no verdict stopped it",
        ),
        (
            "insert into ledger.promotion select id, 3, 3, 1, now() from ledger.study",
            "trial 3: the promotion at rung 3: the trial has no verdict at this rung",
        ),
        (
            "update ledger.iteration set seen_rungs[1] = 999 where number = (select max(number) from ledger.iteration"
            " where cardinality(seen_rungs) > 0)",
            r"iteration \d+ records the pause of trial \d+ at rung 999, but no verdict stops the trial at this rung",
        ),
    ],
)
def test_a_corrupted_promotion_is_named(ledger, change, said):
    assert verified(ledger).trials == 24
    corrupt(ledger, change)
    with pytest.raises(LedgerError, match=said) as found:
        verified(ledger)
    assert "\n" not in str(found.value)


def corrupt(url: str, statement: str, *, required: bool = True) -> None:
    """Change rows that cannot change, as a superuser who first removes the triggers and the constraints."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("trial", "iteration", "attempt", "verdict", "promotion", "cutoff", "report"):
            connection.execute(f"alter table ledger.{table} disable trigger user")
        checks = connection.execute(
            "select conrelid::regclass::text, conname from pg_constraint"
            " where connamespace = 'ledger'::regnamespace and contype = 'c'"
        ).fetchall()
        for table, check in checks:
            connection.execute(f"alter table {table} drop constraint {check}")
        assert connection.execute(statement).rowcount or not required


def test_a_json_export_moves_the_verdicts_to_another_ledger(ledger, server, template):
    with engine(ledger).connect() as db:
        document = exported(db)
    assert len(document["verdicts"]) > 24
    with new_database(server, template) as elsewhere, engine(elsewhere).connect() as there:
        row = moved(there, document)
        assert exported(there) == document
        assert verify(transfer.snapshot(there, row.id)).trials == 24


def test_a_damaged_verdict_of_an_export_is_refused(ledger):
    with engine(ledger).connect() as db:
        document = exported(db)
    verdict = next(verdict for verdict in document["verdicts"] if verdict["trial"] == 5)
    for change, said in (
        ({"trial": 99}, r"verdicts\[\d+\]: trial 99 has no attempt"),
        ({"rung": -1}, r"verdicts\[\d+\].rung"),
        ({"stops": 1}, r"verdicts\[\d+\].stops"),
        ({"compared": 17}, "trial 5: the verdict at rung 1"),
    ):
        verdicts = [{**each, **change} if each is verdict else each for each in document["verdicts"]]
        damaged = {**document, "verdicts": verdicts}
        with pytest.raises(UsageError, match=said):
            read("export.json", json.dumps(damaged).encode())


def test_an_export_without_a_verdict_is_refused(ledger):
    with engine(ledger).connect() as db:
        document = exported(db)
    goes_on = [verdict for verdict in document["verdicts"] if not verdict["stops"]]
    of_last_trial = max(goes_on, key=lambda verdict: (verdict["trial"], verdict["rung"]))
    first_arrival = next((verdict for verdict in document["verdicts"] if verdict["arrival"] == 1), None)
    missing = first_arrival or of_last_trial
    damaged = {**document, "verdicts": [verdict for verdict in document["verdicts"] if verdict is not missing]}
    with pytest.raises(UsageError, match=r"the verdict is missing|`arrival` is|the cutoff at rung"):
        read("export.json", json.dumps(damaged).encode())
