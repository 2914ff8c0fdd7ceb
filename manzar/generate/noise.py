"""The noise that a video is made from: on every machine the same, and as the stock pipeline draws it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from manzar.nouns import LatentShape, Request


def initial_noise(request: Request, latent_shape: LatentShape, channels: int) -> Tensor:
    """(count, c, t, h, w) fp32 on the CPU, sample i from seed + i."""
    return draw(sources(request), latent_shape, channels)


def sources(request: Request) -> list[torch.Generator]:
    """Where the noise of each sample comes from, window after window."""
    return [torch.Generator().manual_seed(request.seed + i) for i in range(request.count)]


def draw(sources: Sequence[torch.Generator], latent_shape: LatentShape, channels: int) -> Tensor:
    size = (channels, latent_shape.frames, latent_shape.height, latent_shape.width)
    return torch.stack([torch.randn(size, generator=source) for source in sources])
