"""All-pairs correlation of two feature maps, and the look-up of windows in it (Teed and Deng 2020, section 3.2).

RAFT and AMT match pictures with it: every position of one map keeps its likeness to every position of the other, at
four resolutions of the other. Flow is in pixels of the finest map, x before y.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from manzar.score.dimension import Unscored

STRIDE = 8  # pixels to a position of a map
LEVELS = 4
SMALLEST = 2**LEVELS  # positions that a side of a map must have: the coarsest level needs two to be sampled between
FLOAT32 = 4  # bytes
MOST_PAIRS = 4  # a CPU gains nothing from more
MOST_BYTES = 1 << 30  # of pyramids at a time, unless those of one pair are larger
TOO_MANY_BYTES = 24 << 30  # of one pair; 1920x1080 takes 5 GiB a pyramid

Pyramid = list[Tensor]  # level i: (B·h·w, 1, h / 2^i, w / 2^i)


def padded(pictures: Tensor, multiple: int) -> Tensor:
    """(B, 3, H, W) with edges repeated until both sides are multiples: as much before as behind, or one less."""
    down, right = (-side % multiple for side in pictures.shape[-2:])
    return F.pad(pictures, (right // 2, right - right // 2, down // 2, down - down // 2), mode="replicate")


def pairs_at_once(height: int, width: int, multiple: int, pyramids: int = 1) -> int:
    """How many pairs of frames fit into the memory allowed, if sides are padded to multiples; at least one.

    pyramids: how many a pair has. Raises Unscored for frames of a size that is not defined, or beyond any memory.
    """
    rows, columns = (-(-side // multiple) * multiple // STRIDE for side in (height, width))
    if min(rows, columns) < SMALLEST:
        raise Unscored(f"{width}x{height} is too small for this network, which is not defined below "
                       f"{SMALLEST * STRIDE - multiple + 1} pixels a side")
    taken = pyramids * FLOAT32 * (rows * columns) ** 2 * 4 // 3  # the coarse levels are a third of the finest
    if taken > TOO_MANY_BYTES:
        raise Unscored(f"{width}x{height} is too large for this network: a pair of frames takes {taken / 2**30:.0f} "
                       "GiB; make the film smaller")
    return max(1, min(MOST_PAIRS, MOST_BYTES // taken))


def pyramid(first: Tensor, second: Tensor) -> Pyramid:
    """Two maps (B, C, h, w) -> the dot product of every position of the first with the second, over √C, averaged 2x2
    from level to level."""
    _, dim, height, width = first.shape
    assert min(height, width) >= SMALLEST, f"maps of {height}x{width}; a side of {SMALLEST} at least is needed"
    left = rearrange(first, "b c h w -> b (h w) c") / dim**0.5
    right = rearrange(second, "b c h w -> b c (h w)")
    levels = [rearrange(left @ right, "b n (h w) -> (b n) 1 h w", h=height)]
    while len(levels) < LEVELS:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


def look_up(levels: Pyramid, where: Tensor, radius: int) -> Tensor:
    """The windows around the positions (B, 2, h, w) of the second map that those of the first are thought to be at.

    -> (B, LEVELS · (2·radius + 1)², h, w), channels last in memory; within a window y runs fastest. Outside a map all
    is 0.
    """
    batch, _, height, _ = where.shape
    centre = rearrange(where, "b c h w -> (b h w) 1 1 c")
    steps = torch.arange(-radius, radius + 1, dtype=where.dtype, device=where.device)
    window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)  # (2r+1, 2r+1, 2)
    found = []
    for level, likeness in enumerate(levels):
        last = torch.tensor(likeness.shape[:-3:-1], device=where.device) - 1  # of x, of y
        sampled = 2 * (centre / 2**level + window) / last - 1  # (b·h·w, 2r+1, 2r+1, 2), the map from -1 to 1
        found.append(F.grid_sample(likeness, sampled, align_corners=True))
    windows = torch.cat([rearrange(part, "(b h w) 1 x y -> b h w (x y)", b=batch, h=height) for part in found], dim=-1)
    return windows.permute(0, 3, 1, 2)


def grid(like: Tensor) -> Tensor:
    """(B, 2, h, w): where every position of a map (B, C, h, w) is."""
    batch, _, height, width = like.shape
    rows, columns = (torch.arange(side, dtype=like.dtype, device=like.device) for side in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x, y)).expand(batch, -1, -1, -1)
