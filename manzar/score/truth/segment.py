"""Which pixels of a clip belong to something standing in front of its background, from the pixels alone.

The background is estimated twice: as one colour per row (right under anything that does not move, wrong where the
background itself has clouds or stars), and as the temporal median of every pixel (right wherever nothing stands for
more than half of the clip). A pixel far from both is foreground; a region where only the row is contradicted is either
decoration or an actor that never leaves its place, and its neighbourhood in time tells which.
All distances are Euclidean in CIE Lab (ΔE 1976), with L in [0, 100].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from manzar.nouns import Frames

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels

VISIBLE = 10.0  # ΔE below which a difference is taken for noise; h264 at crf 23 stays under it
ODD = 15.0  # ΔE between the median and its row above which something may stand there; waves and tufts stay under it
CLOUD = np.array([98.8, -0.4, -1.7], dtype=np.float32)  # Lab of the lightest of skies
FAINT = 2.0  # figures have parts of less contrast than the rest: cover times this keeps them whole
FLATTEST = 0.4  # share of a region's pixels, those of least gradient, that its colour is asked of
STARRY = 8  # specks of light that make a starry sky
SMALLEST = 0.004  # share of the frame below which a region is dirt: a star, a wave, a codec block


@dataclass(frozen=True)
class Region:
    """One connected piece of foreground on one frame.

    cover: float32 (h, w), how much of each pixel it covers, within `corner` (x, y) of the frame, if all of it has the
        contrast of most of it; `whole` allows for parts that have half of that.
    core: (n, 3) Lab of the pixels away from its blended rim; colour: (3,) their median; every: (m, 3) of all pixels.
    area: pixels; centre: (x, y) in pixels; box: (x0, y0, x1, y1) in pixels, at half cover; cut: leaves the frame.
    """

    frame: int
    cover: Array
    core: Array
    every: Array
    corner: tuple[int, int]
    colour: Array
    area: float
    centre: tuple[float, float]
    box: Box
    cut: bool

    @property
    def whole(self) -> Array:
        """Cover (h, w) with the faint parts at their full weight."""
        full: Array = np.minimum(FAINT * self.cover, 1)
        return full


@dataclass(frozen=True)
class Layers:
    """A clip taken apart: background (H, W, 3), colour per row (H, 3), distance from the background (T, H, W), which
    is 0 where the frame does not show the place, and whether it does (T, H, W)."""

    lab: Array
    background: Array
    rows: Array
    contrast: Array
    visible: Mask


def to_lab(frames: Frames) -> Array:
    """uint8 sRGB (..., H, W, 3) → float32 CIE Lab of the same shape."""
    flat = np.ascontiguousarray(frames).reshape(-1, frames.shape[-2], 3)
    lab: Array = np.asarray(cv2.cvtColor(flat.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)
    shaped: Array = lab.reshape(frames.shape)
    return shaped


def distance(a: Array, b: Array) -> Array:
    """ΔE over the last axis, with broadcasting: (..., 3), (..., 3) → (...)."""
    difference = a - b
    root: Array = np.sqrt(np.einsum("...c,...c->...", difference, difference))
    return root


def row_colours(lab: Array) -> Array:
    """One background colour per row, (T, H, W, 3) → (H, 3): the median of what is left once foreground is taken out."""
    width = lab.shape[2]
    border = np.r_[0 : max(1, width // 6), width - max(1, width // 6) : width]
    rows: Array = np.median(lab[:, :, border], axis=(0, 2))
    sample = lab[:: max(1, len(lab) // 5)]
    for _ in range(2):
        far = distance(sample, rows[:, None]) > VISIBLE
        seen = np.where(far[..., None], np.nan, sample).transpose(1, 0, 2, 3).reshape(lab.shape[1], -1, 3)
        enough = (~np.isnan(seen[..., 0])).mean(axis=1) > 0.15
        if enough.any():
            rows[enough] = np.nanmedian(seen[enough], axis=1)
    return rows


def separate(lab: Array, visible: Mask) -> Layers:
    """Take a clip (T, H, W, 3) in Lab, filmed by a camera at rest, apart into a background and what differs from it."""
    rows = row_colours(lab)
    median: Array = np.median(lab, axis=0)
    background = _without_actors(lab, median, rows)
    return Layers(lab, background, rows, distance(lab, background) * visible, visible)


def _without_actors(lab: Array, median: Array, rows: Array) -> Array:
    """The temporal median, repaired wherever an actor stood long enough to get into it.

    What the median has and the row has not is an actor if at times the row shows instead, or if it looks like no
    decoration: clouds, horizons, waves, stars and moons stay. When nothing else is left, the weightiest of
    those counts.
    """
    plain = np.broadcast_to(rows[:, None], median.shape)
    away = distance(median, plain)
    odd = (away > ODD) & ~_like_cloud(median, rows)
    odd[odd] = ~_coloured_like(median[odd], rows)  # a horizon that is not level has the colour of another row
    if not odd.any():
        return median.copy()
    shown = distance(lab, plain) < ODD  # (T, H, W)
    change = distance(lab, median)  # (T, H, W)
    revealed = odd & ((shown & (change > ODD)).mean(axis=0) > 0.03)
    covered = revealed.copy()
    standing: list[tuple[float, Mask]] = []
    for here in _solid_parts(odd):
        if revealed[here].mean() > 0.03:
            own = median[revealed & here]
            covered[here] |= _coloured_like(median[here], own)
            # what has another colour is a further part of the actor, but not if it is the moon behind it
            for rest in _solid_parts(here & ~covered):
                if not _like_moon(median, rows, rest):
                    covered |= rest
        else:
            standing.append((float(away[here].sum()), here))
    actors = [here for _, here in standing if not _like_moon(median, rows, here)]
    moved = ((change > ODD) & ~shown).mean(axis=(1, 2)).max()  # largest share of a frame that is off both models
    if standing and not actors and moved < 2 * SMALLEST:
        actors = [max(standing, key=lambda one: one[0])[1]]
    for here in actors:
        covered |= here
    return np.where(covered[..., None], plain, median)


def _coloured_like(pixels: Array, samples: Array) -> Mask:
    """Which pixels (m, 3) are near to any of the sample colours (n, 3)."""
    few = samples[:: max(1, len(samples) // 40)]
    near: Mask = distance(pixels[:, None], few).min(axis=1) < ODD
    return near


def _solid_parts(odd: Mask) -> list[Mask]:
    """Connected parts too thick for a horizon or a wave, each with the thin limbs within three pixels of it."""
    square = np.ones((3, 3), np.uint8)
    thick = cv2.morphologyEx(odd.astype(np.uint8), cv2.MORPH_OPEN, square)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(thick, connectivity=4)
    return [
        odd & cv2.dilate((labels == index).astype(np.uint8), square, iterations=3).astype(bool)
        for index in range(1, count)
        if stats[index, cv2.CC_STAT_AREA] >= SMALLEST * odd.size
    ]


def _like_moon(median: Array, rows: Array, here: Mask) -> bool:
    """Small, very light, in the upper third, in a dark sky that is blue or has stars."""
    ys = np.nonzero(here)[0]
    row = np.median(rows[ys], axis=0)
    light = float(np.percentile(median[here][:, 0], 75))  # its rim and stars that touch it are darker
    up_there = here.mean() < 0.05 and ys.mean() < 0.33 * len(rows)
    pale = float(np.hypot(*np.median(median[here][:, 1:], axis=0))) < 30
    return bool(row[0] < 25 and light > 85 and pale and up_there and (row[2] < -5 or stars(median, rows) >= STARRY))


def stars(median: Array, rows: Array) -> int:
    """How many specks, too small for an actor, are much lighter than their row."""
    bright = (median[..., 0] - rows[:, None, 0] > 12).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
    return int((stats[1:count, cv2.CC_STAT_AREA] < SMALLEST * bright.size).sum())


def _like_cloud(median: Array, rows: Array) -> Mask:
    """Between the row's colour and white, before a light blue row: (H, W)."""
    way = CLOUD - rows  # (H, 3)
    length = np.maximum(np.linalg.norm(way, axis=1), 1.0)
    offset = median - rows[:, None]
    along = np.einsum("hwc,hc->hw", offset, way) / length[:, None]
    across = np.sqrt(np.maximum(np.einsum("hwc,hwc->hw", offset, offset) - along**2, 0))
    sky = (rows[:, 0] > 65) & (rows[:, 2] < -6) & (rows[:, 1] < 3)
    cloud: Mask = sky[:, None] & (across < 8) & (along > 0)
    return cloud


def regions(layers: Layers, frame: int) -> list[Region]:
    """The connected foreground regions of one frame, largest first; specks are left out."""
    contrast = layers.contrast[frame]
    view = _view(layers.visible[frame])
    smallest = SMALLEST * contrast.size
    count, labels, stats, _ = cv2.connectedComponentsWithStats((contrast > VISIBLE).astype(np.uint8), connectivity=4)
    found = []
    for index in range(1, count):
        x, y, w, h, size = (int(v) for v in stats[index])
        if size < smallest:
            continue
        window = np.s_[max(0, y - 1) : y + h + 1, max(0, x - 1) : x + w + 1]
        own = cv2.dilate((labels[window] == index).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        strength = np.where(own, contrast[window], 0)
        full = float(np.percentile(strength[labels[window] == index], 80))
        # A solid shape reaches its full contrast inside, so contrast / full is its cover, whatever the blur.
        alpha = np.clip(strength / full, 0, 1).astype(np.float32)
        region = _measure(frame, alpha, layers.lab[frame][window], (window[1].start, window[0].start), view)
        if region is not None and region.area >= smallest:
            found.append(region)
    return sorted(found, key=lambda region: -region.area)


def parted(layers: Layers, region: Region, colours: list[Array]) -> list[Region | None]:
    """A region shared out among actors of the given colours (3,), every pixel to the nearest; None for too little."""
    height, width = region.cover.shape
    left, top = region.corner
    lab = layers.lab[region.frame][top : top + height, left : left + width]
    owner = distance(lab[:, :, None], np.stack(colours)).argmin(axis=-1)  # (h, w)
    view = _view(layers.visible[region.frame])
    parts = []
    for index in range(len(colours)):
        own: Array = np.where(owner == index, region.cover, 0).astype(np.float32)
        full = float(np.percentile(own[own > 0], 80)) if own.any() else 1.0
        cover: Array = np.minimum(own / full, 1)
        part = _measure(region.frame, cover, lab, region.corner, view)
        parts.append(part if part is not None and part.area >= SMALLEST * layers.visible[0].size else None)
    return parts


def _view(visible: Mask) -> Box:
    """The rectangle that a frame shows."""
    xs, ys = np.flatnonzero(visible.any(axis=0)), np.flatnonzero(visible.any(axis=1))
    return float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1)


def _measure(frame: int, cover: Array, lab: Array, corner: tuple[int, int], view: Box) -> Region | None:
    alpha = np.minimum(FAINT * cover, 1)
    inside = alpha > 0.5
    if not inside.any():
        return None
    slope = cv2.morphologyEx(lab, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).sum(axis=-1)
    firm = inside & (cover >= min(0.4, float(np.median(cover[inside]))))
    core = firm & (slope <= np.quantile(slope[firm], FLATTEST))
    ys, xs = np.nonzero(inside)
    mass = float(alpha.sum())
    left, top = corner
    box = (float(left + xs.min()), float(top + ys.min()), float(left + xs.max() + 1), float(top + ys.max() + 1))
    x, y = np.arange(alpha.shape[1]), np.arange(alpha.shape[0])
    return Region(
        frame=frame,
        cover=cover,
        core=lab[core],
        every=lab[inside],
        corner=corner,
        colour=np.median(lab[core], axis=0),
        area=mass,
        centre=(
            left + 0.5 + float(alpha.sum(axis=0) @ x) / mass,
            top + 0.5 + float(alpha.sum(axis=1) @ y) / mass,
        ),
        box=box,
        cut=box[0] <= view[0] or box[1] <= view[1] or box[2] >= view[2] or box[3] >= view[3],
    )
