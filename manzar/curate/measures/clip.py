"""Numbers about a clip, by which footage is chosen: motion, exposure, sharpness, text, seams, bars, frozen parts.

Every measure is a plain float in a unit a person can read, and means the same at any size and frame rate. Most look
at a few pictures or pairs drawn evenly over the clip, and stillness at a few samples of every frame, so that a clip
costs tens of milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from manzar.curate.measures.layout import bars, mosaic, text
from manzar.nouns import Video

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from manzar.nouns import Frames

    Grey = NDArray[np.uint8]  # (H, W) luma, 0..255
    Field = NDArray[np.float32]

__all__ = ["bars", "content_id", "frozen_ends", "measures"]

# Motion.
PAIRS = 8  # pairs of pictures that optical flow looks at
FLOW_SIDE = 128  # pixels of the longer side it works at
PAIR_SECONDS = 0.1  # apart: far enough that 2 % of the side per second is a quarter of a pixel there
GRID = 4  # pixels between the flow vectors that the camera is fitted to
REWEIGHTINGS = 4
TUKEY = 4.685  # cut of the biweight, in robust standard deviations
LEAST_SPREAD = 0.05  # pixels: below this the flow itself is not exact
# Pictures.
PICTURES = 5  # looked at in full
NEAR_BLACK, BLOWN_OUT = 20, 250  # of 255
EDGE_WINDOW = 15  # pixels: the widest edge whose width can be told
LEAST_EDGE = 0.25  # of the strongest edges' height; weaker ones are left out
FLAT_EDGE = 6.0  # of 255: a picture without any higher edge has no sharpness
# Still stretches.
STAMP_SIDE = 64  # samples along the longer side
CHANGED_BY = 4  # of 255: a sample that differs by more has changed
LEAST_CHANGED = 0.0005  # of the samples; fewer, and nothing changed
NEXT_SLIDE = 0.3  # of the samples that have changed when a slide has given way to the next
FROZEN_STEP = 1e-4  # the same for a scan's mean differences of thumbnails
FROZEN_SECONDS = 0.5


def measures(video: Video) -> dict[str, float]:
    """What can be said about a clip in numbers; all finite for any clip, one frame of 16 × 16 included.

    motion      mean length of the optical flow, in percent of the longer side per second
    camera      the same for the part one affine motion of the whole picture explains
    objects     the same for the rest
    sharpness   1 where the crispest edges are one pixel wide, towards 0 as they spread; 0 without any edge
    brightness  mean luma, 0 to 1
    contrast    standard deviation of the luma, 0 to 0.5
    dark        share of the picture that is near black
    bright      share that is blown out
    colour      colourfulness M of Hasler and Süsstrunk (2003), 0 for grey, 30 moderate, 100 extreme
    still       share of neighbouring frames between which nothing changes
    slides      1 for a slideshow: still but for short changes of the whole picture; 0 for movement or none at all
    text        share of the picture's detail (its edges) that is lines of writing: 1 for a title card
    mosaic      strength, 0 to 1, of steady seams that divide the picture into equal parts
    bars        share of the picture taken by black or flat bars
    """
    still, slides = _stillness(video)
    motion, camera, objects = _motion(video)
    pictures = video.frames[_spread(len(video.frames), PICTURES)]
    greys = [_grey(picture) for picture in pictures]
    height, width = greys[0].shape
    x0, y0, x1, y1 = bars(video)
    found = {
        "motion": motion,
        "camera": camera,
        "objects": objects,
        "sharpness": float(np.median([_sharpness(grey) for grey in greys[::2]])),
        **_exposure(greys),
        "colour": float(np.mean([_colourfulness(picture) for picture in pictures[::2]])),
        "still": still,
        "slides": slides,
        "text": float(np.mean([text(grey) for grey in greys[::2]])),
        "mosaic": mosaic(greys),
        "bars": 1 - (x1 - x0) * (y1 - y0) / (height * width),
    }
    return {name: round(value, 4) for name, value in found.items()}


def content_id(video: Video) -> str:
    """16 hex digits that name these frames at this rate."""
    digest = hashlib.sha256(f"{video.frames.shape} {video.fps:.6f}".encode())
    digest.update(np.ascontiguousarray(video.frames).data)
    return digest.hexdigest()[:16]


def frozen_ends(steps: NDArray[np.floating], times: NDArray[np.floating]) -> tuple[int, int]:
    """(first, after) of the pictures of one shot that are left without a frozen beginning or tail.

    steps: (N,) mean absolute difference, of full scale, of each thumbnail and the one before; the first is ignored, for
    it compares with another shot. times: (N,) seconds. An end is frozen if nothing changes for half a second; one
    picture of it is kept. A shot in which nothing ever changes is left whole, for it is still, not frozen.
    """
    assert len(steps) == len(times), f"{len(steps)} steps for {len(times)} pictures"
    moved = 1 + np.flatnonzero(np.asarray(steps)[1:] > FROZEN_STEP)  # pictures unlike the one before
    if not len(moved):
        return 0, len(times)
    first, after = int(moved[0]) - 1, int(moved[-1]) + 1
    if times[first] - times[0] < FROZEN_SECONDS:
        first = 0
    if times[-1] - times[after - 1] < FROZEN_SECONDS:
        after = len(times)
    return first, after


def _grey(picture: Frames) -> Grey:
    grey: Grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    return grey


def _spread(length: int, most: int) -> NDArray[np.intp]:
    """Up to `most` indices below `length`, evenly, each in the middle of its part; one of four of a short clip."""
    count = min(most, max(1, length // 4))
    return ((np.arange(count) + 0.5) * length / count).astype(np.intp)


def _stillness(video: Video) -> tuple[float, float]:
    """`still` and `slides`, from a sparse grid of samples of every frame."""
    apart = -(-max(video.frames.shape[1:3]) // STAMP_SIDE)
    stamps = video.frames[:, ::apart, ::apart, 1]  # (T, h, w): green stands for luma
    if len(stamps) < 2:
        return 0.0, 0.0
    change = np.maximum(stamps[1:], stamps[:-1]) - np.minimum(stamps[1:], stamps[:-1])  # (T - 1, h, w)
    moved = (change > CHANGED_BY).mean(axis=(1, 2)) > LEAST_CHANGED  # (T - 1)
    still = 1 - float(moved.mean())
    if not moved.any():
        return still, 0.0
    turns = np.flatnonzero(np.diff(moved, prepend=False, append=False))
    before, after = turns[::2], turns[1::2]  # each stretch of movement leads from one frame to another
    differ = np.maximum(stamps[after], stamps[before]) - np.minimum(stamps[after], stamps[before]) > CHANGED_BY
    # What passes through a still scene leaves it as it was; the next slide replaces it.
    replaced = differ.mean(axis=(1, 2)) > NEXT_SLIDE
    lengths = after - before
    return still, still * float(lengths[replaced].sum() / lengths.sum())


def _motion(video: Video) -> tuple[float, float, float]:
    """`motion`, `camera` and `objects` by dense inverse search (Kroeger et al. 2016) on pairs of pictures."""
    count, height, width, _ = video.frames.shape
    gap = min(count - 1, max(1, round(PAIR_SECONDS * video.fps)))
    if not gap:
        return 0.0, 0.0, 0.0
    longer = max(height, width)
    # The solver needs neither side short against the other: a narrow picture is stretched, and its flow shrunk again.
    side = min(FLOW_SIDE, max(32, longer))
    size = tuple(max(side // 2, round(length * side / longer)) for length in (width, height))
    percent = np.float32(100 * video.fps / gap / longer) * np.array([width / size[0], height / size[1]], np.float32)
    solver = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    solver.setFinestScale(1)
    sums = np.zeros(3)
    firsts = _spread(count - gap, PAIRS)
    for first in firsts:
        before, after = (_small(video.frames[index], size) for index in (first, first + gap))
        if (before == after).all():
            continue
        flow: Field = solver.calc(before, after, None)[GRID // 2 :: GRID, GRID // 2 :: GRID]  # (h, w, 2) pixels
        camera = _global_flow(flow, _texture(before))
        sums += [np.linalg.norm(part * percent, axis=-1).mean() for part in (flow, camera, flow - camera)]
    motion, camera_part, objects = sums / len(firsts)
    return float(motion), float(camera_part), float(objects)


def _exposure(greys: Sequence[Grey]) -> dict[str, float]:
    """`brightness`, `contrast`, `dark` and `bright` from the histograms of some pictures."""
    levels = np.arange(256) / 255
    shares = np.stack([np.bincount(grey.ravel(), minlength=256) / grey.size for grey in greys])  # (pictures, 256)
    means = shares @ levels
    return {
        "brightness": float(means.mean()),
        "contrast": float(np.sqrt(np.maximum(0, shares @ levels**2 - means**2)).mean()),
        "dark": float(shares[:, :NEAR_BLACK].sum(axis=1).mean()),
        "bright": float(shares[:, BLOWN_OUT:].sum(axis=1).mean()),
    }


def _small(picture: Frames, size: tuple[int, ...]) -> Grey:
    small: Grey = cv2.resize(_grey(picture), size, interpolation=cv2.INTER_AREA)
    return small


def _texture(grey: Grey) -> Field:
    """How far the flow at each grid point can be believed, 0 to 1: plain places only repeat what is around them."""
    slope = cv2.blur(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), (2 * GRID, 2 * GRID))
    points: Field = slope[GRID // 2 :: GRID, GRID // 2 :: GRID].astype(np.float32)
    return points / (points + 8)


def _global_flow(flow: Field, trust: Field) -> Field:
    """The affine motion that most of the picture follows, at each grid point: (h, w, 2).

    Least squares, reweighted by Tukey's biweight so that what moves by itself drops out.
    """
    height, width, _ = flow.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    basis = np.stack([np.ones_like(x), x / width - 0.5, y / height - 0.5], -1).reshape(-1, 3)  # (n, 3)
    target, weight = flow.reshape(-1, 2), trust.ravel() + 1e-3  # (n, 2), (n)
    # Start from the flow most points share: a mean would lie between the ground and what moves before it.
    fitted = np.broadcast_to(np.median(target, axis=0), target.shape)
    for _ in range(REWEIGHTINGS):
        error = np.linalg.norm(target - fitted, axis=-1)  # (n)
        reach = TUKEY * max(LEAST_SPREAD, float(np.median(error)))
        robust = weight * np.maximum(0, 1 - (error / reach) ** 2) ** 2
        normal = basis.T @ (basis * robust[:, None]) + 1e-4 * np.eye(3, dtype=np.float32)
        fitted = basis @ np.linalg.solve(normal, basis.T @ (target * robust[:, None]))
    return fitted.reshape(flow.shape).astype(np.float32)


def _colourfulness(picture: Frames) -> float:
    """M of Hasler and Süsstrunk (2003), "Measuring colourfulness in natural images", on every fourth pixel."""
    red, green, blue = np.moveaxis(picture[::2, ::2].astype(np.float32), -1, 0)
    pair = np.stack([red - green, (red + green) / 2 - blue])  # the two opponent axes
    spread, centre = pair.std(axis=(1, 2)), pair.mean(axis=(1, 2))
    return float(np.hypot(*spread) + 0.3 * np.hypot(*centre))


def _sharpness(grey: Grey) -> float:
    """Twice the steepest slope of an edge against its height, for the crispest tenth of the strong edges.

    An ideal step spreads over one pixel pair: central slope 1/2, so 1. Dividing by the height of the same edge leaves
    contrast out of it.
    """
    if min(grey.shape) < EDGE_WINDOW:
        return 0.0
    around = np.ones((EDGE_WINDOW, EDGE_WINDOW), np.uint8)
    edge: Grey = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, around)  # highest less lowest in the window
    strong = float(np.percentile(edge[::2, ::2], 99.5))
    if strong < FLAT_EDGE:
        return 0.0
    across, down = (cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))  # per pixel
    slope = np.maximum(np.abs(across), np.abs(down))
    chosen = edge >= max(FLAT_EDGE, LEAST_EDGE * strong)
    return float(min(1.0, 2 * np.percentile(slope[chosen] / edge[chosen], 90)))
