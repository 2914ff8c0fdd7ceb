"""What is known about a video before it is made, as maps from one sampling state to the next.

A condition marks latent positions as given (σ = 0 there) and fills in their clean content. From then on sampling needs
nothing else: the DiT sees timestep 0 on the tokens that are given (`token_sigmas`), and after every step of the solver
the given positions are put back (`project`). Which positions are given is all that tells one way of conditioning from
another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from manzar.nouns import Condition, SamplingState, Stride, UsageError, Video, VideoShape

if TYPE_CHECKING:
    from manzar.nouns import Frames


def begin(noise: Tensor, shape: VideoShape, encode: Callable[[Tensor], Tensor]) -> SamplingState:
    """The state that every generation starts from: pure noise (B, c, t, h, w), nothing given."""
    given = torch.zeros(noise.shape[2:], device=noise.device)  # (t, h, w)
    return SamplingState(noise, given, torch.zeros_like(noise), shape, encode)


@dataclass(frozen=True)
class FirstFrame(Condition):
    """Image to video: the first frame is given, as an image uint8 (H, W, 3) or as the first frame of a video.

    An image of another size is scaled and cropped about its centre to fill the frame.
    """

    image: Video | Frames

    def apply(self, state: SamplingState) -> SamplingState:
        image = self.image.frames[0] if isinstance(self.image, Video) else self.image
        if image.ndim != 3 or image.shape[-1] != 3 or str(image.dtype) != "uint8":
            raise UsageError(f"a first frame is uint8 of shape (H, W, 3); this one is {image.dtype} {image.shape}")
        pixels = fill(to_pixels(image[None]), state.shape)  # (1, 3, 1, H, W)
        return give(state, state.encode(pixels), start=0)


def give(state: SamplingState, clean: Tensor, start: int) -> SamplingState:
    """Mark the latent frames from `start` on as given, with content `clean` (1 or B, c, t', h, w)."""
    end = start + clean.shape[2]
    assert end <= state.given.shape[0], f"latent frames {start}..{end} of only {state.given.shape[0]}"
    whole, given = state.clean.clone(), state.given.clone()
    whole[:, :, start:end] = clean
    given[start:end] = 1
    return replace(state, clean=whole, given=given)


def project(state: SamplingState, x: Tensor) -> Tensor:
    """`x` (B, c, t, h, w) with the given positions at their clean value."""
    return torch.where(state.given.bool(), state.clean, x)


def token_sigmas(given: Tensor, patch: Stride, sigma: float) -> Tensor:
    """σ of each DiT token (n,): 0 where all that the token covers is given, `sigma` elsewhere. given: (t, h, w)."""
    open_ = F.max_pool3d(1 - given[None], tuple(patch), tuple(patch))  # (1, t/p, h/p, w/p), 1 if any position is open
    return sigma * open_.flatten()


def to_pixels(frames: Frames) -> Tensor:
    """uint8 (T, H, W, 3) -> (1, 3, T, H, W) in [-1, 1]."""
    pixels = torch.from_numpy(frames.copy()).permute(3, 0, 1, 2)[None]
    return pixels.float() / 127.5 - 1


def fill(pixels: Tensor, shape: VideoShape) -> Tensor:
    """Scale (1, 3, T, H, W) to cover the height and width of `shape`, and crop what stands over about the centre."""
    height, width = pixels.shape[-2:]
    if (height, width) == (shape.height, shape.width):
        return pixels
    scale = max(shape.height / height, shape.width / width)
    size = (max(shape.height, round(height * scale)), max(shape.width, round(width * scale)))
    frames = pixels[0].transpose(0, 1)  # (T, 3, H, W)
    frames = F.interpolate(frames, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
    top, left = (size[0] - shape.height) // 2, (size[1] - shape.width) // 2
    frames = frames[:, :, top : top + shape.height, left : left + shape.width]
    return frames.transpose(0, 1)[None]
