"""The command group `ledger study`, and its commands `show`, `source`, `accept`, `view`, `pause` and `cancel`."""

from collections.abc import Collection

import click

from ledger.access import connected
from ledger.cli import annotation, document, outcome
from ledger.cli.names import STUDY
from ledger.cli.options import (
    LARGEST_INTEGER,
    allow_command_option,
    allow_option,
    examples,
    settings_options,
    trainer_user_option,
)
from ledger.cli.sections import SectionedGroup
from ledger.cli.study_keeping import annotate, archive, delete, rename, unarchive
from ledger.cli.study_list import list_, progress_facts
from ledger.database.rows import CodeVersionRow, StudyRow, columns
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.text import one_line, printable

# Names of columns that the option --json prints. `_BEST` lists the columns of the best trial, and `_ITERATION` lists
# the columns of an iteration.
_BEST = ("number", "iteration", "source", "params", "value", "loss", "metrics")
_ITERATION = (
    *("number", "round", "size", "batch_size", "asked_at", "told_at", "ask_seconds", "tell_seconds"),
    *("mean_loss", "best_loss", "mean_value", "best_value"),
)
_CODE = ("number", "first_trial", "sha256", "recorded_at")


class _StudyGroup(SectionedGroup):
    """The command group `ledger study`, which imports the module of `create` only when the user calls `create`.

    The module of `create` imports pydantic, and the import of pydantic takes 0.1 s.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["create", *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "create":
            from ledger.cli.create import create

            return create
        return super().get_command(ctx, cmd_name)


@click.group(cls=_StudyGroup, epilog=examples("ledger study list", "ledger study show svm-42-341b3e"))
def study() -> None:
    """Show and control studies."""


@study.command(
    epilog=examples(
        "ledger study show svm-42-341b3e",
        "ledger study show svm-42-341b3e --iterations 1000",
        "ledger study show svm-42-341b3e --json | jq .best.params",
    )
)
@click.argument("name", type=STUDY)
@click.option(
    "--iterations",
    "shown",
    type=click.IntRange(0, LARGEST_INTEGER),
    default=100,
    show_default=True,
    metavar="N",
    help="Show the last N iterations.",
)
@document.json_option
@settings_options
def show(name: str, shown: int, as_json: bool, settings: Settings) -> None:
    """Show the progress, the last iterations and the best trial of one study.

    The command also shows each live worker that refuses the study because the worker cannot load the study's objective.

    The last lines show the best parameters as a Python dict and as TOML, so that the user can copy the parameters.
    """
    from ledger.database import annotations, codes, reads, studies, trials
    from ledger.study.python_values import ordered_params
    from ledger.terminal.paste import as_python, as_toml

    with connected(settings) as connection:
        row = studies.get(connection, name)
        best = trials.best(connection, row.id)
        iterations = studies.latest_iterations(connection, row.id, shown)
        refusals = reads.refusals(connection, name)
        versions = codes.versions_of(connection, row.id)
        if as_json:
            document.write(
                {
                    **progress_facts(reads.progress(connection, name)[0]),
                    "finished_at": row.finished_at,
                    **annotation.facts_of(annotations.of_study(connection, row.id)),
                    "best": None if best is None else document.pick(best, *_BEST),
                    "iteration_list": [document.pick(iteration, *_ITERATION) for iteration in iterations],
                    "refusals": [document.pick(each, "worker", "reason", "refused_at") for each in refusals],
                    "code_versions": [document.pick(each, *_CODE) for each in versions],
                    "spec": row.spec,
                    "versions": row.versions,
                }
            )
            return
        outcome.show(connection, row)
        # In steady mode, most iterations contain only a few trials, so `ledger study show` does not list the
        # iterations.
        is_listed = not row.is_steady and bool(iterations)
        if is_listed and (earlier := iterations[0].number):
            click.echo(
                f"iterations 0 to {earlier - 1} are not shown: --iterations {earlier + shown} shows all iterations"
            )
        for iteration in iterations if is_listed else ():
            if iteration.told_at is None:
                told = "waiting for its trials"
            elif iteration.mean_value is None:
                told = "none completed"
            else:
                told = f"mean value {iteration.mean_value:.6f}, best {iteration.best_value:.6f}"
            click.echo(f"iteration {iteration.number}: {iteration.size} trials, {told}")
    for each in refusals:
        click.echo(f"worker {one_line(each.worker)} refuses the study: {one_line(each.reason, 1_000)}")
    if best is not None:
        params = ordered_params(best.params, row.spec["space"])
        click.echo(f"\nbest parameters as a Python dict:\n{as_python(params)}")
        click.echo(f"\nbest parameters as TOML:\n{as_toml(params)}")


@study.command(
    epilog=examples(
        "ledger study source valley-42-341b3e",
        "ledger study source valley-42-341b3e --number 0 > old.py",
    )
)
@click.argument("name", type=STUDY)
@click.option(
    "--number",
    type=click.IntRange(0, LARGEST_INTEGER),
    metavar="N",
    help="Number of the code's version. The first version has the number 0. Default: the last version.",
)
@document.json_option
@settings_options
def source(name: str, number: int | None, as_json: bool, settings: Settings) -> None:
    """Print the recorded source of a study's own objective.

    The first lines are comments. The comments name the version of the code, the git commit and the versions of the
    packages. The comments also name the functions and values whose changes the ledger notices.
    """
    from ledger.database import codes, studies
    from ledger.objectives.fingerprint import commit_text, not_watched, parts_from_json, watched
    from ledger.objectives.loading import runs_users_code
    from ledger.objectives.objective_code import title_of

    with connected(settings) as connection:
        row = studies.get(connection, name)
        versions = codes.versions_of(connection, row.id)
        chosen = [each for each in versions if each.number == number] if number is not None else versions[-1:]
        texts = codes.texts_of(connection, chosen[0].sources.values()) if chosen else {}
    if not chosen:
        raise LedgerError(_no_source(row, number, len(versions)))
    (version,) = chosen
    if as_json:
        facts = {each: getattr(version, each) for each in columns(CodeVersionRow)}
        document.write({"study": name, **facts, "texts": {file: texts.get(of) for file, of in version.sources.items()}})
        return
    parts = parts_from_json(version.parts)
    lines = [
        *([title_of(row.spec["objective"])] if runs_users_code(row.spec["objective"]) else []),
        f"study {name}, version {version.number} of the code, from trial {version.first_trial} on,"
        f" recorded {version.recorded_at:%Y-%m-%d %H:%M} UTC",
        f"SHA-256 {version.sha256}",
    ]
    if version.git_commit is not None:
        lines.append(commit_text(version.git_commit, version.git_clean))
    if version.versions:
        lines.append("packages: " + ", ".join(f"{package} {found}" for package, found in version.versions.items()))
    lines.append(f"watched: {watched(parts)}")
    if unwatched := not_watched(parts):
        lines.append(f"not watched: {unwatched}")
    for line in lines:
        click.echo(f"# {one_line(line, 5_000)}")
    for file, sha256 in version.sources.items():
        click.echo(f"\n# {one_line(file)}, SHA-256 {one_line(sha256)}")
        text = texts.get(sha256)
        click.echo("# the ledger has no text" if text is None else printable(text.expandtabs()).rstrip("\n"))


@study.command(epilog=examples("ledger study accept valley-42-341b3e --allow my_package"))
@click.argument("name", type=STUDY)
@trainer_user_option
@allow_option
@allow_command_option
@settings_options
def accept(
    name: str,
    trainer_user: str | None,
    allow: Collection[str],
    allow_command: Collection[str],
    settings: Settings,
) -> None:
    """Accept the code of your own objective on this machine as the new code of a study.

    The accepted code applies to all trials that workers claim from now on. If a worker's module differs from the
    accepted code, the worker releases its trials. `ledger run --accept-change` accepts the code and continues the
    study.
    """
    from ledger import search
    from ledger.database import codes, studies
    from ledger.worker.system_user import find_system_user

    account = None if trainer_user is None else find_system_user(trainer_user)
    with connected(settings) as connection:
        changed = search.accept_code(connection, name, allow, allow_command, account)
        version = codes.versions_of(connection, studies.get(connection, name).id)[-1]
    if changed:
        click.echo(f"study {name}: the new code is valid from trial {version.first_trial} ({'; '.join(changed)})")
    else:
        click.echo(f"study {name}: the code on this machine is the recorded code")


def _no_source(row: StudyRow, number: int | None, versions: int) -> str:
    from ledger.objectives.loading import runs_users_code

    if number is not None and versions:
        return f"study {row.name} has no version {number} of its code: give --number 0 to {versions - 1}"
    if runs_users_code(row.spec["objective"]):
        return f"the ledger has no code of study {row.name} yet: the first worker of the study records the code"
    return (
        f"study {row.name} trains a built-in model, so the ledger has no source text of your own code: `ledger study"
        f" show {row.name} --json` prints the versions of the packages"
    )


@study.command(epilog=examples("ledger study view svm-42-341b3e"))
@click.argument("name", type=STUDY)
@settings_options
def view(name: str, settings: Settings) -> None:
    """Create a database view of one study's trials, with a column for each parameter and each metric.

    If trials report new metrics, run the command again to add columns for these metrics. `ledger db upgrade` keeps the
    view, and `ledger study delete` drops the view of the deleted study.
    """
    from ledger.database import studies

    with connected(settings) as connection:
        made = studies.flatten(connection, studies.get(connection, name))
    metrics = [column for column in made.columns if column.source == "metrics"]
    click.echo(
        f'view ledger."{made.name}" has columns for {len(made.columns) - len(metrics)} parameters and {len(metrics)}'
        f" metrics: `ledger db psql -c 'table ledger.\"{made.name}\"'`"
    )
    if made.omitted:
        omitted = len(made.omitted)
        click.echo(
            f"ledger: {omitted} metrics have no column, because the view has the maximum number of columns: read the"
            " view ledger.trials",
            err=True,
        )


@study.command(epilog=examples("ledger study pause svm-42-341b3e"))
@click.argument("name", type=STUDY)
@settings_options
def pause(name: str, settings: Settings) -> None:
    """Pause a study. Workers claim no more trials of the study, and running trials continue to their end."""
    from ledger.database import studies

    with connected(settings) as connection:
        row = studies.get(connection, name)
        state = studies.pause(connection, row.id)
        if state != "paused":
            raise LedgerError(f"study {name} is {state}, so the command cannot pause the study")
    click.echo(f"study {name} is paused: `ledger resume {name}` continues the study")


@study.command(epilog=examples("ledger study cancel svm-42-341b3e"))
@click.argument("name", type=STUDY)
@settings_options
def cancel(name: str, settings: Settings) -> None:
    """Cancel a study, and keep its results. A cancelled study cannot continue."""
    from ledger.database import studies

    with connected(settings) as connection:
        row = studies.get(connection, name)
        if row.has_ended:
            raise LedgerError(f"study {name} is already {row.state}, so the command cannot cancel the study")
        later = studies.cancel(connection, row.id, "cancelled by `ledger study cancel`")
    click.echo(f"study {name} is cancelled")
    outcome.warn_of_locked(name, later)


for command in (list_, annotate, rename, archive, unarchive, delete):
    study.add_command(command)
