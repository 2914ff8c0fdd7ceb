"""Footage to frames. Everything comes out as a viewer would show it: turned upright, square pixels, deinterlaced, RGB
of an ordinary display, on white where it is see-through.

Decoding streams: no function holds more frames than the part that was asked for. Seconds count from the first
picture of the file, whatever clock the container keeps. A path is a video file, an animation or a folder of numbered
images.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from manzar.media.clock import end_of, grace, resample, true_fps
from manzar.media.kinds import opened
from manzar.media.source import Probe
from manzar.nouns import MediaError, UsageError, Video

if TYPE_CHECKING:
    from manzar.media.source import Source, Timed
    from manzar.nouns import Frames

__all__ = ["Probe", "end_of", "frames", "picture", "probe", "read", "resample", "true_fps"]


def probe(path: str | Path) -> Probe:
    """Size, rate, length and kind from the header and the first picture.

    Raises UsageError if there is no such file, MediaError if no picture can be decoded from it.
    """
    with opened(path) as source:
        return source.probe()


def frames(path: str | Path, *, size: tuple[int, int] | None = None) -> Iterator[tuple[float, Frames]]:
    """Every picture of a file as (seconds since the first picture, uint8 (H, W, 3)), in order of display.

    `size` (width, height) scales each picture as it is decoded; otherwise all have the size of the first.
    Raises UsageError for a missing file and MediaError for one that cannot be opened; at a damaged place the pictures
    before it have been given out and MediaError says how many there were, 0 for a file without a picture.
    """
    count = 0
    with opened(path) as source:
        for timed in source.pictures(size):
            count += 1
            yield timed
    if count == 0:
        raise MediaError(f"{path}: damaged, 0 frames survive")


def read(
    path: str | Path,
    *,
    start_s: float = 0.0,
    start_frame: int | None = None,
    end_s: float | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    max_frames: int | None = None,
) -> Video:
    """The part of a file between `start_s` and `end_s`, at a constant rate.

    start_frame: begin with exactly this picture, as `frames` counts them from 0, instead of at `start_s`.
    fps: frames per second of the result; None keeps the file's own rate (its mean rate where that varies).
    size: (width, height) of the result; None keeps the displayed size.
    max_frames: stop after this many frames of the result.
    Raises UsageError for a missing file or a part that is empty, MediaError for a file damaged before the part ends.
    """
    if start_frame is not None and (start_frame < 0 or start_s != 0):
        raise UsageError(f"cannot read {path} from frame {start_frame} and {start_s} s; give one start, 0 or later")
    if start_s < 0 or (end_s is not None and end_s <= start_s):
        raise UsageError(f"cannot read from {start_s} s to {end_s} s of {path}; the start must come before the end")
    if fps is not None and fps <= 0:
        raise UsageError(f"cannot read {path} at {fps} frames per second; the rate must be above 0")
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"cannot read {max_frames} frames of {path}; ask for at least 1")
    with opened(path) as source:
        if start_frame is None:
            pictures = source.pictures(size, start_s=start_s)
        else:
            pictures, start_s = _from_frame(source, start_frame, size)
            if end_s is not None and end_s <= start_s:
                raise UsageError(f"{path}: frame {start_frame} is at {start_s:.3f} s; the part must end after that")
        part = _Part(source, start_s, end_s, fps, max_frames)
        part.fill(pictures)
        return part.video(exactly_from=start_frame is not None)


def picture(
    path: str | Path, *, seconds: float | None = None, frame: int | None = None, size: tuple[int, int] | None = None
) -> Frames:
    """One picture, uint8 (H, W, 3): the one on display at `seconds`, or the `frame`-th from 0; else the first.

    Raises UsageError for a missing file or a place it does not have, MediaError if it is damaged before that place.
    """
    if (seconds is not None and (frame is not None or seconds < 0)) or (frame is not None and frame < 0):
        raise UsageError(f"cannot take a picture of {path} at {seconds} s, frame {frame}; give one place, 0 or later")
    if seconds is not None:
        shown: Frames = read(path, start_s=seconds, size=size, max_frames=1).frames[0]
        return shown
    with opened(path) as source:
        return next(_from_frame(source, frame or 0, size)[0])[1]


def _from_frame(source: Source, index: int, size: tuple[int, int] | None) -> tuple[Iterator[Timed], float]:
    """Pictures from the `index`-th on and the time of that one; UsageError if there are not so many."""
    pictures = source.pictures(size, start_frame=index)
    first = next(pictures, None)
    if first is None and index:
        raise UsageError(f"{source.path} ends before frame {index}; ask for an earlier part")
    if first is None:
        raise MediaError(f"{source.path}: damaged, 0 frames survive")
    return chain((first,), pictures), first[0]


class _Part:
    """Pictures of a stretch of time, as they arrive, and the constant rate that is made of them."""

    def __init__(
        self, source: Source, start_s: float, end_s: float | None, fps: float | None, max_frames: int | None
    ) -> None:
        self.path, self.nominal = source.path, source.fps
        self.start_s, self.end_s, self.fps, self.max_frames = start_s, end_s, fps, max_frames
        # A little more than asked for on either side, so that the nearest picture is always among those held.
        self.margin = 1.0 / self.nominal
        self.limit = end_s
        if max_frames is not None:
            reach = start_s + max_frames / (fps or self.nominal)
            self.limit = reach if end_s is None else min(end_s, reach)
        self.times: list[float] = []
        self.held: dict[int, Frames] = {}
        self.next_s: float | None = None  # when the first picture after those in `times` is shown, if there is one

    def fill(self, pictures: Iterator[Timed]) -> None:
        """Hold what the part may need of `pictures`: none from well before it, none that its rate leaves out."""
        for seconds, shown in pictures:
            if self.limit is not None and self.times and seconds >= self.limit + self.margin:
                self.next_s = seconds
                return
            if self.times and seconds < self.start_s - self.margin:
                self.times.clear()
                self.held.clear()
            if self.times and not self._picks_between(self.times[-1], seconds):
                self.held.pop(len(self.times) - 1, None)
            self.held[len(self.times)] = shown
            self.times.append(seconds)

    def _picks_between(self, first_s: float, after_s: float) -> bool:
        """Whether a picture shown from `first_s` to `after_s` is taken; all are at the file's own rate."""
        if self.fps is None or first_s <= self.start_s + self.margin:
            return True
        offset = self.start_s + grace(self.fps, self.nominal)
        ticks = np.floor((np.array((first_s, after_s)) - offset) * self.fps + (-1e-6, 1e-6))
        return bool(ticks[1] > ticks[0])

    def video(self, *, exactly_from: bool) -> Video:
        """The pictures on display at `start_s + k / fps`; the first of them the one at `start_s` if `exactly_from`."""
        if not self.times:
            raise MediaError(f"{self.path}: damaged, 0 frames survive")
        if self.next_s is None and self.times[-1] + self.margin <= self.start_s:
            raise UsageError(f"{self.path} ends before {self.start_s} s; ask for an earlier part")
        fps = self.fps or true_fps(self.times, self.nominal)
        end_s = end_of(self.times, self.nominal) if self.next_s is None else self.next_s
        last = end_s if self.end_s is None else min(self.end_s, end_s)
        count = max(1, round((last - self.start_s) * fps))
        count = count if self.max_frames is None else min(count, self.max_frames)
        picks = resample(self.times, self.start_s, fps, count, self.nominal)
        if exactly_from:
            picks[0] = 0
        return Video(np.stack([self.held[index] for index in picks]), fps)
