"""completion: the script by which a shell completes commands, options and names of studies."""

import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from ledger.cli.options import examples

_VARIABLE = "_LEDGER_COMPLETE"
# The second name is for machines where `ledger` is another program.
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
    """Print the script that completes commands in a shell.

    Load it when the shell starts, as in the examples: bash from ~/.bashrc, zsh from a folder of its fpath, and fish
    from its own folder. Names of studies are completed if the database answers within a second.
    """
    from ledger.cli import program

    complete = get_completion_class(shell)
    assert complete is not None
    called = Path(sys.argv[0]).name
    click.echo(complete(program, {}, called if called in _NAMES else _NAMES[0], _VARIABLE).source())
