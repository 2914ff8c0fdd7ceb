"""What is known about a video before it is made, as maps from one sampling state to the next.

Which positions are given is all that tells one way of conditioning from another:

    FirstFrame   a picture to begin with
    Keyframes    pictures at any places
    Extend       a clip to go on from, or to lead up to
    Connect      a clip at either end
    Loop         an end that flows into the beginning
    Edit         a clip half-way to noise, or all of it outside a mask (edit.py)

A condition is first fitted to the size and rate of the video, then applied to each window's state in turn; at the end
it may put given pixels in among those that were made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from manzar.generate.fitting import Canvas, clip, fit_clip, fit_picture, picture, to_pixels
from manzar.generate.given import following, give, leading, part
from manzar.nouns import Condition, SamplingState, UsageError, Video

if TYPE_CHECKING:
    from torch import Tensor

    from manzar.generate.timeline import Timeline
    from manzar.nouns import Frames


class Given(Condition, ABC):
    """A condition with pixels of its own."""

    flag: ClassVar[str]  # what the command line calls it

    @property
    def any_length(self) -> bool:
        """Whether the number of frames asked for may lie off the model's grid."""
        return False

    @property
    @abstractmethod
    def size(self) -> tuple[int, int] | None:
        """(width, height) of what is given."""

    def frames_at(self, fps: float) -> int | None:
        """How long the video is at this rate if no length is asked for; None where this condition has no say."""
        return None

    @abstractmethod
    def fit(self, canvas: Canvas) -> Given:
        """The same for this canvas; what fits already stays as it is. Raises UsageError for what never will."""

    def finish(self, chunks: Iterator[Frames], timeline: Timeline, r: int) -> Iterator[Frames]:
        """The decoded frames, (T, H, W, 3) at a time, with the given ones among them."""
        return chunks

    def goes_with(self, other: Given) -> bool:
        """Whether the two can hold at once; it is enough if one of them says so."""
        return False


@dataclass(frozen=True)
class FirstFrame(Given):
    """Image to video: the first frame is given, as an image uint8 (H, W, 3) or as the first frame of a video.

    An image of other proportions than the video is scaled and cropped about its centre to fill the frame.
    """

    image: Video | Frames
    flag: ClassVar[str] = "--image"

    @property
    def size(self) -> tuple[int, int]:
        height, width, _ = picture(self.image, "a first frame").shape
        return width, height

    def fit(self, canvas: Canvas) -> FirstFrame:
        return FirstFrame(fit_picture(self.image, "a first frame", canvas))

    def apply(self, state: SamplingState) -> SamplingState:
        if state.first > 0:
            return state
        image = picture(self.image, "a first frame")
        return give(state, state.encode(to_pixels(image[None])), start=0)

    def goes_with(self, other: Given) -> bool:
        match other:
            case Keyframes():
                return 0 not in other.pictures
            case Loop():
                return other.video is None
            case Extend():
                return other.direction == "backward"
        return False


@dataclass(frozen=True)
class Keyframes(Given):
    """Pictures uint8 (H, W, 3) at any frames of the video: {frame index: picture}; negative ones count from the end.

    A latent frame covers r pixel frames, so a picture is held through the r frames in whose group it falls, and no two
    may fall in one group. Models are trained with groups that stand still so: everything between repeats a neighbour.
    """

    pictures: Mapping[int, Video | Frames]
    flag: ClassVar[str] = "--keyframe"

    @property
    def size(self) -> tuple[int, int]:
        if not self.pictures:
            raise UsageError("no keyframes are given; {frame index: picture} needs at least one")
        height, width, _ = picture(next(iter(self.pictures.values())), "a keyframe").shape
        return width, height

    def fit(self, canvas: Canvas) -> Keyframes:
        placed: dict[int, Video | Frames] = {}
        for index, image in self.pictures.items():
            at = index + canvas.frames if index < 0 else index
            if not 0 <= at < canvas.frames:
                raise UsageError(f"keyframe {index} is beyond the video, whose frames are 0 to {canvas.frames - 1}")
            if at in placed:
                raise UsageError(f"keyframe {index} is given twice: frame {at} of {canvas.frames}")
            placed[at] = fit_picture(image, f"keyframe {index}", canvas)
        fitted = Keyframes(dict(sorted(placed.items())))
        fitted.groups(canvas.stride.time)
        return fitted

    def groups(self, r: int) -> dict[int, Frames]:
        """{latent frame: picture}. Raises UsageError where two pictures fall in one."""
        found: dict[int, int] = {}
        for index in sorted(self.pictures):
            group = -(-index // r)  # latent frame k covers the pixel frames r(k−1)+1 … rk
            if group in found:
                raise UsageError(f"keyframes {found[group]} and {index} are too close: this model makes frames "
                                 f"{r * (group - 1) + 1} to {r * group} together; keep one of the two")
            found[group] = index
        return {group: picture(self.pictures[index], "a keyframe") for group, index in found.items()}

    def stepped(self, start: int, stop: int, r: int) -> Tensor:
        """Frames start … stop, (1, 3, T, H, W), of the video in which every group is a still: of its own picture, or
        that of the nearest before it, or of the first."""
        pictures = self.groups(r)
        held = np.array(list(pictures))
        groups = -(-np.arange(start, stop) // r)
        nearest = held[(np.searchsorted(held, groups, side="right") - 1).clip(min=0)]
        return to_pixels(np.stack([pictures[group] for group in nearest.tolist()]))

    def apply(self, state: SamplingState) -> SamplingState:
        r = state.stride.time
        here = [group - state.first for group in self.groups(r) if state.first <= group < state.last]
        if not here:
            return state
        count = state.latents.shape[2]
        clean = part(state.encode, lambda a, b: self.stepped(a, b, r), state.first, count, state.stride)
        for k in here:
            state = give(state, clean[:, :, k, None], k)
        return state

    def goes_with(self, other: Given) -> bool:
        return isinstance(other, Loop) and other.video is None


class Join(Given):
    """What is made lies behind one clip, or in front of one, or between two."""

    @property
    @abstractmethod
    def clips(self) -> tuple[Video | None, Video | None]:
        """What comes before, and what comes after."""

    @property
    def context(self) -> int | None:
        """Frames of a clip that are shown to the model; None leaves that to the timeline."""
        return None

    @property
    def any_length(self) -> bool:
        return any(given is not None for given in self.clips)

    @property
    def size(self) -> tuple[int, int] | None:
        for given in self.clips:
            if given is not None:
                shape = clip(given, f"the clip of {self.flag}").shape
                return shape.width, shape.height
        return None

    def apply(self, state: SamplingState) -> SamplingState:
        before, after = self.clips
        if before is not None and state.first == 0:
            frames = before.frames[-1 - state.stride.time * (state.before - 1) :]
            state = give(state, leading(state.encode, to_pixels(frames), state.before, state.stride), 0)
        if after is not None and state.last == state.total:
            pixels = to_pixels(after.frames[: state.stride.time * state.after])
            state = lead_up(state, pixels)
        return state

    def finish(self, chunks: Iterator[Frames], timeline: Timeline, r: int) -> Iterator[Frames]:
        before, after = self.clips
        if before is not None:
            yield before.frames
        yield from without(chunks, timeline.context(r))
        if after is not None:
            yield after.frames


@dataclass(frozen=True)
class Extend(Join):
    """A clip goes on ("forward"), or something leads up to it ("backward"): the clip and what was added, in order.

    With count > 1 backward, several beginnings lead to one end.
    frames: how many of the clip's frames the model is shown, at its end or beginning; None: about half a window.
    """

    video: Video
    direction: Literal["forward", "backward"] = "forward"
    frames: int | None = None
    flag: ClassVar[str] = "--extend"

    def __post_init__(self) -> None:
        if self.direction not in ("forward", "backward"):
            raise UsageError(f"a clip is extended forward or backward, not {self.direction!r}")
        if self.frames is not None and self.frames < 1:
            raise UsageError(f"{self.frames} frames of the clip are to be shown; at least 1 is needed")

    @property
    def clips(self) -> tuple[Video | None, Video | None]:
        return (self.video, None) if self.direction == "forward" else (None, self.video)

    @property
    def context(self) -> int | None:
        return self.frames

    def fit(self, canvas: Canvas) -> Extend:
        return replace(self, video=fit_clip(self.video, "the clip to extend", canvas))


@dataclass(frozen=True)
class Connect(Join):
    """One clip turns into another: the first, a bridge, the last."""

    first: Video
    last: Video
    flag: ClassVar[str] = "--connect"

    @property
    def clips(self) -> tuple[Video | None, Video | None]:
        return self.first, self.last

    def fit(self, canvas: Canvas) -> Connect:
        return Connect(fit_clip(self.first, "the first clip to connect", canvas),
                       fit_clip(self.last, "the last clip to connect", canvas))


@dataclass(frozen=True)
class Loop(Join):
    """The end flows into the beginning.

    What fits in a window is made in one go, and a little of it over again: behind the last group of frames come the
    first groups once more, and after every step of the solver both occurrences are set to their mean. So the seam lies
    within the video, where the model makes one frame follow from another as anywhere. A picture to begin with stands
    before the first group; the last frame leads up to it.

    For what is longer, a beginning is made (or the given clip is taken), then the way from its last frames back to its
    first ones, both of them given.
    """

    video: Video | None = None
    flag: ClassVar[str] = "--loop"

    @property
    def clips(self) -> tuple[Video | None, Video | None]:
        return self.video, self.video

    @property
    def any_length(self) -> bool:
        return True

    def fit(self, canvas: Canvas) -> Loop:
        return self if self.video is None else Loop(fit_clip(self.video, "the clip to close into a loop", canvas))

    def apply(self, state: SamplingState) -> SamplingState:
        if self.video is not None:
            return super().apply(state)
        if state.opening is None or state.last < state.total:
            return state
        return lead_up(state, state.decode(state.opening))

    def finish(self, chunks: Iterator[Frames], timeline: Timeline, r: int) -> Iterator[Frames]:
        if timeline.again:
            yield turned(np.concatenate([*chunks]), r * (timeline.made - 1), r * timeline.again)
            return
        if self.video is not None:
            yield self.video.frames
        yield from without(chunks, timeline.context(r))


def turned(frames: Frames, length: int, again: int) -> Frames:
    """A round of `length` frames from 1 + length + again, of which the last `again` are frames 1 … again once more.

    Those are taken from where they stand last, decoded with the end of the round before them. The round begins with its
    last frame, which is where the very first one, alone in its latent, stands.
    """
    return frames[[*range(length, length + again + 1), *range(again + 1, length)][:length]]


def lead_up(state: SamplingState, pixels: Tensor) -> SamplingState:
    """The end of the state's latent frames is given: the beginning of the clip `pixels` (B, 3, T, H, W)."""
    clean = following(state.encode, pixels, state.after, state.stride)
    return give(state, clean, state.latents.shape[2] - state.after)


def without(chunks: Iterator[Frames], count: int) -> Iterator[Frames]:
    """The frames after the first `count`."""
    for chunk in chunks:
        if len(chunk) > count:
            yield chunk[count:]
        count = max(0, count - len(chunk))


def check_together(conditions: Sequence[Condition]) -> None:
    """Raise UsageError for two conditions that contradict each other."""
    given = [condition for condition in conditions if isinstance(condition, Given)]
    for one, other in combinations(given, 2):
        if not (one.goes_with(other) or other.goes_with(one)):
            names = [f"{type(each).__name__} ({each.flag})" for each in (one, other)]
            raise UsageError(f"{names[0]} and {names[1]} cannot be combined; give one of the two")
