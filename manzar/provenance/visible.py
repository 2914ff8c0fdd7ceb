"""A label that people see: white on a dark plate in the corner, at least 5 % of the short side high for the first two
seconds, a smaller one from then on.

Letters come from Pillow's own font, the two Chinese characters from strokes drawn here. In a picture below 128 pixels
no sentence can be read; there it is "AI" in a font of 5x7 pixels, and the pixels of a picture that cannot hold even
that stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from manzar.media import probe
from manzar.provenance.invisible import LUMA

if TYPE_CHECKING:
    from manzar.nouns import Frames

OPENING_S = 2.0  # how long the large label stays
OPENING_TEXT, LATER_TEXT = ("AI generated · AI", "生", "成"), ("AI", "生", "成")
OPENING_SHARE, LATER_SHARE = 0.055, 0.04  # height of a capital, of the short side
READABLE = 128  # pixels of the short side, for text
LEAST_CAPITAL = 7  # pixels
CAPITAL = 0.70  # height of a capital in Pillow's font, of its size
PLATE = 0.4  # of the picture that shines through
SEEN = 0.75  # correlation with the label from which on it counts as seen
LETTERS = {  # 5 x 7
    "A": ".###. #...# #...# ##### #...# #...# #...#",
    "I": ".###. ..#.. ..#.. ..#.. ..#.. ..#.. .###.",
}
# Strokes in a square of 100, each a line through points.
STROKES = {
    "生": (((30, 6), (25, 24), (14, 42)), ((26, 27), (86, 27)), ((53, 4), (53, 90)), ((22, 57), (80, 57)),
           ((6, 91), (94, 91))),
    "成": (((18, 27), (92, 27)), ((19, 27), (18, 58), (6, 93)), ((20, 51), (46, 51), (45, 76), (40, 83), (31, 79)),
           ((56, 4), (59, 36), (67, 66), (80, 88), (92, 94), (94, 72)), ((84, 43), (70, 68), (44, 93)),
           ((73, 6), (86, 17))),
}  # fmt: skip


@dataclass(frozen=True)
class Label:
    """A label and its place: `ink` (h, w) from 0, the plate, to 1, the letters; its corner at (top, left)."""

    top: int
    left: int
    ink: NDArray[np.float32]

    def of(self, frame: Frames) -> Frames:
        """The part of a frame (H, W, 3) that the label covers, as a view."""
        height, width = self.ink.shape
        part: Frames = frame[self.top : self.top + height, self.left : self.left + width]
        return part


def draw(chunks: Iterable[Frames], fps: float) -> Iterator[Frames]:
    """The same chunks with the label on every frame."""
    index, opening = 0, ceil(OPENING_S * fps)
    for chunk in chunks:
        marked = chunk.copy()
        for frame in marked:
            label = label_for(frame.shape[1], frame.shape[0], opening=index < opening)
            if label is not None:
                part, ink = label.of(frame), label.ink[..., None]
                part[:] = np.rint(part * PLATE * (1 - ink) + 255 * ink).astype(np.uint8)
            index += 1
        yield marked


@lru_cache(maxsize=16)
def label_for(width: int, height: int, *, opening: bool) -> Label | None:
    """The label of a picture so large; None where none fits."""
    short = min(width, height)
    if short < READABLE:
        ink = _pixels("AI")
    else:
        capital = max(LEAST_CAPITAL, ceil((OPENING_SHARE if opening else LATER_SHARE) * short))
        ink = _written(OPENING_TEXT if opening else LATER_TEXT, capital)
    margin = short // 40
    top, left = height - ink.shape[0] - margin, width - ink.shape[1] - margin
    return Label(top, left, ink) if top >= 0 and left >= 0 else None


def notes(path: Path) -> list[str]:
    """What is to be known of the label in a file that has just been written."""
    seen = probe(path)
    if label_for(seen.width, seen.height, opening=True) is None:
        return [f"label: {seen.width}x{seen.height} has no room for one"]
    if min(seen.width, seen.height) < READABLE:
        return [f"label: at {seen.width}x{seen.height} no sentence can be read, so it is the letters AI alone"]
    return []


def _pixels(text: str) -> NDArray[np.float32]:
    """Letters of 5x7 pixels on a plate one pixel larger, sharp."""
    rows = np.zeros((9, 6 * len(text) + 1), np.float32)
    for index, letter in enumerate(text):
        shape = np.array([[dot == "#" for dot in row] for row in LETTERS[letter].split()], np.float32)
        rows[1:8, 6 * index + 1 : 6 * index + 6] = shape
    return rows


def _written(words: tuple[str, ...], capital: int) -> NDArray[np.float32]:
    """Words and characters in a row, a capital letter `capital` pixels high, on a plate with a margin."""
    font = ImageFont.load_default(capital / CAPITAL)
    square, gap = round(capital * 1.25), max(1, capital // 6)
    widths = [square if word in STROKES else ceil(font.getlength(word)) for word in words]
    edge = max(2, capital // 2)
    size = (sum(widths) + gap * (len(words) - 1) + 2 * edge, square + 2 * edge)
    plate = Image.new("L", size)
    x, base = edge, edge + (square + capital) // 2  # letters stand in the middle of the characters' height
    for word, width in zip(words, widths, strict=True):
        if word in STROKES:
            plate.paste(_character(word, square), (x, edge))
        else:
            ImageDraw.Draw(plate).text((x, base), word, fill=255, font=font, anchor="ls")
        x += width + gap
    return np.asarray(np.asarray(plate) / 255, np.float32)


def _character(name: str, side: int) -> Image.Image:
    """One character from its strokes, drawn eight times too large for smooth edges."""
    scale = 8 * side / 100
    large = Image.new("L", (8 * side, 8 * side))
    pen, width = ImageDraw.Draw(large), round(9 * scale)
    for stroke in STROKES[name]:
        points = [(x * scale, y * scale) for x, y in stroke]
        pen.line(points, fill=255, width=width, joint="curve")
        for x, y in (points[0], points[-1]):
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    return large.resize((side, side), Image.Resampling.BOX)


class Reader:
    """Takes the pictures of one film and says whether they carry our label, where and as we draw it."""

    def __init__(self) -> None:
        self._alike: dict[bool, list[float]] = {True: [], False: []}

    def add(self, seconds: float, frame: Frames) -> None:
        """One picture, uint8 (H, W, 3), shown `seconds` after the first."""
        opening = seconds < OPENING_S - 1e-3
        label = label_for(frame.shape[1], frame.shape[0], opening=opening)
        if label is not None:
            self._alike[opening].append(_correlation(label.of(frame) @ LUMA, label.ink))

    def correlations(self) -> dict[str, float]:
        """Mean correlation with the label in the opening and later; only of what the film has."""
        return {name: float(np.mean(values)) for name, values in
                (("opening", self._alike[True]), ("later", self._alike[False])) if values}  # fmt: skip


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (np.sqrt(np.square(a).sum() * np.square(b).sum()) + 1e-6))
