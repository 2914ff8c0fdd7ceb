"""What a thing that can be watched looks like from the inside: a film, an animated picture, a folder of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from manzar.nouns import Frames

    Timed = tuple[float, Frames]  # seconds since the first picture, uint8 (H, W, 3)

FALLBACK_FPS = 25.0
MOST_SIDE = 8192  # pictures of more than this squared are refused: one of them would take 200 MB as RGB
MOST_PIXELS = MOST_SIDE * MOST_SIDE
TOO_LARGE = f"larger than {MOST_SIDE}x{MOST_SIDE}; make it smaller first"
SAME_SHAPE = 0.02  # a picture of another size and nearly the shape of the first is scaled, of another set in bars
PAPER = 255  # see-through places show the white of a page, as they do in a browser or a document


@dataclass(frozen=True)
class Probe:
    """What a file says about itself. `frames` and `seconds` are the header's claim, None where it makes none.

    width, height: as displayed, upright and with square pixels.
    fps: pictures per second; the mean where that varies.
    codec: FFmpeg's name of the decoder, or of the image format.
    rotation: degrees clockwise that the stored picture is turned by for display: 0, 90, 180 or 270.
    pixel_aspect: width of a stored pixel over its height.
    interlaced: pictures are woven from two fields; they come out deinterlaced.
    hdr: "pq" (SMPTE ST 2084) or "hlg" (ARIB STD-B67); such pictures come out tone-mapped. "" otherwise.
    bit_depth: bits of a stored sample.
    alpha: some of the first picture is see-through; it comes out on white.
    audio: there is sound beside the pictures; it is never decoded.
    """

    width: int
    height: int
    fps: float
    frames: int | None
    seconds: float | None
    codec: str
    rotation: int = 0
    pixel_aspect: float = 1.0
    interlaced: bool = False
    hdr: Literal["", "pq", "hlg"] = ""
    bit_depth: int = 8
    alpha: bool = False
    audio: bool = False


class Source(Protocol):
    """One opened film, animation or image folder; each is read once, from front to back."""

    path: Path
    fps: float

    def probe(self) -> Probe: ...

    def pictures(self, size: tuple[int, int] | None, *, start_s: float = 0.0, start_frame: int = 0) -> Iterator[Timed]:
        """Pictures in order of display from one at or before `start_s`, or from exactly the `start_frame`-th on."""

    def close(self) -> None: ...


def fitted(width: int, height: int, within: tuple[int, int]) -> tuple[int, int]:
    """The largest (width, height) of the shape `width`:`height` inside `within`, at least one pixel each way."""
    scale = min(within[0] / width, within[1] / height)
    return min(within[0], max(1, round(width * scale))), min(within[1], max(1, round(height * scale)))


def inner(width: int, height: int, displayed: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The part of `size` that a picture of `width`:`height` fills in a film whose first is `displayed` so large: all
    of it if the shape is the same. `size` itself may be a squeezed one."""
    if abs(width / height * displayed[1] / displayed[0] - 1) <= SAME_SHAPE:
        return size
    part = fitted(width, height, displayed)
    return max(1, round(part[0] * size[0] / displayed[0])), max(1, round(part[1] * size[1] / displayed[1]))
