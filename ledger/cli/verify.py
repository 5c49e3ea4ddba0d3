"""verify: does a study's ledger agree with itself and with its proposals computed anew?"""

from itertools import groupby

import click

from ledger.access import ledger_store
from ledger.cli import document
from ledger.cli.names import STUDY
from ledger.cli.options import examples, settings_options
from ledger.errors import LedgerError
from ledger.settings import Settings


@click.command(epilog=examples("ledger verify svm-42-5a83e9", "ledger verify svm-42-5a83e9 --json"))
@click.argument("name", type=STUDY)
@document.json_option
@settings_options
def verify(name: str, as_json: bool, settings: Settings) -> None:
    """Recompute a study from its ledger.

    The first difference is told with its place, and is exit code 1. Every state is compared with its columns, every
    count with its attempts, every complete trial with its one complete attempt, every mean and best loss with its
    trials, and every proposal with the one that follows from the seed and the trials before it. Proposals made with
    other versions, or on another BLAS kernel, than those of here are not comparable: these are listed, and are no
    difference. A study that runs can be verified, too.
    """
    from ledger.verification import verify as verify_snapshot

    with ledger_store(settings) as store:
        snapshot = store.snapshot(store.study(name).id)
    try:
        found = verify_snapshot(snapshot)
    except LedgerError as error:
        if as_json:
            document.write({"study": name, "agrees": False, "difference": str(error)})
        raise
    if as_json:
        counts = document.pick(found, "trials", "attempts", "iterations", "recomputed")
        not_comparable = [{"place": place, "reason": reason} for place, reason in found.not_comparable]
        document.write({"study": name, "agrees": True, **counts, "not_comparable": not_comparable})
        return
    click.echo(
        f"study {name} agrees with its ledger: {found.trials} trials, {found.attempts} attempts,"
        f" {found.iterations} iterations; {found.recomputed} proposals recomputed,"
        f" {len(found.not_comparable)} not comparable"
    )
    for reason, run in groupby(found.not_comparable, key=lambda one: one[1]):
        places = [place for place, _ in run]
        which = f"{places[0]} is" if len(places) == 1 else f"{places[0]} to {places[-1]} are"
        click.echo(f"{which} not comparable: {reason}")
