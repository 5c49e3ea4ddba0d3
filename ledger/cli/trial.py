"""The command group `ledger trial`, and its commands `list`, `show`, `annotate`, `enqueue`, `retry` and `cancel`."""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from ledger.access import connected
from ledger.cli import annotation, document, outcome, table
from ledger.cli.file_content import FileContentType
from ledger.cli.names import STUDY
from ledger.cli.options import LARGEST_INTEGER, TEXT, examples, settings_options
from ledger.cli.sections import SectionedGroup
from ledger.cli.trial_reports import reports
from ledger.database.rows import TRIAL_STATES, AttemptRow, TrialRow, columns
from ledger.errors import LedgerError, UsageError
from ledger.settings import Settings
from ledger.text import last_line, one_line, printable_line

# Maximum length, in characters, of a parameter's name and of a parameter's value in the table of `ledger trial list`.
LONGEST_CELL = 20
# Maximum number of parameters in the table of `ledger trial list` if the output is not a terminal.
MOST_PARAMS = 50
# `_PARAM_WIDTH` is the width of a parameter's column, in characters. `_OTHER_WIDTH` is the total width of all other
# columns, in characters. In a terminal, the table shows at least `LEAST_PARAMS` parameters. In a wide terminal, the
# table shows as many parameters as fit into a line.
_PARAM_WIDTH, _OTHER_WIDTH, LEAST_PARAMS = 12, 110, 3
# Maximum length, in characters, of a value or of a line in the output of `ledger trial`, except in the table of `ledger
# trial list`.
LONGEST = 1_000
# Maximum number of lines that the command `show` prints from an attempt's output.
OUTPUT_LINES = 40
# The table of `ledger trial list` has first the columns `_FIRST`, then the columns of the parameters, and then the
# columns `_LAST`.
_FIRST = ("TRIAL", "ITERATION", "STATE", "VALUE", "SECONDS")
_LAST = ("ATTEMPTS", "FAILURES", "CRASHES", "LOST", "WORKER")
# Columns that the option --json prints for an attempt.
_ATTEMPT = tuple(name for name in columns(AttemptRow) if name != "trial")


@click.group(
    cls=SectionedGroup, epilog=examples("ledger trial list svm-42-341b3e", "ledger trial show svm-42-341b3e 3")
)
def trial() -> None:
    """Show, enqueue, retry and cancel trials."""


trial.add_command(reports)


@trial.command(
    name="list",
    epilog=examples(
        "ledger trial list svm-42-341b3e",
        "ledger trial list svm-42-341b3e --state failed",
        "ledger trial list svm-42-341b3e --limit 100 --after 99",
        "ledger trial list svm-42-341b3e --json | jq '.[].value'",
    ),
)
@click.argument("name", type=STUDY)
@click.option(
    "--state",
    type=click.Choice(TRIAL_STATES),
    help="List only the trials that are in this state.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, LARGEST_INTEGER),
    metavar="N",
    help="List at most N trials. By default, list all trials.",
)
@click.option(
    "--after",
    type=click.IntRange(0, LARGEST_INTEGER),
    metavar="NUMBER",
    help="List only the trials with a number above NUMBER. To list the trials page by page, give the number of the last"
    " trial of the previous page.",
)
@document.json_option
@settings_options
def list_(
    name: str, state: str | None, limit: int | None, after: int | None, as_json: bool, settings: Settings
) -> None:
    """List a study's trials in the order of their numbers.

    The table has a column for each parameter, in the order of the search space. Numbers have 4 significant digits. If
    the space has more parameters than fit into the terminal, the table shows the first parameters.

    The command reads the trials in pages, and prints each page before it reads the next page.
    """
    from sqlalchemy.exc import DBAPIError

    from ledger.database import studies, trials

    last: int | None = None

    def rows() -> Iterator[Sequence[TrialRow]]:
        nonlocal last
        for page in trials.pages(connection, study.id, after=-1 if after is None else after, state=state, limit=limit):
            yield page
            last = page[-1].number

    with connected(settings) as connection:
        study = studies.get(connection, name)
        try:
            if as_json:
                document.write_list(_facts(row) for page in rows() for row in page)
                return
            names = [dimension["name"] for dimension in study.spec["space"]]
            shown = names[: _shown_params()]
            listing = table.PagedTable((*_FIRST, *(one_line(name, LONGEST_CELL) for name in shown), *_LAST))
            for page in rows():
                listing.show(
                    [
                        (
                            *(row.number, row.iteration, row.state, row.value, row.seconds),
                            *(_cell(row.params.get(name, "")) for name in shown),
                            *(row.attempts, row.failures, row.crashes, row.lost, row.worker),
                        )
                        for row in page
                    ]
                )
            if last is not None and len(shown) < len(names):
                more = f"{len(names) - len(shown)} of {len(names)} parameters"
                click.echo(f"ledger: {more} have no column: --json shows all parameters", err=True)
            has_more = limit is not None and any(
                trials.pages(connection, study.id, after=-1 if last is None else last, state=state, limit=1)
            )
        except DBAPIError as error:
            if last is None:
                raise
            # The command must not start again after an outage of the database, because the command has already printed
            # a part of the table.
            raise LedgerError(
                f"the list is incomplete, because the database failed ({one_line(str(error.orig))}): --after {last}"
                " lists the missing trials"
            ) from None
    if last is None:
        which = "" if after is None else f" after trial {after}"
        click.echo(f"study {name} has no {state or ''} trials{which}".replace("  ", " "))
    elif has_more:
        click.echo(f"ledger: more trials follow: --after {last} lists them", err=True)


@trial.command(epilog=examples("ledger trial show svm-42-341b3e 3", "ledger trial show svm-42-341b3e 3 --json"))
@click.argument("name", type=STUDY)
@click.argument("number", type=click.IntRange(0, LARGEST_INTEGER))
@document.json_option
@settings_options
def show(name: str, number: int, as_json: bool, settings: Settings) -> None:
    """Show one trial and its attempts, with each attempt's error and last lines of output."""
    from ledger.database import annotations, reports, studies, trials
    from ledger.study.python_values import ordered_params

    with connected(settings) as connection:
        study = studies.get(connection, name)
        row = trials.get(connection, study, number)
        annotated = annotations.of_trial(connection, study.id, number)
        attempts = trials.attempts(connection, study.id, number)
        outputs = trials.outputs(connection, study.id, number)
        reported = reports.of_attempts(connection, study.id, number)
    if as_json:
        listed = [
            {
                **document.pick(attempt, *_ATTEMPT),
                "output": outputs.get(attempt.number),
                "reports": reported[attempt.number].count if attempt.number in reported else 0,
            }
            for attempt in attempts
        ]
        document.write({"study": name, **_facts(row), **annotation.facts_of(annotated), "attempt_list": listed})
        return
    facts = {
        "trial": f"{number} of study {name}, iteration {row.iteration}, round {row.round}",
        "source": row.source if row.retry_of is None else f"retried from trial {row.retry_of}",
        "state": row.state,
        "parameters": json.dumps(ordered_params(row.params, study.spec["space"])),
        "value": row.value,
        "loss": None if row.loss == row.value else row.loss,
        "pruned": None
        if row.pruned_step is None
        else f"at step {row.pruned_step}; `ledger why {name} {number}` says why",
        "metrics": None if row.metrics is None else json.dumps(row.metrics),
        "counted": f"{row.attempts} attempts, {row.failures} failures, {row.crashes} crashes, lost {row.lost} times",
        "worker": row.worker,
        "claimed": row.claimed_at,
        "lease": row.lease_until,
        "deadline": row.deadline_at,
        "finished": row.finished_at,
        "error": last_line(row.error) if row.error else None,
        **annotation.lines_of(annotated),
    }
    for label, value in facts.items():
        if value is not None:
            click.echo(f"{label:<11} {one_line(str(value), LONGEST)}")
    for attempt in attempts:
        seconds = "" if attempt.seconds is None else f" after {attempt.seconds:.2f} s"
        value = "" if attempt.value is None else f", value {attempt.value!r}"
        ended = "" if attempt.ended_at is None else f", ended {attempt.ended_at:%Y-%m-%d %H:%M:%S} UTC"
        outcome = attempt.outcome or "under way"
        worker = one_line(attempt.worker)
        click.echo(f"attempt {attempt.number}: {outcome}{seconds} by worker {worker}{value}{ended}")
        if (last := reported.get(attempt.number)) is not None:
            reports_of = "1 report" if last.count == 1 else f"{last.count} reports"
            click.echo(f"  {reports_of}, the last at step {last.step}: {_reported(last.value)}")
        for line in (attempt.error or "").strip().splitlines():
            click.echo(f"  {printable_line(line)}")
        _show_output(outputs.get(attempt.number, ""))


@trial.command(
    epilog=examples(
        "ledger trial annotate svm-42-341b3e 3 --tag odd --note 'too good'",
        "ledger trial annotate svm-42-341b3e 3 --attribute reviewed=true",
    )
)
@click.argument("name", type=STUDY)
@click.argument("number", type=click.IntRange(0, LARGEST_INTEGER))
@annotation.change_options
@settings_options
def annotate(name: str, number: int, settings: Settings, **given: Any) -> None:
    """Change the tags, the note and the user attributes of a trial.

    The command can also change the annotation of a trial that has ended, because an annotation does not affect a
    result.
    """
    from ledger.database import annotations, studies

    change = annotation.change_of(given)
    with connected(settings) as connection:
        study = studies.get(connection, name)
        word = annotations.annotate(connection, study, number, change)
        now = annotations.of_trial(connection, study.id, number)
    annotation.show(f"trial {number} of study {name}", now, word)


@trial.command(epilog=examples("ledger trial enqueue svm-42-341b3e C=1.0 gamma=0.01"))
@click.argument("name", type=STUDY)
@click.argument("values", nargs=-1, type=TEXT, metavar="[PARAMETER=VALUE]...")
@click.option(
    "--file",
    type=FileContentType(),
    metavar="FILE",
    help='File with one point per line, such as {"C":1.0,"gamma":0.01}. If the file name is -, the command reads'
    " standard input.",
)
@settings_options
def enqueue(name: str, values: tuple[str, ...], file: tuple[str, bytes] | None, settings: Settings) -> None:
    """Add trials with points that the user chooses. Workers claim enqueued trials before proposed trials.

    An example is `ledger trial enqueue NAME C=1.0 gamma=0.01`. Each point needs a value for every parameter of the
    study's space. If the last iteration has not ended, the new trials join the last iteration. If the last iteration
    has ended, the new trials form a new iteration. If the study is complete or failed, the command sets the state of
    the study to running again. Enqueued trials use no budget. If the command cannot enqueue one of the trials, the
    command enqueues no trial.
    """
    from ledger.database import studies, trials
    from ledger.study.points import read_lines, read_pairs
    from ledger.study.space import Space

    if bool(values) == (file is not None):
        raise UsageError("say which point: give PARAMETER=VALUE for every parameter, or --file for several points")
    with connected(settings) as connection:
        study = studies.get(connection, name)
        space = Space.from_json(study.spec["space"])
        points = read_pairs(space, values) if file is None else read_lines(space, *file)
        made = trials.enqueue(connection, study.id, points)
        now = studies.get(connection, name)
    for point, number in zip(points, made, strict=True):
        click.echo(f"trial {number} of study {name} is enqueued: {one_line(json.dumps(point), LONGEST)}")
    if study.has_ended and not now.has_ended:
        click.echo(f"study {name} runs again: `ledger resume {name}` continues the study")


@trial.command(epilog=examples("ledger trial retry svm-42-341b3e 3", "ledger trial retry svm-42-341b3e 3 5 8"))
@click.argument("name", type=STUDY)
@click.argument("numbers", nargs=-1, required=True, type=click.IntRange(0, LARGEST_INTEGER), metavar="NUMBER...")
@settings_options
def retry(name: str, numbers: tuple[int, ...], settings: Settings) -> None:
    """Retry failed or cancelled trials.

    A trial that has ended never changes. To retry a trial, the command creates a new trial with the same parameters. If
    the last iteration has not ended, the new trials join the last iteration. If the last iteration has ended, the new
    trials form a new iteration. If the study is complete or failed, the command sets the state of the study to running
    again. If the command cannot retry one of the trials, the command retries no trial.
    """
    from ledger.database import studies, trials

    with connected(settings) as connection:
        study = studies.get(connection, name)
        for number in numbers:
            trials.get(connection, study, number)
        made = trials.retry(connection, study.id, numbers)
        now = studies.get(connection, name)
    for number, successor in zip(numbers, made, strict=True):
        click.echo(f"trial {number} of study {name} is tried again as trial {successor}")
    if study.has_ended and not now.has_ended:
        click.echo(f"study {name} runs again: `ledger resume {name}` continues the study")


@trial.command(epilog=examples("ledger trial cancel svm-42-341b3e 4", "ledger trial cancel svm-42-341b3e 4 5"))
@click.argument("name", type=STUDY)
@click.argument("numbers", nargs=-1, required=True, type=click.IntRange(0, LARGEST_INTEGER), metavar="NUMBER...")
@settings_options
def cancel(name: str, numbers: tuple[int, ...], settings: Settings) -> None:
    """Cancel pending, running or paused trials.

    A worker stops the training of a cancelled trial at the worker's next heartbeat, and then claims another trial. If
    the command cannot cancel one of the trials, the command cancels no trial.
    """
    from ledger.database import studies, trials

    with connected(settings) as connection:
        study = studies.get(connection, name)
        for number in numbers:
            trials.get(connection, study, number)
        later = trials.cancel(connection, study.id, numbers, "cancelled by `ledger trial cancel`")
    for number in numbers:
        if number not in later:
            click.echo(f"trial {number} of study {name} is cancelled")
    outcome.warn_of_locked(name, later)


def _reported(value: float | None) -> str:
    return "not finite" if value is None else f"value {value!r}"


def _show_output(output: str) -> None:
    """Print the last lines of an attempt's output."""
    lines = output.splitlines()
    if len(lines) > OUTPUT_LINES:
        click.echo(f"  the last {OUTPUT_LINES} of {len(lines)} stored lines of output (--json shows all stored lines):")
    elif lines:
        click.echo("  output:")
    for line in lines[-OUTPUT_LINES:]:
        click.echo(f"    | {printable_line(line)}".rstrip())


def _shown_params() -> int:
    """Return the number of parameter columns in the table of `ledger trial list`."""
    if not sys.stdout.isatty():
        return MOST_PARAMS
    columns_of_terminal = shutil.get_terminal_size().columns
    return max(LEAST_PARAMS, (columns_of_terminal - _OTHER_WIDTH) // _PARAM_WIDTH)


def _cell(value: Any) -> object:
    """Return a parameter's value for a cell of the table. The function rounds a number to 4 significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return one_line(value if isinstance(value, str) else json.dumps(value), LONGEST_CELL)


def _facts(row: Any) -> dict[str, Any]:
    return document.pick(row, *columns(TrialRow))
