"""Single pictures from videos: JPEG bytes for pages, thumbnails of files, strips for contact sheets."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from manzar.media.decode import picture, probe
from manzar.media.source import fitted
from manzar.nouns import ManzarError, Video

if TYPE_CHECKING:
    from manzar.nouns import Frames

TELLING = 1 / 3  # of a file's length: past titles and fades, before the end gives the story away


def jpeg(frame: Frames, quality: int = 80) -> bytes:
    """One picture, uint8 (H, W, 3), as JPEG bytes; `quality` from 1 to 95."""
    assert frame.dtype == np.uint8, f"frame is {frame.dtype}, uint8 is needed"
    assert frame.ndim == 3, f"frame is {frame.shape}, (H, W, 3) is needed"
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def thumbnail(path: str | Path, side: int = 256, seconds: float | None = None) -> bytes:
    """A picture of a file as JPEG bytes, its longer side at most `side` pixels; small ones are not enlarged.

    seconds: which picture; None takes one a third into the file, or the first where that cannot be had.
    Raises UsageError for a missing file or a time it does not have, MediaError if no picture can be decoded.
    """
    assert side >= 1, f"a thumbnail of {side} pixels was asked for; at least 1 is needed"
    header = probe(path)
    shorter = min(side, max(header.width, header.height))
    size = fitted(header.width, header.height, (shorter, shorter))
    if seconds is not None:
        return jpeg(picture(path, seconds=seconds, size=size))
    with suppress(ManzarError):  # a header that promises more than there is, damage further in
        return jpeg(picture(path, seconds=(header.seconds or 0.0) * TELLING, size=size))
    return jpeg(picture(path, size=size))


def strip(video: Video, n: int) -> Frames:
    """`n` frames side by side, evenly spread over the video, fewer if it is shorter: uint8 (H, n·W, 3)."""
    assert n >= 1, f"a strip of {n} frames was asked for; at least 1 is needed"
    count = min(n, len(video.frames))
    picks = np.linspace(0, len(video.frames) - 1, count).round().astype(int)
    return np.concatenate([video.frames[index] for index in picks], axis=1)
