"""Rotary position embedding over a (t, h, w) grid, as pairs of neighbouring channels turned by an angle.

Su et al., RoFormer (arXiv 2104.09864), eq. 34; the head's channels are shared between the three axes as Wan does:
a third (rounded down to even) each for height and width, the rest for time.
"""

from __future__ import annotations

import torch
from torch import Tensor

THETA = 10000.0


def axis_channels(head_dim: int) -> tuple[int, int, int]:
    """How many of a head's channels turn with time, height and width."""
    side = 2 * (head_dim // 6)
    return head_dim - 2 * side, side, side


def grid_angles(grid: tuple[int, int, int], head_dim: int) -> Tensor:
    """Angle in radians of every channel pair at every token of a (t, h, w) grid: (t·h·w, head_dim / 2), float64.

    Float64 because a position times a frequency loses digits in float32 before the sine is taken.
    """
    parts = []
    for axis, (length, channels) in enumerate(zip(grid, axis_channels(head_dim), strict=True)):
        frequencies = THETA ** -(torch.arange(0, channels, 2, dtype=torch.float64) / channels)  # (channels/2,)
        angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies  # (length, channels/2)
        shape = [1, 1, 1, channels // 2]
        shape[axis] = length
        parts.append(angles.view(shape).expand(*grid, -1))  # (t, h, w, channels/2)
    return torch.cat(parts, dim=-1).flatten(0, 2)


def rotation(grid: tuple[int, int, int], heads: int, head_dim: int, device: torch.device) -> Tensor:
    """cos + i·sin of `grid_angles`, the same for every head: complex64 (n, heads · head_dim / 2)."""
    angles = grid_angles(grid, head_dim).repeat(1, heads)
    return torch.polar(torch.ones_like(angles), angles).to(device, torch.complex64)
