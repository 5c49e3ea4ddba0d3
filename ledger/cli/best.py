"""The command `best`, which prints the best parameters of a study."""

from typing import Literal

import click

from ledger.access import connected
from ledger.cli import document
from ledger.cli.names import STUDY
from ledger.cli.options import examples, settings_options
from ledger.cli.sections import SectionedCommand
from ledger.errors import LedgerError, UsageError
from ledger.settings import Settings


@click.command(
    cls=SectionedCommand,
    epilog=examples(
        "ledger best svm-42-341b3e",
        "ledger best svm-42-341b3e --as toml > best.toml",
        "ledger best svm-42-341b3e --as code > best_model.py",
        "ledger best svm-42-341b3e --json | jq .params",
    ),
)
@click.argument("name", type=STUDY)
@click.option(
    "--as",
    "form",
    type=click.Choice(["python", "toml", "code"]),
    default="python",
    show_default=True,
    help="Print the parameters as a Python dict or as TOML. With --as code, print a Python program. The program"
    " trains the model or the estimator with the best parameters on all the data of the study.",
)
@document.json_option
@settings_options
def best(name: str, form: Literal["python", "toml", "code"], as_json: bool, settings: Settings) -> None:
    """Print a study's best parameters as a dict, as TOML or as a Python program.

    The first line is a comment with the value and the number of the trial. The values are exact.
    """
    from ledger.database import studies, trials
    from ledger.study.python_values import ordered_params
    from ledger.terminal.paste import as_python, as_toml

    if as_json and form == "code":
        raise UsageError("--json prints the parameters: leave --as code out")
    contents = []
    with connected(settings) as connection:
        study = studies.get(connection, name)
        trial = trials.best(connection, study.id)
        if form == "code":
            from ledger.refitting import stored_contents, training_form

            training_form(name, study.spec["objective"], "--as code")
            contents = stored_contents(connection, study.spec["objective"])
    if trial is None:
        raise LedgerError(f"study {name} has no complete trial yet: `ledger status {name}` shows the progress")
    params = ordered_params(trial.params, study.spec["space"])
    if as_json:
        document.write({"study": name, "trial": trial.number, "value": trial.value, "params": params})
        return
    if form == "code":
        from ledger.best_code import best_code

        click.echo(best_code(name, study.spec, trial.number, trial.result, params, contents))
        return
    click.echo(f"# study {name}, trial {trial.number}, value {trial.value!r}")
    click.echo(as_python(params) if form == "python" else as_toml(params))
