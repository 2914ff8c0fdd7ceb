"""Whether a film keeps its colours and its sharpness to the end; films made window by window tend to lose them."""

from __future__ import annotations

import numpy as np

from manzar.score.bench import Bench
from manzar.score.beside.features import MOMENTS, thumbnail
from manzar.score.beside.sharpness import over_time
from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.film import Film

END = 0.25  # share of the film that counts as its beginning, and as its end


def colour(film: Film, bench: Bench) -> Measured:
    """ΔE between the mean colours of the first and the last quarter. Raises Unscored for a film of one frame."""
    _not_one_frame(film)
    means = thumbnail(film, bench).reshape(MOMENTS, -1, 3).mean(axis=1)  # (8, 3)
    ends = max(1, round(END * MOMENTS))
    first, last = means[:ends].mean(axis=0), means[-ends:].mean(axis=0)
    return Measured.of(float(np.linalg.norm(last - first)), unit="ΔE", lighter=float(last[0] - first[0]),
                       more_colourful=float(np.hypot(*last[1:]) - np.hypot(*first[1:])))  # fmt: skip


def sharpness(film: Film, bench: Bench) -> Measured:
    """By how much the last quarter is sharper than the first; negative where it gets softer. Unscored for one frame."""
    _not_one_frame(film)
    values = over_time(film, bench)
    ends = max(1, round(END * len(values)))
    return Measured.of(float(values[-ends:].mean() - values[:ends].mean()), first=float(values[:ends].mean()))


def _not_one_frame(film: Film) -> None:
    if len(film.frames) < 2:
        raise Unscored("one frame does not drift")


COLOUR = Dimension("colour_drift", "beside", colour)
SHARPNESS = Dimension("sharpness_drift", "beside", sharpness)
