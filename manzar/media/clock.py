"""Time of pictures: seconds since the first one, forwards only, whatever clock the container keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = Sequence[float] | NDArray[np.float64]

BACK_S = 1.0  # a clock that runs back by more was set anew; by less, it trembles
GAP_S = 60.0  # so was one that leaps on by more; nobody watches one picture for that long


class Clock:
    """Reads the time of pictures in order of display. `origin` is the container's time of the file's first picture,
    to be given where the file was sought."""

    def __init__(self, fps: float, origin: float | None = None) -> None:
        self.step = 1.0 / fps
        self.origin = origin
        self._previous: float | None = None

    def seconds(self, picture: Any) -> float:
        """The time of the next picture, after that of all before it."""
        due = 0.0 if self._previous is None else self._previous + self.step
        raw = None if picture.pts is None else float(picture.pts * picture.time_base)
        if raw is not None and self.origin is None:
            self.origin = raw - due
        if raw is None or self.origin is None:
            now = due
        else:
            now = raw - self.origin
            if self._previous is not None and not -BACK_S < now - self._previous < GAP_S:
                self.origin += now - due  # recordings joined end to end play on without a pause
                now = due
            elif self._previous is not None and now <= self._previous:
                now = due
        self._previous = now
        return now


def true_fps(times: Times, nominal: float) -> float:
    """The mean rate of pictures shown at `times` (seconds): `nominal` where it agrees within 2 %, else as measured."""
    span = times[-1] - times[0]
    if len(times) < 3 or span <= 0:
        return nominal
    measured = (len(times) - 1) / span
    return nominal if abs(measured / nominal - 1) < 0.02 else round(float(measured), 3)


def end_of(times: Times, nominal: float) -> float:
    """When the last of the pictures shown at `times` (seconds) goes: it stays as long as most others do."""
    return float(times[-1]) + (float(np.median(np.diff(times))) if len(times) > 2 else 1.0 / nominal)


def resample(times: Times, start_s: float, fps: float, count: int, source_fps: float) -> list[int]:
    """For each k < count the index of the picture on display at `start_s + k / fps`."""
    wanted = start_s + np.arange(count) / fps + grace(fps, source_fps)
    return [int(index) for index in np.maximum(np.searchsorted(times, wanted, side="right") - 1, 0)]


def grace(fps: float, source_fps: float) -> float:
    """Seconds by which a picture may come late: half a period of the faster of the two clocks is forgiven, so that a
    file whose clock ticks in whole milliseconds keeps its frames one for one at its own rate."""
    return 0.5 / max(fps, source_fps) - 1e-6
