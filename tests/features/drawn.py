"""Long streams drawn at random."""

import numpy as np

from tests.contract.traffic import AMOUNTS, FULL, LATENESS, PAUSES, Step


def drawn_at_random(seed: int, many: int, verbs: tuple[str, ...] = FULL) -> list[Step]:
    """Return a stream longer than those that hypothesis draws."""
    rng = np.random.default_rng(seed)
    most = (3, 3, 3, len(AMOUNTS), len(PAUSES), len(LATENESS), 1_000)
    numbers = [rng.integers(end, size=many).tolist() for end in most]
    chosen = rng.choice(verbs, size=many).tolist()
    return [Step(*each) for each in zip(chosen, *numbers, rng.integers(2, size=many) == 1, strict=True)]
