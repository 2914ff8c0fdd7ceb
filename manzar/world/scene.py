"""What a scene is, and how one is drawn from a seed.

A scene is free of resolution: lengths are fractions of the frame's short side, and places are fractions of the room
an actor has without leaving the frame. The same scene can be filmed at any size, aspect and length.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal

RGB = tuple[int, int, int]
Point = tuple[float, float]

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring",
          "person", "cat", "fish", "car", "boat", "house", "tree")  # fmt: skip
COLOURS: dict[str, RGB] = {  # the CSS named colours, so that any outside detector can judge
    "red": (255, 0, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "orange": (255, 165, 0),
    "purple": (128, 0, 128),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "brown": (165, 42, 42),
}
DIRECTIONS: dict[str, tuple[int, int]] = {  # x to the right, y down, as in the frame
    "left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1),
    "up-left": (-1, -1), "up-right": (1, -1), "down-left": (-1, 1), "down-right": (1, 1),
}  # fmt: skip
MOTIONS = (*DIRECTIONS, "bounce", "orbit", "grow", "shrink", "spin", "still")
SIZES: dict[str, tuple[float, float]] = {"small": (0.28, 0.32), "medium": (0.35, 0.42), "large": (0.46, 0.50)}
BACKGROUNDS = ("plain", "gradient", "sky", "sea", "grass", "night")
CAMERAS = ("still", "pan left", "pan right", "zoom in", "zoom out")
LOOKS = ("flat", "outline", "pixelated", "monochrome")
EXTRA_LOOKS = ("sepia",)  # only where asked for by name: what no model of the world has seen
HUELESS_LOOKS = frozenset({"monochrome", "sepia"})
SEPIA: RGB = (255, 222, 165)  # what white becomes; every other tone is this one, darker

TURNLESS = frozenset({"circle", "ring"})  # a spin of these could not be seen
TEXTURED = frozenset({"sky", "sea", "grass", "night"})  # a moving camera needs something fixed to be seen against

GRADIENTS: tuple[tuple[RGB, RGB], ...] = (  # top and bottom tone
    ((250, 240, 220), (235, 190, 170)),
    ((225, 235, 250), (165, 185, 225)),
    ((230, 245, 225), (165, 205, 170)),
    ((60, 50, 90), (120, 90, 130)),
    ((25, 60, 75), (70, 120, 130)),
)
TONES: dict[str, tuple[RGB, RGB, RGB]] = {  # what drawn backgrounds are painted with: see backgrounds.py
    "sky": ((125, 195, 240), (200, 230, 250), (250, 252, 255)),
    "sea": ((195, 225, 240), (20, 95, 150), (45, 125, 175)),
    "grass": ((190, 225, 245), (105, 180, 75), (85, 160, 60)),
    "night": ((12, 14, 44), (30, 32, 78), (248, 245, 210)),
}


@dataclass(frozen=True)
class Actor:
    """One thing that moves.

    Its centre at u in [0, 1] is start + (end - start) · g(u), g(u) = u, or |sin(π · hops · u)| if it bounces; an orbit
    adds `orbit` · (cos, sin)(2π(phase + turn · u)). Places are fractions of the room the frame leaves it, so that 0
    touches the left or upper edge and 1 the right or lower one. Diameters are fractions of the short side.
    """

    shape: str
    colour: str
    size: str
    motion: str
    start: Point
    end: Point
    diameter_start: float
    diameter_end: float
    hops: int = 0
    orbit: float = 0.0
    phase: float = 0.0
    turn: float = 0.0  # revolutions over the clip, clockwise if positive, of the orbit or of the actor itself
    facing: int = 1  # 1 looks to the right, -1 to the left

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Scene:
    """All that determines a clip but its size, length and rate. `backdrop` is the colour of a plain background."""

    actors: tuple[Actor, ...]
    background: str
    camera: str
    look: str
    backdrop: str = "white"
    texture: int = 0  # where clouds, stars and tufts lie; which gradient
    seed: int = 0

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


# ---- combinations held out of training for good ----------------------------------------------------------------------


def _is_held_out(colour: int, shape: int, motion: int) -> bool:
    """One in ten, spread as in a Latin square: every pair of attributes keeps most of its third ones in training."""
    return (7 * colour + 3 * shape + motion) % 10 == 0


HELD_OUT: frozenset[tuple[str, str, str]] = frozenset(
    (colour, shape, motion)
    for i, colour in enumerate(COLOURS)
    for j, shape in enumerate(SHAPES)
    for k, motion in enumerate(MOTIONS)
    if _is_held_out(i, j, k) and not (motion == "spin" and shape in TURNLESS)
)


def held_out(actor: Actor) -> bool:
    """Whether this (colour, shape, motion) is used only for scoring."""
    return (actor.colour, actor.shape, actor.motion) in HELD_OUT


# ---- colours and places ----------------------------------------------------------------------------------------------


def luma(colour: RGB) -> float:
    """Brightness in 0 to 255 (ITU-R BT.601 weights)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def shown(colour: RGB, look: str) -> RGB:
    """The colour as the look shows it: its brightness alone if monochrome, as a warm tone in sepia."""
    if look not in HUELESS_LOOKS:
        return colour
    brightness = luma(colour)
    if look == "monochrome":
        return (round(brightness), round(brightness), round(brightness))
    r, g, b = (round(brightness / 255 * tone) for tone in SEPIA)
    return (r, g, b)


def border_of(body: RGB) -> RGB:
    """The line that the outline look draws around a body: dark, but light around what is dark itself."""
    return (16, 16, 16) if luma(body) > 64 else (245, 245, 245)


def tones(background: str, backdrop: str, texture: int) -> tuple[RGB, ...]:
    """The colours that a background is painted with."""
    if background == "plain":
        return (COLOURS[backdrop],)
    if background == "gradient":
        return GRADIENTS[texture % len(GRADIENTS)]
    return TONES[background]


def centre(actor: Actor, u: float, width: float = 1.0, height: float = 1.0) -> tuple[float, float, float]:
    """(x, y, radius) at u in [0, 1] in a frame of that size, in short sides, the actor taken as a disc."""
    radius = 0.5 * (actor.diameter_start + (actor.diameter_end - actor.diameter_start) * u)
    margin = 0.5 * max(actor.diameter_start, actor.diameter_end)
    g = abs(math.sin(math.pi * actor.hops * u)) if actor.hops else u
    x = actor.start[0] + (actor.end[0] - actor.start[0]) * g
    y = actor.start[1] + (actor.end[1] - actor.start[1]) * g
    if actor.orbit:
        angle = 2 * math.pi * (actor.phase + actor.turn * u)
        x, y = x + actor.orbit * math.cos(angle), y + actor.orbit * math.sin(angle)
    return margin + (width - 2 * margin) * x, margin + (height - 2 * margin) * y, radius


def relation(scene: Scene, steps: int = 8) -> Literal["left", "right", "above", "below"] | None:
    """Where the first of two actors stays relative to the second, all the time and at every aspect; else None."""
    if len(scene.actors) != 2:
        return None
    first, second = scene.actors
    gaps = []
    for width, height in ((1.0, 1.0), (2.0, 1.0), (1.0, 2.0)):
        for step in range(steps + 1):
            x0, y0, r0 = centre(first, step / steps, width, height)
            x1, y1, r1 = centre(second, step / steps, width, height)
            gaps.append(((x1 - x0) / (r0 + r1), (y1 - y0) / (r0 + r1)))
    across, along = [gap[0] for gap in gaps], [gap[1] for gap in gaps]
    if min(across) > 0.8:
        return "left"
    if max(across) < -0.8:
        return "right"
    if min(along) > 0.8:
        return "above"
    if max(along) < -0.8:
        return "below"
    return None
