"""The bookkeeping of what is given: which latent positions, and with what content.

A given position has σ = 0. From then on sampling needs nothing else: the DiT sees timestep 0 on the tokens that are
given (`token_sigmas`), and after every step of the solver the given positions are put back (`project`). Latents are
causal in time: latent frame 0 covers pixel frame 0 alone, latent frame k the r pixel frames r(k−1)+1 … rk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from manzar.nouns import Condition, SamplingState, Stride, VideoShape

Codec = Callable[[Tensor], Tensor]

# Latent frames of the past that a part of a clip is encoded with. The encoder remembers about so much: without any the
# latents are wrong by half their deviation, with these by a fifteenth.
LEAD = 4


def begin(noise: Tensor, shape: VideoShape, stride: Stride, encode: Codec, decode: Codec) -> SamplingState:
    """The state that every generation starts from: pure noise (B, c, t, h, w), nothing given."""
    given = torch.zeros(noise.shape[2:], device=noise.device)  # (t, h, w)
    return SamplingState(noise, given, torch.zeros_like(noise), shape, stride, encode, decode)


def give(state: SamplingState, clean: Tensor, start: int, where: Tensor | None = None) -> SamplingState:
    """Mark the latent frames from `start` on as given, with content `clean` (1 or B, c, t', h, w).

    where: (t', h, w) bool, the positions that are; None is all of them.
    """
    end = start + clean.shape[2]
    assert 0 <= start < end <= state.given.shape[0], f"latent frames {start}..{end} of only {state.given.shape[0]}"
    whole, given = state.clean.clone(), state.given.clone()
    where = torch.ones_like(given[start:end], dtype=torch.bool) if where is None else where.to(given.device)
    whole[:, :, start:end] = torch.where(where, clean, whole[:, :, start:end])
    given[start:end] = torch.where(where, 1, given[start:end])
    return replace(state, clean=whole, given=given)


def project(state: SamplingState, x: Tensor) -> Tensor:
    """`x` (B, c, t, h, w) with the given positions at their clean value, and what comes again as it was before."""
    if state.again:
        first, second = occurrences(state)
        x = x.clone()
        x[:, :, first] = x[:, :, second] = (x[:, :, first] + x[:, :, second]) / 2
    return torch.where(state.given.bool(), state.clean, x)


def occurrences(state: SamplingState) -> tuple[slice, slice]:
    """Where the latent frames that come again stand first, and where again."""
    frames = state.latents.shape[2]
    return slice(1, 1 + state.again), slice(frames - state.again, frames)


def go_round(state: SamplingState) -> SamplingState:
    """What comes again has the noise, the given content and the boxes that it has where it stands first."""
    if not state.again:
        return state
    first, second = occurrences(state)
    latents, clean, given = state.latents.clone(), state.clean.clone(), state.given.clone()
    boxes = None if state.boxes is None else state.boxes.clone()
    latents[:, :, second], clean[:, :, second], given[second] = latents[:, :, first], clean[:, :, first], given[first]
    if boxes is not None:
        boxes[second] = boxes[first]
    return replace(state, latents=latents, clean=clean, given=given, boxes=boxes)


def token_sigmas(given: Tensor, patch: Stride, sigma: float) -> Tensor:
    """σ of each DiT token (n,): 0 where all that the token covers is given, `sigma` elsewhere. given: (t, h, w)."""
    open_ = F.max_pool3d(1 - given[None], tuple(patch), tuple(patch))  # (1, t/p, h/p, w/p), 1 if any position is open
    return sigma * open_.flatten()


def leading(encode: Codec, pixels: Tensor, count: int, stride: Stride) -> Tensor:
    """Latents (B, c, count, h, w) of the end of a clip (B, 3, T, H, W), for something to follow it."""
    frames = 1 + stride.time * (count - 1)
    assert frames <= pixels.shape[2], f"{count} latent frames cover {frames} frames of only {pixels.shape[2]}"
    return encode(pixels[:, :, pixels.shape[2] - frames :])


def following(encode: Codec, pixels: Tensor, count: int, stride: Stride) -> Tensor:
    """Latents (B, c, count, h, w) of the beginning of a clip (B, 3, T, H, W), for something to precede it.

    What follows other frames has r of them to a latent frame, also at its start, and knows a past. So the clip is
    encoded as if it had stood still before, and the latents of that are dropped: their first one covers one frame, and
    those after it stand for what is still to be made. A clip that is too short rests on its last frame.
    """
    picks = torch.arange(-stride.time * LEAD - 1, stride.time * count).clamp(0, pixels.shape[2] - 1)
    return encode(pixels[:, :, picks.to(pixels.device)])[:, :, LEAD + 1 :]


def part(encode: Codec, pixels: Callable[[int, int], Tensor], first: int, count: int, stride: Stride) -> Tensor:
    """Latent frames first … first + count of a clip, encoded with a little of its past: (B, c, count, h, w).

    pixels(start, stop) gives those frames of the clip as (B, 3, stop − start, H, W).
    """
    lead = min(first, LEAD)
    start, stop = stride.time * (first - lead), stride.time * (first + count - 1) + 1
    return encode(pixels(start, stop))[:, :, lead:]


@dataclass(frozen=True)
class Carried(Condition):
    """What a neighbouring window made: latents (B, c, t, h, w) whose first is the latent frame `first` of the whole."""

    latents: Tensor
    first: int

    def apply(self, state: SamplingState) -> SamplingState:
        start, stop = max(self.first, state.first), min(self.first + self.latents.shape[2], state.last)
        assert start < stop, f"latent frames {state.first}..{state.last} do not touch what is carried, {self.first}.."
        return give(state, self.latents[:, :, start - self.first : stop - self.first], start - state.first)
