"""The command `completion`, which prints a shell script that completes commands, options and study names."""

import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from ledger.cli.options import examples
from ledger.cli.sections import SectionedCommand

_VARIABLE = "_LEDGER_COMPLETE"
# The package installs its program under two names. If a machine has another program with the name `ledger`, users can
# start the program of the package as `trial-ledger`.
_NAMES = ("ledger", "trial-ledger")


@click.command(
    cls=SectionedCommand,
    epilog=examples(
        'eval "$(ledger completion bash)"',
        "ledger completion zsh > ~/.zfunc/_ledger",
        "ledger completion fish > ~/.config/fish/completions/ledger.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the shell script that completes the commands of `ledger`.

    The shell must load the script when the shell starts, as the examples show. bash loads the script from ~/.bashrc.
    zsh loads the script from a folder in the variable fpath. fish loads the script from ~/.config/fish/completions. The
    shell completes the name of a study only if the database answers within a second.
    """
    from ledger.cli import program

    complete = get_completion_class(shell)
    assert complete is not None
    called = Path(sys.argv[0]).name
    click.echo(complete(program, {}, called if called in _NAMES else _NAMES[0], _VARIABLE).source())
