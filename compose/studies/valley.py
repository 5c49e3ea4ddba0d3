"""Example of an own objective: a function from parameters to a loss."""


def rosenbrock(params):
    """Return the value of Rosenbrock's function. Its minimum is 0 at (1, 1)."""
    x, y = params["x"], params["y"]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2
