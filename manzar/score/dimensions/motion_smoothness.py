"""How well every other frame is foretold by its neighbours: interpolated pictures against those that were left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange

from manzar.score.backbones.amt import MULTIPLE
from manzar.score.backbones.correlation import padded, pairs_at_once
from manzar.score.dimension import Dimension, Measured, Unscored

if TYPE_CHECKING:
    from torch import nn

    from manzar.nouns import Frames
    from manzar.score.bench import Bench
    from manzar.score.film import Film


def measure(film: Film, bench: Bench) -> Measured:
    """1 where frames 1, 3, 5, … are what lies halfway between frames 0, 2, 4, …; 0 where they are the opposite.

    The last frame of an even number is not looked at. Raises Unscored for fewer than three frames or for a
    size that AMT is not defined for.
    """
    total, height, width, _ = film.frames.shape
    if total < 3:
        raise Unscored(f"{'one frame' if total == 1 else 'two frames'} only: three are needed, one between two")
    step = pairs_at_once(height, width, MULTIPLE, pyramids=2)
    network = bench.backbone("amt_s")
    kept, left_out = film.frames[::2], film.frames[1::2]
    errors: list[float] = []
    for begin in range(0, len(kept) - 1, step):
        guessed = between(network, kept[begin : begin + step + 1])
        errors += [error(*pair) for pair in zip(guessed, left_out[begin : begin + step], strict=False)]
    return Measured.of((255 - float(np.mean(errors))) / 255, interpolated=len(errors))


@torch.inference_mode()
def between(network: nn.Module, frames: Frames) -> Frames:
    """(n + 1, H, W, 3) -> (n, H, W, 3): the pictures halfway between neighbours, levels rounded down."""
    device = next(network.parameters()).device
    pictures = rearrange(torch.from_numpy(np.ascontiguousarray(frames)).to(device), "t h w c -> t c h w") / 255
    height, width = pictures.shape[-2:]
    top, left = (-side % MULTIPLE // 2 for side in (height, width))
    pictures = padded(pictures, MULTIPLE)
    middle = network(pictures[:-1], pictures[1:])[..., top : top + height, left : left + width]
    guessed: Frames = rearrange((middle * 255).to(torch.uint8), "t c h w -> t h w c").cpu().numpy()
    return guessed


def error(guessed: Frames, true: Frames) -> float:
    """Mean of |guessed - true| over two frames (H, W, 3), in levels of 255."""
    return float(np.abs(guessed.astype(np.int16) - true).mean())


DIMENSION = Dimension("motion_smoothness", "official", measure, backbones=("amt_s",))
