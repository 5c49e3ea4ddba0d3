"""A mapping from the name of each plot to the function that returns the plot. The names have the order of the plots on
the page."""

from collections.abc import Callable, Mapping

from ledger.report.contour_plots import contour
from ledger.report.curve_plots import curves
from ledger.report.section import ReportSection
from ledger.report.surrogate_plots import dependence, importance
from ledger.report.trial_plots import convergence, parallel, parameters
from ledger.report.worker_plots import timeline

PLOTS: Mapping[str, Callable[..., ReportSection]] = {
    plot.__name__: plot
    for plot in (convergence, curves, parallel, parameters, dependence, contour, importance, timeline)
}
