"""Clips as training sees them: decoded once at the run's size and rate, held in memory within a bound."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from manzar.curate import read_clips
from manzar.media import read
from manzar.nouns import Clip, DataError, Frames, Stride, VideoShape

CACHE_BYTES = 4 << 30  # decoded frames kept in memory; older ones are decoded again when asked for


class Clips:
    """The clips of one split of a data set, decoded on demand at a short side of `size` pixels and `fps`.

    The aspect is kept, up to the nearest size on the grid of `stride`; nothing is cropped away.
    """

    def __init__(self, data: Path, split: str, *, size: int, fps: float, stride: Stride):
        self.data, self.size, self.fps, self.stride = data, size, fps, stride
        self.rows: list[Clip] = [clip for clip in read_clips(data) if clip.split == split]
        self._cache: OrderedDict[int, Frames] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.rows)

    def length(self, index: int) -> int:
        """Frames of a clip after resampling, from its row alone."""
        clip = self.rows[index]
        return max(1, int((clip.frames - 1) / clip.fps * self.fps + 1e-6) + 1)

    def side(self, index: int) -> tuple[int, int]:
        """(height, width) of a clip at the training size, on the grid."""
        clip = self.rows[index]
        scale = self.size / min(clip.height, clip.width)
        shape = VideoShape(1, round(clip.height * scale), round(clip.width * scale)).nearest(self.stride)
        return shape.height, shape.width

    def frames(self, index: int) -> Frames:
        """All frames of a clip, uint8 (T, H, W, 3)."""
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        height, width = self.side(index)
        frames = read(self.data / self.rows[index].path, fps=self.fps, size=(width, height)).frames
        self._cache[index] = frames
        self._bytes += frames.nbytes
        while self._bytes > CACHE_BYTES and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._bytes -= dropped.nbytes
        return frames


def open_splits(data: Path, *, size: int, fps: float, stride: Stride) -> tuple[Clips, Clips]:
    """(train, val). Raises DataError when there is nothing to train on."""
    train, val = (Clips(data, split, size=size, fps=fps, stride=stride) for split in ("train", "val"))
    if not len(train):
        raise DataError(f"{data} has no clips in its train split; ingest some footage first")
    return train, val


def window(frames: Frames, start: int, length: int) -> Frames:
    """`length` frames from `start`; a clip that came out a frame short repeats its last one."""
    cut = frames[start : start + length]
    if len(cut) < length:
        cut = np.concatenate([cut, np.repeat(cut[-1:], length - len(cut), axis=0)])
    return cut


def to_tensor(batch: list[Frames]) -> Tensor:
    """uint8 (T, H, W, 3) each → float (B, 3, T, H, W) in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(batch))
    return stacked.permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1.0)


def random_generator(seed: int, samples_seen: int) -> torch.Generator:
    """The one source of randomness of a step: stop anywhere, and it is the same again."""
    mixed = np.random.SeedSequence([seed, samples_seen]).generate_state(1, np.uint64).item()
    return torch.Generator().manual_seed(mixed >> 1)


def digest(value: object) -> str:
    """Short content hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def randint(generator: torch.Generator, high: int) -> int:
    """One integer in [0, high)."""
    return int(torch.randint(high, (), generator=generator))
