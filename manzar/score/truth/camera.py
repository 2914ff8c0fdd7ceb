"""How the camera moves, from what stands still in the world; and a clip as a camera at rest would have filmed it.

The background is registered directly: of a family of steady pans and zooms, the one is taken under which the pixels
that look like background agree best over half a clip. It must beat a resting camera clearly.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from manzar.score.truth.backdrop import SMOOTH, background_of
from manzar.score.truth.segment import CLOUD, SMALLEST, Array, Mask, distance

PANS = np.arange(0.08, 0.41, 0.04)  # way over the clip, in widths
ZOOMS = np.arange(1.16, 1.85, 0.12)  # ratio of the two ends
FINER = {"pan": (-0.02, -0.01, 0.01, 0.02), "zoom": (-0.06, -0.03, 0.03, 0.06)}  # around the best of these
SOFTENING = 0.7  # pixels of blur before frames are compared, so that what is warped is not at an advantage for it
ALIKE = 16.0  # ΔE from the background's own colours within which a pixel counts as background
CAP = 20.0  # ΔE above which a mismatch counts no more
CLEAR = 0.92  # the mismatch of a moving camera must be below this part of a resting one's
LEAST = 0.12  # ΔE, mean over the background, by which it must be less

Matrices = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """name: still, pan left, pan right, zoom in or zoom out. to_world: (T, 2, 3) affine maps, pixels of a frame to
    pixels of the world; size: (width, height) of the world in pixels, which holds all frames."""

    name: str
    to_world: Matrices
    size: tuple[int, int]


def camera_of(lab: Array, rows: Array) -> Camera:
    """The camera of a clip (T, H, W, 3) in Lab with background colours (H, 3).

    A background without texture shows no movement, and a camera that shows none is called still.
    """
    frames, height, width = lab.shape[:3]
    still = _path("still", 0.0, frames, width, height)
    if frames < 3 or background_of(lab[frames // 2], rows) in SMOOTH:
        return still
    backdrop = _background_like(lab, rows)
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), SOFTENING) for frame in lab])

    def tried(name: str, amount: float) -> tuple[float, str, float]:
        return _mismatch(soft, backdrop, _path(name, amount, frames, width, height)), name, amount

    rest, *_ = tried("still", 0.0)
    if rest < LEAST:
        return still
    ways = [(name, PANS) for name in ("pan left", "pan right")] + [(name, ZOOMS) for name in ("zoom in", "zoom out")]
    best = min(tried(name, amount) for name, amounts in ways for amount in amounts.tolist())
    _, name, amount = best
    best = min(best, *(tried(name, amount + finer) for finer in FINER[name.split()[0]]))
    if best[0] > min(CLEAR * rest, rest - LEAST):
        return still
    return _path(best[1], best[2], frames, width, height)


def _path(name: str, amount: float, frames: int, width: int, height: int) -> Camera:
    """A steady camera: a pan by `amount` widths, a zoom by a ratio of `amount`, at the scale of its nearest view."""
    u = np.linspace(0, 1, frames)
    shift, scale, size = np.zeros(frames), np.ones(frames), (width, height)
    if name.startswith("pan"):
        shift = amount * width * (u if name == "pan right" else 1 - u)
        size = (width + int(np.ceil(amount * width)), height)
    elif name.startswith("zoom"):
        ends = (1 / amount, 1.0) if name == "zoom in" else (1.0, 1 / amount)
        scale = 1 / (ends[0] + (ends[1] - ends[0]) * u)  # a wide view covers more of the world
        size = (int(np.ceil(amount * width)), int(np.ceil(amount * height)))
    matrices = np.zeros((frames, 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = scale
    # a pixel's centre lies at its index, hence the halves
    matrices[:, 0, 2] = shift + (0 if name.startswith("pan") else size[0] / 2 - scale * width / 2 + (scale - 1) / 2)
    matrices[:, 1, 2] = size[1] / 2 - scale * height / 2 + (scale - 1) / 2
    return Camera(name, matrices, size)


def _background_like(lab: Array, rows: Array) -> Mask:
    """(T, H, W): has one of the background's colours, or is too small to be an actor, such as a star."""
    palette = rows[:: max(1, len(rows) // 12)]
    clouds = palette + (CLOUD - palette) * np.array([0.5, 1.0])[:, None, None] if _skyish(rows) else palette[None]
    known = np.concatenate([palette, clouds.reshape(-1, 3)]).astype(np.float32)
    odd = np.ones(lab.shape[:3], bool)
    for colour in known:
        odd &= distance(lab, colour) > ALIKE
    kept = ~odd
    for frame, mask in enumerate(odd):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
        large = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= SMALLEST * mask.size]
        actors = np.isin(labels, large).astype(np.uint8)
        kept[frame] = cv2.dilate(actors, np.ones((3, 3), np.uint8), iterations=2) == 0
    return kept


def _skyish(rows: Array) -> bool:
    """A light blue row among them, before which there may be clouds."""
    return bool(((rows[:, 0] > 65) & (rows[:, 2] < -6) & (rows[:, 1] < 3)).any())


def _mismatch(lab: Array, backdrop: Mask, camera: Camera) -> float:
    """Mean capped ΔE between frames half a clip and a quarter of it apart, where both show background.

    The longer way tells movement from noise, the shorter one keeps a pattern from being taken for its neighbour.
    """
    frames, height, width = lab.shape[:3]
    total = weight = 0.0
    for lag in (max(1, frames // 2), max(1, frames // 4)):
        for early in np.unique(np.linspace(0, frames - 1 - lag, 3).round().astype(int)):
            way = _between(camera, early, early + lag)
            size, flags = (width, height), cv2.WARP_INVERSE_MAP
            later = cv2.warpAffine(lab[early + lag], way, size, flags=flags | cv2.INTER_LINEAR)
            shown = cv2.warpAffine(backdrop[early + lag].astype(np.uint8), way, size, flags=flags | cv2.INTER_NEAREST)
            both = (shown > 0) & backdrop[early]
            total += float(np.minimum(distance(lab[early], later), CAP)[both].sum())
            weight += float(both.sum())
    return total / weight if weight > 0.05 * 6 * height * width else CAP


def _between(camera: Camera, early: int, late: int) -> Matrices:
    """(2, 3): pixels of the early frame to those of the late one."""
    square = [np.vstack([camera.to_world[t], [0, 0, 1]]) for t in (early, late)]
    map_: Matrices = (np.linalg.inv(square[1]) @ square[0])[:2]
    return map_


def at_rest(lab: Array, camera: Camera) -> tuple[Array, Mask]:
    """The clip in the world's pixels (T, h, w, 3), and where each frame shows it (T, h, w).

    What a frame does not show is filled with what was or will be seen there, nearest in time.
    """
    if camera.name == "still":
        return lab, np.ones(lab.shape[:3], bool)
    width, height = camera.size
    world = np.empty((len(lab), height, width, 3), np.float32)
    visible = np.empty((len(lab), height, width), bool)
    ones = np.ones(lab.shape[1:3], np.uint8)
    for t, matrix in enumerate(camera.to_world):
        world[t] = cv2.warpAffine(lab[t], matrix, camera.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        visible[t] = cv2.warpAffine(ones, matrix, camera.size, flags=cv2.INTER_NEAREST) > 0
    nearest = _nearest_seen(visible)
    filled: Array = np.take_along_axis(world, nearest[..., None], axis=0)
    return filled, visible


def _nearest_seen(visible: Mask) -> NDArray[np.intp]:
    """For every moment and pixel the nearest moment at which the pixel is seen; its own if it never is."""
    moments = np.arange(len(visible))[:, None, None]
    before = np.maximum.accumulate(np.where(visible, moments, -len(visible)), axis=0)
    after = np.minimum.accumulate(np.where(visible, moments, 2 * len(visible))[::-1], axis=0)[::-1]
    nearest = np.where(moments - before <= after - moments, before, after)
    found: NDArray[np.intp] = np.where((nearest >= 0) & (nearest < len(visible)), nearest, moments)
    return found
