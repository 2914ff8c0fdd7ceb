"""Foreground regions joined over the frames of a clip, and what their course says: motion and direction.

Lengths here are shares of the frame's shorter side, so that one set of thresholds serves every size.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from manzar.score.truth.segment import Layers, Region, distance, parted, regions

DIRECTIONS = ("right", "down-right", "down", "down-left", "left", "up-left", "up", "up-right")  # 45° apart, y down
TRAVEL = 0.10  # net way below which an actor is taken to keep its place
SCALING = 0.45  # |log area ratio| from first to last frame that counts as growing or shrinking
CLEAR_SCALING = 0.9  # the same, when the centre moves or the outline turns a little as well
TURN = np.radians(20)  # rotation over the clip that counts as spinning
WOBBLE, CLEAR_TURN = 0.22, np.radians(60)  # a turning figure's centre sways: not travel if it stays this close
KNOWN = 3  # frames on which an actor must have been seen apart to be looked for in a region with another
LOST = 3  # frames after which a track is no longer looked for inside another's region
HIDDEN = 6  # frames that an actor may be out of sight behind another and go on as itself
SAME, SAME_SIZE = 12.0, 0.4  # ΔE and |log area ratio| within which it is then taken for itself
UNLIKE = 25.0  # ΔE above which two actors that have met can be told apart by colour
HARMONICS = np.arange(1, 7)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Track:
    """One actor's region on every frame; None where it was not found."""

    regions: tuple[Region | None, ...]

    @property
    def found(self) -> list[Region]:
        return [region for region in self.regions if region is not None]

    @property
    def area(self) -> float:
        return float(np.median([region.area for region in self.found]))


def follow(layers: Layers, most: int = 8) -> list[Track]:
    """Join the regions of all frames into tracks, the weightiest first; regions seen only briefly are left out."""
    frames, height, width = layers.contrast.shape
    open_tracks: list[list[Region]] = []
    for frame in range(frames):
        here = _unmerged(layers, regions(layers, frame)[:most], open_tracks)
        pairs = sorted(
            (_cost(track, region, min(height, width)), i, j)
            for i, track in enumerate(open_tracks)
            for j, region in enumerate(here)
        )
        taken: set[int] = set()
        joined: set[int] = set()
        for cost, i, j in pairs:
            if cost < 0.6 and i not in taken and j not in joined:
                open_tracks[i].append(here[j])
                taken.add(i)
                joined.add(j)
        open_tracks += [[region] for j, region in enumerate(here) if j not in joined]
    tracks = []
    for members in _mended(open_tracks, min(height, width)):
        if len(members) >= max(1, 0.3 * frames):
            by_frame = {region.frame: region for region in members}
            tracks.append(Track(tuple(by_frame.get(frame) for frame in range(frames))))
    return sorted(tracks, key=lambda track: -track.area * len(track.found))


def _mended(pieces: list[list[Region]], side: int) -> list[list[Region]]:
    """Tracks that end where another of the same colour and size soon goes on are one: the actor was hidden between."""
    whole: list[list[Region]] = []
    for piece in sorted(pieces, key=lambda members: members[0].frame):
        before = [
            track
            for track in whole
            if 0 < piece[0].frame - track[-1].frame <= HIDDEN
            and len(track) >= KNOWN
            and distance(track[-KNOWN].colour, piece[-1].colour) < SAME  # its ends may show something of the other
            and abs(np.log(track[-KNOWN].area / piece[-1].area)) < SAME_SIZE
        ]
        if before:
            min(before, key=lambda track: _cost(track, piece[0], side)).extend(piece)
        else:
            whole.append(list(piece))
    return whole


def _expected(track: list[Region], frame: int) -> tuple[float, float]:
    """Where a track would be by now if it went on as it did."""
    last = track[-1]
    if len(track) < 3:
        return last.centre
    before = track[-3]
    steps = (frame - last.frame) / (last.frame - before.frame)
    x, y = (a + (a - b) * steps for a, b in zip(last.centre, before.centre, strict=True))
    return x, y


def _unmerged(layers: Layers, here: list[Region], tracks: list[list[Region]]) -> list[Region]:
    """Regions in which actors seen apart before have met are shared out among them, by colour."""
    result = []
    for region in here:
        met = [
            track
            for track in tracks
            if len(track) >= KNOWN
            and region.frame - track[-1].frame <= LOST
            and track[-1].area > 0.25 * region.area
            and _inside(region, _expected(track, region.frame))
            and not any(other is not region and _inside(other, _expected(track, region.frame)) for other in here)
        ]
        colours = [track[-1].colour for track in met]
        apart = all(distance(a, b) > UNLIKE for a, b in combinations(colours, 2))
        parts = parted(layers, region, colours) if len(met) > 1 and apart else [region]
        # a sliver of an actor that is nearly hidden says nothing about it
        keep = [
            part
            for part, track in zip(parts, met if len(parts) > 1 else [[region]], strict=True)
            if part is not None and 0.3 < part.area / track[-1].area < 1.7
        ]
        result += keep if len(keep) > 1 else [region]
    return result


def _inside(region: Region, place: tuple[float, float]) -> bool:
    x0, y0, x1, y1 = region.box
    return x0 <= place[0] <= x1 and y0 <= place[1] <= y1


def _cost(track: list[Region], region: Region, side: int) -> float:
    """How unlikely it is that the track goes on as `region`: way per frame, change of colour, change of size.

    The way counts from where the track was last, or from where it would be by now, whichever is nearer.
    """
    last = track[-1]
    places = (last.centre, _expected(track, region.frame))
    way = min(float(np.hypot(x - region.centre[0], y - region.centre[1])) for x, y in places) / side
    colour = float(distance(last.colour, region.colour))
    size = abs(float(np.log(last.area / region.area)))
    return way * 1.5 + colour / 150 + size / 5 + (region.frame - last.frame - 1) * 0.02


def course(track: Track, side: int) -> tuple[str, str | None]:
    """Motion class and, for translation, the direction."""
    found = track.found
    times = np.array([region.frame for region in found], dtype=np.float64)
    centres = np.array([region.centre for region in found]) / side  # (n, 2)
    if len(found) < 3:
        return "still", None
    centres = _smooth(centres)
    span = float(np.hypot(*np.ptp(centres, axis=0)))
    net = centres[-1] - centres[0]
    way = float(np.hypot(*net))
    growth = _growth(found, times)
    if span < WOBBLE and abs(growth) > CLEAR_SCALING:
        return ("grow" if growth > 0 else "shrink"), None
    if span < WOBBLE and abs(turning(found)) > CLEAR_TURN:
        return "spin", None
    if span > TRAVEL:
        if way > 0.75 * span:
            return "translation", heading(net)
        return _periodic(centres), None
    if abs(growth) > SCALING:
        return ("grow" if growth > 0 else "shrink"), None
    if abs(turning(found)) > TURN:
        return "spin", None
    return "still", None


def _smooth(values: Floats) -> Floats:
    """Median of three along time, ends kept: one bad frame must not make a motion."""
    if len(values) < 5:
        return values
    middle = np.median(np.stack([values[:-2], values[1:-1], values[2:]]), axis=0)
    smoothed: Floats = np.concatenate([values[:1], middle, values[-1:]])
    return smoothed


def heading(net: Floats) -> str:
    """The nearest of eight directions to the displacement (x, y), y pointing down."""
    return DIRECTIONS[int(np.round(np.arctan2(net[1], net[0]) / (np.pi / 4))) % 8]


def _periodic(centres: Floats) -> str:
    """A closed course: around something on both axes, or to and fro on one."""
    spread = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(centres.T)), 0))
    return "orbit" if spread[0] > 0.3 * spread[1] else "bounce"


def _growth(found: list[Region], times: Floats) -> float:
    """Slope of log area over the clip, times its length."""
    areas = np.log([region.area for region in found])
    return float(np.polyfit(times / max(times[-1] - times[0], 1), areas, 1)[0])


def turning(found: list[Region]) -> float:
    """Signed rotation over the clip in radians, from the phase of the silhouette's strongest angular harmonic."""
    spectra = np.array([_harmonics(region) for region in found])  # (n, harmonics)
    strength = np.abs(spectra).mean(axis=0)
    best = int(strength.argmax())
    if strength[best] < 0.05:  # round: any turn would be invisible
        return 0.0
    phase = np.unwrap(np.angle(spectra[:, best])) / HARMONICS[best]
    return float(phase[-1] - phase[0])


def _harmonics(region: Region) -> NDArray[np.complex128]:
    """Angular Fourier coefficients of the silhouette about its centre, relative to its whole moment."""
    left, top = region.corner
    y, x = np.mgrid[: region.cover.shape[0], : region.cover.shape[1]]
    x, y = x + left + 0.5 - region.centre[0], y + top + 0.5 - region.centre[1]
    moment = region.cover * (x**2 + y**2)
    angle = np.arctan2(y, x)
    waves = np.exp(1j * HARMONICS[:, None, None] * angle)
    coefficients: NDArray[np.complex128] = (moment * waves).sum(axis=(1, 2)) / max(moment.sum(), 1e-6)
    return coefficients
