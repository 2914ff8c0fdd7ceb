"""The name of a silhouette: its overlap with templates drawn here, after centre and area are made equal."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from manzar.score.truth.segment import Array, Region

GRID = 40  # pixels per side of a normalised silhouette
BLUR = 0.8  # grid pixels by which silhouettes are softened, so that a rim one pixel off still overlaps
SCALE = 18.0  # square root of its area, in those pixels
STEP = 6  # degrees between two turns of a template
FIT = 0.70  # overlap (intersection over union) below which no shape is called
LEAD = 0.006  # by which the best shape must beat the next
UPRIGHT = 12  # degrees an actor that does not spin may lean
SOFT = 0.9  # half-covered pixels per covered one above which a silhouette is a smudge and no shape

Points = NDArray[np.float64]


def _regular(corners: int, inner: float | None = None) -> Points:
    """A regular polygon standing on its base, or with `inner` a star of that many points, tip up."""
    count = corners if inner is None else 2 * corners
    angle = -np.pi / 2 + 2 * np.pi * np.arange(count) / count
    radius = np.ones(count) if inner is None else np.where(np.arange(count) % 2, inner, 1.0)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _oval(x: float, y: float, width: float, height: float | None = None) -> Points:
    """An ellipse as a polygon, from its centre and half axes."""
    return _regular(48) * [width, height or width] + [x, y]


def _block(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def _lobes() -> Points:
    """The heart curve x = 16 sin³ t, y = 13 cos t − 5 cos 2t − 2 cos 3t − cos 4t."""
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -y], axis=1) / 16


def _polygon(*corners: tuple[float, float]) -> Points:
    return np.array(corners, dtype=np.float64)


# Outlines within about one unit of the origin, looking right. Each part is filled in turn; after `HOLE` it is cut out.
HOLE = np.empty((0, 2))
OUTLINES: dict[str, tuple[Points, ...]] = {
    "circle": (_oval(0, 0, 1),),
    "square": (_block(-1, -1, 1, 1),),
    "triangle": (_polygon((0, -0.9), (1, 0.85), (-1, 0.85)),),
    "star": (_regular(5, 0.45),),
    "heart": (_lobes(),),
    "ring": (_oval(0, 0, 1), HOLE, _oval(0, 0, 0.4)),
    "person": (
        _oval(0, -0.7, 0.28),
        _polygon((-0.32, -0.44), (0.32, -0.44), (0.38, 0.3), (-0.38, 0.3)),
        _polygon((-0.3, -0.42), (-0.76, 0.2), (-0.56, 0.28), (-0.2, -0.2)),
        _polygon((0.3, -0.42), (0.76, 0.2), (0.56, 0.28), (0.2, -0.2)),
        _block(-0.36, 0.2, -0.06, 1),
        _block(0.06, 0.2, 0.36, 1),
    ),
    "cat": (
        _oval(-0.1, 0.2, 0.62, 0.37),
        _oval(0.56, -0.22, 0.38),
        _polygon((0.2, -0.72), (0.54, -0.5), (0.2, -0.2)),
        _polygon((0.9, -0.72), (0.93, -0.2), (0.58, -0.5)),
        _block(-0.62, 0.2, -0.38, 0.86),
        _block(0.14, 0.2, 0.38, 0.86),
        _polygon((-0.58, 0.24), (-1.03, -0.44), (-0.86, -0.52), (-0.5, 0.1)),
    ),
    "fish": (
        _oval(0.22, 0, 0.78, 0.5),
        _polygon((-1, -0.5), (-0.3, 0), (-1, 0.5)),
        _polygon((0, -0.68), (0.36, -0.38), (-0.15, -0.36)),
    ),
    "car": (
        _polygon((-1, -0.1), (0.8, -0.1), (1, 0.02), (1, 0.36), (-1, 0.36)),
        _polygon((-0.58, -0.58), (0.28, -0.58), (0.64, -0.06), (-0.78, -0.06)),
        _oval(-0.54, 0.38, 0.25),
        _oval(0.54, 0.38, 0.25),
    ),
    "boat": (
        _polygon((-1, 0.35), (1, 0.35), (0.68, 0.92), (-0.7, 0.92)),
        _block(-0.08, -1, 0.03, 0.4),
        _polygon((0.03, -0.96), (0.78, 0.24), (0.03, 0.24)),
        _polygon((-0.08, -0.72), (-0.08, 0.24), (-0.68, 0.24)),
    ),
    "house": (_block(-0.76, -0.15, 0.76, 0.95), _polygon((0, -1), (1, -0.12), (-1, -0.12))),
    "tree": (
        _block(-0.14, 0.2, 0.14, 1),
        _oval(0, -0.52, 0.48),
        _oval(-0.36, -0.08, 0.44),
        _oval(0.36, -0.08, 0.44),
    ),
}
ONE_SIDED = ("cat", "fish", "car", "boat")  # look to the left as readily as to the right
DETAILED = ("person", "cat", "fish", "car", "boat", "house", "tree")  # have parts that may vanish into the background


def _normalised(alpha: Array) -> Array:
    """Centre and area made standard, the rim made crisp: float32 (h, w) → (GRID, GRID) in [0, 1]."""
    mass = float(alpha.sum())
    y, x = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
    centre_x, centre_y = float((alpha * x).sum()) / mass, float((alpha * y).sum()) / mass
    zoom = SCALE / np.sqrt(mass)
    middle = (GRID - 1) / 2
    matrix = np.array([[zoom, 0, middle - zoom * centre_x], [0, zoom, middle - zoom * centre_y]])
    warped = cv2.warpAffine(alpha, matrix, (GRID, GRID), flags=cv2.INTER_LINEAR)
    # Half cover is where the true rim lies whatever the blur; two grid pixels of ramp keep the comparison smooth.
    crisp = np.clip((warped - 0.5) * max(1.0, zoom) * 1.5 + 0.5, 0, 1).astype(np.float32)
    soft: Array = np.asarray(cv2.GaussianBlur(crisp, (0, 0), BLUR), np.float32)
    return soft


def _drawn(parts: tuple[Points, ...], turn: float, facing: int) -> Array:
    """A template as a normalised silhouette (GRID, GRID), turned clockwise by `turn` radians."""
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    canvas, ink = np.zeros((256, 256), np.uint8), 255
    for part in parts:
        if part is HOLE:
            ink = 0
        else:
            placed = (part * [facing, 1]) @ rotation.T * 75 + 128
            cv2.fillPoly(canvas, [np.round(placed).astype(np.int32)], ink)
    return _normalised(np.asarray(canvas / 255, np.float32))


@lru_cache(maxsize=1)
def _templates() -> tuple[NDArray[np.str_], NDArray[np.int64], Array]:
    """Of every template its name, its turn in degrees, and its silhouette (templates, GRID²)."""
    turns = np.arange(0, 360, STEP)
    kinds = [
        (name, int(turn), facing)
        for name in OUTLINES
        for facing in (1, -1)[: 1 + (name in ONE_SIDED)]
        for turn in turns
    ]
    bank = np.stack([_drawn(OUTLINES[name], np.radians(turn), facing).ravel() for name, turn, facing in kinds])
    return np.array([kind[0] for kind in kinds]), np.array([kind[1] for kind in kinds]), bank


def fits(regions: list[Region], spinning: bool) -> dict[str, float]:
    """Overlap of the silhouettes with every shape, in [0, 1], the mean over the regions given."""
    names, turns, bank = _templates()
    allowed = np.ones(len(turns), bool) if spinning else np.minimum(turns, 360 - turns) <= UPRIGHT
    names, bank = names[allowed], bank[allowed]
    detailed = np.isin(names, DETAILED)
    total = dict.fromkeys(OUTLINES, 0.0)
    for region in regions:
        overlap = _overlap(bank, _normalised(region.cover))
        for other in (region.whole, _without_holes(region.whole)):
            fuller = _overlap(bank, _normalised(other))
            if fuller[detailed].max() > fuller[~detailed].max():  # filled up, a ring is a circle and no house
                overlap[detailed] = np.maximum(overlap[detailed], fuller[detailed])
        for name in OUTLINES:
            total[name] += float(overlap[names == name].max()) / len(regions)
    return total


def _overlap(bank: Array, silhouette: Array) -> Array:
    """Tanimoto's ratio ab / (a² + b² − ab), which is intersection over union for crisp masks: (templates,)."""
    flat = silhouette.ravel()
    shared = bank @ flat
    ratio: Array = shared / (np.einsum("kg,kg->k", bank, bank) + flat @ flat - shared)
    return ratio


def _without_holes(alpha: Array) -> Array:
    """Everything that the outside cannot reach is filled."""
    outside = np.pad((alpha < 0.5).astype(np.uint8), 1, constant_values=1)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    enclosed = (labels != labels[0, 0])[1:-1, 1:-1]
    filled: Array = np.where(enclosed, 1, alpha).astype(np.float32)
    return filled


def smudged(region: Region) -> bool:
    """True where the rim takes so much of the silhouette that no simple outline is there to be named."""
    rim = int(((region.cover > 0.25) & (region.cover < 0.75)).sum())
    return rim > SOFT * max(int((region.cover >= 0.5).sum()), 1)


def shape_of(found: list[Region], spinning: bool, most: int = 9) -> str | None:
    """The shape these regions of one actor have, or None where no template is convincing."""
    whole = [region for region in found if not region.cut] or found
    chosen = [whole[i] for i in np.unique(np.linspace(0, len(whole) - 1, most).round().astype(int))]
    ranked = sorted(fits(chosen, spinning).items(), key=lambda item: -item[1])
    (name, best), (_, second) = ranked[0], ranked[1]
    if best < FIT or best - second < LEAD:
        return None
    # Parts of a figure may be faint and yet sharp; a simple shape of one colour is either sharp or not there.
    if name not in DETAILED and np.mean([smudged(region) for region in chosen]) > 0.5:
        return None
    return name
