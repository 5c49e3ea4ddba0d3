"""The program `ledger`, which imports the module of a command only when the user calls the command."""

import atexit
import gc
import signal
import sys
from importlib import import_module
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from ledger import __version__
from ledger.cli.sections import SectionedGroup
from ledger.errors import LedgerError, StudyFailedError
from ledger.text import nearest, one_line, printable_line
from ledger.worker import credentials

# Maximum length of an error message, in characters. A message can quote a very long text from the user.
_LONGEST = 1_500

# Number of new objects after which the garbage collector runs. In Python 3.11, the garbage collector runs by default
# after 700 new objects.
_COLLECTION_THRESHOLD = 10_000

# Each key of `COMMANDS` is the name of a command. Each value of `COMMANDS` contains the command's import path and short
# help text. `ledger --help` shows the short help texts without importing the modules of the commands.
COMMANDS = {
    "run": ("ledger.cli.search:run", "Run a study with its database, workers and manager on this machine."),
    "manager": ("ledger.cli.search:manager", "Run only the manager of a study, without workers."),
    "resume": (
        "ledger.cli.search:resume",
        "Continue a paused, interrupted or failed study, raise its budget, or change its batch size.",
    ),
    "best": ("ledger.cli.best:best", "Print a study's best parameters as a dict, as TOML or as a Python program."),
    "compare": (
        "ledger.cli.compare:compare",
        "Compare the progress, the best parameters and the settings of studies with the same objective.",
    ),
    "where": ("ledger.cli.where:where", "Say which database the commands use in the current folder, and why."),
    "status": ("ledger.cli.status:status", "Show the progress, best value, workers and failures of a study."),
    "worker": ("ledger.cli.worker:worker", "Claim trials, train models, and record the losses."),
    "study": ("ledger.cli.study:study", "Show and control studies."),
    "trial": ("ledger.cli.trial:trial", "Show, enqueue, retry and cancel trials."),
    "why": ("ledger.cli.why:why", "Say how the point of a trial was chosen, and why a rule stopped the trial."),
    "stopping": ("ledger.cli.stopping:stopping", "Apply a rule of early stopping to recorded learning curves."),
    "artifact": ("ledger.cli.artifact:artifact", "List, download and remove the files that trials have saved."),
    "model": ("ledger.cli.model:model", "Show the kept model of a study, or write the model to a file."),
    "query": ("ledger.cli.query:query", "Run a named query of sql/queries, as `ledger db psql -f` does."),
    "verify": ("ledger.cli.verify:verify", "Check the records of a study, and recompute its proposals."),
    "export": ("ledger.cli.export:export", "Export the trials of a study, even if the study is running."),
    "report": (
        "ledger.cli.report:report",
        "Write a study's plots and trials as one HTML page that works without a network.",
    ),
    "import": ("ledger.cli.imports:import_", "Import a study from another ledger, or import finished trials."),
    "optuna": ("ledger.cli.optuna:optuna", "Allow Optuna and its dashboard to read the ledger."),
    "dashboard": (
        "ledger.cli.dashboard:dashboard",
        "Show the ledger in Optuna's dashboard until the user presses Ctrl-C.",
    ),
    "db": ("ledger.cli.db:db", "Upgrade, check and access the database."),
    "access": ("ledger.cli.access:access", "Add, list and remove the logins of workers, managers and readers."),
    "completion": (
        "ledger.cli.completion:completion",
        "Print the shell script that completes the commands of `ledger`.",
    ),
}

# The titles of the sections of `ledger --help`, and the commands in each section.
SECTIONS = {
    "Search": ("run", "manager", "worker", "resume"),
    "Look at studies": (
        *("status", "best", "compare", "study", "trial", "why", "stopping", "artifact", "model", "report", "dashboard"),
        *("query", "where"),
    ),
    "Keep and move studies": ("verify", "export", "import"),
    "Set up": ("db", "access", "optuna", "completion"),
}

# Names of the commands that can start an objective. An objective may run as the same operating-system user as the
# command that started the objective. Therefore each command in `_SERVICES` hides the database credentials from other
# processes.
_SERVICES = ("run", "manager", "resume", "worker")


class _LazyGroup(SectionedGroup):
    """The command group `ledger`, which imports the module of a subcommand only when the user calls the subcommand."""

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
        """Return the names in `COMMANDS` that begin with `incomplete`, for the completion in a shell.

        The method does not import the modules of the commands.
        """
        return [
            CompletionItem(name, help=summary)
            for name, (_place, summary) in COMMANDS.items()
            if name.startswith(incomplete)
        ] + click.Command.shell_complete(self, ctx, incomplete)

    def suggestion(self, ctx: click.Context, word: str) -> str:
        """Suggest commands for an unknown word.

        If a group such as `ledger study` has a command with the name `word`, the method suggests this command. If no
        group has a command with the name `word`, the method suggests the command with the most similar name.
        """
        groups = {name: command for name in COMMANDS if isinstance(command := self.get_command(ctx, name), click.Group)}
        meant = [f"`ledger {name} {word}`" for name, group in groups.items() if word in group.commands]
        return f"; did you mean {', '.join(meant)}?" if meant else nearest(word, COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names])


_EXAMPLES = """\b
Examples:
  ledger run --model svm --iterations 3 --batch-size 2
  ledger status svm-42-341b3e --watch
  ledger study list"""


@click.group(
    cls=_LazyGroup, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="ledger")
def program() -> None:
    """Bayesian hyper-parameter search that keeps all its state in a PostgreSQL database."""


def main() -> NoReturn:
    """Run the program and exit.

    The exit code is 0 for success, 1 for failure and 2 for wrong usage. The program prints each error message as one
    line on standard error.
    """
    _collect_garbage_less_often()
    # `docker stop` and `kill` send SIGTERM. The handler `default_int_handler` raises `KeyboardInterrupt`, so a command
    # can clean up before the command ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if sys.argv[1:2] and sys.argv[1] in _SERVICES:
            credentials.conceal()
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
        if isinstance(error, StudyFailedError):
            for line in error.user_frames():
                click.echo(printable_line(line), err=True)
        _end(str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        # If SIGINT interrupts an exec() of a string, for example in an imported module, CPython sets an internal flag.
        # While the flag is set, CPython ends the process by the signal SIGINT, and ignores the exit code. The call
        # `exec("")` clears the internal flag of CPython.
        exec("")  # noqa: S102
        _end("the command has stopped; to continue, run the same command again", 1)
    except BrokenPipeError:
        # The command wrote its output to a pipe, and the reader of the pipe, such as `head`, has closed the pipe. If
        # `sys.stdout` is None, CPython does not try to flush the standard output at exit.
        sys.stdout = None
        sys.exit(1)
    except Exception as error:
        _end_if_database(error)
        raise
    sys.exit(0)


def _collect_garbage_less_often() -> None:
    """Make the garbage collector run less often. By default, the garbage collector uses a sixth of the processor time
    of a short command.

    Most objects of a command come from imported modules. The process needs the objects of a module until the process
    ends. Therefore the garbage collector can free only a few objects. At the exit, the garbage collector ignores all
    objects, because the operating system frees the memory.
    """
    gc.set_threshold(_COLLECTION_THRESHOLD)
    atexit.register(gc.freeze)


def _end_if_database(error: Exception) -> None:
    """If the database caused the error, print a message of one line and exit."""
    import psycopg

    # SQLAlchemy wraps each exception of psycopg in an exception of SQLAlchemy. The attribute `orig` of the SQLAlchemy
    # exception is the exception of psycopg.
    original = getattr(error, "orig", error)
    if isinstance(original, psycopg.errors.UndefinedFunction | psycopg.errors.UndefinedTable):
        _end(f"the schema does not fit this version of ledger ({original}): `ledger db check` names the problem", 1)
    if isinstance(original, psycopg.errors.InvalidParameterValue):
        _end(f"the ledger refuses a value: {original.diag.message_primary}", 1)
    if isinstance(original, psycopg.OperationalError):
        _end(f"the database failed: {original}; run the same command again when the database is available", 1)


def _end(message: str, code: int) -> NoReturn:
    click.echo(f"ledger: {one_line(message, _LONGEST)}", err=True)
    sys.exit(code)
