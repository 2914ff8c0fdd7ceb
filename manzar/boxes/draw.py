"""Rectangles on frames: for people to look at, and for a model that learns to draw them (self-tracking)."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from manzar.nouns import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from manzar.nouns import Frames

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255

PIXELS_PER_WIDTH = 96  # of the frame's shorter side, for each pixel of a line's width
DASH = 4  # length of a dash, and of a gap, in widths of the line
GOLDEN = 0.618034  # turns of the colour circle between neighbours: any few stay well apart


def line_width(height: int, width: int) -> int:
    """Pixels that a line on frames of this size is wide."""
    return max(1, round(min(height, width) / PIXELS_PER_WIDTH))


def colours(count: int) -> list[Colour]:
    """Bright colours that are easily told apart, the first always the same."""
    hues = (colorsys.hsv_to_rgb((0.92 + k * GOLDEN) % 1, 0.85, 1.0) for k in range(count))
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in hues]


def draw(frame: Frames, box: Box, colour: Colour, *, dashed: bool = False, width: int = 1, phase: int = 0) -> None:
    """One rectangle on a frame, uint8 (H, W, 3), in place, just around what the box holds.

    It stays within the frame: along a border it lies upon what is there, and a box that is out of view is a line on
    the border. phase: pixels by which dashes are moved on.
    """
    frame[_ring(frame.shape[0], frame.shape[1], box, width, DASH * width if dashed else 0, phase)] = colour


def paint(frames: Frames, tracks: Sequence[Sequence[Box | None]], colours: Sequence[Colour]) -> Frames:
    """A copy of frames, uint8 (T, H, W, 3), with a solid rectangle in its colour around every object on every frame.

    tracks: for each object its box on each frame; None draws nothing.
    """
    painted = frames.copy()
    width = min(2, line_width(*frames.shape[1:3]))
    for boxes, colour in zip(tracks, colours, strict=True):
        for frame, box in zip(painted, boxes, strict=True):
            if box is not None:
                draw(frame, box, colour, width=width)
    return painted


def _ring(height: int, width: int, box: Box, thick: int, dash: int, phase: int) -> NDArray[np.bool_]:
    """(H, W): the pixels of the line."""
    x0, y0 = (_near(value * side - thick, side - thick) for value, side in ((box.x0, width), (box.y0, height)))
    x1, y1 = (_near(value * side, side - thick) + thick for value, side in ((box.x1, width), (box.y1, height)))
    ring = np.zeros((height, width), dtype=np.bool_)
    ring[y0:y1, x0:x1] = True
    ring[y0 + thick : y1 - thick, x0 + thick : x1 - thick] = False
    if dash:
        rows, columns = np.ogrid[:height, :width]
        ring &= (rows + columns + phase) // dash % 2 == 0
    return ring


def _near(value: float, most: int) -> int:
    return min(max(round(value), 0), most)
