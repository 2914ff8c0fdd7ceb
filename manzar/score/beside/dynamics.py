"""How much moves, by an optical flow that needs no weights, and whether that is as much as in real footage.

The flow is dense inverse search (Kroeger et al. 2016). Speeds are in shorter sides of the frame per second, so that
films of any size and rate compare.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from manzar.score.bench import Bench
from manzar.score.beside.features import moments
from manzar.score.beside.sets import Features, Floats, SetMeasure
from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.film import Film

PAIRS = 24  # of neighbouring frames, spread over the film, that are looked at
SIDE = 192  # pixels; larger frames are made smaller to this on the shorter side
FASTEST = 0.05  # share of the pixels, those that move most, whose mean speed counts
FEWEST = 8  # films on either side of a comparison


def speeds(film: Film, bench: Bench) -> Floats:
    """(n, 1): for each of some pairs of frames the mean speed of the fastest twentieth of the pixels.

    Raises Unscored for a film of one frame, or one too small for the flow.
    """
    if len(film.frames) < 2:
        raise Unscored("one frame does not move")
    if min(film.frames.shape[1:3]) < 32:
        raise Unscored(f"{film.frames.shape[2]}x{film.frames.shape[1]} pixels are too few for optical flow")
    return bench.once("dis_speeds", lambda: _speeds(film))


def _speeds(film: Film) -> Floats:
    pairs = len(film.frames) - 1
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = []
    for early in sorted(set(moments(pairs, min(PAIRS, pairs)))):
        one, other = (_small(film.frames[t]) for t in (early, early + 1))
        way = np.hypot(*np.moveaxis(flow.calc(one, other, np.zeros((*one.shape, 2), np.float32)), -1, 0)).ravel()
        most = max(1, round(FASTEST * way.size))
        found.append(float(np.partition(way, -most)[-most:].mean()) / min(one.shape) * film.fps)
    return np.array(found, dtype=np.float64)[:, None]


def _small(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One frame (H, W, 3) in gray, SIDE at most on its shorter side."""
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    scale = SIDE / min(gray.shape)
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(gray, np.uint8)


def measure(film: Film, bench: Bench) -> Measured:
    """Median speed over the film, in shorter sides per second."""
    return Measured.of(float(np.median(speeds(film, bench))), unit="shorter sides per second")


def compare(films: Sequence[Features], reference: Sequence[Features]) -> Measured:
    """How far the films' median speeds are distributed from the reference's: the Wasserstein distance between both, in
    shorter sides per second.

    The detail has the quartiles of either, and the share of films that move more than the reference's median: a half if
    they move alike, 0 for still pictures. Raises Unscored for fewer than FEWEST films on either side.
    """
    if not reference:
        raise Unscored("there is no reference to compare with; name a folder of real films with --reference")
    if min(len(films), len(reference)) < FEWEST:
        raise Unscored(f"{len(films)} films and {len(reference)} in the reference are too few to tell how speeds are "
                       f"distributed; at least {FEWEST} of each are needed")
    own, real = (np.sort([float(np.median(film.values)) for film in side]) for side in (films, reference))
    quartiles = (0.25, 0.5, 0.75)
    return Measured.of(
        wasserstein(own, real), films=len(own), reference_films=len(real), unit="shorter sides per second",
        quartiles=np.quantile(own, quartiles).tolist(), reference_quartiles=np.quantile(real, quartiles).tolist(),
        faster=float((own > np.median(real)).mean()),
    )  # fmt: skip


def wasserstein(one: Floats, other: Floats) -> float:
    """The first Wasserstein distance between two samples on a line: the area between their distribution functions."""
    every = np.sort(np.concatenate([one, other]))
    below = [np.searchsorted(np.sort(side), every[:-1], side="right") / len(side) for side in (one, other)]
    return float((np.abs(below[0] - below[1]) * np.diff(every)).sum())


DIMENSION = Dimension("flow_speed", "beside", measure)
AGAINST = SetMeasure("flow_speed_distance", speeds, compare, against_reference=True)
