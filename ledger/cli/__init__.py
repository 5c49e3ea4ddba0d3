"""The program `ledger`. A command's module is imported when the command is asked for, and no earlier."""

import signal
import sys
from importlib import import_module
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from ledger import __version__
from ledger.errors import LedgerError
from ledger.text import one_line

# Of a message: it may quote what somebody wrote, and never fills the screen with it.
_LONGEST = 1_500

# Each command's place, and what the program's own help says of it without a look at that place.
COMMANDS = {
    "run": ("ledger.cli.search:run", "Run a study on this machine: database, workers and manager."),
    "manager": ("ledger.cli.search:manager", "Manage a study whose workers are started elsewhere."),
    "resume": ("ledger.cli.search:resume", "Continue a study that was paused, killed or failed, or extend it."),
    "status": ("ledger.cli.status:status", "Show how a study stands: progress, best loss, workers, failures."),
    "worker": ("ledger.cli.worker:worker", "Claim trials, train, and write their losses back."),
    "study": ("ledger.cli.study:study", "Look at studies and steer them."),
    "trial": ("ledger.cli.trial:trial", "Look at trials, enqueue, retry and cancel them."),
    "query": ("ledger.cli.query:query", "Run a named query of sql/queries, as `ledger db psql -f` does."),
    "verify": ("ledger.cli.verify:verify", "Check the records of a study, and recompute its proposals."),
    "export": ("ledger.cli.export:export", "Write a study's trials."),
    "report": ("ledger.cli.report:report", "Write a study's plots and trials as one page that needs no network."),
    "import": ("ledger.cli.imports:import_", "Bring in a study from another ledger, or finished trials."),
    "optuna": ("ledger.cli.optuna:optuna", "Let Optuna, its plots and its dashboard read the ledger."),
    "dashboard": ("ledger.cli.dashboard:dashboard", "Show the ledger in Optuna's dashboard, until Ctrl-C."),
    "db": ("ledger.cli.db:db", "Upgrade, check and access the database."),
    "completion": ("ledger.cli.completion:completion", "Print the script that completes commands in a shell."),
}


class _Program(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the commands from what is said of them here, without loading them."""
        return [
            CompletionItem(name, help=summary)
            for name, (_place, summary) in COMMANDS.items()
            if name.startswith(incomplete)
        ] + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_place, summary) in COMMANDS.items()])


_EXAMPLES = """\b
Examples:
  ledger run --model svm --iterations 3 --batch-size 2
  ledger status svm-42-5a83e9 --watch
  ledger study list"""


@click.group(
    cls=_Program, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="ledger")
def program() -> None:
    """Bayesian hyper-parameter search whose whole state is a PostgreSQL database."""


def main() -> NoReturn:
    """Run the program and exit: 0 for success, 1 for failure, 2 for bad usage; a mistake is told in one line."""
    # so that `docker stop` and `kill` end a command as Ctrl-C does, with everything put away
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        program.main(prog_name="ledger", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "ledger"
        _end(f"{error.format_message()} (`{path} --help` shows the usage)", 2)
    except click.ClickException as error:
        _end(error.format_message(), error.exit_code)
    except LedgerError as error:
        _end(str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        # CPython ends by the signal itself where that came within exec() of text, as imports do it; the next forgets it
        exec("")  # noqa: S102
        _end("stopped; the same command goes on from here", 1)
    except BrokenPipeError:
        # the reader, such as head, has seen enough; nothing is left to flush to
        sys.stdout = None
        sys.exit(1)
    except Exception as error:
        _end_if_database(error)
        raise
    sys.exit(0)


def _end_if_database(error: Exception) -> None:
    """End in one line where it was the database that failed; SQLAlchemy wraps psycopg's errors."""
    import psycopg

    original = getattr(error, "orig", error)
    if isinstance(original, psycopg.errors.UndefinedFunction | psycopg.errors.UndefinedTable):
        _end(f"the schema is not what this version needs ({original}): `ledger db check` says what is wrong", 1)
    if isinstance(original, psycopg.OperationalError):
        _end(f"the database failed: {original}; the same command goes on once it is back", 1)


def _end(message: str, code: int) -> NoReturn:
    click.echo(f"ledger: {one_line(message, _LONGEST)}", err=True)
    sys.exit(code)
