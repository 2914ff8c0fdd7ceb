"""How a scene is drawn from a seed."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from manzar.nouns import UsageError
from manzar.world.scene import (
    BACKGROUNDS,
    CAMERAS,
    COLOURS,
    DIRECTIONS,
    EXTRA_LOOKS,
    HELD_OUT,
    HUELESS_LOOKS,
    LOOKS,
    MOTIONS,
    RGB,
    SHAPES,
    SIZES,
    TEXTURED,
    TURNLESS,
    Actor,
    Point,
    Scene,
    border_of,
    centre,
    luma,
    tones,
)

Item = TypeVar("Item")
Kind = tuple[str, str, str]  # colour, shape, motion
Scenery = tuple[str, str, int]  # background, backdrop, texture

CROWDING = (1.0, 0.80, 0.68)  # diameters shrink by this much with one, two, three actors
MAX_CROWDING = 0.25  # share of pairs and moments at which one actor lies well upon another
MIN_CONTRAST = 135.0  # Euclidean distance in RGB, of 441
MIN_LUMA_CONTRAST = 60.0  # of 255, where the look shows no hue


@dataclass(frozen=True)
class WorldConfig:
    """What may appear. `actors` is the least and the greatest number; the names are those of this module's tables.

    `held_out` says whether the combinations of `HELD_OUT` are kept out, are the only ones, or make no difference.

    Raises:
        UsageError: a name that does not exist, a number of actors outside 1 to 3, or nothing left to draw from.
    """

    actors: tuple[int, int] = (1, 3)
    looks: tuple[str, ...] = LOOKS
    cameras: tuple[str, ...] = CAMERAS
    backgrounds: tuple[str, ...] = BACKGROUNDS
    motions: tuple[str, ...] = MOTIONS
    shapes: tuple[str, ...] = SHAPES
    colours: tuple[str, ...] = tuple(COLOURS)
    held_out: Literal["exclude", "only", "any"] = "exclude"

    def __post_init__(self) -> None:
        for name, known in (("looks", (*LOOKS, *EXTRA_LOOKS)), ("cameras", CAMERAS), ("backgrounds", BACKGROUNDS),
                            ("motions", MOTIONS), ("shapes", SHAPES), ("colours", tuple(COLOURS))):  # fmt: skip
            object.__setattr__(self, name, _checked(name, getattr(self, name), known))
        least, most = self.actors
        if not 1 <= least <= most <= 3:
            raise UsageError(f"WorldConfig: actors={self.actors!r} must be two numbers in 1 to 3, the lesser first")
        if self.held_out not in ("exclude", "only", "any"):
            raise UsageError(f"WorldConfig: held_out={self.held_out!r} is not one of exclude, only, any")
        if not _pool(self.colours, self.shapes, self.motions, self.held_out):
            raise UsageError(
                f"WorldConfig: no actor is left with held_out={self.held_out!r} among colours={self.colours}, "
                f"shapes={self.shapes}, motions={self.motions}; allow more of them, or set held_out='any'"
            )


def _checked(field: str, names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in known]
    if isinstance(names, str) or unknown or not names:
        raise UsageError(f"WorldConfig: {field}={names!r} must be a non-empty tuple of: {', '.join(known)}")
    return tuple(names)


@functools.lru_cache(maxsize=64)
def _pool(colours: tuple[str, ...], shapes: tuple[str, ...], motions: tuple[str, ...], which: str) -> tuple[Kind, ...]:
    """Every (colour, shape, motion) that the configuration allows."""
    return tuple(
        (colour, shape, motion)
        for colour in colours
        for shape in shapes
        for motion in motions
        if not (motion == "spin" and shape in TURNLESS)
        and (which == "any" or ((colour, shape, motion) in HELD_OUT) == (which == "only"))
    )


# ---- drawing a scene -------------------------------------------------------------------------------------------------


class Draw:
    """A stream of random numbers from a seed by splitmix64 (Steele et al. 2014): the same on every machine."""

    _MASK = (1 << 64) - 1

    def __init__(self, seed: int) -> None:
        self._state = seed & self._MASK
        self._state = self.bits()  # neighbouring seeds part ways

    def bits(self) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & self._MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & self._MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & self._MASK
        return z ^ (z >> 31)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * ((self.bits() >> 11) / (1 << 53))

    def choice(self, items: Sequence[Item]) -> Item:
        return items[(self.bits() >> 11) * len(items) >> 53]

    def mostly(self, default: str, items: Sequence[str], share: float) -> str:
        """`default` with probability `share` if it is among the items, else one of the others."""
        others = [item for item in items if item != default]
        if default in items and (not others or self.uniform() < share):
            return default
        return self.choice(others)


def sample_scene(seed: int, config: WorldConfig | None = None) -> Scene:
    """The scene of `seed`: the same on every machine and in every version of Python and torch."""
    config = config or WorldConfig()
    draw = Draw(seed)
    look = draw.mostly("flat", config.looks, 0.6)
    best_contrast = -1.0
    for _ in range(12):  # cast anew if no background of many sets these actors off
        others, placed = _cast(draw, config, look)
        candidate, contrast = _background(draw, config, [colour for colour, _, _ in others], look)
        if contrast > best_contrast:
            kinds, actors, scenery, best_contrast = others, placed, candidate, contrast
        if contrast >= 1.0:
            break
    background, backdrop, texture = scenery
    camera = _camera(draw, config, background, [motion for _, _, motion in kinds])
    return Scene(actors, background, camera, look, backdrop, texture, seed)


def _cast(draw: Draw, config: WorldConfig, look: str) -> tuple[list[Kind], tuple[Actor, ...]]:
    """Who is in the scene and on which paths; cast anew if they would lie upon one another too long."""
    kinds = _kinds(draw, config, look)
    actors = _place(draw, kinds)
    for _ in range(8):
        if _crowding(actors) <= MAX_CROWDING:
            break
        others = _kinds(draw, config, look)
        placed = _place(draw, others)
        if _crowding(placed) < _crowding(actors):
            kinds, actors = others, placed
    return kinds, actors


def _kinds(draw: Draw, config: WorldConfig, look: str) -> list[Kind]:
    """(colour, shape, motion) of each actor; no two can be taken for one another, if the configuration can help it."""
    least, most = config.actors
    count = least
    while count < most and draw.uniform() < 0.4:
        count += 1
    pool = _pool(config.colours, config.shapes, config.motions, config.held_out)
    first = 1 if look in HUELESS_LOOKS else 0  # without hue, shape alone tells actors apart
    kinds = [draw.choice(pool)]
    for _ in range(1, count):
        kind = draw.choice(pool)
        for _ in range(16):
            if kind[first:2] not in [other[first:2] for other in kinds]:
                break
            kind = draw.choice(pool)
        kinds.append(kind)
    return kinds


def _contrast(colours: Sequence[str], behind: Sequence[RGB], look: str) -> float:
    """Least visibility of any actor before any tone; 1 is enough."""
    bodies = [COLOURS[colour] for colour in colours]
    if look == "outline":
        bodies += [border_of(body) for body in bodies]
    rgb = min(math.dist(body, tone) for body in bodies for tone in behind) / MIN_CONTRAST
    if look not in HUELESS_LOOKS:
        return rgb
    return min(rgb, min(abs(luma(body) - luma(tone)) for body in bodies for tone in behind) / MIN_LUMA_CONTRAST)


def _background(draw: Draw, config: WorldConfig, colours: Sequence[str], look: str) -> tuple[Scenery, float]:
    """A background before which every actor stands out, the best of many if none does so fully; and its contrast."""
    best: Scenery = ("plain", "white", 0)
    best_contrast = -1.0
    for _ in range(32):
        kind = draw.choice(config.backgrounds)
        backdrop = "white"
        if kind == "plain":
            backdrop = draw.choice(("white", "black", "gray", *COLOURS))  # the neutral ones twice as often
        texture = draw.bits() >> 48
        behind = tones(kind, backdrop, texture)
        if kind == "night":
            behind = behind[:2]  # stars and moon are small enough to lie behind an actor of their colour
        contrast = _contrast(colours, behind, look)
        if contrast >= 1.0:
            return (kind, backdrop, texture), contrast
        if contrast > best_contrast:
            best, best_contrast = (kind, backdrop, texture), contrast
    return best, best_contrast


def _camera(draw: Draw, config: WorldConfig, background: str, motions: Sequence[str]) -> str:
    """A camera whose movement cannot be taken for that of an actor, if the configuration leaves one."""

    def clear(camera: str) -> bool:
        if camera == "still":
            return True
        if background not in TEXTURED:
            return False
        if camera.startswith("zoom"):
            return not {"grow", "shrink"} & set(motions)
        return not any(motion == "orbit" or DIRECTIONS.get(motion, (0, 0))[0] for motion in motions)

    usable = [camera for camera in config.cameras if clear(camera)]
    return draw.mostly("still", usable or config.cameras, 0.5)


def _place(draw: Draw, kinds: Sequence[Kind]) -> tuple[Actor, ...]:
    """Sizes and paths; of several actors the try in which they cover one another least."""
    sizes = [draw.choice(tuple(SIZES)) for _ in kinds]
    best: tuple[Actor, ...] = ()
    least = math.inf
    for _ in range(1 if len(kinds) == 1 else 24):
        actors = tuple(_actor(draw, kind, size, len(kinds)) for kind, size in zip(kinds, sizes, strict=True))
        crowding = _crowding(actors)
        if crowding < least:
            best, least = actors, crowding
        if least == 0.0:
            break
    return best


def _actor(draw: Draw, kind: Kind, size: str, count: int) -> Actor:
    colour, shape, motion = kind
    if motion in ("grow", "shrink"):
        size = "large"  # at its greatest; a small one would begin or end as a speck
    diameter = draw.uniform(*SIZES[size]) * CROWDING[count - 1]
    start = end = (draw.uniform(0.05, 0.95), draw.uniform(0.05, 0.95))
    diameter_start = diameter_end = diameter
    hops, orbit, phase, turn = 0, 0.0, 0.0, 0.0
    facing = draw.choice((-1, 1))
    if motion in DIRECTIONS:
        towards = DIRECTIONS[motion]
        axes = [_span(draw, sign, at) for sign, at in zip(towards, start, strict=True)]
        start, end = (axes[0][0], axes[1][0]), (axes[0][1], axes[1][1])
        facing = towards[0] or facing
    elif motion == "bounce":
        hops, start, end = 2, (start[0], draw.uniform(0.95, 1.0)), (start[0], draw.uniform(0.0, 0.05))
    elif motion == "orbit":
        start = end = (0.5, 0.5)
        orbit, phase, turn = draw.uniform(0.45, 0.5), draw.uniform(), float(draw.choice((-1, 1)))
    elif motion == "spin":
        turn = draw.choice((-1, 1)) * draw.uniform(0.55, 0.7)  # never a multiple of a quarter per frame, even if few
    elif motion == "grow":
        diameter_start = 0.4 * diameter
    elif motion == "shrink":
        diameter_end = 0.4 * diameter
    return Actor(
        shape, colour, size, motion, start, end, diameter_start, diameter_end, hops, orbit, phase, turn, facing
    )


def _span(draw: Draw, sign: int, at: float) -> Point:
    """Start and end on one axis: nearly the whole room if it moves along it, `at` if it does not."""
    near, far = draw.uniform(0.0, 0.05), draw.uniform(0.95, 1.0)
    return (at, at) if sign == 0 else (near, far) if sign > 0 else (far, near)


def _crowding(actors: Sequence[Actor], steps: int = 8) -> float:
    """Share of pairs and moments at which one actor lies well upon another."""
    hits = pairs = 0
    paths = [[centre(actor, step / steps) for step in range(steps + 1)] for actor in actors]
    for first, second in itertools.combinations(paths, 2):
        for (x0, y0, r0), (x1, y1, r1) in zip(first, second, strict=True):
            hits += math.hypot(x0 - x1, y0 - y1) < 0.9 * (r0 + r1)
            pairs += 1
    return hits / max(pairs, 1)
