"""Editing: a clip is taken part of the way to noise and made anew from there (SDEdit, arXiv:2108.01073)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from manzar.flow import interpolate
from manzar.generate.conditions import Given
from manzar.generate.fitting import Canvas, at_rate, clip, fill, fit_clip, to_pixels
from manzar.generate.given import give, part
from manzar.nouns import SamplingState, UsageError, Video

if TYPE_CHECKING:
    from manzar.generate.timeline import Timeline
    from manzar.nouns import Frames

FEATHER = 32  # the edge of a mask fades, inwards, over a 32nd of the shorter side


@dataclass(frozen=True)
class Edit(Given):
    """A clip changed by the prompt; `strength` is the σ from which it is made anew: little changes near 0, all at 1.

    mask: (H, W), or (T, H, W) with one for each frame of the clip; white (above half its range, or True) is what may
    change. Outside it the model is given the clip, and the result is the clip's own pixels.
    """

    video: Video
    strength: float = 0.6
    mask: Frames | None = None
    flag: ClassVar[str] = "--edit"

    def __post_init__(self) -> None:
        check_strength(self.strength)
        if self.mask is not None:
            check_mask(self.mask, clip(self.video, "the clip to edit"))

    @property
    def size(self) -> tuple[int, int]:
        shape = clip(self.video, "the clip to edit").shape
        return shape.width, shape.height

    @property
    def any_length(self) -> bool:
        return True

    def frames_at(self, fps: float) -> int:
        video = clip(self.video, "the clip to edit")
        return len(at_rate(len(video.frames), video.fps, fps))

    def fit(self, canvas: Canvas) -> Edit:
        frames = self.frames_at(canvas.fps)
        if canvas.frames > frames:
            raise UsageError(f"{canvas.frames} frames are asked for, but the clip to edit has only {frames} at "
                             f"{canvas.fps:g} frames per second")
        picks = at_rate(len(self.video.frames), self.video.fps, canvas.fps)[: canvas.frames]
        video = fit_clip(Video(self.video.frames[picks], canvas.fps), "the clip to edit", canvas)
        if self.mask is None:
            return replace(self, video=video)
        mask = white(self.mask)  # (T or 1, H, W)
        mask = mask if len(mask) == 1 else mask[picks]
        mask = fill(mask[None, None].float(), canvas.height, canvas.width)[0, 0] > 0.5
        if not mask.any():
            raise UsageError(f"nothing of the mask is left in {canvas.frames} frames of {canvas.width}x{canvas.height}:"
                             " make its white larger, or the video")
        return replace(self, video=video, mask=mask.numpy().astype(np.uint8) * 255)

    def apply(self, state: SamplingState) -> SamplingState:
        clean = part(state.encode, self.pixels, state.first, state.latents.shape[2], state.stride)  # (1, c, t, h, w)
        noisy = interpolate(clean, state.latents, self.strength)
        state = replace(state, latents=noisy, sigma_start=self.strength)
        if self.mask is None:
            return state
        return give(state, clean, 0, ~self.open(state))

    def pixels(self, start: int, stop: int) -> Tensor:
        """(1, 3, T, H, W); behind its end the clip stands still."""
        return to_pixels(self.video.frames[np.arange(start, stop).clip(max=len(self.video.frames) - 1)])

    def open(self, state: SamplingState) -> Tensor:
        """(t, h, w) bool: the positions of whole tokens that the mask touches."""
        assert self.mask is not None
        time, height, width = state.stride
        start, stop = time * (state.first - 1) + 1, time * (state.last - 1) + 1  # of frame 0's group, only its last
        mask = white(self.mask)
        mask = mask[torch.arange(start, stop).clamp(0, len(mask) - 1)]  # (T, H, W)
        tokens = F.max_pool3d(mask[None].float(), (time, height, width))[0]  # (t, H/height, W/width)
        h, w = state.given.shape[1:]
        return F.interpolate(tokens[:, None], (h, w))[:, 0].bool()  # (t, h, w)

    def finish(self, chunks: Iterator[Frames], timeline: Timeline, r: int) -> Iterator[Frames]:
        at = 0
        for chunk in chunks:
            own = self.video.frames[at : at + len(chunk)]
            if len(own):
                yield chunk[: len(own)] if self.mask is None else self.inside(chunk[: len(own)], own, at)
            at += len(chunk)

    def inside(self, made: Frames, own: Frames, at: int) -> Frames:
        """`made` where the mask is white, `own` where it is not; the edge fades inwards, so outside stays untouched."""
        mask = white(self.mask)[at : at + len(made)] if len(white(self.mask)) > 1 else white(self.mask)
        reach = max(1, min(made.shape[1:3]) // FEATHER)
        soft = F.avg_pool2d(mask.float(), 2 * reach + 1, 1, reach, count_include_pad=False) * mask  # (T or 1, H, W)
        share = soft[..., None].numpy()
        blend: Frames = np.rint(share * made + (1 - share) * own).astype(np.uint8)
        return blend


def white(mask: Frames | None) -> Tensor:
    """(T or 1, H, W) bool."""
    assert mask is not None
    levels = torch.from_numpy(np.ascontiguousarray(mask))
    half = 127 if levels.dtype == torch.uint8 and levels.max() > 1 else 0.5
    return (levels if levels.ndim == 3 else levels[None]) > half


def check_mask(mask: Frames, video: Video) -> None:
    """Raise UsageError for a mask that is not of this clip, or lets nothing change."""
    shape = video.shape
    if mask.ndim not in (2, 3) or mask.shape[-2:] != (shape.height, shape.width):
        raise UsageError(f"the mask has the shape {mask.shape}; the clip to edit needs ({shape.height}, {shape.width}) "
                         f"or ({shape.frames}, {shape.height}, {shape.width})")
    if mask.ndim == 3 and len(mask) not in (1, shape.frames):
        raise UsageError(f"the mask has {len(mask)} frames; the clip to edit has {shape.frames}")
    if not white(mask).any():
        raise UsageError("the mask is all black, so nothing may change; white is what is made anew")


def check_strength(strength: float) -> None:
    """Raise UsageError for a strength that is no noise level to start from."""
    if not 0 < strength <= 1:
        raise UsageError(f"the strength of an edit is {strength:g}; it must be above 0 and at most 1")
