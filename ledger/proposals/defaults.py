"""The defaults of a search space, which a study tries before all other proposed points."""

from typing import Any

import numpy as np

from ledger.proposals.encoding import EncodedInput, PointEncoder, encoded
from ledger.proposals.observations import ProposalInput
from ledger.study.space import Space


def untried_defaults(space: Space, given: ProposalInput | EncodedInput) -> dict[str, Any]:
    """Return the defaults that the first point of the next proposal takes.

    A study tries its defaults once. Therefore the result is empty if a known trial already has all defaults. A user may
    have enqueued or imported the known trial. The result is also empty if the space has no defaults.

    Parameters
    ----------
    space : Space
    given : ProposalInput or EncodedInput
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
    encoder = PointEncoder(space)
    defaults = [
        (place, searched.to_skopt(dimension.default.value))
        for place, (dimension, searched) in enumerate(zip(encoder.dimensions, encoder.converter.varying, strict=True))
        if dimension.default is not None
    ]
    if not defaults:
        return {}
    known = given if isinstance(given, EncodedInput) else encoded(encoder, given)
    has_defaults = np.logical_and.reduce([known.table[:, place] == value for place, value in defaults])
    is_tried = any(has_defaults[used].any() for used in (known.observed, known.excluded, known.in_flight))
    return {} if is_tried else space.defaults
