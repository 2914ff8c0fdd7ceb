"""What stands still behind a clip, and how far each pixel of each picture is from it.

The pictures are laid upon each other as the camera moved, and the backdrop is the median of every place over time:
right wherever nothing stands for more than half of the clip. Where something does, and what lies around it is even
enough to say what should be there, the samples that fit the surroundings are taken instead of the median; an actor that
turns on the spot, or grows, and so never uncovers what is behind it, is told from it in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from manzar.curate.objects.camera import Matrix, camera_path

Array = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SAMPLES = 31  # pictures that the backdrop is made of, at most
WIDEST_CANVAS = 6.0  # pictures side by side: past this the camera travels, and no one backdrop is behind it
LIGHTNESS = 0.5  # weight of L (0 to 255) against a and b: less than their own scale, for shadows are not things
VISIBLE = 9.0  # distance from which a pixel is not the backdrop's
COARSE = 40  # longer side of the grid on which the surroundings of a place are asked
AROUND = 0.25  # distance, in longer sides, at which they have 1/e of the say of the nearest
SUPPORT = 0.4  # share of the surroundings that must look like what is put in a place, for it to be believed
STEADFAST = 0.8  # share of the time from which what stands in a place that does change is taken for the backdrop
SHARPER = 1.4  # how much more of an outline a place must have with a thing than without it
HEAL = 3  # radius in pixels of the inpainting


@dataclass(frozen=True)
class Layers:
    """Pictures taken apart: labs (n, h, w, 3) uint8 as OpenCV writes CIE Lab; grounds, the backdrop (h, w, 3) as each
    picture would show it; away (n, h, w), the distance of every pixel from it; path, the camera's."""

    labs: Bytes
    grounds: list[Bytes]
    away: Array
    path: list[Matrix]


def separate(pictures: Sequence[Bytes]) -> Layers | None:
    """Pictures (h, w, 3) of one size taken apart; None if the camera travels too far for there to be one backdrop."""
    path = camera_path([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) for picture in pictures])
    labs = np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2Lab) for picture in pictures])
    picks = np.unique(np.linspace(0, len(labs) - 1, min(SAMPLES, len(labs))).round().astype(int))
    height, width = size = labs.shape[1:3]
    if all(np.array_equal(at, np.eye(3)) for at in path):
        ground = _ground(labs[picks], np.ones((len(picks), height, width), bool))
        low, high = _envelope(ground)
        return Layers(labs, [ground] * len(labs), np.stack([_outside(lab, low, high) for lab in labs]), path)
    canvas, corner = _canvas(path, size)
    if canvas[0] * canvas[1] > WIDEST_CANVAS * height * width:
        return None
    to_key = np.array([[1, 0, corner[0]], [0, 1, corner[1]], [0, 0, 1.0]])  # a canvas place in the key's pixels
    laid = [_lay(labs[index], path[index] @ to_key, canvas) for index in picks]
    valid = np.stack([seen for _, seen in laid])
    ground = _ground(np.stack([lab for lab, _ in laid]), valid)
    images = (ground, *_envelope(ground), np.where(valid.any(axis=0), 255, 0).astype(np.uint8))
    grounds, away = [], []
    for lab, at in zip(labs, path, strict=True):
        back = np.linalg.inv(at @ to_key)  # a place of the picture on the canvas
        own, low, high, covered = (_sample(image, back, size) for image in images)
        grounds.append(own)
        away.append(_outside(lab, low, high, covered > 250))
    return Layers(labs, grounds, np.stack(away), path)


def distance(a: NDArray[np.generic], b: NDArray[np.generic]) -> Array:
    """Between Lab colours over the last axis, L counting less, with broadcasting: (..., 3), (..., 3) -> (...)."""
    difference = a.astype(np.float32) - b.astype(np.float32)
    difference[..., 0] *= LIGHTNESS
    root: Array = np.sqrt(np.einsum("...c,...c->...", difference, difference))
    return root


def opened(mask: Bytes) -> Bytes:
    """A mask (h, w) without what is one pixel thin: an opening by 2x2, with the anchors that keep it in its place."""
    pair = np.ones((2, 2), np.uint8)
    kept: Bytes = cv2.dilate(cv2.erode(mask, pair, anchor=(1, 1)), pair, anchor=(0, 0))
    return kept


# ---- the camera's canvas ---------------------------------------------------------------------------------------------


def _canvas(path: Sequence[Matrix], size: tuple[int, int]) -> tuple[tuple[int, int], tuple[float, float]]:
    """Size (h, w) of what all pictures cover in the key's pixels, and the place (x, y) of its corner there."""
    height, width = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], dtype=np.float64)
    places = np.concatenate([corners @ np.linalg.inv(at).T for at in path])[:, :2]
    low, high = np.floor(places.min(0)), np.ceil(places.max(0))
    return (int(high[1] - low[1]), int(high[0] - low[0])), (float(low[0]), float(low[1]))


def _lay(lab: Bytes, at: Matrix, canvas: tuple[int, int]) -> tuple[Bytes, Mask]:
    """A picture laid on the canvas, and where it lies."""
    seen = _sample(np.full(lab.shape[:2], 255, np.uint8), at, canvas) > 250
    return _sample(lab, at, canvas), seen


def _sample(image: Bytes, at: Matrix, size: tuple[int, int]) -> Bytes:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    sampled: Bytes = cv2.warpAffine(image, at[:2], (size[1], size[0]), flags=flags)
    return sampled


# ---- the backdrop ----------------------------------------------------------------------------------------------------


def _ground(stack: Bytes, valid: Mask) -> Bytes:
    """The backdrop (h, w, 3) of pictures laid upon each other: (n, h, w, 3), and where each has anything (n, h, w)."""
    median = _median(stack, valid)
    change = np.where(valid, distance(stack, median), 0)  # (n, h, w)
    emptied = _emptied(stack, valid, median, change)
    if emptied is not None:
        median = emptied
        change = np.where(valid, distance(stack, median), 0)
    stirred = opened(np.any(change > VISIBLE, axis=0).astype(np.uint8))
    stirred = cv2.dilate(stirred, np.ones((5, 5), np.uint8))  # a blended rim counts as well
    seen = valid.any(axis=0)
    holes = _holes(stirred.astype(bool) | ~seen) & seen
    doubtful = stirred.astype(bool) | holes
    if not doubtful.any() or not (seen & ~doubtful).any():
        return median
    healed: Bytes = cv2.inpaint(median, (doubtful | ~seen).astype(np.uint8), HEAL, cv2.INPAINT_TELEA)
    usual = (valid & (change <= VISIBLE)).sum(axis=0) / np.maximum(valid.sum(axis=0), 1)  # share of time it is so
    holes = cv2.dilate(holes.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool) & doubtful
    wrong = doubtful & (distance(median, healed) > 2 * VISIBLE)
    wrong = _mostly(wrong, holes | (usual < STEADFAST))
    if not wrong.any():
        return median
    wrong &= _support(healed, median, wrong, seen & ~doubtful) > SUPPORT
    misfit = np.where(valid, distance(stack, healed), np.inf)  # (n, h, w)
    nearest = np.take_along_axis(stack, misfit.argmin(axis=0)[None, ..., None], axis=0)[0]
    shown = misfit.min(axis=0) < 2 * VISIBLE
    # What never uncovers the backdrop is a thing's inside; but a cloud that something passes is there at most times.
    never = ~shown & (holes | (usual < 0.5) | _mostly(wrong, shown))
    ground: Bytes = np.where((wrong & shown)[..., None], nearest, np.where((wrong & never)[..., None], healed, median))
    return ground


def _emptied(stack: Bytes, valid: Mask, median: Bytes, change: Array) -> Bytes | None:
    """The median without what came to rest, or set off late; None if there is nothing of the kind.

    In such a place the samples unlike the median agree with what lies around it: without the thing its outline is gone.
    """
    other = valid & (change > VISIBLE)
    seldom = other.sum(axis=0) > (1 - STEADFAST) * np.maximum(valid.sum(axis=0), 1)
    square = np.ones((3, 3), np.uint8)
    mask = cv2.morphologyEx(seldom.astype(np.uint8), cv2.MORPH_OPEN, square)
    if not mask.any():
        return None
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    swapped = np.where(mask[..., None] > 0, _median(stack, other), median)
    edges = [cv2.morphologyEx(image, cv2.MORPH_GRADIENT, square).mean(axis=-1) for image in (median, swapped)]
    empty = np.zeros(count, bool)
    for label in range(1, count):
        outline = cv2.morphologyEx((labels == label).astype(np.uint8), cv2.MORPH_GRADIENT, square) > 0
        if outline.any():
            with_it, without_it = (float(edge[outline].mean()) for edge in edges)
            empty[label] = with_it > SHARPER * without_it
    if not empty.any():
        return None
    grown = cv2.dilate(empty[labels].astype(np.uint8), square, iterations=2) > 0  # with its blended rim
    ground: Bytes = np.where((grown & seldom)[..., None], _median(stack, other), median)
    return ground


def _mostly(mask: Mask, sure: Mask) -> Mask:
    """The connected parts of a mask (h, w) of which at least a third is sure."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    whole = np.bincount(labels.ravel(), minlength=count)
    surely = np.bincount(labels.ravel(), weights=sure.ravel(), minlength=count)
    keep = 3 * surely >= whole
    keep[0] = False
    parts: Mask = keep[labels]
    return parts


def _median(stack: Bytes, valid: Mask) -> Bytes:
    """Per channel over the first axis, of what is valid; 255 where nothing is."""
    ordered = np.sort(np.where(valid[..., None], stack, 255), axis=0)
    middle = np.maximum(valid.sum(axis=0) - 1, 0) // 2  # (h, w)
    median: Bytes = np.take_along_axis(ordered, middle[None, ..., None], axis=0)[0]
    return median


def _holes(mask: Mask) -> Mask:
    """What a mask (h, w) encloses without having it."""
    count, labels = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    inner = np.setdiff1d(np.arange(1, count), rim)
    holes: Mask = np.isin(labels, inner)
    return holes


def _support(healed: Bytes, median: Bytes, asked: Mask, known: Mask) -> Array:
    """Share of the known pixels around each asked place that look like what `healed` has there, the near ones counting
    more: (h, w), 0 elsewhere."""
    height, width = asked.shape
    stride = max(1, round(max(height, width) / COARSE))
    grid = (slice(None, None, stride), slice(None, None, stride))
    near_y, near_x = np.nonzero(known[grid])
    padded = np.pad(asked, ((0, -height % stride), (0, -width % stride)))
    blocks = padded.reshape(padded.shape[0] // stride, stride, padded.shape[1] // stride, stride)
    ask_y, ask_x = np.nonzero(blocks.any(axis=(1, 3)))
    share = np.zeros(blocks.shape[::2], np.float32)
    if len(near_y) and len(ask_y):
        theirs, ours = median[grid][near_y, near_x], healed[grid][ask_y, ask_x]
        like = distance(ours[:, None], theirs) < 1.5 * VISIBLE  # (asked, known)
        apart = np.hypot(ask_y[:, None] - near_y, ask_x[:, None] - near_x)
        weight = np.exp(-apart / (AROUND * COARSE))
        share[ask_y, ask_x] = (like * weight).sum(axis=1) / weight.sum(axis=1)
    whole: Array = share.repeat(stride, axis=0).repeat(stride, axis=1)[:height, :width]
    return whole


def _envelope(ground: Bytes) -> tuple[Bytes, Bytes]:
    """Least and greatest value around each pixel: a backdrop that is out by part of a pixel lies between them."""
    square = np.ones((3, 3), np.uint8)
    return cv2.erode(ground, square), cv2.dilate(ground, square)


def _outside(lab: Bytes, low: Bytes, high: Bytes, covered: Mask | None = None) -> Array:
    """How far each pixel is from what the envelope allows: (h, w); 0 where nothing is known.

    A shift that most of the picture shares is the exposure's or the white balance's, and is taken off first.
    """
    if covered is not None and not covered.any():
        return np.zeros(lab.shape[:2], np.float32)
    light = lab.astype(np.float32)
    misfit = light - np.clip(light, low, high)  # (h, w, 3)
    shift = np.median(misfit if covered is None else misfit[covered], axis=(0, 1) if covered is None else 0)
    if np.any(np.abs(shift) > 0.5):
        light = light - shift
        misfit = light - np.clip(light, low, high)
    misfit[..., 0] *= LIGHTNESS
    away: Array = np.sqrt(np.einsum("...c,...c->...", misfit, misfit))
    return away if covered is None else np.where(covered, away, 0)
