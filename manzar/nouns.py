"""The nouns of Manzar: small frozen records and the shape arithmetic that belongs to them.

A value crosses from one room to the next as one of these, or as a documented file. Nothing here imports
torch or numpy at run time, so the command line can name an error before anything heavy is loaded.

    ManzarError                     every error a user can meet; `exit_code` is what the command line returns
    ├── UsageError           (2)    the request itself is wrong: a size, a key, a prompt
    │   ├── ShapeError       (2)    a size or length off the latent grid
    │   └── SettingError     (2)    an unknown or ill-typed --set key
    ├── MediaError           (1)    a file that cannot be read or written as video
    ├── DataError            (1)    a data set that is missing, empty or damaged
    ├── ModelError           (1)    a model folder that is incomplete, mis-shaped or unsafe
    ├── TrainingError        (1)    a run that must stop: non-finite loss, a checkpoint of another recipe
    ├── StorageError         (1)    the disk is full or not writable
    └── CaptionError         (1)    a captioner that gave nothing of use; in curate/captions/answers.py
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Frames = NDArray[np.uint8]  # (T, H, W, 3), or (H, W, 3) for one
else:
    Frames = object  # a name to import where annotations are not evaluated; numpy is not loaded for it

# How long work says how far it is: (done, total, what is to be known beside); total 0 where it is not known.
Progress = Callable[[int, int, str], None]

LANGUAGES: tuple[str, ...] = ("en", "zh", "hi", "ur", "ar")


class ManzarError(Exception):
    """Base of every error that is the user's to see; the message names the value, the place and the way out."""

    exit_code = 1


class UsageError(ManzarError):
    """The request is wrong before any work begins."""

    exit_code = 2


class ShapeError(UsageError):
    """A size or length that the latent grid cannot hold."""


class SettingError(UsageError):
    """An unknown or ill-typed setting."""


class MediaError(ManzarError):
    """A file that cannot be read or written as video."""


class DataError(ManzarError):
    """A data set that is missing, empty or damaged."""


class ModelError(ManzarError):
    """A model folder that is incomplete, mis-shaped or unsafe to open."""


class TrainingError(ManzarError):
    """A training run that must stop rather than go on wrongly."""


class StorageError(ManzarError):
    """The disk is full or not writable."""


class Stride(NamedTuple):
    """How many frames, rows and columns of pixels one step of a coarser grid covers."""

    time: int
    height: int
    width: int

    def __mul__(self, other: object) -> Stride:
        """Element-wise: the VAE's stride times the DiT's patch is the stride of one token."""
        if not isinstance(other, tuple) or len(other) != 3:
            return NotImplemented
        return Stride(self.time * other[0], self.height * other[1], self.width * other[2])


@dataclass(frozen=True)
class LatentShape:
    """Size of a latent grid: `frames` × `height` × `width` positions."""

    frames: int
    height: int
    width: int

    def tokens(self, patch: Stride) -> int:
        """Number of DiT tokens when `patch` positions are folded into one."""
        return (self.frames // patch.time) * (self.height // patch.height) * (self.width // patch.width)


@dataclass(frozen=True)
class VideoShape:
    """Size of a video in pixels; causal in time, so `frames = 1 + stride.time · k` and one frame is an image."""

    frames: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.frames} frames of {self.width}x{self.height}"

    def latent(self, stride: Stride) -> LatentShape:
        """The latent grid of this video. Raises ShapeError naming the nearest right size if it does not divide."""
        nearest = self.nearest(stride)
        if nearest != self:
            raise ShapeError(
                f"{self} is off the grid of this model (frames 1 + {stride.time}k, width a multiple of "
                f"{stride.width}, height a multiple of {stride.height}); the nearest that fits is {nearest}"
            )
        return LatentShape(
            1 + (self.frames - 1) // stride.time, self.height // stride.height, self.width // stride.width
        )

    def nearest(self, stride: Stride) -> VideoShape:
        """The closest size on the grid of `stride`, at least one step in each direction."""
        return VideoShape(
            1 + stride.time * max(0, round((self.frames - 1) / stride.time)),
            stride.height * max(1, round(self.height / stride.height)),
            stride.width * max(1, round(self.width / stride.width)),
        )


@dataclass(frozen=True)
class Box:
    """A rectangle in [0, 1] of the frame, origin top left."""

    x0: float
    y0: float
    x1: float
    y1: float

    def as_list(self) -> list[float]:
        return [self.x0, self.y0, self.x1, self.y1]


@dataclass(frozen=True)
class BoxTrack:
    """One object's box on every frame; None where it is out of view."""

    name: str
    boxes: tuple[Box | None, ...]


@dataclass(frozen=True)
class Video:
    """Frames as people see them: uint8 (T, H, W, 3), RGB, at a constant rate."""

    frames: Frames
    fps: float

    @property
    def shape(self) -> VideoShape:
        frames, height, width, _ = self.frames.shape
        return VideoShape(frames, height, width)

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.fps


@dataclass(frozen=True)
class Clip:
    """One row of clips.parquet; `path` is relative to the data set's folder."""

    id: str
    path: str
    source: str
    start_s: float
    end_s: float
    width: int
    height: int
    fps: float
    frames: int
    captions: Mapping[str, str] = field(default_factory=dict)
    tracks: tuple[BoxTrack, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    phash: str = ""
    licence: str = ""
    split: Literal["train", "val"] = "train"

    @property
    def shape(self) -> VideoShape:
        return VideoShape(self.frames, self.height, self.width)


@dataclass(frozen=True)
class Rejection:
    """One row of rejected.parquet: what was turned away, where, and why.

    A piece that was looked at before it was turned away has its measures, and a poster in refused/<id>.jpg.
    """

    path: str
    start_s: float
    reason: str
    detail: str
    id: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SamplingState:
    """What the solver carries from step to step; each Condition maps one state to a new one.

    A long video is sampled window by window, so a state may be of a part of the whole only.

    latents: (B, c, t, h, w) the noisy sample; tokens that are given hold their clean value.
    given: (t, h, w) 1 where the content is given (σ = 0 there), 0 where it is to be made.
    clean: (B, c, t, h, w) the given content; ignored where `given` is 0.
    shape: the size in pixels of all that is sampled, given frames before and after what is made included.
    stride: pixels under one token.
    encode: pixels (B, 3, T, H, W) in [-1, 1] -> normalised latents (B, c, t, h, w).
    decode: the inverse of `encode`.
    sigma_start: the σ at which integration begins (1 from pure noise, less when editing).
    first: which latent frame of the whole stands first here.
    before, after: how many latent frames of the whole are given in front of and behind what is made.
    opening: (B, c, t', h, w) the first few latent frames of the whole, once they are made.
    again: so many latent frames at the end are those after the first over again, of a video that goes round.
    boxes: (t, N, 9) where objects are to be, as `boxes.control` reads it; None is nowhere in particular.
    names: what the objects are, in the order of `boxes`; "" where it is not said.
    """

    latents: torch.Tensor
    given: torch.Tensor
    clean: torch.Tensor
    shape: VideoShape
    stride: Stride
    encode: Callable[[torch.Tensor], torch.Tensor]
    decode: Callable[[torch.Tensor], torch.Tensor]
    sigma_start: float = 1.0
    first: int = 0
    before: int = 0
    after: int = 0
    opening: torch.Tensor | None = None
    again: int = 0
    boxes: torch.Tensor | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert 0 < self.sigma_start <= 1, f"sigma_start is {self.sigma_start}; it lies in (0, 1]"
        assert self.latents.shape == self.clean.shape, f"{self.latents.shape} latents, {self.clean.shape} clean"
        assert self.given.shape == self.latents.shape[2:], f"{self.given.shape} given of {self.latents.shape[2:]}"
        assert self.last <= self.total, f"latent frames {self.first}..{self.last} of only {self.total}"

    @property
    def last(self) -> int:
        """The latent frame of the whole that follows this window's last."""
        return self.first + self.latents.shape[2]

    @property
    def total(self) -> int:
        """Latent frames of the whole."""
        return 1 + (self.shape.frames - 1) // self.stride.time


class Condition:
    """Something known about the video before it is made. Subclasses live in generate/."""

    def apply(self, state: SamplingState) -> SamplingState:
        raise TypeError(f"{type(self).__name__} does not say how it applies to a sampling state")


@dataclass(frozen=True)
class Request:
    """Everything that determines one generation; the same request and seed give the same video.

    frames: length of the video. Where a clip is extended or connected, length of what is added to it, to the nearest
    that the model can make. None: the model's own length, or what its window leaves beside the given frames.
    height, width: None takes the proportions of what is given at the area of the model's own size, or that size.
    fps: None takes the model's own; given clips are resampled to it.
    guidance: how far the prompt is set off against the negative one; 1 is none. box_guidance: the same for boxes
    against none, at a third pass through the model each step; None sets both off together, at no cost.
    layout: whether a model that can first decides where the things of the prompt are, if nothing else is given.
    """

    prompt: str
    frames: int | None = None
    height: int | None = None
    width: int | None = None
    fps: float | None = None
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str = ""
    seed: int = 0
    count: int = 1
    box_guidance: float | None = None
    conditions: Sequence[Condition] = ()
    layout: bool = True


@dataclass(frozen=True)
class Score:
    """One measured dimension. `value` None means unscored: never zero, never left out of sight."""

    name: str
    value: float | None
    kind: Literal["official", "stand-in", "unscored"]
    n: int
    interval: tuple[float, float] | None = None
    detail: str = ""


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Wrap whatever writes to `path`: a full or read-only disk becomes a StorageError that names the place.

    Raises UsageError where a file stands in the way of a folder; other failures pass as they are.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            reason = f"cannot write {path}: the disk is full; free some space or choose another place"
            raise StorageError(reason) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StorageError(f"cannot write {path}: {error.strerror}; choose a place you may write to") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise UsageError(f"cannot write {path}: a file stands where a folder is needed; choose another") from error
        raise


def existing(path: str | Path, kind: Literal["file", "folder", "file or folder"] = "file or folder") -> Path:
    """`path` as a Path if it exists and is of the kind asked for; else a UsageError that says what it is instead."""
    found = Path(path)
    if not found.exists():
        raise UsageError(f"{found}: no such {kind}")
    if kind == "folder" and not found.is_dir():
        raise UsageError(f"{found} is a file; a folder is needed here")
    if kind == "file" and not found.is_file():
        raise UsageError(f"{found} is a folder; a file is needed here")
    return found
