"""The command `compare`, which compares studies of one objective."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledger.access import connected
from ledger.cli import document, table
from ledger.cli.names import STUDY
from ledger.cli.options import examples, settings_options
from ledger.cli.sections import SectionedCommand
from ledger.settings import Settings

if TYPE_CHECKING:
    from ledger.report.comparison import StudyGroup


@click.command(
    cls=SectionedCommand,
    epilog=examples(
        "ledger compare svm-42-341b3e svm-42-9c2d71",
        "ledger compare svm-42-341b3e svm-42-9c2d71 --output comparison.html",
        "ledger compare svm-42-341b3e svm-42-9c2d71 --json | jq .groups",
    ),
)
@click.argument("names", nargs=-1, required=True, type=STUDY, metavar="NAME...")
@click.option(
    "--set-apart",
    is_flag=True,
    help="Show studies with different objectives, datasets, metrics or directions in separate groups. Without this"
    " option, the command refuses to compare studies with different objectives, datasets, metrics or directions.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Also write the comparison with its plots as an HTML page. The file appears only when it is complete.",
)
@document.json_option
@settings_options
def compare(names: tuple[str, ...], set_apart: bool, output: Path | None, as_json: bool, settings: Settings) -> None:
    """Compare the progress, the best parameters and the settings of studies with the same objective.

    The command compares at most 12 studies with the same objective, dataset, metric and direction. One table shows the
    best value of each study, and when the study reached this value. The times are in seconds after the creation of the
    study. The other tables show the parameters of each best trial, and the settings that differ. The studies may be
    running.
    """
    from ledger.comparison import check_names, read_comparison
    from ledger.export.files import check_folder

    check_names(names)
    if output is not None:
        check_folder(output.parent)
    with connected(settings) as connection:
        comparison = read_comparison(connection, names, set_apart=set_apart)
    if output is not None:
        comparison.write_html(output)
    if as_json:
        document.write({"at": comparison.at, "groups": [_document(group) for group in comparison.groups]})
        return
    for index, group in enumerate(comparison.groups):
        if index:
            click.echo()
        _print(group)


def _print(group: "StudyGroup") -> None:
    from ledger.report.comparison_tables import STUDY_COLUMNS, param_rows, setting_rows, study_rows

    click.echo(group.title)
    table.show(STUDY_COLUMNS, study_rows(group))
    names = [study.name for study in group.studies]
    for title, rows in (("parameter of the best", param_rows(group)), ("setting that differs", setting_rows(group))):
        if rows:
            click.echo()
            table.show([title, *names], [[name, *values] for name, values in rows.items()])


def _document(group: "StudyGroup") -> dict[str, Any]:
    studies = []
    for study in group.studies:
        values = asdict(study)
        values["study"] = values.pop("name")
        values["params"] = values.pop("best_params")
        values["by_trial"] = [{"trial": trial, "value": value} for trial, value in study.by_trial]
        values["by_time"] = [{"seconds": seconds, "value": value} for seconds, value in study.by_time]
        studies.append(values)
    return {
        **document.pick(group, "objective", "dataset", "metric", "direction"),
        "studies": studies,
        "differences": [{"setting": name, "values": values} for name, values in group.differences.items()],
    }
