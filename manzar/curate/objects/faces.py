"""Faces through a clip: found now and then, followed in between, and made unrecognisable where that is asked for.

A detector that looks at single pictures misses a face that turns and sees one in a shirt. So its sightings are linked
over time: optical flow carries every sighting on to the next and back from it, a chain of them must be sure of itself
at least once, and the boxes between are blended from both sides.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from manzar.curate.objects.face_detector import FaceDetector
from manzar.nouns import Box, BoxTrack, Video

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from manzar.nouns import Frames

    Corners = NDArray[np.float64]  # (4,) x0, y0, x1, y1 in pixels of the working size

LONGER = 640  # pixels: pictures with a longer side are looked at smaller, which bounds the cost
SURE, SURE_ALONE = 0.93, 0.97  # least best score of a chain of sightings, and of a single sighting
REACH_S = 1.0  # how long a face is followed without being sighted
SAME = 0.3  # overlap (intersection over union) of a followed box and a sighting that are one face
LIKENESS = 0.3  # least correlation with the last sighting for a followed box to be believed
STEADY_S = 0.08  # standard deviation in time of the smoothing of boxes

CELLS = 5  # the blurred face is a smooth blend of CELLS x CELLS colours
MARGIN = 1.4  # of the blurred ellipse against the box, which ends at the forehead and the cheeks
EDGE = 0.2  # width of the soft edge, of the ellipse's radius, outside of what is covered wholly
HOLD_S = 0.4  # the ellipse stays where it was so long before a face is found and after it is lost
COLOURS_S = 0.25  # the colours are means over so long before and after, so that nothing flickers through


class _Sighting(NamedTuple):
    frame: int
    box: Corners
    score: float


@dataclass(eq=False)
class _Chain:
    """Sightings of one face, and where flow carried its box from each of them on."""

    sightings: list[_Sighting]
    path: dict[int, Corners] = field(default_factory=dict)
    box: Corners = field(default_factory=lambda: np.zeros(4))  # where it is now, as far as one can tell
    lost: bool = False

    def see(self, sighting: _Sighting) -> None:
        self.sightings.append(sighting)
        self.box, self.lost = sighting.box, False

    @property
    def sure(self) -> bool:
        return max(sighting.score for sighting in self.sightings) >= (SURE if len(self.sightings) > 1 else SURE_ALONE)


_LOADED = threading.local()  # .detector: its networks hold buffers, so each thread has its own


def find_faces(video: Video, *, every_s: float = 0.5) -> tuple[BoxTrack, ...]:
    """The faces of a clip as tracks "face 1", "face 2"... with a box on every frame from where each appears to where it
    goes, None elsewhere. A box reaches from the middle of the forehead to the chin.

    every_s: seconds between the frames that are searched. Faces of fewer than 20 pixels are not found,
        in pictures with a longer side above LONGER those of fewer than 20 when shrunk to it.
    Raises UsageError if OpenCV or the networks are not installed.
    """
    assert every_s > 0, f"every_s is {every_s}, seconds above 0 are needed"
    detector = _detector()
    height, width = video.frames.shape[1:3]
    scale = min(1.0, LONGER / max(height, width))
    looked_at = {index: detector(_smaller(video.frames[index], scale)) for index in _picks(video, every_s)}
    if not any(map(len, looked_at.values())):
        return ()
    greys = [_grey(_smaller(frame, scale)) for frame in video.frames]
    reach = max(1, round(REACH_S * video.fps))
    chains = [chain for chain in _link(greys, looked_at, reach) if chain.sure]
    chains.sort(key=lambda chain: (chain.sightings[0].frame, chain.sightings[0].box[0]))
    sigma = STEADY_S * video.fps
    return tuple(
        BoxTrack(f"face {number}", _boxes(_smooth(_fill(chain, greys, reach), sigma), video, scale))
        for number, chain in enumerate(chains, 1)
    )


def blur(video: Video, tracks: Sequence[BoxTrack]) -> Video:
    """The clip with an ellipse about every box of `tracks` replaced by a smooth blend of a few colours.

    Nothing finer than a third of the face is left, and that averaged over half a second: there is no way back. Raises
    AssertionError where the tracks have not as many boxes as the clip has frames.
    Tracks of `find_faces(video, every_s=0.1)` are meant: a face that is missed stays as it is.
    """
    frames = video.frames.copy()
    height, width = frames.shape[1:3]
    around = round(COLOURS_S * video.fps)
    for track in tracks:
        assert len(track.boxes) == len(frames), f"{track.name} has {len(track.boxes)} boxes, {len(frames)} frames"
        held = covered_boxes(track, video.fps)
        windows = [_window(box, height, width) for box in held.values()]
        colours = [_colours(video.frames[index][window]) for index, window in zip(held, windows, strict=True)]
        for place, (index, box) in enumerate(held.items()):
            mean = np.mean(colours[max(0, place - around) : place + around + 1], axis=0)  # (CELLS, CELLS, 3)
            here = frames[index][windows[place]]  # (h, w, 3)
            alpha = _mask(box, height, width, windows[place])[..., None]  # (h, w, 1)
            here[:] = np.rint(here + alpha * (_spread(mean, here.shape[0], here.shape[1]) - here))
    return Video(frames, video.fps)


def covered_boxes(track: BoxTrack, fps: float) -> dict[int, Box]:
    """The frames on which `blur` covers this face, each with the box: the nearest in time, up to HOLD_S away."""
    seen = np.array([index for index, box in enumerate(track.boxes) if box is not None])
    covered: dict[int, Box] = {}
    for index in range(len(track.boxes) if len(seen) else 0):
        nearest = int(seen[np.abs(seen - index).argmin()])
        box = track.boxes[nearest]
        if box is not None and abs(nearest - index) <= round(HOLD_S * fps):
            covered[index] = box
    return covered


def face_mask(box: Box, height: int, width: int) -> NDArray[np.float32]:
    """How much of each pixel `blur` replaces, (height, width) in [0, 1]: 1 in the ellipse, falling to 0 at its edge."""
    return _mask(box, height, width, (slice(0, height), slice(0, width)))


def _detector() -> FaceDetector:
    """This thread's own detector, loaded at its first use."""
    if not hasattr(_LOADED, "detector"):
        _LOADED.detector = FaceDetector()
    detector: FaceDetector = _LOADED.detector
    return detector


def _picks(video: Video, every_s: float) -> list[int]:
    """The frames that are searched, the last one among them."""
    last = len(video.frames) - 1
    return sorted({*range(0, last + 1, max(1, round(every_s * video.fps))), last})


def _link(greys: Sequence[NDArray[np.uint8]], looked_at: dict[int, NDArray[np.float64]], reach: int) -> list[_Chain]:
    """Chains of sightings: each box is carried by flow to the next searched frame and joined to what it meets there."""
    closed: list[_Chain] = []
    opened: list[_Chain] = []
    for frame in range(len(greys)):
        for chain in opened:
            if not chain.lost:
                _carry(chain, greys, frame)
        free = list(opened)
        for row in looked_at.get(frame, ()):
            sighting = _Sighting(frame, row[:4], float(row[4]))
            nearest = max(free, key=lambda chain: _overlap(chain.box, sighting.box), default=None)
            if nearest is not None and _overlap(nearest.box, sighting.box) >= SAME:
                free.remove(nearest)
                nearest.see(sighting)
            else:
                opened.append(_Chain([sighting], box=sighting.box))
        closed += [chain for chain in opened if frame - chain.sightings[-1].frame >= reach]
        opened = [chain for chain in opened if frame - chain.sightings[-1].frame < reach]
    return closed + opened


def _carry(chain: _Chain, greys: Sequence[NDArray[np.uint8]], frame: int) -> None:
    """Move the chain's box on to `frame`; where that fails it stays where it was, lost until it is sighted again."""
    last = chain.sightings[-1]
    moved = _follow(greys[frame - 1], greys[frame], chain.box)
    if moved is None or _likeness(greys[last.frame], last.box, greys[frame], moved) < LIKENESS:
        chain.lost = True
    else:
        chain.box = chain.path[frame] = moved


def _fill(chain: _Chain, greys: Sequence[NDArray[np.uint8]], reach: int) -> dict[int, Corners]:
    """A box on every frame: what was carried back from each sighting, blended with what was carried on to it."""
    first, last = chain.sightings[0], chain.sightings[-1]
    filled = dict(_carried_back(first, greys, max(-1, first.frame - reach)))
    filled |= {sighting.frame: sighting.box for sighting in chain.sightings}
    for before, after in pairwise(chain.sightings):
        back = dict(_carried_back(after, greys, before.frame))
        for frame in range(before.frame + 1, after.frame):
            weight = (frame - before.frame) / (after.frame - before.frame)
            straight = (1 - weight) * before.box + weight * after.box
            filled[frame] = (1 - weight) * chain.path.get(frame, straight) + weight * back.get(frame, straight)
    return filled | {frame: box for frame, box in chain.path.items() if frame > last.frame}


def _carried_back(sighting: _Sighting, greys: Sequence[NDArray[np.uint8]], end: int) -> Iterator[tuple[int, Corners]]:
    """Frames before the sighting, down to but without `end`, with its box on each, as far as flow carries it."""
    box: Corners | None = sighting.box
    for frame in range(sighting.frame - 1, end, -1):
        assert box is not None
        box = _follow(greys[frame + 1], greys[frame], box)
        if box is None or _likeness(greys[sighting.frame], sighting.box, greys[frame], box) < LIKENESS:
            return
        yield frame, box


def _follow(before: NDArray[np.uint8], after: NDArray[np.uint8], box: Corners) -> Corners | None:
    """Where the content of `box` went from one grey picture to the next: the median shift and growth of a grid of
    points that flow carries there and back again (forward-backward error, Kalal et al. 2010); None if few return."""
    import cv2

    side = float(max(box[2] - box[0], box[3] - box[1]))
    x0, y0 = (max(0, int(value - side)) for value in box[:2])
    x1, y1 = (max(0, int(value + side)) for value in box[2:])
    before, after = (np.ascontiguousarray(grey[y0:y1, x0:x1]) for grey in (before, after))
    if min(before.shape) < 8:
        return None
    rows, columns = (np.linspace(0.15, 0.85, 5) * (box[axis + 2] - box[axis]) + box[axis] for axis in (1, 0))
    grid = np.stack(np.meshgrid(columns - x0, rows - y0), axis=-1).reshape(-1, 1, 2).astype(np.float32)  # (25, 1, 2)
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, grid, None, winSize=(15, 15), maxLevel=3)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, winSize=(15, 15), maxLevel=3)
    error = np.linalg.norm(back - grid, axis=-1)
    good = ((found > 0) & (returned > 0) & (error < max(1.0, 0.05 * side))).ravel()
    if good.sum() < 8:
        return None
    start, end = grid[good, 0], there[good, 0]  # (n, 2)
    spread = np.linalg.norm(start - np.median(start, axis=0), axis=1)
    grown = np.linalg.norm(end - np.median(end, axis=0), axis=1) / np.maximum(spread, 1e-3)
    growth = float(np.clip(np.median(grown[spread > 0.2 * side]) if (spread > 0.2 * side).any() else 1.0, 0.95, 1.05))
    middle = (box[:2] + box[2:]) / 2 + np.median(end - start, axis=0)
    half = (box[2:] - box[:2]) / 2 * growth
    return np.concatenate([middle - half, middle + half])


def _likeness(grey_a: NDArray[np.uint8], a: Corners, grey_b: NDArray[np.uint8], b: Corners) -> float:
    """Correlation of two boxes' contents at 24x24, in [-1, 1]; -1 if one lies outside its picture."""
    import cv2

    patches = []
    for grey, box in ((grey_a, a), (grey_b, b)):
        x0, y0 = (max(0, int(value)) for value in box[:2])
        inside = grey[y0 : max(0, int(box[3])), x0 : max(0, int(box[2]))]
        if min(inside.shape) < 4:
            return -1.0
        patch = cv2.resize(inside, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float64)
        patches.append((patch - patch.mean()) / max(float(patch.std()), 1.0))
    return float((patches[0] * patches[1]).mean())


def _overlap(a: Corners, b: Corners) -> float:
    """Intersection over union of two boxes."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.maximum(sides, 0).prod())
    return shared / max(float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared, 1e-9)


def _smooth(path: dict[int, Corners], sigma: float) -> dict[int, Corners]:
    """Boxes on neighbouring frames averaged by a Gaussian in time, so that neither place nor size trembles."""
    frames = sorted(path)
    boxes, times = np.stack([path[frame] for frame in frames]), np.array(frames)  # (n, 4), (n,)
    reach = int(np.ceil(3 * sigma))
    smooth = {}
    for place, frame in enumerate(frames):
        near = slice(max(0, place - reach), place + reach + 1)
        if place - reach < 0 or place + reach >= len(frames):  # at the ends an even window, or the mean would lag
            half = min(place, len(frames) - 1 - place)
            near = slice(place - half, place + half + 1)
        weights = np.exp(-0.5 * ((times[near] - frame) / max(sigma, 1e-3)) ** 2)
        smooth[frame] = weights @ boxes[near] / weights.sum()
    return smooth


def _boxes(path: dict[int, Corners], video: Video, scale: float) -> tuple[Box | None, ...]:
    """Boxes in [0, 1] for every frame of the video; None where there is none, or where it lies outside the picture."""
    height, width = video.frames.shape[1:3]
    whole = np.array([width, height, width, height]) * scale
    boxes: list[Box | None] = []
    for frame in range(len(video.frames)):
        corners = np.clip(path[frame] / whole, 0, 1).tolist() if frame in path else [0.0] * 4
        boxes.append(Box(*corners) if corners[2] > corners[0] and corners[3] > corners[1] else None)
    return tuple(boxes)


def _smaller(picture: Frames, scale: float) -> Frames:
    import cv2

    if scale == 1.0:
        return picture
    smaller: Frames = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return smaller


def _grey(picture: Frames) -> NDArray[np.uint8]:
    import cv2

    grey: NDArray[np.uint8] = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return grey


def _ellipse(box: Box, height: int, width: int) -> tuple[float, float, float, float]:
    """Middle and radii, x before y, in pixels, of what is covered wholly about a face."""
    radius_x = max(2.0, MARGIN * width * (box.x1 - box.x0) / 2)
    radius_y = max(2.0, MARGIN * height * (box.y1 - box.y0) / 2)
    return width * (box.x0 + box.x1) / 2, height * (box.y0 + box.y1) / 2, radius_x, radius_y


def _mask(box: Box, height: int, width: int, window: tuple[slice, slice]) -> NDArray[np.float32]:
    """The part of `face_mask` in `window` (rows, columns): (h, w)."""
    middle_x, middle_y, radius_x, radius_y = _ellipse(box, height, width)
    rows, columns = window
    down = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5 - middle_y) / radius_y  # (h,)
    across = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5 - middle_x) / radius_x  # (w,)
    radius = np.sqrt(across[None] ** 2 + down[:, None] ** 2)  # (h, w)
    return np.clip((1 + EDGE - radius) / EDGE, 0, 1).astype(np.float32)


def _window(box: Box, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the picture that the ellipse and its edge reach."""
    middle_x, middle_y, radius_x, radius_y = _ellipse(box, height, width)
    reach_x, reach_y = radius_x * (1 + EDGE), radius_y * (1 + EDGE)
    top, left = max(0, int(middle_y - reach_y)), max(0, int(middle_x - reach_x))
    return slice(top, min(height, int(middle_y + reach_y) + 1)), slice(left, min(width, int(middle_x + reach_x) + 1))


def _colours(part: Frames) -> NDArray[np.float32]:
    """Mean colours of a grid of CELLS x CELLS over `part`: (CELLS, CELLS, 3)."""
    import cv2

    coarse: NDArray[np.float32] = cv2.resize(part.astype(np.float32), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    return coarse


def _spread(colours: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The grid of colours as a smooth picture, (height, width, 3)."""
    import cv2

    smooth: NDArray[np.float32] = cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC)
    return smooth.clip(0, 255)
