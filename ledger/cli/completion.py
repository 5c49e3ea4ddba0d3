"""completion: the script by which a shell completes commands, options and names of studies."""

import click
from click.shell_completion import get_completion_class

from ledger.cli.options import examples

_VARIABLE = "_LEDGER_COMPLETE"


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
    click.echo(complete(program, {}, "ledger", _VARIABLE).source())
