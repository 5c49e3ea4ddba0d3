"""Seeds derived from a study's seed and the name of their purpose, so that they depend on nothing else."""

import hashlib


def derive(seed: int, *words: int | str) -> int:
    """Derive an independent seed for the purpose that `words` name.

    It is the first 31 bits of the SHA-256 of `seed` and the words, joined by "/". Any language can compute it, SQL too.

    Parameters
    ----------
    seed : int
        The study's seed.
    *words : int or str
        The purpose, as in ``derive(42, "trial", 7)`` or ``derive(42, "iteration", 3, 0)``.

    Returns
    -------
    int
        In [0, 2**31), which every random generator used here accepts.

    Examples
    --------
    >>> derive(42, "trial", 7) == derive(42, "trial", 7)
    True
    >>> derive(42, "trial", 7) == derive(42, "trial", 8)
    False
    """
    text = "/".join(str(word) for word in (seed, *words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
