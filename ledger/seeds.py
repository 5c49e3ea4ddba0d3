"""Seeds that are functions of what they belong to, never of who asks or when."""

import hashlib


def derive(seed: int, *words: int | str) -> int:
    """Derive an independent seed from `seed` for the thing that `words` name.

    The first 31 bits of the SHA-256 of the words joined by "/", so that any language, and SQL, can compute it.

    Parameters
    ----------
    seed : int
        The study's seed.
    *words : int or str
        What the seed is for, as in ``derive(42, "trial", 7)`` or ``derive(42, "iteration", 3, 0)``.

    Returns
    -------
    int
        In [0, 2**31), which every random generator used here accepts.
    """
    text = "/".join(str(word) for word in (seed, *words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
