"""What is laid over or around a picture: the seams of a split screen, bars at its sides, lines of writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from manzar.nouns import Video

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from manzar.nouns import Frames

    Grey = NDArray[np.uint8]  # (H, W) luma, 0..255
    Field = NDArray[np.float32]

LEAST_SIDE = 96  # pixels: smaller pictures hold neither readable writing nor several films
# Writing.
TALLEST_STROKE = 0.07  # of the picture's height: the thickest stroke that counts as one
STROKE_CONTRAST = 48  # of 255
EVEN_INK, EVEN_GROUND = 60, 24  # of 255: spread, its ends left out, of the strokes and of what lies behind them
LEAST_DETAIL = 16  # of 255: less is grain
LEAST_LETTERS, MOST_LETTERS = 4, 300
# Seams of split screens.
SEAM_PARTS = 16  # parts of a seam's length that are looked at each for itself
SEAM_WEAKER = 3  # a seam is as strong as its fourth weakest part
SEAM_BESIDE = 6  # pixels on either side that it must stand out from
SEAM_REACH = 4  # pixels from it to what is on its sides: separators may be that thick
SEAM_SLACK = 0.01  # of the width: how far off an equal division a seam may lie
SEAM_GRAIN = 4.0  # of 255, so that grain in a plain picture makes no seam
FLAT = 1.0  # of 255: less difference between neighbours than that is no detail
# Bars.
BAR_PICTURES = 8
BAR_GRAIN = 10  # of 255: how far a bar may be from its one colour
BAR_FLAT = 0.995  # of a line's pixels that are not further
BAR_EDGE = 0.5  # of the samples along its edge where half of the pictures differ clearly
BAR_BLACK = 32  # of 255
LEAST_BAR = 2  # pixels
LEAST_PICTURE = 0.25  # of a side that must be left between bars


def mosaic(greys: list[Grey]) -> float:
    """How clearly steady seams cut the picture into 2 to 5 equal columns or rows.

    A seam is a line at which neighbours differ more than they do beside it, in every part of its length, and across
    which two pictures meet that know nothing of each other: what is bright on one side is as often dark on the other.
    """
    if min(greys[0].shape) < LEAST_SIDE:
        return 0.0
    stack = np.stack(greys)  # (K, H, W)
    return max(_seams(stack), _seams(np.ascontiguousarray(stack.swapaxes(1, 2))))


def _seams(pictures: NDArray[np.uint8]) -> float:
    """`mosaic` for columns of equal width: the weakest of the seams that divide the width, for the best division."""
    width = pictures.shape[2]
    lines, slack = _steady_lines(pictures), max(1, round(SEAM_SLACK * width))

    def seam(place: float) -> tuple[int, float]:
        first = round(place) - slack
        column = first + int(lines[first : first + 2 * slack + 1].argmax())
        return column, max(0.0, float(lines[column]))

    best = 0.0
    for count in range(2, 6):
        seams = [seam(width * k / count) for k in range(1, count)]
        if min(line for _, line in seams) > best:  # else it cannot win, and most footage is done here
            best = max(best, min(line * _strangers(pictures, column) for column, line in seams))
    return best


def _steady_lines(pictures: NDArray[np.uint8]) -> Field:
    """(W) how much each column stands out from those beside it, in the weaker parts of its length, -1 to 1."""
    height = pictures.shape[1]
    rows = np.linspace(0, height, SEAM_PARTS + 1).astype(int)[:-1]
    jumps = np.mean([cv2.absdiff(one[:, 1:], one[:, :-1]) for one in pictures], axis=0, dtype=np.float32)
    parts = (np.add.reduceat(jumps, rows, axis=0) / np.diff([*rows, height])[:, None]).astype(np.float32)
    line = cv2.dilate(parts, np.ones((1, 3), np.uint8))
    near = cv2.blur(parts, (SEAM_BESIDE, 1))
    off = SEAM_BESIDE // 2 + 3
    beside = np.maximum(np.roll(near, off, axis=1), np.roll(near, -off, axis=1))
    excess = (line - beside) / (line + beside + SEAM_GRAIN)
    # Test patterns and drawings are flat beside their edges; filmed pictures never are.
    excess = np.sort(np.where(beside > FLAT, excess, 0), axis=0)[SEAM_WEAKER]
    return np.append(excess, excess[-1:]).astype(np.float32)


def _strangers(pictures: NDArray[np.uint8], column: int) -> float:
    """How much less the two sides of a column go together along it than each side does within itself, 0 to 1."""
    places = np.clip(column + 1 + SEAM_REACH * np.array([-3, -1, 1, 3]), 0, pictures.shape[2] - 1)
    far_left, left, right, far_right = pictures[:, :, places].reshape(-1, 4).T.astype(np.float32)  # (K · H) each

    def together(a: Field, b: Field) -> float:
        a, b = a - a.mean(), b - b.mean()
        return float((a * b).mean() + SEAM_GRAIN**2) / float(a.std() * b.std() + SEAM_GRAIN**2)

    apart = min(together(far_left, left), together(right, far_right)) - together(left, right)
    # Rooms are all lighter above than below, so that strangers go together by a half; a third apart is quite apart.
    return min(1.0, max(0.0, 3 * apart))


def bars(video: Video) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) in pixels of the picture inside steady flat bars; the whole frame where there are none.

    Sides that were cropped leave an even width and height. A bar is of one colour in every picture and ends at a
    straight edge along which the picture differs from it: a night sky fades and has none. Bars that are not black must
    come in equal pairs, or a clear sky would be one.
    """
    pictures = video.frames[np.linspace(0, len(video.frames) - 1, BAR_PICTURES).astype(int)]
    height, width = pictures.shape[1:3]
    top, bottom = _pair_of_bars(pictures[:, :, :: 1 + width // 160])
    across = pictures[:, top : height - bottom : 1 + height // 160]
    left, right = _pair_of_bars(across.swapaxes(1, 2))
    x0, x1 = _even(left, width - right, bool(left or right))
    y0, y1 = _even(top, height - bottom, bool(top or bottom))
    return x0, y0, x1, y1


def _even(start: int, end: int, cropped: bool) -> tuple[int, int]:
    return start, end - (end - start) % 2 * cropped


def _pair_of_bars(pictures: Frames) -> tuple[int, int]:
    """Rows of bar at the beginning and at the end of pictures (K, lines, samples, 3)."""
    first, dark = _bar(pictures)
    last, dark_too = _bar(pictures[:, ::-1])
    if dark and not last and _like_the_other(pictures[:, ::-1], first):
        last = first
    if dark_too and not first and _like_the_other(pictures, last):
        first = last
    lines = pictures.shape[1]
    if lines - first - last < LEAST_PICTURE * lines:
        return 0, 0
    paired = min(first, last) > 0 and abs(first - last) <= max(2, 0.1 * first)
    return (first if dark or paired else 0), (last if dark_too or paired else 0)


def _like_the_other(pictures: Frames, length: int) -> bool:
    """Whether a black bar of this length lies here too, though a dark scene hides its edge."""
    return bool(_flat(_apart(pictures[:, : length - 1], np.zeros(3, np.int16)), BAR_BLACK).all())


def _bar(pictures: Frames) -> tuple[int, bool]:
    """(lines of the bar at the beginning or 0, whether it is black)."""
    colour = np.median(pictures[:, 0], axis=(0, 1)).astype(np.int16)  # (3)
    if _flat(_apart(pictures[:, :LEAST_BAR], colour)).all():
        apart = _apart(pictures, colour)
        flat = _flat(apart)
        length = len(flat) if flat.all() else int(np.argmin(flat))
        # Codecs blur the edge over a line or two; the first of them goes with the bar. Each picture is asked by itself:
        # a thing that moves through an empty scene leaves straight edges too, but only in all pictures together.
        edge = np.abs(pictures[:, length : length + 3] - colour).max(axis=(1, 3)) if length < len(flat) else None
        if edge is not None and np.median((edge > 2 * BAR_GRAIN).mean(axis=1)) >= BAR_EDGE:
            return length + 1, bool(colour.max() <= BAR_BLACK)
    return 0, False


def _apart(pictures: Frames, colour: NDArray[np.int16]) -> NDArray[np.int16]:
    """How far each place is from a colour, in the channel and the picture where it is furthest: (lines, samples)."""
    above, below = pictures.max(axis=0) - colour, colour - pictures.min(axis=0)
    apart: NDArray[np.int16] = np.maximum(above, below).max(axis=-1)
    return apart


def _flat(apart: NDArray[np.int16], grain: int = BAR_GRAIN) -> NDArray[np.bool_]:
    flat: NDArray[np.bool_] = (apart <= grain).mean(axis=1) >= BAR_FLAT
    return flat


def text(grey: Grey) -> float:
    """Share of a picture's detail that is lines of writing: strokes of one height and brightness on a plain ground."""
    if min(grey.shape) < LEAST_SIDE:
        return 0.0
    tallest = max(3, round(TALLEST_STROKE * grey.shape[0])) | 1
    window = np.ones((tallest, tallest), np.uint8)
    covered = np.zeros(grey.shape, np.bool_)
    for lit in (grey, 255 - grey):  # bright on dark, dark on bright
        strokes = (cv2.morphologyEx(lit, cv2.MORPH_TOPHAT, window) > STROKE_CONTRAST).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
        letters = stats[1:][_letters(stats[1:], grey.shape[0])]
        for line in _lines(letters) if len(letters) >= LEAST_LETTERS else []:
            x0, y0 = line[:, :2].min(axis=0) - 1
            x1, y1 = (line[:, :2] + line[:, 2:4]).max(axis=0) + 1
            place = slice(max(0, y0), y1), slice(max(0, x0), x1)
            if _written(lit[place], strokes[place] > 0):
                covered[place] = True
    if not covered.any():
        return 0.0
    detail = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    detail[detail < LEAST_DETAIL] = 0
    return float(detail[covered].sum(dtype=np.int64) / max(1, detail.sum(dtype=np.int64)))


def _written(grey: Grey, strokes: NDArray[np.bool_]) -> bool:
    """Whether the strokes are of one brightness, and the ground between them of another."""
    ground = cv2.erode((~strokes).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # the soft rims belong to neither
    if not ground.any():
        return False
    low, high = np.percentile(grey[strokes], [50, 90])  # thin strokes are half rim
    under, over = np.percentile(grey[ground], [20, 80])
    return bool(high - low < EVEN_INK and over - under < EVEN_GROUND)


def _letters(stats: NDArray[np.int32], height: int) -> NDArray[np.intp]:
    """Which connected strokes, (N, 5) of x, y, width, height, area, may be a letter or a word of joined letters."""
    _, _, w, h, area = stats.T
    fill = area / (w * h)
    fits = (h >= max(5, 0.015 * height)) & (h <= 0.3 * height) & (w >= 2) & (w <= 8 * h) & (fill > 0.12) & (fill < 0.95)
    chosen = np.flatnonzero(fits)
    return chosen[np.argsort(-area[chosen], kind="stable")[:MOST_LETTERS]]


def _lines(stats: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """Groups of at least LEAST_LETTERS strokes of like height that stand beside each other on a line."""
    x, y, w, h, _ = stats.T
    lower, taller = np.minimum(h[:, None], h), np.maximum(h[:, None], h)
    overlap = np.minimum((y + h)[:, None], y + h) - np.maximum(y[:, None], y)
    gap = np.maximum(x[:, None], x) - np.minimum((x + w)[:, None], x + w)
    near = (lower >= 0.5 * taller) & (overlap >= 0.6 * lower) & (gap <= taller) & (gap >= -0.2 * lower)
    group = np.arange(len(stats))
    while True:  # the least index among one's neighbours spreads until nothing changes
        spread = np.where(near, group, len(stats)).min(axis=1)
        spread = np.minimum(spread, group)
        if (spread == group).all():
            break
        group = spread
    return [stats[group == first] for first in np.unique(group) if (group == first).sum() >= LEAST_LETTERS]
