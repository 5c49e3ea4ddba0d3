"""Example of an own objective, which is a function that computes a loss from parameters."""


def rosenbrock(params):
    """Return the value of Rosenbrock's function. The minimum of this function is 0 at (1, 1)."""
    x, y = params["x"], params["y"]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2
