"""How sharp a picture is by itself: how much it loses when it is blurred.

The measure of Crété et al. 2007: a sharp picture differs from its own blurred copy, a soft one hardly does. It needs no
reference and is 0 for a picture that no blur can change.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from manzar.score.bench import Bench
from manzar.score.beside.features import moments
from manzar.score.beside.sets import Floats
from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.film import Film

TAPS = 9  # of the box filter that blurs, along one axis at a time
FRAMES = 32  # at most, spread over the film


def of_frame(light: Floats) -> float:
    """Sharpness in [0, 1] of one picture (H, W), the lesser of the two axes'; 0 where nothing varies."""
    return min(_along(light), _along(light.T))


def _along(light: Floats) -> float:
    """The part of the variation between neighbours down the columns that a blur along them takes away."""
    blurred = cv2.blur(light, (1, TAPS), borderType=cv2.BORDER_REFLECT_101)
    before, after = np.abs(np.diff(light, axis=0)), np.abs(np.diff(blurred, axis=0))
    total = float(before.sum())
    return float(np.maximum(before - after, 0).sum()) / total if total > 0 else 0.0


def over_time(film: Film, bench: Bench) -> Floats:
    """(n,) sharpness of some frames that part the film evenly."""
    if min(film.frames.shape[1:3]) < 2 * TAPS:
        raise Unscored(f"{film.frames.shape[2]}x{film.frames.shape[1]} pixels are too few to tell how sharp they are")
    places = moments(len(film.frames), min(FRAMES, len(film.frames)))
    return bench.once("sharpness", lambda: np.array([of_frame(_light(film.frames[t])) for t in places]))


def _light(frame: NDArray[np.uint8]) -> Floats:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.float64)


def measure(film: Film, bench: Bench) -> Measured:
    """Mean sharpness over the film, in [0, 1]."""
    return Measured.of(float(over_time(film, bench).mean()))


DIMENSION = Dimension("sharpness", "beside", measure)
