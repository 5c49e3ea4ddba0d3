"""Studies of Keras and Lightning on real workers: curves, stopped trials, and trainings that continue after a kill."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.databases import new_database
from tests.frameworks.keras_network import EPOCHS
from tests.system.programs import Program

pytestmark = pytest.mark.frameworks

FILE = f"""
[study]
name = "own"
trials = 12
batch_size = 4
seed = 3
[objective]
function = "mine:network"
[space]
rate = {{ type = "real", low = 1e-4, high = 0.1, prior = "log-uniform" }}
[stopping]
rule = "halving"
eta = 2
audit = 0.0
max_resource = {EPOCHS}
"""
KILLED = (1, 3)
TRIALS = "select params, state, loss, pruned_step, pruned_loss from ledger.trial order by number"
VERDICTS = "select trial, rung, step, loss, cutoff, compared, stops from ledger.verdict order by 1, 2"
ATTEMPTS = """
select trial, attempt, outcome, min(step), max(step), count(*)
from ledger.attempts join ledger.reports using (study_id, trial, attempt)
group by trial, attempt, outcome order by trial, attempt
"""


def search(folder: Path, url: str, framework: str, name: str, workers: int) -> tuple[list[Any], ...]:
    """Run a study to its end, verify it, and return its trials, its verdicts and its attempts."""
    folder.mkdir()
    (folder / "own.toml").write_text(FILE)
    (folder / "mine.py").write_text((Path(__file__).parent / f"{framework}_network.py").read_text())
    program = Program(folder, DATABASE_URL=url)
    program.run("run", "own.toml", "--name", name, "--allow", "mine", "--workers", str(workers))
    assert "12 trials" in program.run("verify", name)
    with psycopg.connect(url) as connection:
        return tuple(connection.execute(query).fetchall() for query in (TRIALS, VERDICTS, ATTEMPTS))


@pytest.mark.parametrize("framework", ["keras", "lightning"])
def test_a_study_with_killed_trainings_is_the_undisturbed_study(framework, url, server, template, tmp_path):
    trials, verdicts, attempts = search(tmp_path / "killed", url, framework, "own", workers=2)
    with new_database(server, template) as other:
        calm = search(tmp_path / "calm", other, framework, "calm", workers=1)
    assert (trials, verdicts) == calm[:2]
    assert all(attempt == 1 for _, attempt, *_ in calm[2])

    states = [state for _, state, *_ in trials]
    assert states[:4] == ["complete"] * 4
    assert states.count("complete") + states.count("pruned") == 12
    assert states.count("pruned") >= 2
    for trial in KILLED:
        assert [row for row in attempts if row[0] == trial] == [
            (trial, 1, "crashed", 0, 4, 5),
            # the last checkpoint is that of epoch 3
            (trial, 2, "complete", 4, EPOCHS - 1, EPOCHS - 4),
        ]
    for trial, _, outcome, first, last, count in attempts:
        if trial not in KILLED:
            pruned_step = trials[trial][3]
            assert (outcome, first) == (states[trial], 0)
            assert last == (EPOCHS - 1 if pruned_step is None else pruned_step)
            assert count == last + 1
