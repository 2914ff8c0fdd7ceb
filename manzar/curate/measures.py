"""Simple numbers about a clip, for filtering and for looking at."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from manzar.nouns import Video

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARPNESS_FRAMES = 5
HASH_SIDE = 8


def measures(video: Video) -> dict[str, float]:
    """motion: mean absolute difference of neighbouring frames, of full scale, per frame; 0 for one frame.
    sharpness: variance of the Laplacian of the luma (0..255), median over a few frames.
    brightness: mean luma, 0..1.
    """
    luma = _luma(video.frames)  # (T, H, W)
    motion = [np.abs(after - before).mean() for before, after in pairwise(luma)]
    picks = np.linspace(0, len(luma) - 1, min(SHARPNESS_FRAMES, len(luma))).round().astype(int)
    return {
        "motion": round(float(np.mean(motion)) / 255.0, 6) if motion else 0.0,
        "sharpness": round(float(np.median([_laplacian_variance(luma[index]) for index in picks])), 3),
        "brightness": round(float(luma.mean()) / 255.0, 6),
    }


def content_id(video: Video) -> str:
    """16 hex digits that name these frames at this rate."""
    digest = hashlib.sha256(f"{video.frames.shape} {video.fps:.6f}".encode())
    digest.update(np.ascontiguousarray(video.frames).data)
    return digest.hexdigest()[:16]


def difference_hash(video: Video) -> str:
    """64-bit perceptual hash of the middle frame as 16 hex digits: whether each cell of an 8x8 grid is darker than the
    cell to its right. Near pictures differ in few bits."""
    middle = Image.fromarray(video.frames[len(video.frames) // 2]).convert("L")
    cells = np.asarray(middle.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX), dtype=np.int16)
    bits = (cells[:, 1:] > cells[:, :-1]).ravel()
    return np.packbits(bits).tobytes().hex()


def _luma(frames: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Luma (BT.601 weights), 0..255: (T, H, W, 3) to (T, H, W)."""
    return np.stack([np.asarray(Image.fromarray(frame).convert("L")) for frame in frames]).astype(np.int16)


def _laplacian_variance(luma: NDArray[np.int16]) -> float:
    if min(luma.shape) < 3:
        return 0.0
    centre = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * centre
    return float(laplacian.var())
