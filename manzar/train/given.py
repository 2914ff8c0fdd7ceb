"""Which latent positions of a training batch are given, so that one network learns every task.

A given position has σ = 0 and its content in place of noise. What is drawn here decides what can be asked for:

    image        the first latent frame                       image to video
    prefix       the first few                                extension forward
    suffix       the last few                                 extension backward
    ends         some of both                                 connecting two clips
    scattered    any set                                      interpolation
    around       all that lies outside of a box, in every frame      editing within a mask
    held         any set, but of the video that stands still at each group's last frame: single pictures, loops
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from manzar.nouns import LatentShape, Stride
from manzar.train.data import randint

# by how often: what is given at the end of a clip is the hardest to heed, and connecting and loops live on it
KINDS = ("image", "prefix", "suffix", "suffix", "ends", "ends", "ends", "scattered", "around", "held")


@dataclass(frozen=True)
class Given:
    """mask: (t, h, w) bool, True where the content is given. held: given from the video that stands still."""

    mask: Tensor
    held: bool = False


def draw_given(shape: LatentShape, patch: Stride, generator: torch.Generator, kind: str | None = None) -> Given | None:
    """A task for clips of this size, of `kind` or of any; None where the size leaves no choice, as for an image."""
    if shape.frames == 1:
        return None
    kind = kind or KINDS[randint(generator, len(KINDS))]
    frames = torch.zeros(shape.frames, dtype=torch.bool)
    few = 1 + randint(generator, min(3, shape.frames - 1))
    if kind == "image":
        frames[0] = True
    elif kind == "prefix":
        frames[:few] = True
    elif kind == "suffix":
        frames[-few:] = True
    elif kind == "ends":
        last = 1 + randint(generator, max(1, min(3, shape.frames - 1 - few)))
        frames[:few] = True
        frames[shape.frames - last :] = True
    elif kind in ("scattered", "held"):
        frames = torch.rand(shape.frames, generator=generator) < 0.1 + 0.5 * torch.rand((), generator=generator)
        frames[randint(generator, shape.frames)] = True
    else:
        assert kind == "around", kind
        return Given(around(shape, patch, generator))
    if frames.all():  # something must be left to make
        frames[randint(generator, shape.frames)] = False
    return Given(frames[:, None, None].expand(shape.frames, shape.height, shape.width).clone(), kind == "held")


def around(shape: LatentShape, patch: Stride, generator: torch.Generator) -> Tensor:
    """(t, h, w): everything but a box of whole tokens, the same in all frames, of a quarter of each side at least."""
    mask = torch.ones(shape.frames, shape.height, shape.width, dtype=torch.bool)
    spans = []
    for side, step in ((shape.height, patch.height), (shape.width, patch.width)):
        tokens = side // step
        length = max(1, -(-tokens // 4)) + randint(generator, max(1, tokens - -(-tokens // 4) + 1))
        start = randint(generator, tokens - length + 1)
        spans.append(slice(start * step, (start + length) * step))
    mask[:, spans[0], spans[1]] = False
    return mask
