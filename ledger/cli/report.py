"""The command `report`, which writes a study as an HTML page of plots, or one plot as a PNG image."""

from pathlib import Path

import click

from ledger.access import connected
from ledger.cli.names import STUDY
from ledger.cli.options import examples, settings_options
from ledger.cli.sections import SectionedCommand
from ledger.errors import UsageError
from ledger.settings import Settings
from ledger.text import one_line

# Names of the plots. The keys of the dict `ledger.report.plots.PLOTS` are the names in `NAMES`. An import of `PLOTS`
# would be slow, and would delay the help text of the command `report`.
NAMES = ("convergence", "curves", "parallel", "parameters", "dependence", "contour", "importance", "timeline")


@click.command(
    cls=SectionedCommand,
    epilog=examples(
        "ledger report svm-42-341b3e --output report.html",
        "ledger report svm-42-341b3e --format png --plot convergence --output x.png",
    ),
)
@click.argument("name", type=STUDY)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="File to write. The file appears only when it is complete.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["html", "png"]),
    default="html",
    show_default=True,
    help="--format html writes a page of all plots. --format png writes an image of one plot. To write an"
    " image, the command needs Chromium or Chrome, and the package trial-ledger[png].",
)
@click.option("--plot", type=click.Choice(NAMES), help="The plot to write with --format png.")
@settings_options
def report(name: str, output: Path, format_: str, plot: str | None, settings: Settings) -> None:
    """Write a study's plots and trials as one HTML page that works without a network.

    The first plot on the page shows the value of each trial. Another plot on the page shows all trials in parallel
    coordinates. For each parameter, a plot shows the values of the trials against the parameter. One section of the
    page shows how the surrogate's estimate of the value depends on each parameter, and on pairs of numeric parameters.
    Another section of the page shows the estimated importance of each parameter. A timeline shows the attempts of the
    workers, and a table lists the trials. The report also contains the best parameters and the study's specification.
    The study may be running.
    """
    from ledger.database import overview, studies
    from ledger.export.files import check_folder, whole_file

    if (format_ == "png") != (plot is not None):
        raise UsageError(
            "--format png and --plot belong together: use both options for an image of one plot, or neither for a page"
            " of all plots"
        )
    check_folder(output.parent)
    if format_ == "png":
        _check_installed()
    with connected(settings) as connection:
        ledger = overview.read(connection, studies.get(connection, name))
    if plot is None:
        from ledger.report.page import render

        page = render(ledger)
        with whole_file(output) as file:
            file.write(page)
        click.echo(f"report written to {one_line(str(output))}", err=True)
        return
    from ledger.report.content import ReportContent
    from ledger.report.image import png
    from ledger.report.plots import PLOTS

    image = png(PLOTS[plot](ReportContent(ledger)))
    with whole_file(output, binary=True) as file:
        file.write(image)
    click.echo(f"plot written to {one_line(str(output))}", err=True)


def _check_installed() -> None:
    from importlib.util import find_spec

    if find_spec("kaleido") is None:
        raise UsageError("--format png needs kaleido, which is not installed: pip install 'trial-ledger[png]'")
