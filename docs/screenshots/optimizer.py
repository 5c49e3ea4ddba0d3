"""Pictures docs/images/optimizer-*.svg: the surrogate, the transform of losses with a long tail, and a batch."""

from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from ledger.optimizer import Optimizer
from ledger.optimizer.acquisition import utility
from ledger.optimizer.gaussian_process import standardise
from ledger.proposals.loss_transform import YeoJohnson
from ledger.proposals.losses import scaled_losses

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#1f77b4", "#d9730d", "#777777"
GRID = np.linspace(0.0, 1.0, 401)

Array = NDArray[np.float64]


def bumpy(x: Array) -> Array:
    return np.asarray(np.cos(11 * x) + x - 0.5)


def steep(x: Array) -> Array:
    return np.asarray(np.exp(8 * (x - 0.35) ** 2 + 4 * x))


def told(x: Array, losses: Array) -> Optimizer:
    optimizer = Optimizer([(0.0, 1.0)], n_initial_points=1, acq_func="EI", random_state=1)
    optimizer.tell([[float(each)] for each in x], [float(loss) for loss in losses])
    return optimizer


def predicted(optimizer: Optimizer) -> tuple[Array, Array]:
    mean, deviation = optimizer.models[-1].predict(GRID[:, None], return_std=True)
    return mean, deviation


def improvement(mean: Array, deviation: Array, losses: Array) -> Array:
    """Return the expected improvement on the lowest loss at the points of the grid."""
    standardised, centre, scale = standardise(losses)
    best = float(standardised.min())
    found = utility("EI", (mean - centre) / scale, deviation / scale, best, xi=0.0, kappa=0.0)
    return np.asarray(scale * np.exp(found.value))


def band(figure: Any, low: Array, high: Array, row: int, column: int) -> None:
    line = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    figure.add_trace(go.Scatter(x=GRID, y=high, **line), row=row, col=column)
    filled = {"fill": "tonexty", "fillcolor": "rgba(31, 119, 180, 0.2)"}
    figure.add_trace(go.Scatter(x=GRID, y=low, **line, **filled), row=row, col=column)


def curve(figure: Any, y: Array, row: int, column: int, color: str = BLUE, dash: str = "solid") -> None:
    line = {"color": color, "dash": dash, "width": 2}
    figure.add_trace(go.Scatter(x=GRID, y=y, mode="lines", line=line, showlegend=False), row=row, col=column)


def dots(figure: Any, x: Array, y: Array, row: int, column: int, color: str = "black", symbol: str = "circle") -> None:
    marker = {"color": color, "symbol": symbol, "size": 9}
    figure.add_trace(go.Scatter(x=x, y=y, mode="markers", marker=marker, showlegend=False), row=row, col=column)


def write(figure: Any, name: str, height: int) -> None:
    figure.update_layout(template="plotly_white", width=760, height=height, margin={"l": 60, "r": 20, "t": 40, "b": 50})
    figure.write_image(IMAGES / f"optimizer-{name}.svg")


def surrogate() -> None:
    x = np.array([0.05, 0.2, 0.42, 0.58, 0.72, 0.95])
    optimizer = told(x, bumpy(x))
    mean, deviation = predicted(optimizer)
    value = improvement(mean, deviation, bumpy(x))
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.08)
    band(figure, mean - 2 * deviation, mean + 2 * deviation, 1, 1)
    curve(figure, bumpy(GRID), 1, 1, GREY, "dot")
    curve(figure, mean, 1, 1)
    dots(figure, x, bumpy(x), 1, 1)
    curve(figure, value, 2, 1, ORANGE)
    best = int(value.argmax())
    dots(figure, GRID[[best]], value[[best]], 2, 1, ORANGE, "diamond")
    figure.update_yaxes(title_text="loss", row=1)
    figure.update_yaxes(title_text="expected improvement", row=2)
    figure.update_xaxes(title_text="parameter", row=2)
    write(figure, "surrogate", 480)


def transform() -> None:
    x = np.array([0.02, 0.15, 0.33, 0.5, 0.6, 0.7, 0.85, 0.98])
    losses = steep(x)
    plain = told(x, losses)
    scaled = scaled_losses(losses)
    transformed = YeoJohnson(scaled)
    other = told(x, transformed.transform(scaled))
    low, span = losses.min(), losses.max() - losses.min()

    def in_losses(values: Array) -> Array:
        return np.asarray(low + span * transformed.inverse(values))

    figure = make_subplots(rows=1, cols=2, subplot_titles=["without the transform", "with the transform"])
    mean, deviation = predicted(plain)
    band(figure, mean - 2 * deviation, mean + 2 * deviation, 1, 1)
    curve(figure, mean, 1, 1)
    mean, deviation = predicted(other)
    band(figure, in_losses(mean - 2 * deviation), in_losses(mean + 2 * deviation), 1, 2)
    curve(figure, in_losses(mean), 1, 2)
    for column in (1, 2):
        curve(figure, steep(GRID), 1, column, GREY, "dot")
        dots(figure, x, losses, 1, column)
    figure.update_xaxes(title_text="parameter")
    figure.update_yaxes(range=[-15, 40])
    figure.update_yaxes(title_text="loss", col=1)
    write(figure, "transform", 340)


def batch() -> None:
    x = np.array([0.05, 0.2, 0.42, 0.58, 0.72, 0.95])
    losses = bumpy(x)
    posterior = told(x, losses).models[-1].posterior_
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for row in (1, 2, 3):
        mean, deviation = posterior.predict(GRID[:, None])
        value = improvement(mean, deviation, losses)
        curve(figure, value, row, 1, ORANGE)
        best = int(value.argmax())
        dots(figure, GRID[[best]], value[[best]], row, 1, ORANGE, "diamond")
        figure.update_yaxes(title_text=f"point {row}", row=row)
        posterior = posterior.extended(GRID[[best]], mean[best])
        losses = np.append(losses, mean[best])
    figure.update_xaxes(title_text="parameter", row=3)
    write(figure, "batch", 420)


if __name__ == "__main__":
    surrogate()
    transform()
    batch()
