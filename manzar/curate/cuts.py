"""Hard shot changes: where one picture and the next have nothing to do with each other.

Each picture is reduced to a thumbnail; a cut is a step between neighbours that stands far above the steps around it (so
that a shaking camera raises its own threshold), and after which the old picture does not come back (a flash does not
count). The file is streamed: only the last few thumbnails and a few numbers per picture are held.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from manzar import media
from manzar.nouns import MediaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from manzar.nouns import Frames

THUMBNAIL = (64, 36)  # width, height
LEAST_STEP = 0.08  # mean absolute difference, of full scale, below which nothing is a cut
TIMES_LOCAL = 3.0  # a cut's step against the mean step around it
LOCAL_NOISE = 0.005  # added to that mean, so that a still shot does not make its grain a cut
WINDOW = 8  # pictures on either side that count as around
LEAST_SHOT = 3  # pictures; of two steps closer than this the larger is the cut
FLASH_FRAMES = 4  # the longest flash
FLASH_RETURN = 0.6  # if the picture from before is back within this share of the step, the step was a flash


@dataclass(frozen=True)
class Cut:
    """`frame` is the first of the new shot, `seconds` its time in the file."""

    frame: int
    seconds: float
    kind: Literal["cut", "dissolve", "fade"]


@dataclass
class Steps:
    """What one pass over a file leaves behind.

    times: seconds of each picture. lags[k - 1][t]: difference of pictures t and t - k in [0, 1], k from 1 to
    FLASH_FRAMES + 1; 0 where there is no such picture. damage: why the pass ended early, "" if it did not.
    """

    times: list[float] = field(default_factory=list)
    lags: list[list[float]] = field(default_factory=lambda: [[] for _ in range(FLASH_FRAMES + 1)])
    damage: str = ""


def find_cuts(path: str | Path) -> list[Cut]:
    """Shot changes of a file in order. Raises UsageError for a missing file, MediaError for a damaged one."""
    steps = measure_steps(path)
    if steps.damage:
        raise MediaError(steps.damage)
    return cuts_of(steps)


def measure_steps(path: str | Path) -> Steps:
    """Stream a file once. Damage ends the pass and is noted, not raised, if at least one picture came before it."""
    steps = Steps()
    recent: deque[Frames] = deque(maxlen=FLASH_FRAMES + 1)  # newest first
    try:
        for seconds, picture in media.frames(path, size=THUMBNAIL):
            steps.times.append(seconds)
            for index, lag in enumerate(steps.lags):
                lag.append(_difference(picture, recent[index]) if index < len(recent) else 0.0)
            recent.appendleft(picture)
    except MediaError as error:
        if not steps.times:
            raise
        steps.damage = str(error)
    return steps


def cuts_of(steps: Steps) -> list[Cut]:
    """The hard cuts among measured steps."""
    step = np.asarray(steps.lags[0])
    cuts = []
    for t in np.flatnonzero(step >= LEAST_STEP):
        frame = int(t)
        near = step[max(1, frame - LEAST_SHOT + 1) : frame + LEAST_SHOT]
        if step[frame] < near.max() or step[frame] < TIMES_LOCAL * (_around(step, frame) + LOCAL_NOISE):
            continue
        if not _is_flash(steps, frame):
            cuts.append(Cut(frame, steps.times[frame], "cut"))
    return cuts


def _difference(a: Frames, b: Frames) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean()) / 255.0


def _around(step: NDArray[np.float64], frame: int) -> float:
    """Mean step near `frame`, itself and the two largest left out: they may be cuts of their own."""
    others = np.concatenate([step[max(1, frame - WINDOW) : frame], step[frame + 1 : frame + 1 + WINDOW]])
    return float(np.sort(others)[:-2].mean()) if len(others) > 2 else 0.0


def _is_flash(steps: Steps, frame: int) -> bool:
    """Whether a picture soon after `frame` is like the one before it, or `frame` itself like one a little earlier."""
    bound = FLASH_RETURN * steps.lags[0][frame]
    for k in range(1, FLASH_FRAMES + 1):
        after = frame + k
        if after < len(steps.times) and steps.lags[k][after] < bound:
            return True
        if frame - k - 1 >= 0 and steps.lags[k][frame] < bound:
            return True
    return False
