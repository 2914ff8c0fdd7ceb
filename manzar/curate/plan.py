"""How a source is divided: shots between its cuts, without frozen ends, each in even pieces of a chosen length."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from manzar import media
from manzar.curate.cuts.find import cuts_of
from manzar.curate.cuts.scan import Scan
from manzar.curate.measures.clip import frozen_ends
from manzar.media.clock import end_of, resample, true_fps
from manzar.nouns import Rejection, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Faces = Literal["off", "find", "blur", "refuse"]

CLIP_VERSION = 2  # part of every span's key: raise it when the same frames should give another clip or other measures
LEAST_SIDE = 16
MOST_FPS = 60.0  # a clip keeps its own rate up to here; a faster one is halved until it fits
MOST_GAP_SECONDS = 2.0  # no picture for longer than this ends a shot: what stands that long is no video
SHORTFALL = 0.9  # a file that yields less than this share of its declared length has lost a part
SHORTFALL_WITH_SOUND = 0.75  # where the declared length may be that of a longer sound
SHORTFALL_SECONDS = 0.5
ROUNDING = 1e-6  # seconds


@dataclass(frozen=True)
class Settings:
    """How footage is cut and normalised. fps None keeps each file's own rate; max_side in pixels.

    bars: whether letterbox and pillarbox bars are cropped away. faces: found and counted, blurred beyond recognition,
    or a reason to turn the clip away. tracks: whether moving objects are followed.
    """

    min_seconds: float = 1.0
    max_seconds: float = 8.0
    fps: float | None = None
    max_side: int = 512
    bars: Literal["crop", "keep"] = "crop"
    faces: Faces = "off"
    tracks: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.min_seconds <= self.max_seconds:
            raise UsageError(
                f"clips of {self.min_seconds} to {self.max_seconds} seconds cannot be cut; "
                "the least must be above 0 and not above the most"
            )
        if self.fps is not None and not 0 < self.fps <= 240:
            raise UsageError(f"{self.fps} frames per second cannot be written; choose a rate above 0 and up to 240")
        if self.max_side < LEAST_SIDE:
            raise UsageError(f"a longest side of {self.max_side} pixels is too small; choose {LEAST_SIDE} or more")


@dataclass(frozen=True)
class Span:
    """A piece of one shot, in seconds, and the pictures of the file that make its frames."""

    start_s: float
    end_s: float
    fps: float
    picks: tuple[int, ...]

    def key(self, settings: Settings) -> str:
        """What the clip of this span depends on besides the bytes of its file."""
        picks = (len(self.picks), self.picks[0], self.picks[-1])
        chosen = (settings.max_side, settings.bars, settings.faces == "blur")
        text = json.dumps([CLIP_VERSION, self.start_s, self.end_s, self.fps, picks, chosen])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def plan(scan: Scan, header: media.Probe, source: str, settings: Settings) -> tuple[list[Span], list[Rejection]]:
    """The spans of one file in order, and rows for what is too short, frozen or lost."""
    times = np.asarray(scan.times, dtype=np.float64)
    fps = true_fps(times.tolist(), header.fps)
    ends_s = np.append(times, end_of(times.tolist(), fps))
    spans: list[Span] = []
    refused: list[Rejection] = []
    for first, after in _shots(scan, times):
        kept_first, kept_after = frozen_ends(np.asarray(scan.steps)[first:after], times[first:after])
        kept_first, kept_after = first + kept_first, first + kept_after
        for start, end in ((first, kept_first), (kept_after, after)):
            if start < end:
                refused.append(_frozen(source, ends_s[start], ends_s[end]))
        if kept_first < kept_after:
            new, short = _divide(times, ends_s, kept_first, kept_after, fps, source, settings)
            spans += new
            refused += short
    refused += _losses(scan, float(ends_s[-1]), header, source)
    return spans, sorted(refused, key=lambda row: row.start_s)


def clip_fps(fps: float, settings: Settings) -> float:
    """The rate of the clips of a file that runs at `fps`."""
    if settings.fps is not None:
        return settings.fps
    while fps > MOST_FPS * 1.01:
        fps /= 2
    return fps


def fit(width: int, height: int, max_side: int) -> tuple[int, int]:
    """The largest even (width, height) of the same shape within `max_side`; small pictures are never enlarged."""
    scale = min(1.0, max_side / max(width, height))

    def even(side: int) -> int:
        return min(max_side - max_side % 2, max(2, 2 * round(side * scale / 2)))

    return even(width), even(height)


def _shots(scan: Scan, times: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """(first, after) of each run of pictures without a shot change or a gap; those of a transition belong to none."""
    first = 0
    breaks = [(cut.start, cut.end) for cut in cuts_of(scan)]
    breaks += [(int(index) + 1, int(index) + 1) for index in np.flatnonzero(np.diff(times) > MOST_GAP_SECONDS)]
    for start, end in [*sorted(breaks), (len(times), len(times))]:
        if start > first:
            yield first, start
        first = max(first, end)


def _divide(
    times: NDArray[np.float64],
    ends_s: NDArray[np.float64],
    first: int,
    after: int,
    fps: float,
    source: str,
    settings: Settings,
) -> tuple[list[Span], list[Rejection]]:
    # The last picture before a gap is not on display through all of it.
    start_s, end_s = float(ends_s[first]), min(float(ends_s[after]), float(times[after - 1]) + MOST_GAP_SECONDS)
    rate = clip_fps(fps, settings)
    spans: list[Span] = []
    refused: list[Rejection] = []
    for piece_start, piece_end in _pieces(start_s, end_s, settings):
        length = piece_end - piece_start
        if length < settings.min_seconds - ROUNDING:
            detail = f"a shot of {length:.2f} s; at least {settings.min_seconds:g} s is needed"
            refused.append(Rejection(source, round(piece_start, 6), "too short", detail))
            continue
        low = max(first, int(np.searchsorted(times, piece_start)) - 2)
        high = min(after, int(np.searchsorted(times, piece_end)) + 2)
        picks = resample(times[low:high].tolist(), piece_start, rate, max(1, round(length * rate)), fps)
        spans.append(Span(round(piece_start, 6), round(piece_end, 6), rate, tuple(low + index for index in picks)))
    return spans, refused


def _pieces(start_s: float, end_s: float, settings: Settings) -> Sequence[tuple[float, float]]:
    """Even pieces; where those would fall below the least, whole ones of the most and a rest that is turned away."""
    length = end_s - start_s
    count = max(1, math.ceil((length - ROUNDING) / settings.max_seconds))
    if count == 1 or length / count >= settings.min_seconds:
        marks = [start_s + length * index / count for index in range(count + 1)]
    else:
        marks = [start_s + settings.max_seconds * index for index in range(count)] + [end_s]
    return list(pairwise(marks))


def _frozen(source: str, start_s: float, end_s: float) -> Rejection:
    detail = f"the picture stands still for {end_s - start_s:.2f} s"
    return Rejection(source, round(float(start_s), 6), "frozen", detail)


def _losses(scan: Scan, end_s: float, header: media.Probe, source: str) -> list[Rejection]:
    """A row for the part of a file that could not be decoded."""
    if scan.damage:
        return [Rejection(source, round(end_s, 6), "damaged", scan.damage)]
    declared = header.seconds or 0.0
    shortfall = SHORTFALL_WITH_SOUND if header.audio else SHORTFALL
    if end_s < declared * shortfall and end_s < declared - SHORTFALL_SECONDS:
        detail = f"{len(scan.times)} frames survive: {end_s:.2f} s of the {declared:.2f} s that the header says"
        return [Rejection(source, round(end_s, 6), "incomplete", detail)]
    return []
