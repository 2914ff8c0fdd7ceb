"""Where everything is at each moment: actors in the frame, the camera, and the boxes that follow from both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manzar.nouns import Box, BoxTrack, VideoShape
from manzar.world.scene import Actor, Scene
from manzar.world.shapes import fit

Array = NDArray[np.float64]

ZOOM = 0.7  # the wide end of a zoom; the near end is 1, so that whoever is in view stays in view
PAN_SCALE, PAN_REACH = 0.8, 0.2  # a panning camera stands back a little, and sweeps this fraction of the frame


@dataclass(frozen=True)
class Poses:
    """Actors on the screen, in short sides of the frame: arrays of (B, T) for one actor of each scene."""

    x: Array
    y: Array
    radius: Array
    angle: Array  # radians, clockwise


@dataclass(frozen=True)
class View:
    """screen = middle + zoom · (world - middle) + (shift, 0), in short sides: arrays of (B, T)."""

    zoom: Array
    shift: Array


def moments(frames: int) -> Array:
    """u = t / (T - 1) of each frame: (T,). A single image shows the middle of the clip."""
    return np.linspace(0.0, 1.0, frames) if frames > 1 else np.array([0.5])


def extent(shape: VideoShape) -> tuple[float, float]:
    """Width and height of the frame in short sides."""
    short = min(shape.width, shape.height)
    return shape.width / short, shape.height / short


def views(scenes: Sequence[Scene], shape: VideoShape) -> View:
    """The cameras of the scenes at every frame."""
    u, width = moments(shape.frames), extent(shape)[0]
    still = np.zeros_like(u)
    sweep = PAN_REACH * width * (u - 0.5)  # a camera that turns left moves the picture to the right
    tables = {
        "still": (still + 1, still),
        "pan left": (still + PAN_SCALE, sweep),
        "pan right": (still + PAN_SCALE, -sweep),
        "zoom in": (ZOOM + (1 - ZOOM) * u, still),
        "zoom out": (1 - (1 - ZOOM) * u, still),
    }
    chosen = [tables[scene.camera] for scene in scenes]
    return View(np.stack([zoom for zoom, _ in chosen]), np.stack([shift for _, shift in chosen]))  # (B, T)


def poses(actors: Sequence[Actor], view: View, shape: VideoShape) -> Poses:
    """One actor of each scene, seen by that scene's camera. The paths are those of `Actor`'s docstring."""
    u, (width, height) = moments(shape.frames), extent(shape)

    def column(values: Sequence[float]) -> Array:
        return np.array(values, dtype=np.float64)[:, None]  # (B, 1)

    hops = column([actor.hops for actor in actors])
    g = np.where(hops > 0, np.abs(np.sin(math.pi * hops * u)), u)  # (B, T)
    orbit, turn = column([actor.orbit for actor in actors]), column([actor.turn for actor in actors])
    angle = 2 * math.pi * (column([actor.phase for actor in actors]) + turn * u)
    first, last = column([a.diameter_start for a in actors]), column([a.diameter_end for a in actors])
    room = 0.5 * np.maximum(first, last)
    placed = []
    for axis, side, circling in ((0, width, np.cos(angle)), (1, height, np.sin(angle))):
        start, end = column([a.start[axis] for a in actors]), column([a.end[axis] for a in actors])
        half = column([_reach(actor, axis) for actor in actors])
        place = start + (end - start) * g + orbit * circling
        world = half * room + (side - 2 * half * room) * place
        placed.append(side / 2 + view.zoom * (world - side / 2) + (view.shift if axis == 0 else 0.0))
    radius = 0.5 * (first + (last - first) * u) * view.zoom
    return Poses(placed[0], placed[1], radius, np.where(orbit > 0, 0.0, angle))


def _reach(actor: Actor, axis: int) -> float:
    """Half extent along an axis for a radius of 1, at its greatest during the motion."""
    own = fit(actor.shape)
    return own.reach if actor.motion == "spin" else own.half[axis]


def truth(scene: Scene, shape: VideoShape, fps: float = 8.0) -> tuple[BoxTrack, ...]:
    """The box of every actor on every frame, exact to a thousandth of a pixel, clipped to the view.

    Time runs in fractions of the clip, so the boxes do not depend on `fps`.
    """
    tracks = []
    for actor in scene.actors:
        boxes = [_clip(*low, *high) for low, high in zip(*unclipped(scene, actor, shape), strict=True)]
        tracks.append(BoxTrack(f"{actor.colour} {actor.shape}", tuple(boxes)))
    return tuple(tracks)


def unclipped(scene: Scene, actor: Actor, shape: VideoShape) -> tuple[Array, Array]:
    """Upper left and lower right corner of an actor's box on every frame, not held to [0, 1]: twice (T, 2)."""
    pose = poses([actor], views([scene], shape), shape)
    outline = fit(actor.shape).outline * (actor.facing, 1.0)  # (K, 2)
    cos, sin = np.cos(pose.angle[0]), np.sin(pose.angle[0])
    turn = np.stack([np.stack([cos, sin], axis=-1), np.stack([-sin, cos], axis=-1)], axis=-2)  # (T, 2, 2)
    turned = outline @ turn  # (T, K, 2), clockwise on the screen, y downwards
    corners = np.stack([turned.min(1), turned.max(1)], axis=1)  # (T, 2, 2)
    middle = np.stack([pose.x[0], pose.y[0]], axis=-1)[:, None]  # (T, 1, 2)
    placed = (middle + pose.radius[0][:, None, None] * corners) / extent(shape)
    return placed[:, 0], placed[:, 1]


def _clip(x0: float, y0: float, x1: float, y1: float) -> Box | None:
    x0, y0, x1, y1 = (min(max(float(v), 0.0), 1.0) for v in (x0, y0, x1, y1))
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None
