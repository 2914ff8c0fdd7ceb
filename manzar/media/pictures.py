"""Single pictures from videos: JPEG bytes for pages, strips for contact sheets."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from manzar.nouns import Video

if TYPE_CHECKING:
    from manzar.nouns import Frames


def jpeg(frame: Frames, quality: int = 80) -> bytes:
    """One picture, uint8 (H, W, 3), as JPEG bytes; `quality` from 1 to 95."""
    assert frame.dtype == np.uint8, f"frame is {frame.dtype}, uint8 is needed"
    assert frame.ndim == 3, f"frame is {frame.shape}, (H, W, 3) is needed"
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def strip(video: Video, n: int) -> Frames:
    """`n` frames side by side, evenly spread over the video, fewer if it is shorter: uint8 (H, n·W, 3)."""
    assert n >= 1, f"a strip of {n} frames was asked for; at least 1 is needed"
    count = min(n, len(video.frames))
    picks = np.linspace(0, len(video.frames) - 1, count).round().astype(int)
    return np.concatenate([video.frames[index] for index in picks], axis=1)
