"""Plots of a study, for Python programs. The command ``ledger report`` draws the same plots."""

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ledger.access import connected
from ledger.database import overview, studies
from ledger.errors import LedgerError, UsageError
from ledger.settings import Settings
from ledger.text import nearest

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from ledger.report.content import ReportContent
    from ledger.report.section import ReportSection


class ResultPlots:
    """An object whose methods return the plots of a study as Plotly figures.

    The command ``ledger report`` draws the same figures. The first call of a plot method reads the study from the
    ledger. Later calls of plot methods use the same data. If the study has more than 2,000 trials, the plots show a
    selection of the trials.

    Parameters
    ----------
    study : str
        The name of the study.
    settings : Settings
        The settings that contain the location of the ledger.

    Raises
    ------
    LedgerError
        A method raises a LedgerError if the method cannot draw its plot. For example, a method cannot draw its plot if
        no trial is complete, if the study has no surrogate yet, or if the package plotly is not installed.

    Examples
    --------
    >>> import ledger
    >>> plot = ledger.load_study("parabola").plot
    >>> figure = plot.convergence()
    >>> [trace.name for trace in figure.data][:2]
    ['value of a trial', 'best so far']
    """

    def __init__(self, study: str, settings: Settings) -> None:
        self._study, self._settings = study, settings

    def convergence(self) -> "go.Figure":
        """Return a figure of each trial's value, the best value so far, and the mean value of each iteration.

        Returns
        -------
        plotly.graph_objects.Figure

        Examples
        --------
        >>> import ledger
        >>> ledger.load_study("parabola").plot.convergence().layout.title.text
        'Convergence'
        """
        return self._figure("convergence")

    def curves(self) -> "go.Figure":
        """Return a figure of the learning curves, which are the values that trials reported during their training.

        Returns
        -------
        plotly.graph_objects.Figure

        Examples
        --------
        >>> import ledger
        >>> ledger.load_study("parabola").plot.curves()
        Traceback (most recent call last):
        ledger.errors.LedgerError: ... The objective has reported no values during the training.
        """
        return self._figure("curves")

    def slice(self, *parameters: str) -> "go.Figure":
        """Return a figure with one plot for each parameter. Each plot shows the value of each trial against the value
        of one parameter.

        Parameters
        ----------
        *parameters : str
            The names of the parameters to show. By default, the figure shows all parameters.

        Returns
        -------
        plotly.graph_objects.Figure

        Raises
        ------
        UsageError
            One of the names is not the name of a parameter of the study.

        Examples
        --------
        >>> import ledger
        >>> ledger.load_study("parabola").plot.slice("x").layout.xaxis.title.text
        'x'
        """
        section = self._section("parameters")
        names = self._content.study.space.names
        for name in parameters:
            if name not in names:
                raise UsageError(f"slice: study {self._study} has no parameter {name!r}{nearest(name, names)}")
        if parameters and section.plots:
            section = replace(section, plots=[section.plots[names.index(name)] for name in parameters])
        return _drawn(section)

    def contour(self, first: str | None = None, second: str | None = None) -> "go.Figure":
        """Return a contour plot of the value that the surrogate expects. The axes of the plot are two numeric
        parameters.

        At each point, the plot shows the expected value, averaged over all other parameters.

        Parameters
        ----------
        first, second : str, optional
            The names of two numeric parameters. By default, the figure shows each pair of the three most important
            numeric parameters.

        Returns
        -------
        plotly.graph_objects.Figure

        Raises
        ------
        UsageError
            The caller names only one parameter, or the same parameter twice. A UsageError also occurs if the study has
            no numeric parameter with one of the names.

        Examples
        --------
        >>> import ledger
        >>> ledger.load_study("parabola").plot.contour()
        Traceback (most recent call last):
        ledger.errors.LedgerError: ... A contour plot needs two numeric parameters, but the space has 1 ...
        """
        if (first is None) != (second is None):
            raise UsageError("contour needs two parameters, but only one is given: give both parameters, or none")
        return self._figure("contour", () if first is None else (first, second))

    def parallel(self) -> "go.Figure":
        """Return a parallel-coordinates plot of the complete trials. The plot has one axis for each parameter, and one
        axis for the trial's value.

        Returns
        -------
        plotly.graph_objects.Figure

        Examples
        --------
        >>> import ledger
        >>> len(ledger.load_study("parabola").plot.parallel().data[0].dimensions)
        2
        """
        return self._figure("parallel")

    def importance(self) -> "go.Figure":
        """Return a bar chart of the importance of each parameter.

        The importance of a parameter is the parameter's share in the variance of the surrogate's predicted value.

        Returns
        -------
        plotly.graph_objects.Figure

        Examples
        --------
        >>> import ledger
        >>> list(ledger.load_study("parabola").plot.importance().layout.yaxis.ticktext)
        ['x']
        """
        return self._figure("importance")

    def timeline(self) -> "go.Figure":
        """Return a timeline of the workers. Each worker has a row, and each attempt is a bar in the row of its worker.

        Returns
        -------
        plotly.graph_objects.Figure

        Examples
        --------
        >>> import ledger
        >>> ledger.load_study("parabola").plot.timeline().data[0].name
        'complete'
        """
        return self._figure("timeline")

    def __repr__(self) -> str:
        return f"<plots of study {self._study}: convergence, curves, slice, contour, parallel, importance, timeline>"

    @cached_property
    def _content(self) -> "ReportContent":
        from ledger.report.content import ReportContent

        with connected(self._settings) as connection:
            return ReportContent(overview.read(connection, studies.get(connection, self._study)))

    def _figure(self, name: str, *arguments: Any) -> "go.Figure":
        return _drawn(self._section(name, *arguments))

    def _section(self, name: str, *arguments: Any) -> "ReportSection":
        try:
            import plotly  # noqa: F401
        except ImportError:
            raise LedgerError("a plot needs plotly, which is not installed: pip install plotly") from None
        from ledger.report.plots import PLOTS

        section: ReportSection = PLOTS[name](self._content, *arguments)
        return section


def _drawn(section: "ReportSection") -> "go.Figure":
    from ledger.report.combined import combined

    figure, (_, height) = combined(section)
    return figure.update_layout(height=height)
