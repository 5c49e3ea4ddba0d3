"""The command `completion`, which prints a script that completes commands, options and names of studies in a shell."""

import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from ledger.cli.options import examples

_VARIABLE = "_LEDGER_COMPLETE"
# On a machine where `ledger` is another program, users call this program `trial-ledger`.
_NAMES = ("ledger", "trial-ledger")


@click.command(
    epilog=examples(
        'eval "$(ledger completion bash)"',
        "ledger completion zsh > ~/.zfunc/_ledger",
        "ledger completion fish > ~/.config/fish/completions/ledger.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the shell script that completes the commands of `ledger`.

    The shell loads the script when it starts, as in the examples. bash loads the script from ~/.bashrc, zsh from a
    folder of its fpath, and fish from its own folder. The shell completes names of studies if the database answers
    within a second.
    """
    from ledger.cli import program

    complete = get_completion_class(shell)
    assert complete is not None
    called = Path(sys.argv[0]).name
    click.echo(complete(program, {}, called if called in _NAMES else _NAMES[0], _VARIABLE).source())
