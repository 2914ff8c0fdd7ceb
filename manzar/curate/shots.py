"""One file of footage to its clips: cut at shot changes, split into pieces, normalised, measured, written.

Two passes over the file. The first finds the cuts and the clock; the second decodes at the size wanted and holds one
clip at a time. What cannot be used is returned as a row with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from manzar import media
from manzar.curate.cuts import Steps, cuts_of, measure_steps
from manzar.curate.measures import content_id, difference_hash, measures
from manzar.media.decode import end_of, resample, true_fps
from manzar.nouns import Clip, MediaError, Rejection, UsageError, Video

if TYPE_CHECKING:
    from manzar.nouns import Frames

CLIPS_FOLDER = "clips"
LEAST_SIDE = 16
SHORTFALL = 0.9  # a file that yields less than this share of its declared length has lost a part
SHORTFALL_SECONDS = 0.5
ROUNDING = 1e-6  # seconds


@dataclass(frozen=True)
class Settings:
    """How footage is cut and normalised. fps None keeps each file's own rate; max_side in pixels."""

    min_seconds: float
    max_seconds: float
    fps: float | None
    max_side: int

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
class _Span:
    """A piece of one shot, in seconds, and the pictures of the file that make its frames."""

    start_s: float
    end_s: float
    picks: tuple[int, ...]


def clip_file(path: Path, source: str, settings: Settings, out: Path) -> tuple[list[Clip], list[Rejection]]:
    """The clips of one file, written under `out`, and what was turned away from it. `source` is its name in the rows.

    Raises StorageError if the disk is full; a damaged or unreadable file is a row, not an error.
    """
    try:
        header = media.probe(path)
        steps = measure_steps(path)
    except MediaError as error:
        return [], [Rejection(source, 0.0, "unreadable", str(error))]
    fps = true_fps(steps.times, header.fps)
    spans, refused = _plan(steps, fps, source, settings)
    refused += _losses(steps, fps, header, source)
    clips: list[Clip] = []
    size = _fit(header.width, header.height, settings.max_side)
    try:
        for span, video in _cut_out(path, spans, size, settings.fps or fps):
            clips.append(store_clip(video, Clip("", "", source, span.start_s, span.end_s, 0, 0, 0.0, 0), out))
    except MediaError as error:  # the file reads differently the second time: a failing disk, or someone writes to it
        refused += [Rejection(source, span.start_s, "damaged", str(error)) for span in spans[len(clips) :]]
    return clips, refused


def store_clip(video: Video, about: Clip, out: Path) -> Clip:
    """Write clips/<id>.mp4 under `out` and return `about` with everything that follows from the frames filled in."""
    identity = content_id(video)
    relative = f"{CLIPS_FOLDER}/{identity}.mp4"
    if not (out / relative).exists():  # written whole or not at all, and named by its content
        media.write(video, out / relative)
    return Clip(
        id=identity,
        path=relative,
        source=about.source,
        start_s=about.start_s,
        end_s=about.end_s,
        width=video.shape.width,
        height=video.shape.height,
        fps=video.fps,
        frames=video.shape.frames,
        captions=about.captions,
        tracks=about.tracks,
        measures={**measures(video), **about.measures},
        phash=about.phash or difference_hash(video),
        licence=about.licence,
        split=about.split,
    )


def _plan(steps: Steps, fps: float, source: str, settings: Settings) -> tuple[list[_Span], list[Rejection]]:
    """Shots between cuts, each divided evenly into pieces no longer than the most."""
    bounds = [0, *(cut.frame for cut in cuts_of(steps)), len(steps.times)]
    ends_s = [*steps.times, end_of(steps.times, fps)]
    rate = settings.fps or fps
    spans: list[_Span] = []
    refused: list[Rejection] = []
    for first, after in pairwise(bounds):
        start_s, end_s = ends_s[first], ends_s[after]
        for piece_start, piece_end in _pieces(start_s, end_s, settings):
            length = piece_end - piece_start
            if length < settings.min_seconds - ROUNDING:
                detail = f"a shot of {length:.2f} s; at least {settings.min_seconds:g} s is needed"
                refused.append(Rejection(source, round(piece_start, 6), "too short", detail))
                continue
            count = max(1, round(length * rate))
            picks = resample(steps.times[first:after], piece_start, rate, count, fps)
            spans.append(_Span(round(piece_start, 6), round(piece_end, 6), tuple(first + index for index in picks)))
    return spans, refused


def _pieces(start_s: float, end_s: float, settings: Settings) -> list[tuple[float, float]]:
    """Even pieces; where those would fall below the least, whole ones of the most and a rest that is turned away."""
    length = end_s - start_s
    count = max(1, math.ceil((length - ROUNDING) / settings.max_seconds))
    if count == 1 or length / count >= settings.min_seconds:
        marks = [start_s + length * index / count for index in range(count + 1)]
    else:
        marks = [start_s + settings.max_seconds * index for index in range(count)] + [end_s]
    return list(pairwise(marks))


def _losses(steps: Steps, fps: float, header: media.Probe, source: str) -> list[Rejection]:
    """A row for the part of a file that could not be decoded."""
    end_s = end_of(steps.times, fps)
    if steps.damage:
        return [Rejection(source, round(end_s, 6), "damaged", steps.damage)]
    declared = header.seconds or 0.0
    if end_s < declared * SHORTFALL and end_s < declared - SHORTFALL_SECONDS:
        detail = f"{len(steps.times)} frames survive: {end_s:.2f} s of the {declared:.2f} s that the header says"
        return [Rejection(source, round(end_s, 6), "incomplete", detail)]
    return []


def _fit(width: int, height: int, max_side: int) -> tuple[int, int]:
    """The largest even (width, height) of the same shape within `max_side`; small pictures are never enlarged."""
    scale = min(1.0, max_side / max(width, height))

    def even(side: int) -> int:
        return min(max_side - max_side % 2, max(2, 2 * round(side * scale / 2)))

    return even(width), even(height)


def _cut_out(path: Path, spans: list[_Span], size: tuple[int, int], fps: float) -> Iterator[tuple[_Span, Video]]:
    """Each span with its frames, in order; decoding stops after the last picture needed."""
    pending = iter(spans)
    span = next(pending, None)
    held: dict[int, Frames] = {}
    for index, (_, picture) in enumerate(media.frames(path, size=size)):
        if span is None:
            return
        if span.picks[0] <= index <= span.picks[-1]:
            held[index] = picture
        while span is not None and index >= span.picks[-1]:
            yield span, Video(np.stack([held[pick] for pick in span.picks]), fps)
            following = next(pending, None)
            keep = following.picks[0] if following is not None else index + 1
            held = {i: kept for i, kept in held.items() if i >= keep}
            span = following
    if span is not None:
        raise MediaError(f"{path}: the pictures ended before {span.end_s:.2f} s on the second reading")
