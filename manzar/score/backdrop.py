"""What stands behind the actors, how the camera moves, and the look of the picture."""

from __future__ import annotations

import cv2
import numpy as np

from manzar.score.segment import Array, Layers, distance

STEADY = 2.5  # L of change that more than half of the background stays under when the camera does not move
SHIFT = 0.03  # share of the width by which both halves must move before a pan or zoom is called
COLOURLESS = 8.0  # Lab chroma under which a whole clip has no hue


def background_of(layers: Layers) -> str | None:
    """plain, gradient, sky, sea, grass or night, from the colours of the rows, top to bottom."""
    rows = layers.rows  # (H, 3)
    height = len(rows)
    top, low = (np.median(part, axis=0) for part in (rows[: height // 6], rows[-height // 6 :]))
    spread = float(np.percentile(distance(rows, np.median(rows, axis=0)), 90))
    if top[0] < 20 and low[0] < 32 and top[2] < -8:
        return "night"
    if spread < 5:
        return "plain"
    step = float(distance(rows[4:], rows[:-4]).max())
    falls = top[0] - low[0]  # how much lighter the top is
    if falls > 12 and step > 15:
        if low[1] < -15 and low[2] > 15:
            return "grass"
        if low[2] < -8:
            return "sea"
    if top[2] < -10 and top[1] < 4 and top[0] > 55 and falls < -4:
        return "sky"
    return "gradient"


def camera_of(layers: Layers) -> str | None:
    """still, pan left, pan right, zoom in or zoom out, from how the texture of both halves shifts; None if unclear.

    A background without texture shows no movement, and a camera that shows none is called still.
    """
    lightness = layers.lab[..., 0] - layers.rows[:, :1]  # (T, H, W): what the row does not explain
    width = lightness.shape[2]
    changed = np.abs(lightness[-1] - lightness[0])
    if np.percentile(changed, 60) < STEADY:
        return "still"
    if len(lightness) < 3:
        return None
    steps = range(0, len(lightness) - 2, 2)
    left, right = (
        float(np.median([_shift(lightness[t][:, half], lightness[t + 2][:, half]) for t in steps])) * len(steps)
        for half in (slice(0, width // 2), slice(width // 2, None))
    )
    least = SHIFT * width
    if min(abs(left), abs(right)) < least:
        return None
    if left * right > 0:
        return "pan left" if left > 0 else "pan right"  # a camera that turns left moves the picture to the right
    return "zoom in" if left < 0 else "zoom out"


def _shift(a: Array, b: Array) -> float:
    """Pixels to the right by which `b` is moved against `a` (phase correlation, Kuglin and Hines 1975)."""
    window = cv2.createHanningWindow(a.shape[::-1], cv2.CV_32F)
    (across, _), _ = cv2.phaseCorrelate(np.ascontiguousarray(a), np.ascontiguousarray(b), window)
    return float(across)


def look_of(layers: Layers) -> str | None:
    """monochrome where nothing has a hue, pixelated where colour changes only at the rims of blocks, else flat."""
    sample = layers.lab[:: max(1, len(layers.lab) // 3)]
    if np.percentile(np.hypot(sample[..., 1], sample[..., 2]), 99.5) < COLOURLESS:
        return "monochrome"
    edges = distance(sample[:, :, 1:], sample[:, :, :-1]).sum(axis=(0, 1))  # (W - 1,), all the change at each column
    for block in range(2, max(3, len(edges) // 12)):
        at_rims = edges[block - 1 :: block].sum()
        if at_rims > 0.8 * edges.sum() > 0:
            return "pixelated"
    return "flat"
