"""`make chaos`: run a study under faults, and print a table of the results. Exit code 1 if a guarantee was broken."""

import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Literal

import click

from tests.chaos.faults import decks
from tests.chaos.report import broken, table
from tests.chaos.soak import soak
from tests.chaos.studies import Plan, undisturbed

POINTS = 8
_ABOUT = """# Chaos test

This page shows the result of a chaos test. A chaos test is a real search with injected faults. The test uses real
processes, a real PostgreSQL server, and a proxy between the processes and the server. The test injects these kinds of
faults, one after the other:

- The test kills worker processes and the manager process.
- The test sends SIGTERM to workers in the middle of a trial. The objective keeps a checkpoint, and the worker gives the
  trial back.
- The test pauses workers until their leases have expired, and then lets the paused workers continue.
- The test restarts, crashes and kills PostgreSQL.
- The test cuts connections, delays connections, makes connections half-open, and drops the acknowledgement of a
  statement. The test also lets a statement reach the database after the worker has repeated it.
- The test makes the store of the artifacts and the checkpoints unavailable, and fills the disk of the store. The
  objective repeats each call that the store refuses.

A fault is a hit if the fault affected a connection with an open SQL statement. A fault of a worker, or of the worker's
connection, is also a hit if the worker held a claim. A fault of the manager, of PostgreSQL or of the store is also a
hit if any worker of the study held a claim at the moment of the fault. At the end, the test compares the study with a
study without faults. The test compares each pair of trials that have the same number, with the verdicts on the trials
and the cutoffs of their iterations. In steady mode, the trials depend on the order in which they end, so the test
compares no trials. In both modes, `ledger verify` computes all proposals and verdicts again.

"""


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=180,
    show_default=True,
    help="Time during which faults are injected.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the study and of the faults.")
@click.option("--workers", type=click.IntRange(min=1), default=8, show_default=True)
@click.option(
    "--trials", type=click.IntRange(min=40), default=400, show_default=True, help="Smallest number of trials."
)
@click.option("--model", type=click.Choice(["rugged", "svm", "xgb", "lgbm"]), default="rugged", show_default=True)
@click.option(
    "--rule",
    type=click.Choice(["median", "halving", "groups", "promotion"]),
    default="median",
    show_default=True,
    help="Rule of early stopping of the model `rugged`.",
)
@click.option("--mode", type=click.Choice(["batch", "steady"]), default="batch", show_default=True)
@click.option("--base-estimator", type=click.Choice(["GP", "RF", "ET"]), default="ET", show_default=True)
@click.option("--pace", type=click.FloatRange(min=0), default=1.4, show_default=True, help="Seconds between faults.")
@click.option("--output", type=click.Path(path_type=Path), help="File for the page; default: standard output.")
def main(
    seconds: float,
    seed: int,
    workers: int,
    trials: int,
    model: str,
    rule: str,
    mode: Literal["batch", "steady"],
    base_estimator: str,
    pace: float,
    output: Path | None,
) -> None:
    """Run a study under faults, compare it with the undisturbed study, and report the differences."""
    plan = Plan(model, -(-trials // POINTS), POINTS, seed, base_estimator, rule=rule, mode=mode)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    click.echo(f"logs are in {folder}", err=True)
    soaked = soak(
        plan,
        folder,
        decks(random.Random(seed)),
        workers=workers,
        pace=pace,
        seed=seed,
        calm=lambda size: undisturbed(plan, folder / "undisturbed", iterations=size) if mode == "batch" else [],
        seconds=seconds,
        grow=True,
        watch=lambda line: click.echo(line, err=True),
    )
    for line in (*soaked.left, *soaked.stayed, *soaked.wrong_exits, *soaked.tracebacks):
        click.echo(f"  {line}", err=True)
    command = f"make chaos SECONDS={seconds:g} SEED={seed} WORKERS={workers} TRIALS={trials} MODEL={model}"
    command += f" RULE={rule}" if rule != "median" else ""
    command += f" MODE={mode}" if mode != "batch" else ""
    text = table(plan, soaked, workers=workers, command=command)
    if output is None:
        click.echo(text)
    else:
        output.write_text(_ABOUT + text)
    if any(broken(plan, soaked).values()):
        click.echo(f"a guarantee was broken: {soaked.verify} (see {folder})", err=True)
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
