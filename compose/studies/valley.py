"""An objective of one's own: any function from parameters to a loss."""


def rosenbrock(params):
    """Return the height of Rosenbrock's valley; its lowest point is 0, at (1, 1)."""
    x, y = params["x"], params["y"]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2
