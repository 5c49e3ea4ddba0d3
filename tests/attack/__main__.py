"""`make attack`: attack a ledger, and print a table of the results. Exit code 1 if a guarantee was broken."""

import shutil
import sys
import tempfile
from pathlib import Path

import click

from tests.attack.campaign import attack
from tests.attack.report import ABOUT, table


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=180, show_default=True, help="Duration of the attack.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the attacks.")
@click.option("--output", type=click.Path(path_type=Path), help="File for the page; default: standard output.")
def main(seconds: float, seed: int, output: Path | None) -> None:
    """Attack a ledger by roles, objectives, files and neighbours while a study runs."""
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    folder.chmod(0o755)
    click.echo(f"logs are in {folder}", err=True)
    attacked = attack(folder, seconds=seconds, seed=seed, watch=lambda line: click.echo(line, err=True))
    for line in attacked.details:
        click.echo(f"  {line}", err=True)
    text = table(attacked, f"make attack SECONDS={seconds:g} SEED={seed}")
    if output is None:
        click.echo(text)
    else:
        output.write_text(ABOUT + text)
    if any(attacked.must_be_zero.values()):
        click.echo(f"a guarantee was broken (see {folder})", err=True)
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
