"""What stands behind the actors."""

from __future__ import annotations

import numpy as np

from manzar.score.truth.segment import STARRY, Array, distance, stars

SMOOTH = ("plain", "gradient")  # the ones without texture
HUELESS = 7.0  # Lab chroma that no row of a background without hue exceeds


def background_of(picture: Array, rows: Array) -> str:
    """plain, gradient, sky, sea, grass or night, from the colours of the rows (H, 3), top to bottom.

    picture: (H, W, 3) in Lab, without actors if that can be had; asked for stars only.
    """
    height = len(rows)
    top, low = (np.median(part, axis=0) for part in (rows[: height // 6], rows[-height // 6 :]))
    spread = float(np.percentile(distance(rows, np.median(rows, axis=0)), 90))
    hueless = float(np.hypot(rows[:, 1], rows[:, 2]).max()) < HUELESS  # lightness alone tells then
    if top[0] < 20 and low[0] < 32 and (stars(picture, rows) >= STARRY if hueless else top[2] < -8):
        return "night"
    if spread < 5:
        return "plain"
    step = float(distance(rows[4:], rows[:-4]).max())
    falls = top[0] - low[0]  # how much lighter the top is
    if falls > 12 and step > 15:
        if (hueless and low[0] > 50) or (low[1] < -15 and low[2] > 15):
            return "grass"
        if hueless or low[2] < -8:
            return "sea"
    if top[0] > 55 and falls < -4 and (hueless or (top[2] < -10 and top[1] < 4)):
        return "sky"
    return "gradient"
