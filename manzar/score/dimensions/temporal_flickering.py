"""How little neighbouring frames differ, pixel by pixel: meant for films of what does not move, see static_filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from manzar.score.dimension import Dimension, Measured, Unscored

if TYPE_CHECKING:
    from manzar.nouns import Frames
    from manzar.score.bench import Bench
    from manzar.score.film import Film

CHUNK = 1 << 16  # levels compared at once; a chunk stays in the processor's cache, which is four times as fast


def measure(film: Film, bench: Bench) -> Measured:
    """1 where neighbours are equal, 0 where black follows white. Raises Unscored for a film of one frame."""
    if len(film.frames) < 2:
        raise Unscored("one frame only: there is nothing to compare it with")
    pairs = zip(film.frames[:-1], film.frames[1:], strict=True)
    difference = np.mean([total_difference(a, b) / a.size for a, b in pairs])  # of 255
    return Measured.of(float((255 - difference) / 255))


def total_difference(a: Frames, b: Frames) -> int:
    """The sum of |a - b| over two frames (H, W, 3), exact."""
    left, right = a.reshape(-1), b.reshape(-1)
    total = 0
    for start in range(0, left.size, CHUNK):
        p, q = left[start : start + CHUNK], right[start : start + CHUNK]
        total += int(np.add.reduce(np.maximum(p, q) - np.minimum(p, q), dtype=np.uint32))
    return total


DIMENSION = Dimension("temporal_flickering", "official", measure)
