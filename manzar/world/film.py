"""Filming: scenes to pixels, batched over scenes and frames, on any device.

Backgrounds are painted once per scene if the camera stands still. Actors of one shape are painted together, all their
frames at once, inside windows that just hold them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from manzar.nouns import VideoShape
from manzar.world.backgrounds import paint
from manzar.world.path import Poses, View, poses, views
from manzar.world.scene import COLOURS, RGB, Actor, Scene, border_of, luma, shown
from manzar.world.shapes import Paint, fit, fitted, silhouette

BLOCKS = 24  # a pixelated look has about so many blocks along the short side
SOFTNESS = 1.5  # width in pixels over which coverage falls from 1 to 0
BORDER = 0.09  # thickness of an outline in radii, at least one pixel


def render(
    scenes: Sequence[Scene], shape: VideoShape, fps: float = 8.0, device: torch.device | str | None = None
) -> Tensor:
    """Films every scene at one size: uint8 (B, T, H, W, 3) on `device`.

    Motion is a function of the fraction of the clip that has passed, so `fps` changes only how fast it is played.
    """
    device = torch.device(device or "cpu")
    coarse = [i for i, scene in enumerate(scenes) if scene.look == "pixelated"]
    fine = [i for i, scene in enumerate(scenes) if scene.look != "pixelated"]
    if not coarse:
        return _film(scenes, shape, 1, device)
    out = torch.empty(len(scenes), shape.frames, shape.height, shape.width, 3, dtype=torch.uint8, device=device)
    for members, block in ((fine, 1), (coarse, max(2, round(min(shape.height, shape.width) / BLOCKS)))):
        if members:
            for i, clip in zip(members, _film([scenes[i] for i in members], shape, block, device), strict=True):
                out[i] = clip
    return out


def _film(scenes: Sequence[Scene], shape: VideoShape, block: int, device: torch.device) -> Tensor:
    """(B, T, H, W, 3); with `block` > 1 one sample for each block of pixels."""
    rows, columns = -(-shape.height // block), -(-shape.width // block)
    pixel = block / min(shape.height, shape.width)  # in short sides
    view = views(scenes, shape)
    canvas = paint(scenes, view, shape, rows, columns, pixel, device)  # (B, T, 3, h, w)
    for rank in range(max(len(scene.actors) for scene in scenes)):
        groups: dict[str, list[int]] = defaultdict(list)
        for i, scene in enumerate(scenes):
            if rank < len(scene.actors):
                groups[scene.actors[rank].shape].append(i)
        for name, members in groups.items():
            actors = [scenes[i].actors[rank] for i in members]
            seen = View(view.zoom[members], view.shift[members])
            looks = [scenes[i].look for i in members]
            _add(canvas, members, name, actors, looks, poses(actors, seen, shape), pixel)
    if block == 1:
        return canvas.permute(0, 1, 3, 4, 2).contiguous()
    grown = canvas.permute(0, 1, 3, 4, 2).repeat_interleave(block, dim=2).repeat_interleave(block, dim=3)
    return grown[:, :, : shape.height, : shape.width]


def _add(
    canvas: Tensor, members: Sequence[int], name: str, actors: Sequence[Actor], looks: Sequence[str],
    pose: Poses, pixel: float,
) -> None:  # fmt: skip
    """Paints one actor of each member scene, all of the same shape, into the canvas."""
    device, (_, frames, _, rows, columns) = canvas.device, canvas.shape
    x, y, r, angle = (
        torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32)).to(device).view(-1, 1, 1)  # (N, 1, 1), N = B' T
        for a in (pose.x / pixel, pose.y / pixel, pose.radius / pixel, pose.angle)
    )
    turning = any(actor.motion == "spin" for actor in actors)
    reach = float(pose.radius.max() / pixel) * (fit(name).reach if turning else 1.0)
    side = int(2 * reach) + 4
    top = (y - side / 2).round().long().clamp(0, max(rows - side, 0))
    left = (x - side / 2).round().long().clamp(0, max(columns - side, 0))
    row = top + torch.arange(min(side, rows), device=device).view(1, -1, 1)  # (N, h, 1)
    column = left + torch.arange(min(side, columns), device=device).view(1, 1, -1)  # (N, 1, w)
    at = torch.tensor(members, device=device).repeat_interleave(frames).view(-1, 1, 1)
    frame = torch.arange(frames, device=device).repeat(len(members)).view(-1, 1, 1)

    dx, dy = (column + 0.5 - x) / r, (row + 0.5 - y) / r
    if turning:
        dx, dy = dx * angle.cos() + dy * angle.sin(), dy * angle.cos() - dx * angle.sin()  # (N, h, w)
    dx = dx * _per_frame([actor.facing for actor in actors], frames, device)
    dx, dy = dx + torch.zeros_like(dy), dy + torch.zeros_like(dx)

    channel = torch.arange(3, device=device).view(1, 3, 1, 1)
    index = (at.unsqueeze(1), frame.unsqueeze(1), channel, row.unsqueeze(1), column.unsqueeze(1))
    window = canvas[index].float()  # (N, 3, h, w)
    layers = fitted(name, dx, dy)
    for distance, colour in layers:
        tint = _per_frame(
            [_tint(colour, a.colour, look) for a, look in zip(actors, looks, strict=True)], frames, device
        )
        window = torch.lerp(window, tint, _coverage(distance * r).unsqueeze(1))
    if "outline" in looks:
        line = _per_frame([shown(border_of(COLOURS[actor.colour]), "outline") for actor in actors], frames, device)
        drawn = _per_frame([float(look == "outline") for look in looks], frames, device)
        distance = silhouette(layers) * r
        band = _coverage(distance) * (1 - _coverage(distance + (BORDER * r).clamp_min(1.0))) * drawn
        window = torch.lerp(window, line, band.unsqueeze(1))
    canvas[index] = window.round_().to(torch.uint8)


def _coverage(distance: Tensor) -> Tensor:
    """How much of a pixel lies inside, from the signed distance of its centre in pixels (smoothstep)."""
    c = (0.5 - distance / SOFTNESS).clamp(0, 1)
    return c * c * (3 - 2 * c)


def _per_frame(values: Sequence[float] | Sequence[RGB], frames: int, device: torch.device) -> Tensor:
    """One value or colour per scene to (N, 1, 1) or (N, 3, 1, 1), repeated for its frames."""
    table = torch.tensor(values, dtype=torch.float32, device=device).repeat_interleave(frames, dim=0)
    return table.view(*table.shape, 1, 1)


def _tint(paint: Paint, colour: str, look: str) -> RGB:
    body = COLOURS[colour]
    if paint == "body":
        return shown(body, look)
    if paint == "shade":  # darker than the body, but lighter than black
        r, g, b = (round(0.62 * c) for c in body)
        return shown((r, g, b) if luma(body) > 20 else (75, 75, 75), look)
    assert not isinstance(paint, str), paint
    return shown(paint, look)
