"""How sure a dimension's value is: percentile bootstrap over prompts (Efron 1979).

Films of one prompt resemble each other, so prompts are drawn, with all their films, and not films: 93 prompts of five
samples each are 93 draws and not 465.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from manzar.score.dimension import Measured, Unscored, mean_of_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 2000
CONFIDENCE = 0.95


def interval(
    prompts: Sequence[Sequence[Measured]],
    pool: Callable[[Sequence[Measured]], float] = mean_of_parts,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[float, float] | None:
    """The interval of `pool`'s value when whole prompts are drawn with replacement.

    prompts: for each prompt, what its films gave. A draw to which nothing gave a value is left out.
    Returns (low, high); None where fewer than two prompts gave anything, since one says nothing of how they differ.
    """
    assert draws > 0 and 0 < confidence < 1, f"{draws} draws, confidence {confidence}"
    if sum(any(film.parts for film in films) for films in prompts) < 2:
        return None
    random = np.random.default_rng(seed)
    chosen = random.integers(len(prompts), size=(draws, len(prompts)))  # (draws, prompts)
    values = _means(prompts, chosen) if pool is mean_of_parts else _pooled(prompts, chosen, pool)
    if not len(values):
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _means(prompts: Sequence[Sequence[Measured]], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean over all parts of each draw, from the sum and the number of parts of each prompt."""
    sums = np.array([sum(sum(film.parts) for film in films) for films in prompts], dtype=np.float64)
    counts = np.array([sum(len(film.parts) for film in films) for films in prompts], dtype=np.float64)
    total, number = sums[chosen].sum(1), counts[chosen].sum(1)  # (draws,)
    there = number > 0
    means: NDArray[np.float64] = total[there] / number[there]
    return means


def _pooled(prompts: Sequence[Sequence[Measured]], chosen: NDArray[np.int64],
            pool: Callable[[Sequence[Measured]], float]) -> NDArray[np.float64]:
    values = []
    for draw in chosen:
        try:
            values.append(pool([film for prompt in draw for film in prompts[prompt]]))
        except Unscored:
            continue
    return np.array(values, dtype=np.float64)
