"""The command `verify`, which checks the records of a study and recomputes the study's proposals."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby

import click

from ledger.access import connected
from ledger.cli import document
from ledger.cli.names import STUDY
from ledger.cli.options import examples, settings_options, store_option
from ledger.cli.sections import SectionedCommand
from ledger.errors import LedgerError, UsageError
from ledger.settings import Settings
from ledger.store import StoreError
from ledger.text import one_line

# Maximum number of characters in the text that explains why a proposal is not comparable.
_LONGEST = 5_000


@click.command(
    cls=SectionedCommand, epilog=examples("ledger verify svm-42-341b3e", "ledger verify svm-42-341b3e --json")
)
@click.argument("name", type=STUDY)
@click.option("--skip-contents", is_flag=True, help="Do not read the contents of artifacts and checkpoints.")
@document.json_option
@settings_options
@store_option
def verify(name: str, skip_contents: bool, as_json: bool, settings: Settings) -> None:
    """Check the records of a study, and recompute its proposals.

    The command compares each trial's state with the other values in the trial's row. The command also compares the
    counts in the trial's row with the recorded attempts of the trial. Each complete trial must have exactly one
    complete attempt. Each iteration's mean and best loss must agree with the losses of the iteration's trials. The
    command computes each proposal again from the seed and the earlier trials, and compares the result with the recorded
    proposal. The command also computes each verdict of early stopping again, and reads each artifact and each
    checkpoint to check its SHA-256. The command reads only the store that --store chooses. At the first difference, the
    command names the place of the difference, and ends with exit code 1. The command also names the versions of the
    objective's code, and checks their hashes. The command cannot compare a proposal if the manager used other package
    versions or another BLAS kernel than this machine. The command lists such a proposal as not comparable. The study
    may be running.
    """
    from ledger import content_verification, verification
    from ledger.database import studies, transfer

    with connected(settings) as connection:
        snapshot = transfer.snapshot(connection, studies.get(connection, name).id)
    with _differences_shown(name, as_json):
        report = verification.verify(snapshot)
    verified = content_verification.VerifiedContents()
    if not skip_contents:
        with connected(settings) as connection, _differences_shown(name, as_json):
            verified = content_verification.verify(connection, settings, snapshot.study.id, name)
    if as_json:
        counts = document.pick(report, "trials", "attempts", "iterations", "recomputed")
        not_comparable = [{"place": place, "reason": reason} for place, reason in report.not_comparable]
        versions = [document.pick(each, "number", "first_trial", "sha256") for each in report.code_versions]
        facts = {**counts, "not_comparable": not_comparable, "code_versions": versions}
        facts["contents"] = verified.checked
        facts["contents_elsewhere"] = [{"store": url, "contents": count} for url, count in verified.elsewhere.items()]
        document.write({"study": name, "agrees": True, **facts})
        return
    click.echo(
        f"the records of study {name} are consistent: {report.trials} trials, {report.attempts} attempts,"
        f" {report.iterations} iterations; {report.recomputed} proposals recomputed,"
        f" {len(report.not_comparable)} not comparable"
    )
    for version in report.code_versions:
        click.echo(f"code version {version.number} is valid from trial {version.first_trial}: SHA-256 {version.sha256}")
    for reason, run in groupby(report.not_comparable, key=lambda item: item[1]):
        places = [place for place, _ in run]
        subject = f"{places[0]} is" if len(places) == 1 else f"{places[0]} to {places[-1]} are"
        click.echo(f"{subject} not comparable: {one_line(reason, _LONGEST)}")
    if verified.checked:
        click.echo(f"the contents of artifacts and checkpoints have their recorded SHA-256: {verified.checked}")
    for url, count in verified.elsewhere.items():
        click.echo(f"not read: {count} contents in {one_line(url)}; name this store by --store or LEDGER_STORE")


@contextmanager
def _differences_shown(name: str, as_json: bool) -> Iterator[None]:
    """If a difference ends the command, print the JSON document that describes the difference."""
    try:
        yield
    except (StoreError, UsageError):  # A store that cannot be read or opened is no difference.
        raise
    except LedgerError as error:
        if as_json:
            document.write({"study": name, "agrees": False, "difference": str(error)})
        raise
