"""Which frames of a film a dimension looks at, where it does not look at all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def middle(total: int, wanted: int) -> list[int]:
    """The middle frame of each of `wanted` equal parts of a film of `total` frames; a shorter film's last is repeated.

    24 frames, 16 wanted: 0, 1, 3, 4, 6, 7, 9, …; 5 frames, 8 wanted: 0, 1, 2, 3, 4, 4, 4, 4.
    """
    assert total > 0 and wanted > 0, f"{wanted} frames wanted of {total}"
    parts = min(wanted, total)
    edges = np.linspace(0, total, parts + 1).astype(int)
    frames = [int(start + end - 1) // 2 for start, end in pairwise(edges)]
    return frames + frames[-1:] * (wanted - parts)


def about_eight_a_second(total: int, fps: float) -> range:
    """Every n-th frame of a film, so that about eight a second are left; all of them at less than twelve a second."""
    return range(0, total, max(1, round(fps / 8)))
