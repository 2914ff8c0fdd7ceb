"""The look of the picture: flat, outline, pixelated or monochrome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from manzar.score.truth.segment import Array, Layers, Region, distance
from manzar.score.truth.tracks import Track

COLOURLESS = 16.0  # Lab chroma that all but a hundredth of a clip without hue stays under, codec or VAE included
BLOCKY = 0.35  # of all change between neighbouring pixels, how much more than chance must lie at the rims of blocks
LEAST_BLOCK = 3  # pixels; files of video have blocks of two of their own, of hue
LINE = 12.0  # L by which a drawn line is darker, or lighter, than both what it surrounds and what is behind
DRAWN = 0.5  # share of a silhouette's rim that must have such a line
CLEAR_PIXELS = 30  # area of a region below which its rim cannot be told from the rest


def hueless(lab: Array) -> bool:
    """Whether a clip (T, H, W, 3) in Lab is monochrome."""
    sample = lab[:: max(1, len(lab) // 4)]
    return bool(np.percentile(np.hypot(sample[..., 1], sample[..., 2]), 99) < COLOURLESS)


def blocks_of(lab: Array) -> int:
    """Side in pixels of the square blocks that a clip (T, H, W, 3) in Lab is made of; 1 if of none.

    Of all the change in lightness between neighbouring pixels, most must lie at the rims of blocks. Hue is no witness:
    files of video hold it at half the resolution.
    """
    sample = lab[:: max(1, len(lab) // 4), ..., :1]
    across = distance(sample[:, :, 1:], sample[:, :, :-1]).sum(axis=(0, 1))  # (W - 1,), all the change at each column
    down = distance(sample[:, 1:], sample[:, :-1]).sum(axis=(0, 2))  # (H - 1,)
    if min(across.sum(), down.sum()) <= 0:
        return 1
    blocks = range(LEAST_BLOCK, max(LEAST_BLOCK + 1, min(lab.shape[1:3]) // 12))
    excess = [min(_excess(across, block), _excess(down, block)) for block in blocks]
    best = int(np.argmax(excess))
    return blocks[best] if excess[best] > BLOCKY else 1


def unblocked(lab: Array, block: int) -> Array:
    """The clip as smooth as its blocks allow: one sample for each, and the curves between them."""
    height, width = lab.shape[1:3]
    smooth = np.empty_like(lab)
    for frame, out in zip(lab, smooth, strict=True):
        small = np.ascontiguousarray(frame[block // 2 :: block, block // 2 :: block])
        rows, columns = small.shape[:2]
        large = cv2.resize(small, (columns * block, rows * block), interpolation=cv2.INTER_CUBIC)
        out[:] = cv2.copyMakeBorder(
            large, 0, max(0, height - len(large)), 0, max(0, width - large.shape[1]), cv2.BORDER_REPLICATE
        )[:height, :width]
    return smooth


def line_of(layers: Layers, tracks: Sequence[Track], least: float = DRAWN) -> Literal["dark", "pale"] | None:
    """The line drawn around actors, if it runs along more than `least` of their rims in most regions; else None."""
    lines = [_line(layers, region) for track in tracks for region in track.found[::4] if region.area >= CLEAR_PIXELS]
    if not lines or np.median([max(both) for both in lines]) <= least:
        return None
    dark, pale = np.sum(lines, axis=0)
    return "dark" if dark > pale else "pale"


def _excess(change: Array, block: int) -> float:
    """Share of the change at every `block`-th place, rescaled so that 0 is chance and 1 is all of it."""
    rims = change[block - 1 :: block]
    chance = len(rims) / len(change)
    return float((rims.sum() / change.sum() - chance) / (1 - chance))


def _line(layers: Layers, region: Region) -> tuple[float, float]:
    """Share of a region's rim along which lightness falls below, or rises above, both body and background."""
    height, width = region.cover.shape
    left, top = region.corner
    window = np.s_[top : top + height, left : left + width]
    light, behind = layers.lab[region.frame][window][..., 0], layers.background[window][..., 0]
    around = np.ones((3, 3), np.uint8)
    inside = (region.whole > 0.5).astype(np.uint8)
    rim = (inside > 0) & (cv2.erode(inside, around, borderType=cv2.BORDER_CONSTANT, borderValue=0) == 0)
    body = float(np.median(region.core[:, 0]))
    dark = np.minimum(behind, body) - cv2.erode(light, around) > LINE
    pale = cv2.dilate(light, around) - np.maximum(behind, body) > LINE
    return float(dark[rim].mean()), float(pale[rim].mean())
