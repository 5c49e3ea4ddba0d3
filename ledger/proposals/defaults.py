"""The defaults of a search space, which a study tries before all other proposed points."""

from itertools import chain
from typing import Any

from ledger.proposals.observations import ProposalInput
from ledger.study.space import Space


def untried_defaults(space: Space, given: ProposalInput) -> dict[str, Any]:
    """Return the defaults that the first point of the next proposal takes.

    A study tries its defaults once. Therefore the result is empty if a known trial already has all defaults. A user may
    have enqueued or imported the known trial. The result is also empty if the space has no defaults.

    Parameters
    ----------
    space : Space
    given : ProposalInput
        The input of the proposal.

    Returns
    -------
    dict
        A dict from the name of each parameter with a default to the default.

    Examples
    --------
    >>> space = Space.from_toml({"n": {"type": "integer", "low": 1, "high": 8, "default": 4}, "k": ["a", "b"]})
    >>> untried_defaults(space, ProposalInput())
    {'n': 4}
    >>> untried_defaults(space, ProposalInput(in_flight=[{"n": 4, "k": "b"}]))
    {}
    """
    defaults = [(dimension, dimension.default) for dimension in space.dimensions if dimension.default is not None]
    known = chain((each.params for each in given.observations), given.in_flight, given.excluded)
    if any(
        all(dimension.normalise(params[dimension.name]) == default.value for dimension, default in defaults)
        for params in known
    ):
        return {}
    return space.defaults
