"""The commands list, get, rm and sweep of the group `ledger artifact`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.access import connected
from ledger.cli import document, table
from ledger.cli.names import STUDY
from ledger.cli.options import LARGEST_INTEGER, TEXT, examples, settings_options, store_option
from ledger.cli.sections import SectionedGroup
from ledger.errors import LedgerError, UsageError
from ledger.settings import Settings
from ledger.text import one_line

if TYPE_CHECKING:
    from ledger.artifacts import Removal

_NUMBER = click.IntRange(0, LARGEST_INTEGER)
_attempt = click.option(
    "--attempt",
    type=click.IntRange(1, LARGEST_INTEGER),
    metavar="N",
    help="Number of the attempt. Default: the last attempt with the artifact.",
)


@click.group(
    cls=SectionedGroup,
    epilog=examples("ledger artifact list svm-42-341b3e", "ledger artifact get svm-42-341b3e 3 model.bin"),
)
def artifact() -> None:
    """List, download and remove the files that trials have saved."""


@artifact.command(
    name="list",
    epilog=examples(
        "ledger artifact list svm-42-341b3e",
        "ledger artifact list svm-42-341b3e --trial 3 --json",
    ),
)
@click.argument("name", type=STUDY)
@click.option("--trial", type=_NUMBER, metavar="NUMBER", help="List only the artifacts of this trial.")
@click.option("--removed", is_flag=True, help="Also list removed artifacts.")
@document.json_option
@settings_options
def list_(name: str, trial: int | None, removed: bool, as_json: bool, settings: Settings) -> None:
    """List the artifacts of a study, ordered by trial, attempt and name."""
    from ledger.database import artifacts, studies

    with connected(settings) as connection:
        study = studies.get(connection, name)
        rows = [row for row in artifacts.of_study(connection, study.id, trial) if removed or row.removed_at is None]
    if as_json:
        names = ("trial", "attempt", "name", "size", "sha256", "store", "saved_at", "removed_at")
        document.write([document.pick(row, *names) for row in rows])
    elif rows:
        table.show(
            ("TRIAL", "ATTEMPT", "NAME", "BYTES", "SHA-256", "SAVED", *(["REMOVED"] if removed else [])),
            [
                (
                    *(row.trial, row.attempt, row.name, row.size, row.sha256[:12], f"{row.saved_at:%Y-%m-%d %H:%M:%S}"),
                    *([row.removed_at and f"{row.removed_at:%Y-%m-%d %H:%M:%S}"] if removed else []),
                )
                for row in rows
            ],
        )
    else:
        click.echo(f"{'study' if trial is None else f'trial {trial} of study'} {name} has no artifacts")


@artifact.command(
    epilog=examples(
        "ledger artifact get svm-42-341b3e 3 model.bin",
        "ledger artifact get svm-42-341b3e 3 model.bin --output best.bin --force",
    )
)
@click.argument("name", type=STUDY)
@click.argument("trial", type=_NUMBER)
@click.argument("artifact_name", type=TEXT, metavar="ARTIFACT")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Path of the file. If the path is a folder, the file gets the name of the artifact. Default: the current"
    " folder.",
)
@_attempt
@click.option("--force", is_flag=True, help="Replace an existing file.")
@settings_options
@store_option
def get(
    name: str, trial: int, artifact_name: str, output: Path, attempt: int | None, force: bool, settings: Settings
) -> None:
    """Write an artifact to a file, and check its SHA-256.

    The command writes the file under a temporary name, and renames the file when it is complete.
    """
    from ledger import artifacts
    from ledger.database import studies

    with connected(settings) as connection:
        study = studies.get(connection, name)
        row = artifacts.find(connection, study.id, name, trial, artifact_name, attempt)
        target = artifacts.download(connection, settings, study.id, row, output, overwrite=force)
    click.echo(f"artifact {row.name} of trial {trial}, attempt {row.attempt}: {row.size} bytes in {target}")


@artifact.command(
    epilog=examples(
        "ledger artifact rm svm-42-341b3e 3 model.bin",
        "ledger artifact rm svm-42-341b3e 3",
        "ledger artifact rm svm-42-341b3e --keep 3",
        "ledger artifact rm svm-42-341b3e --yes",
    )
)
@click.argument("name", type=STUDY)
@click.argument("trial", type=_NUMBER, required=False)
@click.argument("names", type=TEXT, nargs=-1, metavar="[ARTIFACT]...")
@_attempt
@click.option(
    "--keep",
    type=click.IntRange(1, LARGEST_INTEGER),
    metavar="NUMBER",
    help="Keep the artifacts of the NUMBER best trials, and the artifacts of the trials that have not ended. Remove the"
    " artifacts of the other trials.",
)
@click.option("--yes", is_flag=True, help="Confirm the removal of the artifacts of all trials.")
@settings_options
@store_option
def rm(
    name: str,
    trial: int | None,
    names: Sequence[str],
    attempt: int | None,
    keep: int | None,
    yes: bool,
    settings: Settings,
) -> None:
    """Remove artifacts of one trial, of all trials, or of all trials except the best trials.

    The ledger keeps the names, sizes and hashes of removed artifacts. Without ARTIFACT, the command removes all
    artifacts of the trial. The command deletes a content only if no other artifact has the same content. Workers can
    save artifacts while the command runs.
    """
    from ledger import artifacts as use_cases
    from ledger.database import artifacts, studies

    if keep is not None and (trial is not None or attempt is not None or yes):
        raise UsageError("--keep chooses the trials by their values: leave out the trial's number, --attempt and --yes")
    with connected(settings) as connection:
        study = studies.get(connection, name)
        if keep is not None:
            _say(use_cases.remove_beaten(connection, settings, study.id, keep))
            return
        if names:
            assert trial is not None
            rows = [use_cases.find(connection, study.id, name, trial, each, attempt) for each in dict.fromkeys(names)]
        else:
            found = artifacts.of_study(connection, study.id, trial)
            rows = [row for row in found if row.removed_at is None and attempt in (None, row.attempt)]
            if trial is not None and not rows:
                raise LedgerError(
                    f"trial {trial} of study {name} has no artifacts that the command can remove: `ledger artifact list"
                    f" {name}` shows all artifacts"
                )
        if trial is None and not yes:
            raise UsageError(f"the command would remove {len(rows)} artifacts: name a trial, or add --yes")
        _say(use_cases.remove(connection, settings, study.id, rows))


@artifact.command(
    epilog=examples(
        "ledger artifact sweep",
        "ledger artifact sweep --store s3://bucket/artifacts",
        "ledger artifact sweep --forget file:///old/artifacts",
    )
)
@click.option(
    "--forget",
    type=TEXT,
    metavar="URL",
    help="Forget the contents of a store that no longer exists. The command deletes no file.",
)
@settings_options
@store_option
def sweep(forget: str | None, settings: Settings) -> None:
    """Delete the contents to which no artifact refers.

    Removed artifacts, deleted studies and killed workers can leave contents without an artifact. The command `ledger
    study delete` also deletes all contents without an artifact. The command `ledger artifact rm` deletes only the
    contents of the artifacts that the command removes. Run `sweep` after an error of the store. If only another machine
    can reach the store, run `sweep` on that machine.
    """
    from ledger import artifacts
    from ledger.store import chosen, normalized, opened

    # `--forget` needs no store, because its store no longer exists.
    if forget is None and (url := chosen(settings)) is not None:
        opened(url)
    with connected(settings) as connection:
        if forget is not None:
            stores = artifacts.stores_with_discarded(connection)
            # Earlier versions of the ledger recorded some URLs in another form.
            forgotten = forget if forget in stores else normalized(forget, "--forget")
            if forgotten is None:
                raise UsageError("--forget ledger: the database itself has the contents: give the URL of a lost store")
            if not (number := artifacts.forget_store(connection, forgotten)):
                known = ", ".join(sorted(one_line(url) for url in stores))
                way_out = f"give one of {known}" if known else "no store has such contents"
                raise LedgerError(f"no contents without an artifact are in {one_line(forgotten)}: {way_out}")
            click.echo(f"{number} {'content' if number == 1 else 'contents'} of {one_line(forgotten)} forgotten")
            return
        if left := artifacts.sweep(connection, settings):
            raise LedgerError(artifacts.waiting(left))
    click.echo("all contents without an artifact are deleted")


def _say(removal: "Removal") -> None:
    from ledger import artifacts

    click.echo(f"{removal.removed} {'artifact' if removal.removed == 1 else 'artifacts'} removed")
    if removal.left:
        click.echo(f"ledger: {artifacts.waiting(removal.left)}", err=True)
