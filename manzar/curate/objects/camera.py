"""How the camera moved over a clip: where every picture lies against the one in the middle.

Direct alignment of the luma by Gauss-Newton steps over a pyramid (Lucas and Kanade 1981; the inverse compositional form
of Baker and Matthews 2004), for shifts, turns and zooms, with Geman-McClure weights so that what moves by itself does
not count. What stands behind touches the rim of a picture more than what stands in front, so the rim counts most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]  # (3, 3), homogeneous pixel coordinates (x, y, 1)

LEVELS = 4  # of the pyramid; a picture is halved while its shorter side stays over LEAST_SIDE
LEAST_SIDE = 20
STEPS = 8  # Gauss-Newton steps per level at most
SETTLED = 0.04  # pixels of movement at the corners under which a level is done
POINTS = 4000  # the places of steepest luma that a step asks, at most
FLAT = 1.0  # slope of the luma, of 255 per pixel, under which a place tells nothing
RIM = 0.12  # share of each side that counts as the rim
TEXTURE, CHANGED = 8.0, 14.0  # slope from which a place can be told from its neighbours; difference if it has changed
STIRRED = 0.15  # share of the rim's texture that changes if the camera moves, and often enough when it does not
LOOKS = (0.0, 0.12, 0.25, 0.75, 0.88, 1.0)  # shares of the clip at which the middle is held against the rest
GRID = 4  # the picture is cut into so many cells each way; those at its rim vote
BETTER = 0.5  # difference of the luma, of 255, by which a cell must fit better, or worse, to have a vote
CONSENT = 0.5  # share of the votes a movement needs; twice as many for it as against it
OVERLAP = 0.65  # share of the key picture that must still be in view before another becomes the key
WIDEST, NARROWEST = 1.35, 0.74  # a zoom past these bounds, against the key, also asks for another one


@dataclass(frozen=True)
class Level:
    """The key picture at one size: luma (h, w), and of its n steepest places their index, slopes and weight."""

    luma: Array
    places: NDArray[np.intp]  # (n,)
    slopes: Array  # (n, 4): d luma / d (a, b, s, t) of the map (x, y) -> ((1+a)x - by + s, bx + (1+a)y + t)
    prior: Array  # (n,)


def camera_path(lumas: Sequence[Array]) -> list[Matrix]:
    """A matrix per picture (h, w) that takes a place in the middle picture to where it is in that one, in pixels.

    Identity throughout if the camera stands still, or if nothing tells that it moves.
    """
    count, middle = len(lumas), len(lumas) // 2
    smooth = [cv2.GaussianBlur(luma, (3, 3), 0) for luma in lumas]
    looks = sorted({round(share * (count - 1)) for share in LOOKS} - {middle})
    still = [np.eye(3) for _ in lumas]
    if not looks or np.quantile([_rim_change(smooth[middle], smooth[i]) for i in looks], 0.75) < STIRRED:
        return still
    path = list(still)
    for order in (range(middle + 1, count), range(middle - 1, -1, -1)):
        key, key_at, now = _levels(smooth[middle]), np.eye(3), np.eye(3)
        for index in order:
            now = _register(key, smooth[index], now)
            path[index] = now @ key_at
            if _leaves(now, lumas[index].shape):
                key, key_at, now = _levels(smooth[index]), path[index], np.eye(3)
    votes = np.array([_votes(smooth[middle], smooth[i], path[i]) for i in looks])  # (n, 2)
    better, worse = np.median(votes, axis=0)
    return path if better >= CONSENT and better >= 2 * worse else still


def warped(picture: Array, at: Matrix) -> Array:
    """What a picture (h, w) shows at each place of the key, by the matrix from the key to it; -1e4 out of view."""
    height, width = picture.shape
    seen: Array = cv2.warpAffine(
        picture, at[:2], (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=-1e4
    )
    return seen


def _rim_change(a: Array, b: Array) -> float:
    """Share of the rim's textured places at which two pictures (h, w) differ; 0 if there is no texture."""
    height, width = a.shape
    rim = np.ones(a.shape, bool)
    y, x = max(2, round(RIM * height)), max(2, round(RIM * width))
    rim[y:-y, x:-x] = False
    textured = rim & (np.maximum(np.hypot(*_slopes(a)), np.hypot(*_slopes(b))) > TEXTURE)
    return float((np.abs(a - b)[textured] > CHANGED).mean()) if textured.any() else 0.0


def _votes(a: Array, b: Array, at: Matrix) -> tuple[float, float]:
    """Shares of the cells at the rim of the key `a` that `at` brings nearer to `b`, and farther from it, than rest.

    Something large that moves before a plain wall would pass for the camera; but it is not at every rim.
    """
    seen = warped(b, at)
    inside = seen > -1.0
    gain = np.where(inside, np.abs(a - b) - np.abs(a - seen), 0)
    rows, columns = (np.linspace(0, side, GRID + 1).round().astype(int) for side in a.shape)
    gains = []
    for i in range(GRID):
        for j in range(GRID):
            if i in (0, GRID - 1) or j in (0, GRID - 1):
                cell = np.s_[rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
                if not a[cell].size:
                    continue  # of a strip narrower than the grid
                each = float(gain[cell].sum()) / max(1, int(inside[cell].sum()))
                gains.append(each if a[cell].std() > FLAT else min(each, 0.0))  # a plain cell cannot speak for it
    voices = np.array(gains)
    return float((voices > BETTER).mean()), float((voices < -BETTER).mean())


def _slopes(smooth: Array) -> tuple[Array, Array]:
    return cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)


def _sizes(smooth: Array) -> list[Array]:
    """The picture at falling sizes, largest first."""
    sizes = [smooth]
    while len(sizes) < LEVELS and min(sizes[-1].shape) // 2 >= LEAST_SIDE:
        height, width = sizes[-1].shape
        half = cv2.resize(sizes[-1], ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
        sizes.append(cv2.GaussianBlur(half, (3, 3), 0))
    return sizes


def _levels(smooth: Array) -> list[Level]:
    return [_level(luma) for luma in _sizes(smooth)]


def _level(luma: Array) -> Level:
    height, width = luma.shape
    across, along = (slope.ravel() for slope in _slopes(luma))
    steep = np.abs(across) + np.abs(along)
    places = np.flatnonzero(steep > FLAT)
    if len(places) > POINTS:
        places = places[np.argpartition(-steep[places], POINTS)[:POINTS]]
    u, v = (
        (places % width - (width - 1) / 2).astype(np.float32),
        (places // width - (height - 1) / 2).astype(np.float32),
    )
    gx, gy = across[places], along[places]
    off_centre = np.maximum(np.abs(u) / width, np.abs(v) / height)  # 0 in the middle to 0.5 at the rim
    return Level(luma, places, np.stack([gx * u + gy * v, gy * u - gx * v, gx, gy], axis=-1), 0.2 + 1.6 * off_centre)


def _register(key: Sequence[Level], smooth: Array, start: Matrix) -> Matrix:
    """The matrix from places in the key to those in a picture (h, w), found from a guess near to it."""
    at = start
    height, width = smooth.shape
    for ours, theirs in zip(reversed(key), reversed(_sizes(smooth)), strict=True):
        grow = np.diag([theirs.shape[1] / width, theirs.shape[0] / height, 1.0])
        at = np.linalg.inv(grow) @ _align(ours, theirs, grow @ at @ np.linalg.inv(grow)) @ grow
    return at


def _align(key: Level, luma: Array, at: Matrix) -> Matrix:
    height, width = luma.shape
    to_middle = np.array([[1, 0, -(width - 1) / 2], [0, 1, -(height - 1) / 2], [0, 0, 1.0]])
    from_middle = np.linalg.inv(to_middle)
    corner = float(np.hypot(width, height)) / 2
    if len(key.places) < 30:
        return at
    ours = key.luma.ravel()[key.places]
    for _ in range(STEPS):
        seen = warped(luma, at).ravel()[key.places]
        error, inside = seen - ours, seen > -1.0
        if inside.sum() < 30:
            return at
        scale = max(4.0, 2.0 * float(np.median(np.abs(error[inside]))))
        weight = np.where(inside, key.prior * (scale**2 / (scale**2 + error**2)) ** 2, 0)  # Geman-McClure
        weighted = key.slopes * weight[:, None]  # (n, 4)
        normal = (weighted.T @ key.slopes).astype(np.float64)
        damping = np.diag(1e-3 * np.diag(normal) + 1e-3 * float(weight.sum()) * np.array([corner**2, corner**2, 1, 1]))
        a, b, s, t = np.linalg.solve(normal + damping, weighted.T @ error)
        step = np.array([[1 + a, -b, s], [b, 1 + a, t], [0, 0, 1]])
        at = at @ from_middle @ np.linalg.inv(step) @ to_middle
        if np.hypot(a, b) * corner + np.hypot(s, t) < SETTLED:
            break
    return at


def _leaves(at: Matrix, size: tuple[int, ...]) -> bool:
    """Whether too little of the key, of `size` (h, w), is left in view, or at too different a scale."""
    height, width = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], dtype=np.float64) @ at.T
    low, high = corners[:, :2].min(0).clip(0, (width, height)), corners[:, :2].max(0).clip(0, (width, height))
    zoom = float(np.hypot(at[0, 0], at[1, 0]))
    return bool(np.prod(high - low) < OVERLAP * width * height or not NARROWEST < zoom < WIDEST)
