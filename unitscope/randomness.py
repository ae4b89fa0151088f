"""Random numbers that belong to a name, never to the order of work.

Equal names give equal numbers on every machine, in every batch and shard.
"""

import hashlib

import numpy as np


def generator(*name: str | int) -> np.random.Generator:
    """Return the random generator of a name, such as (seed, layer, unit)."""
    digest = hashlib.sha256("/".join(map(repr, name)).encode()).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(digest[:16], "little")))
