"""What lies behind the actors: plain, gradient, sky, sea, grass, night, fixed to the world and seen by the camera."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from manzar.nouns import VideoShape
from manzar.world.path import View, extent
from manzar.world.scene import RGB, Scene, shown, tones


def paint(
    scenes: Sequence[Scene], view: View, shape: VideoShape, rows: int, columns: int, pixel: float, device: torch.device
) -> Tensor:
    """A canvas with the background of every scene: uint8 (B, T, 3, rows, columns); `pixel` in short sides."""
    canvas = torch.empty(len(scenes), shape.frames, 3, rows, columns, dtype=torch.uint8, device=device)
    groups: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for i, scene in enumerate(scenes):
        groups[scene.background, scene.camera == "still"].append(i)
    width, height = extent(shape)
    for (kind, still), members in groups.items():
        frames = 1 if still else shape.frames  # a still background is painted once and repeated
        zoom, shift = (
            torch.from_numpy(np.ascontiguousarray(a[members, :frames], dtype=np.float32)).to(device)[..., None, None]
            for a in (view.zoom, view.shift)
        )  # (n, T, 1, 1)
        x = (torch.arange(columns, device=device) + 0.5) * pixel
        y = ((torch.arange(rows, device=device) + 0.5) * pixel).unsqueeze(-1)
        x = (x - width / 2 - shift) / zoom + width / 2  # (n, T, 1, w)
        y = (y - height / 2) / zoom + height / 2  # (n, T, h, 1)
        chosen = [scenes[i] for i in members]
        colours = _colours(kind, chosen, x, y / height, height, pixel)  # (n, T, 3, h, w)
        for i, picture in zip(members, colours.round_().to(torch.uint8), strict=True):
            canvas[i] = picture  # (T, 3, h, w) or (1, 3, h, w); many times faster than canvas[members] = ...
    return canvas


def _colours(kind: str, scenes: Sequence[Scene], x: Tensor, v: Tensor, height: float, pixel: float) -> Tensor:
    """x (n, T, 1, w) in short sides; v (n, T, h, 1) in [0, 1] down the unmoved frame; result (n, T, 3, h, w)."""
    seeds = torch.tensor([scene.texture for scene in scenes], device=x.device).view(-1, 1, 1, 1)
    tables = [
        [shown(tone, scene.look) for tone in tones(scene.background, scene.backdrop, scene.texture)] for scene in scenes
    ]
    tints = [_column([table[i] for table in tables], x) for i in range(len(tables[0]))]
    if kind in ("plain", "gradient"):
        mixed = torch.lerp(tints[0], tints[-1], v.clamp(0, 1).unsqueeze(2))
        return mixed.expand(-1, -1, -1, -1, x.shape[-1]).contiguous()
    y = v * height
    if kind == "sky":
        return _sky(x, y, v, seeds, pixel, *tints)
    if kind == "sea":
        return _sea(x, y, v, seeds, pixel, *tints)
    if kind == "grass":
        return _grass(x, y, v, seeds, pixel, *tints)
    assert kind == "night", kind
    return _night(x, y, v, seeds, pixel, *tints)


def _sky(
    x: Tensor, y: Tensor, v: Tensor, seeds: Tensor, pixel: float, above: Tensor, below: Tensor, cloud: Tensor
) -> Tensor:
    """Clouds: in each cell of a grid, or not, three discs in a row."""
    base = torch.lerp(above, below, v.clamp(0, 1).unsqueeze(2))
    cell_x, cell_y = torch.floor(x / 0.55), torch.floor(y / 0.4)
    jitter = _noise(cell_x, cell_y, seeds)
    cx = (cell_x + 0.35 + 0.3 * jitter) * 0.55
    cy = (cell_y + 0.4 + 0.2 * _noise(cell_y, cell_x, seeds + 1)) * 0.4
    low = (y - cy) * 1.3
    distance = torch.hypot(x - cx, low) - 0.08
    for dx, r in ((-0.09, 0.05), (0.09, 0.055)):
        distance = torch.minimum(distance, torch.hypot(x - cx - dx, low) - r)
    return torch.lerp(base, cloud, (_step(distance, pixel) * (jitter > 0.35) * 0.9).unsqueeze(2))


def _sea(
    x: Tensor, y: Tensor, v: Tensor, seeds: Tensor, pixel: float, sky: Tensor, deep: Tensor, crest: Tensor
) -> Tensor:
    """Pale sky above a horizon; waves as wavy lighter lines."""
    phase = seeds.float() % 97
    wave = torch.sin(9.0 * math.pi * y + 0.9 * torch.sin(5.0 * math.pi * x + phase) + phase)
    water = torch.lerp(deep, crest, (0.5 + 3.0 * (wave - 0.55)).clamp(0, 1).unsqueeze(2))
    return torch.lerp(water, sky, _step(v - 0.3, pixel).unsqueeze(2))


def _grass(
    x: Tensor, y: Tensor, v: Tensor, seeds: Tensor, pixel: float, sky: Tensor, green: Tensor, tuft: Tensor
) -> Tensor:
    """Sky above a hilly horizon; darker tufts on the green, one in each cell of a grid."""
    phase = seeds.float() % 89
    cell_x, cell_y = torch.floor(x / 0.14), torch.floor(y / 0.12)
    cx = (cell_x + 0.25 + 0.5 * _noise(cell_x, cell_y, seeds)) * 0.14
    cy = (cell_y + 0.5) * 0.12
    blade = ((x - cx).abs() - 0.6 * (y - cy + 0.03)).maximum((y - cy).abs() - 0.03)
    ground = torch.lerp(green, tuft, _step(blade, pixel).unsqueeze(2))
    hills = v - 0.35 - 0.03 * torch.sin(4.0 * x + phase)
    return torch.lerp(ground, sky, _step(hills, pixel).unsqueeze(2))


def _night(
    x: Tensor, y: Tensor, v: Tensor, seeds: Tensor, pixel: float, above: Tensor, below: Tensor, light: Tensor
) -> Tensor:
    """A dark sky with a star in most cells of a grid, and a moon."""
    base = torch.lerp(above, below, v.clamp(0, 1).unsqueeze(2))
    cell_x, cell_y = torch.floor(x / 0.17), torch.floor(y / 0.17)
    jitter = _noise(cell_x, cell_y, seeds)
    cx = (cell_x + 0.2 + 0.6 * jitter) * 0.17
    cy = (cell_y + 0.2 + 0.6 * _noise(cell_y, cell_x, seeds + 1)) * 0.17
    stars = _step(torch.hypot(x - cx, y - cy) - 0.012, max(pixel, 0.012)) * (0.5 + 0.5 * jitter)
    base = torch.lerp(base, light, stars.unsqueeze(2))
    moon = torch.hypot(x - (0.12 + 0.3 * (seeds % 3)), y - 0.13) - 0.075
    return torch.lerp(base, light, _step(moon, pixel).unsqueeze(2))


def _step(distance: Tensor, pixel: float) -> Tensor:
    """1 inside, 0 outside, one and a half pixels of transition."""
    c = (0.5 - distance / (1.5 * pixel)).clamp(0, 1)
    return c * c * (3 - 2 * c)


def _column(colours: Sequence[RGB], like: Tensor) -> Tensor:
    """Colours of n scenes (or one for all) as (n, 1, 3, 1, 1)."""
    return torch.tensor(colours, dtype=torch.float32, device=like.device).view(-1, 1, 3, 1, 1)


def _noise(cell_x: Tensor, cell_y: Tensor, seeds: Tensor) -> Tensor:
    """A number in [0, 1) for each cell: the product of two hashes modulo a prime, in integers that fp32 holds exactly.

    Rows and columns are hashed apart, so that the work per pixel is one product and one remainder.
    """

    def hashed(cells: Tensor, salt: int) -> Tensor:
        h = (cells.long() + 1000) * 7919 + seeds.long() * 104729 + salt
        h = (h ^ (h >> 7)) * 48271 % 2147483647
        return (1 + (h ^ (h >> 11)) % 4001).float()

    return torch.remainder(hashed(cell_x, 17) * hashed(cell_y, 523), 1021.0) / 1021.0
