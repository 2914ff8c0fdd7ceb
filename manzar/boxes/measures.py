"""How well things keep to their boxes: overlap on every frame, distance of centres, and average precision.

Average precision is COCO's (Lin et al. 2014), used as Boximator's is (arXiv 2402.01566, section 5): things are found on
the film by a detector, followed through it, and those that are found on every frame on which they are asked for count
as detections on the first frame and on the last. Precision is interpolated at 101 recalls and averaged over
overlaps of 0.50, 0.55, … 0.95. Who is who is settled before, by what things look like, so a thing that is where
another should be counts as neither.

A detector that gives no confidence of its own is given one by whoever calls: here the higher, the more of what was said
about the thing it shows. What equals in confidence is added to the curve at once, so no order is made up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from manzar.boxes.geometry import FRAME, area, centre, iou
from manzar.nouns import Box

Floats = NDArray[np.float64]
Track = Sequence[Box | None]  # a box per frame; None, or a line, where it is out of view

THRESHOLDS = tuple(0.5 + 0.05 * k for k in range(10))
RECALLS = np.linspace(0, 1, 101)
DRAWS = 1000


@dataclass(frozen=True)
class Sighting:
    """One thing that was asked for, or (wanted is empty) one that was not: its boxes, and those it was found in.

    found: empty if it was not found. confidence: of the detector in it, from 0 to 1.
    """

    wanted: tuple[Box | None, ...]
    found: tuple[Box | None, ...] = ()
    confidence: float = 0.0

    @cached_property
    def followed(self) -> bool:
        """Whether it was found on every frame on which it was to be seen; of one nobody asked for, on every frame."""
        wanted = self.wanted or (FRAME,) * len(self.found)
        return bool(self.found) and all(seen(b) for a, b in zip(wanted, self.found, strict=True) if seen(a))

    @cached_property
    def overlap(self) -> float:
        """Mean over frames."""
        return _mean(ious(self.wanted, self.found))

    @cached_property
    def error(self) -> float | None:
        """Mean distance of centres over frames, in shares of the frame's sides; None if it was not found."""
        errors = centre_errors(self.wanted, self.found)
        return _mean(errors) if errors else None

    @cached_property
    def ends(self) -> dict[int, tuple[bool, float | None]]:
        """First frame (0) and last (-1): whether it is asked for there, and the overlap if it is a detection there."""
        return {frame: (bool(self.wanted) and seen(self.wanted[frame]), self._detected(frame)) for frame in (0, -1)}

    def _detected(self, frame: int) -> float | None:
        found = self.found[frame] if self.followed else None
        wanted = self.wanted[frame] if self.wanted else None
        if found is None or not seen(found):
            return None
        return iou(wanted, found) if wanted is not None else 0.0


Film = Sequence[Sighting]  # everything that was asked for, and that was found, in one film


def seen(box: Box | None) -> bool:
    return box is not None and area(box) > 0


def match(wanted: Sequence[Track], found: Sequence[Track], likeness: Sequence[Sequence[float]]) -> list[int | None]:
    """For each wanted track the found one that is it, each one once; None where there is none that is like it at all.

    likeness[i][j]: how much the j-th found looks like the i-th wanted thing; 0 says that it is another. The total
    decides, and between equal totals the overlap.
    """
    places: list[int | None] = [*range(len(found)), *([None] * len(wanted))]
    overlap = [[_mean(ious(one, other)) for other in found] for one in wanted]

    def worth(order: tuple[int | None, ...]) -> tuple[float, float]:
        pairs = [(i, j) for i, j in enumerate(order) if j is not None]
        if any(likeness[i][j] <= 0 for i, j in pairs):
            return -1.0, 0.0
        return round(sum(likeness[i][j] for i, j in pairs), 9), sum(overlap[i][j] for i, j in pairs)

    return [*max([*permutations(places, len(wanted))], key=worth)]


def ious(wanted: Track, found: Track) -> list[float]:
    """Overlap on every frame on which the thing is to be seen, or is found where it is not to be; 0 for a miss."""
    if not found:
        return [0.0 for box in wanted if seen(box)]
    pairs = [(a, b) for a, b in zip(wanted, found, strict=True) if seen(a) or seen(b)]
    return [iou(a, b) if a is not None and b is not None else 0.0 for a, b in pairs]


def centre_errors(wanted: Track, found: Track) -> list[float]:
    """Distance of centres, in shares of the frame's sides, on every frame on which the thing is both asked for and
    found. Their mean over all frames is the end-point error of the trajectory."""
    pairs = zip(wanted, found, strict=True) if found else ()
    return [math.dist(centre(a), centre(b)) for a, b in pairs if a and b and seen(a) and seen(b)]


def average_precision(films: Sequence[Film], frame: int, thresholds: Sequence[float] = THRESHOLDS) -> Floats:
    """Average precision at each overlap on one frame (0 the first, -1 the last); NaN where nothing is to be seen."""
    return _precision(films, frame, thresholds)(np.ones(len(films)))


def _precision(films: Sequence[Film], frame: int, thresholds: Sequence[float]) -> Callable[[Floats], Floats]:
    """The same as a function of how often each film counts."""
    rows = [(index, *each.ends[frame], each.confidence) for index, film in enumerate(films) for each in film]
    asked = np.array([index for index, wanted, _, _ in rows if wanted], dtype=np.int64)
    detected = [(index, overlap, sure) for index, _, overlap, sure in rows if overlap is not None]
    film, overlaps, confidences = (np.array(column) for column in zip(*detected, strict=True)) if detected else (
        np.zeros(0), np.zeros(0), np.zeros(0))  # fmt: skip
    film = film.astype(np.int64)
    hits = (overlaps[None] >= np.array(thresholds)[:, None] - 1e-9).astype(np.float64)  # (thresholds, detections)
    levels = np.unique(confidences)[::-1]
    within = (confidences[None] >= levels[:, None]).astype(np.float64)  # (levels, detections)

    def measure(weights: Floats) -> Floats:
        total = weights[asked].sum()
        if not total:
            return np.full(len(thresholds), np.nan)
        counted = within * weights[film]
        right = hits @ counted.T  # (thresholds, levels)
        recall, precision = right / total, right / np.maximum(counted.sum(1), 1e-9)
        reached = recall[..., None] >= RECALLS - 1e-9  # (thresholds, levels, recalls)
        best: Floats = np.where(reached, precision[..., None], 0.0).max(1, initial=0.0).mean(-1)
        return best

    return measure


# ---- tables ----------------------------------------------------------------------------------------------------------

Weighted = Callable[[Floats], float]  # of how often each film counts
Measure = Callable[[Sequence[Film]], Weighted]


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval when whole films are drawn with replacement; NaN where there is none to give."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def figure(films: Sequence[Film], measure: Measure, draws: int = DRAWS) -> Figure:
    """A measure over films, with its interval."""
    return _bootstrapped(measure(films), len(films), draws)


def _bootstrapped(weighted: Weighted, n: int, draws: int) -> Figure:
    """Percentile bootstrap (Efron 1979): how often each of `n` films counts is drawn anew."""
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)
    values = [value for value in map(weighted, counts) if not math.isnan(value)]
    low, high = np.quantile(values, [0.025, 0.975]) if n > 1 and values else (math.nan, math.nan)
    return Figure(weighted(np.ones(n)), float(low), float(high), n)


def gain(films: Sequence[Film], base: Sequence[Film], measure: Measure, draws: int = DRAWS) -> Figure:
    """The measure of `films` in multiples of that of `base`; both are of the same requests in the same order."""
    assert len(films) == len(base), f"{len(films)} films against {len(base)}"
    above, below = measure(films), measure(base)

    def weighted(weights: Floats) -> float:
        whole = below(weights)
        return above(weights) / whole if whole else math.nan

    return _bootstrapped(weighted, len(films), draws)


def precision_at(frames: Sequence[int], thresholds: Sequence[float]) -> Measure:
    """Mean average precision over frames and overlaps; a frame is left out if nothing is to be seen on it."""

    def measure(films: Sequence[Film]) -> Weighted:
        each = [_precision(films, frame, thresholds) for frame in frames]

        def weighted(weights: Floats) -> float:
            values = np.concatenate([one(weights) for one in each])
            return float(np.nanmean(values)) if not np.isnan(values).all() else math.nan

        return weighted

    return measure


def mean_of(value: Callable[[Sighting], float | None]) -> Measure:
    """Mean over the things asked for of what is said of each; those of which nothing is said are left out."""

    def measure(films: Sequence[Film]) -> Weighted:
        rows = [(index, value(each)) for index, film in enumerate(films) for each in film if each.wanted]
        film = np.array([index for index, one in rows if one is not None], dtype=np.int64)
        values = np.array([one for _, one in rows if one is not None], dtype=np.float64)

        def weighted(weights: Floats) -> float:
            return float(weights[film] @ values / weights[film].sum()) if weights[film].any() else np.nan

        return weighted

    return measure


def measures(first_frame: bool = False) -> dict[str, Measure]:
    """The columns of the table. first_frame: it was given to the model, so precision is asked of the last alone.

    IoU is a mean over things and frames; EPE, the end-point error of the course, the mean distance of centres in shares
    of the frame's sides, over the frames on which the thing was found; followed the share of things found throughout.
    """
    frames = (-1,) if first_frame else (0, -1)
    return {
        "mAP": precision_at(frames, THRESHOLDS),
        "AP50": precision_at(frames, THRESHOLDS[:1]),
        "AP75": precision_at(frames, THRESHOLDS[5:6]),
        "IoU": mean_of(lambda each: each.overlap),
        "EPE": mean_of(lambda each: each.error),
        "followed": mean_of(lambda each: float(each.followed)),
    }


def by_number(films: Sequence[Film]) -> dict[str, list[Film]]:
    """Films grouped by how many things were asked for: "all", then "1", "2", …"""
    numbers = [sum(bool(each.wanted) for each in film) for film in films]
    groups = {str(n): [film for film, own in zip(films, numbers, strict=True) if own == n] for n in sorted({*numbers})}
    return {"all": [*films], **groups}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
