"""One decoded picture to what stands on the screen: upright, square pixels, RGB of an ordinary display."""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.format import VideoFormat
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, Interpolation, VideoReformatter

from manzar.media.hdr import Transfer, to_sdr
from manzar.media.source import PAPER, inner

if TYPE_CHECKING:
    from fractions import Fraction

    import av

    from manzar.nouns import Frames

# Without the first swscale takes white to 253 and loses two levels of every colour. A picture that is not scaled needs
# the second as well (else it loses one); where it is scaled that would only cost time.
EXACT_SCALED = Interpolation.FULL_CHR_H_INT
EXACT_UNSCALED = Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
UNSPECIFIED_COLOURSPACE = 2
HD_HEIGHT = 720  # untagged material from here on is taken for BT.709, below for BT.601, as browsers do
PLAUSIBLE_ASPECT = (1 / 8, 8)  # of a pixel; a file that claims another would be shown as one line, and fill the memory
HDR: dict[int, Literal["pq", "hlg"]] = {int(ColorTrc.SMPTE2084): "pq", int(ColorTrc.ARIB_STD_B67): "hlg"}
BT2020_PRIMARIES = int(ColorPrimaries.BT2020)


class Orientation(NamedTuple):
    """How the stored picture is turned for display: first transposed, then flipped left-right and top-bottom."""

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def turned(self, array: Frames) -> Frames:
        """(H, W, 3) as stored to (H', W', 3) as displayed."""
        if not any(self):
            return array
        if self.transposed:
            array = array.swapaxes(0, 1)
        array = array[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return np.ascontiguousarray(array)


class Screen:
    """Shows every picture of one file at one size; the first picture and the file's pixel aspect decide on it."""

    def __init__(self, first: av.VideoFrame, pixel_aspect: Fraction | None) -> None:
        self.orientation = orientation(first)
        plausible = pixel_aspect is not None and PLAUSIBLE_ASPECT[0] <= pixel_aspect <= PLAUSIBLE_ASPECT[1]
        self.pixel_aspect = pixel_aspect if pixel_aspect is not None and plausible else 1
        self.stored = (first.width, first.height)
        self.displayed = self._displayed(first)
        self._reformatter = VideoReformatter()

    def show(self, picture: av.VideoFrame, size: tuple[int, int]) -> Frames:
        """uint8 (H, W, 3) of `size` (width, height). A picture whose shape changes in mid-file gets black bars."""
        part = size
        if (picture.width, picture.height) != self.stored:
            part = inner(*self._displayed(picture), self.displayed, size)
        stored = part[::-1] if self.orientation.transposed else part
        shown = self.orientation.turned(self._rgb(picture, stored))
        return shown if part == size else _centred(shown, size)

    def _displayed(self, picture: av.VideoFrame) -> tuple[int, int]:
        """(width, height) with square pixels; an oblong pixel enlarges the shorter side, so nothing is lost."""
        width, height = picture.width, picture.height
        if self.pixel_aspect > 1:
            width = round(width * self.pixel_aspect)
        else:
            height = round(height / self.pixel_aspect)
        return (height, width) if self.orientation.transposed else (width, height)

    def _rgb(self, picture: av.VideoFrame, size: tuple[int, int]) -> Frames:
        transfer = transfer_of(picture)
        if transfer is not None:
            return to_sdr(self._converted(picture, size, "rgb48le"), transfer)
        if has_alpha(picture.format.name):
            rgba = self._converted(picture, (picture.width, picture.height), "rgba")
            if rgba[..., 3].min() < 255:  # set on paper before it is scaled, or hidden colours bleed over the edges
                picture = picture.from_ndarray(_on_paper(rgba), format="rgb24")
        array: Frames = self._converted(picture, size, "rgb24")
        return array

    def _converted(self, picture: av.VideoFrame, size: tuple[int, int], form: str) -> Any:
        """One picture in `form`, at `size` as stored: colour matrix and scale applied."""
        smaller = size[0] * size[1] <= picture.width * picture.height
        matrix: Colorspace | None = None
        if picture.colorspace == UNSPECIFIED_COLOURSPACE and picture.format.name.startswith("yuv"):
            matrix = Colorspace.ITU709 if picture.height >= HD_HEIGHT else Colorspace.ITU601
            if form == "rgb48le":
                matrix = Colorspace.BT2020
        exact = EXACT_UNSCALED if size == (picture.width, picture.height) else EXACT_SCALED
        return self._reformatter.reformat(
            picture,
            width=size[0],
            height=size[1],
            format=form,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            interpolation=(Interpolation.AREA if smaller else Interpolation.BICUBIC) | exact,
            threads=1,
        ).to_ndarray()

    def see_through(self, picture: av.VideoFrame) -> bool:
        """Whether any of a picture is less than opaque."""
        if not has_alpha(picture.format.name):
            return False
        rgba = self._converted(picture, (picture.width, picture.height), "rgba")
        return bool(rgba[..., 3].min() < 255)


def transfer_of(picture: av.VideoFrame) -> Transfer | None:
    """The curve to undo, or None where the picture is made for an ordinary screen."""
    hdr = HDR.get(picture.color_trc)
    return hdr or ("gamma" if picture.color_primaries == BT2020_PRIMARIES else None)


def orientation(picture: av.VideoFrame) -> Orientation:
    """The quarter turns and mirrorings of a picture's display matrix (ISO/IEC 14496-12, section 6.2.2)."""
    for index in range(len(picture.side_data)):
        data = picture.side_data[index]
        if data.type == SideData.DISPLAYMATRIX and data.buffer_size >= 36:
            a, b, _, c, d = struct.unpack("=9i", bytes(data)[:36])[:5]  # x' = a x + c y, y' = b x + d y
            if abs(a) >= abs(b):
                return Orientation(False, a < 0, d < 0)
            return Orientation(True, c < 0, b < 0)
    return Orientation()


@cache
def has_alpha(form: str) -> bool:
    return any(component.is_alpha for component in VideoFormat(form).components)


def _on_paper(rgba: Frames) -> Frames:
    """(H, W, 4), straight alpha, over white: (H, W, 3)."""
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + PAPER * (255 - alpha) + 127) // 255).astype(np.uint8)


def _centred(shown: Frames, size: tuple[int, int]) -> Frames:
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    top, left = (size[1] - shown.shape[0]) // 2, (size[0] - shown.shape[1]) // 2
    canvas[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return canvas
