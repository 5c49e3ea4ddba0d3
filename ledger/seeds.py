"""Derivation of seeds from a study's seed.

A derived seed depends only on the study's seed and on the name of a purpose, such as "trial/7".
"""

import hashlib


def derive(seed: int, *words: int | str) -> int:
    """Derive a seed for one purpose from a study's seed. A purpose is, for example, the training of one trial.

    The derived seed is the first 31 bits of a SHA-256 hash. The input of the hash is a text that consists of `seed` and
    all `words`, with "/" between two parts. A program in any language, such as a query in SQL, can compute the derived
    seed.

    Parameters
    ----------
    seed : int
        The study's seed.
    *words : int or str
        The parts of the name of the purpose. For example, the parts of the name "trial/7" are "trial" and 7.

    Returns
    -------
    int
        The derived seed, in [0, 2**31). Every random number generator of this project accepts each seed in [0, 2**31).

    Examples
    --------
    >>> derive(42, "trial", 7) == derive(42, "trial", 7)
    True
    >>> derive(42, "trial", 7) == derive(42, "trial", 8)
    False
    """
    text = "/".join(str(word) for word in (seed, *words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
