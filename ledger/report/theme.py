"""Colours and layout of plots, for a light and a dark HTML page. Colour-blind readers can distinguish the colours."""

from typing import Any

# The colours come from Okabe and Ito 2008, *Color universal design*. Each colour has enough contrast with a white page
# and also with a nearly black page.
BLUE, SKY, GREEN = "#0072B2", "#56B4E9", "#009E73"
# A plot with only one colour uses AZURE, which has the best contrast with both a white page and a nearly black page.
AZURE = "#2F8FD0"
ORANGE, VERMILLION, PURPLE, GREY = "#E69F00", "#D55E00", "#CC79A7", "#8A8F98"
# The palette of Okabe and Ito has too few suitable colours for the outcomes of an attempt, so this module adds BROWN,
# OLIVE and INDIGO.
BROWN = "#B5651D"
OLIVE = "#8C7A00"
INDIGO = "#7A73D1"

OUTCOMES = {
    "complete": GREEN,
    "paused": INDIGO,
    "pruned": OLIVE,
    "failed": VERMILLION,
    "crashed": BROWN,
    "timeout": ORANGE,
    "lost": PURPLE,
    "stale": BLUE,
    "released": SKY,
    "running": GREY,
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# Each colour scale is a part of the colour map Cividis. Each colour scale leaves out the colours of Cividis that have
# too little contrast with the page. The colour of the lowest loss has the most contrast with the page.
_LIGHT_SCALE = [[0.0, "#D9C04A"], [0.5, "#7C7B78"], [1.0, "#00224E"]]
_DARK_SCALE = [[0.0, "#4A6A9A"], [0.5, "#A5A07F"], [1.0, "#FFE945"]]


def template(scheme: str) -> dict[str, Any]:
    """Return a Plotly template. The template is the part of a figure's layout that is independent of the data.

    Parameters
    ----------
    scheme : str
        "light" or "dark".
    """
    dark = scheme == "dark"
    text, grid, background = ("#d5d8de", "#343943", "#23272f") if dark else ("#30343b", "#e3e6ea", "#ffffff")
    axis = {
        "gridcolor": grid,
        "zerolinecolor": grid,
        "linecolor": grid,
        "automargin": True,
        "ticklabelstandoff": 4,
        "exponentformat": "power",
        "minexponent": 5,
        "title": {"standoff": 10},
    }
    return {
        "layout": {
            "font": {"family": FONT, "size": 13, "color": text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {"bgcolor": background, "bordercolor": grid, "font": {"color": text}, "align": "left"},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
            "margin": {"l": 10, "r": 10, "t": 34, "b": 10},
            "coloraxis": {
                "colorscale": _DARK_SCALE if dark else _LIGHT_SCALE,
                "colorbar": {"thickness": 12, "outlinewidth": 0, "exponentformat": "power"},
            },
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#8A8F98", "activecolor": text},
        }
    }
