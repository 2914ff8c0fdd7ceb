"""Clips as training sees them: decoded, or filmed in the procedural world, at the run's size and rate.

`open_splits` takes a data set's folder or a recipe of the world (a .json file, see world/recipe.py). Both give the same
three answers, and training never asks which it is: `length` and `side` of a clip, and the frames of several.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from manzar.device import pick_device
from manzar.nouns import BoxTrack, Clip, DataError, Frames, Stride, UsageError, VideoShape
from manzar.world.path import truth
from manzar.world.recipe import read_recipe
from manzar.world.say import names

CACHE_BYTES = 4 << 30  # decoded frames kept in memory; older ones are decoded again when asked for


class Clips(Protocol):
    """The clips of one split."""

    rows: list[Clip]
    fps: float
    stride: Stride
    latents: Path  # the folder beside the data where their latents are kept

    def __len__(self) -> int: ...

    def length(self, index: int) -> int:
        """Frames of a clip at the run's rate, from its row alone."""

    def side(self, index: int) -> tuple[int, int]:
        """(height, width) of a clip at the training size, on the grid of `stride`."""

    def frames(self, indices: Sequence[int]) -> list[Frames]:
        """All frames of each clip asked for, uint8 (T, H, W, 3)."""

    def tracks(self, index: int) -> tuple[BoxTrack, ...]:
        """Where its objects are on each of those frames; () where that is not known."""

    def names(self, index: int, language: str) -> tuple[str, ...]:
        """What those objects are called, in that language where it is known, else as their tracks are."""


class FootageClips:
    """Clips of a data set, decoded on demand at a short side of `size` pixels and `fps`, kept within a bound.

    The aspect is kept, up to the nearest size on the grid of `stride`; nothing is cropped away.
    """

    def __init__(self, data: Path, split: str, *, size: int, fps: float, stride: Stride):
        self.data, self.size, self.fps, self.stride = data, size, fps, stride
        self.latents = data / "latents"
        from manzar.curate import read_clips  # here, so that the world can be trained on without what footage needs

        self.rows: list[Clip] = [clip for clip in read_clips(data) if clip.split == split]
        self._cache: OrderedDict[int, Frames] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.rows)

    def length(self, index: int) -> int:
        clip = self.rows[index]
        return max(1, int((clip.frames - 1) / clip.fps * self.fps + 1e-6) + 1)

    def side(self, index: int) -> tuple[int, int]:
        clip = self.rows[index]
        scale = self.size / min(clip.height, clip.width)
        shape = VideoShape(1, round(clip.height * scale), round(clip.width * scale)).nearest(self.stride)
        return shape.height, shape.width

    def frames(self, indices: Sequence[int]) -> list[Frames]:
        return [self._decoded(index) for index in indices]

    def tracks(self, index: int) -> tuple[BoxTrack, ...]:
        clip = self.rows[index]
        picks = [min(clip.frames - 1, int(k * clip.fps / self.fps + 0.5)) for k in range(self.length(index))]
        return tuple(replace(track, boxes=tuple(track.boxes[k] for k in picks)) for track in clip.tracks)

    def names(self, index: int, language: str) -> tuple[str, ...]:
        return tuple(track.name for track in self.rows[index].tracks)

    def _decoded(self, index: int) -> Frames:
        from manzar.media import read

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


class WorldClips:
    """Clips of a recipe of the world, filmed whenever they are asked for, each at the size its kind says.

    Raises UsageError for a kind whose size is off the grid of `stride`.
    """

    def __init__(self, path: Path, split: str, *, fps: float, stride: Stride):
        self.recipe = read_recipe(path)
        self.fps, self.stride, self.latents = fps, stride, path.with_suffix(".latents")
        for kind in self.recipe.kinds:
            if kind.shape.nearest(stride) != kind.shape or kind.fps != fps:
                raise UsageError(f"{path}: {kind.shape} at {kind.fps:g} fps cannot be trained on here; make it "
                                 f"{kind.shape.nearest(stride)} at {fps:g} fps")
        self.rows = self.recipe.rows(split)
        self._tracks: dict[int, tuple[BoxTrack, ...]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def length(self, index: int) -> int:
        return self.rows[index].frames

    def side(self, index: int) -> tuple[int, int]:
        return self.rows[index].height, self.rows[index].width

    def frames(self, indices: Sequence[int]) -> list[Frames]:
        return list(self.recipe.frames([self.rows[index] for index in indices], pick_device()))

    def tracks(self, index: int) -> tuple[BoxTrack, ...]:
        """Remembered: a scene has to be drawn for them, which takes a hundredth of a second."""
        if index not in self._tracks:
            self._tracks[index] = truth(self.recipe.scene(self.rows[index]), self.rows[index].shape, self.fps)
        return self._tracks[index]

    def names(self, index: int, language: str) -> tuple[str, ...]:
        return names(self.recipe.scene(self.rows[index]), language)


def open_splits(data: Path, *, size: int, fps: float, stride: Stride) -> tuple[Clips, Clips]:
    """(train, val). Raises DataError when there is nothing to train on."""
    train: Clips
    val: Clips
    if data.suffix == ".json":
        train, val = (WorldClips(data, split, fps=fps, stride=stride) for split in ("train", "val"))
    else:
        train, val = (FootageClips(data, split, size=size, fps=fps, stride=stride) for split in ("train", "val"))
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
