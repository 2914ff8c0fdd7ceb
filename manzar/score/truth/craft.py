"""How well a film of the world is made, whatever it shows: six of VBench's ideas, on what the judge's tracks explain.

Each is 1 for a clean drawing of a scene that holds together, and falls to 0 as the film does what no scene of the world
does; the constants below say how fast. Nothing is asked of the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from manzar.score.bench import Bench
from manzar.score.dimension import Measured, Unscored
from manzar.score.film import Film
from manzar.score.truth.apart import bare_ground, lives
from manzar.score.truth.asking import examined
from manzar.score.truth.judge import Examined, colour_name
from manzar.score.truth.segment import Array, Mask, Region, distance
from manzar.score.truth.silhouette import fits, shape_of

SOFTENING = 1.0  # pixels of blur before frames are compared, so that a resampled view is not taken for a change
BEHIND = (1.0, 10.0)  # ΔE of the background from frame to frame that is worth 1 (a camera, a codec), and worth 0
BODY = (3.5, 15.0)  # the same of an actor's mean colour, which changes a little with where its rim meets the pixels
LASTING = 0.5  # share of the frames that actors must be followed over to be asked
JERK = 0.04  # shorter sides off a smooth course, the mean, that are worth 0
PRECISION = 0.5  # pixels, the same, that are worth 1: how well the judge knows where an actor is
OTHERWISE = 0.1  # overlap by which another shape fits better than the actor's own, from which on it has changed
FEWEST = 5  # frames of an actor that say something about its constancy
COURSE = 8  # frames of it that say something about its course: twice what a course has of parameters
REPAINTED = (1.5, 25.0)  # ΔE between the background's first and last third, the mean, worth 1 and worth 0
STEEP = 0.42  # share of an edge's height that a clean one rises within a pixel
TALL = 15.0  # L that an edge must rise in all to be asked
NOISE = (0.5, 6.0)  # ΔE of noise on flat ground, standard deviation, worth 1 and worth 0

Floats = NDArray[np.float64]


def flicker(film: Film, bench: Bench) -> Measured:
    """How constant from frame to frame everything is that should be (temporal flickering).

    That is the background where no actor is on either frame, in the world's own coordinates, and the colour of every
    actor. Where what is seen does not last, so that there is no actor to follow, all that is in front is one.
    """
    judged = examined(film, bench)
    if len(judged.layers.lab) < 2:
        raise Unscored("one frame cannot flicker")
    behind = _background_changes(judged)
    bodies = [change for life in lives(judged) for change in _body_changes(life.alone)]
    if len(bodies) < LASTING * (len(judged.layers.lab) - 1) and judged.tracks:
        bodies = _foreground_changes(judged)
    both = {name: float(np.mean(changes)) for name, changes in (("background", behind), ("actors", bodies)) if changes}
    if not both:
        raise Unscored("neither background nor actors are seen on two frames in a row")
    value = min(_falling(both.get("background", 0.0), *BEHIND), _falling(both.get("actors", 0.0), *BODY))
    return Measured.of(value, **both)


def _background_changes(judged: Examined) -> list[float]:
    """Mean ΔE between every two neighbouring frames, where both show background."""
    soft: list[Array] = [np.asarray(cv2.GaussianBlur(frame, (0, 0), SOFTENING)) for frame in judged.layers.lab]
    bare = bare_ground(judged)
    both = bare[:-1] & bare[1:]
    return [float(distance(soft[t], soft[t + 1])[here].mean()) for t, here in enumerate(both) if here.mean() > 0.02]


def _body_changes(alone: Sequence[Region]) -> list[float]:
    """ΔE of an actor's mean colour between neighbouring frames."""
    return [float(distance(a.every.mean(axis=0), b.every.mean(axis=0)))
            for a, b in pairwise(alone) if b.frame == a.frame + 1]  # fmt: skip


def _foreground_changes(judged: Examined) -> list[float]:
    """ΔE of the mean colour of all actors together between neighbouring frames."""
    means = []
    for here in zip(*(track.regions for track in judged.tracks), strict=True):
        pixels = [region.every for region in here if region]
        means.append(np.concatenate(pixels).mean(axis=0) if pixels else None)
    return [float(distance(a, b)) for a, b in pairwise(means) if a is not None and b is not None]


def smoothness(film: Film, bench: Bench) -> Measured:
    """How near the actors' tracks run to smooth courses (motion smoothness).

    A course is a cubic in time, a circle, or hops off a floor, whichever fits best; place and size are asked alike.
    """
    judged = examined(film, bench)
    side = min(judged.camera.size)
    frames = len(judged.layers.lab)
    offs = [_off_course(life.alone, frames, side) for life in lives(judged) if len(life.alone) >= COURSE]
    values = [_falling(off, PRECISION * judged.block / side, JERK) for off in offs]
    if not values:
        raise Unscored(f"no actor is seen apart from others on {COURSE} frames")
    return Measured.of(float(np.mean(values)), off_course=float(np.mean(offs)))


def _off_course(alone: Sequence[Region], frames: int, side: int) -> float:
    """Mean distance of an actor from its best smooth course, in shorter sides."""
    places = np.array([(*region.centre, np.sqrt(region.area / np.pi)) for region in alone]) / side  # (n, 3)
    designs = _courses(frames)[:, [region.frame for region in alone]]  # (m, n, k)
    left = np.linalg.norm(places - designs @ (np.linalg.pinv(designs) @ places), axis=2).mean(axis=1)  # (m,)
    n, k = designs.shape[1:]
    return float(left.min() * np.sqrt(n / max(n - k, 1)))  # as if fitting had cost nothing


@lru_cache(maxsize=4)
def _courses(frames: int) -> Floats:
    """Designs (m, frames, 4) whose columns span the smooth courses of a clip: cubics in time, circles, hops."""
    u = np.linspace(0, 1, frames)
    one = np.ones_like(u)
    ways = [np.stack([one, u, u**2, u**3], axis=1)]
    for turns in np.arange(0.5, 3.01, 0.25):
        ways.append(np.stack([one, u, np.cos(2 * np.pi * turns * u), np.sin(2 * np.pi * turns * u)], axis=1))
    for hops in np.arange(1.0, 4.01, 0.125):
        for phase in np.arange(0, 1, 0.125):
            ways.append(np.stack([one, u, u**2, np.abs(np.sin(np.pi * (hops * u + phase)))], axis=1))
    return np.stack(ways)


def subject(film: Film, bench: Bench) -> Measured:
    """How much the actors stay what they are (subject consistency).

    The share of frames on which an actor is there, none of the others hiding it, times the share of comparisons that
    find it unchanged: the thirds of its life with one another by the name of their colour, and each third with the
    whole by its shape.
    """
    judged = examined(film, bench)
    values = [life.presence * _constancy(life.alone, seen.motion == "spin")
              for life, seen in zip(lives(judged), judged.seen.actors, strict=True) if len(life.alone) >= FEWEST]
    if not values:
        raise Unscored(f"no actor is seen apart from others on {FEWEST} frames")
    return Measured.of(float(np.mean(values)), actors=values)


def _constancy(alone: Sequence[Region], spinning: bool) -> float:
    thirds = [[alone[i] for i in places] for places in np.array_split(np.arange(len(alone)), 3)]
    colours = [colour_name(np.concatenate([region.core for region in third])) for third in thirds]
    same = [a == b for a, b in combinations(colours, 2)]
    whole = shape_of(list(alone), spinning)
    if whole is not None:  # a shape that cannot be named cannot be missed
        overlaps = [fits(third[:: max(1, len(third) // 4)], spinning) for third in thirds]
        same += [overlap[whole] > max(overlap.values()) - OTHERWISE for overlap in overlaps]
    return float(np.mean(same))


def background(film: Film, bench: Bench) -> Measured:
    """How much the background of the last third is that of the first, in the world's own coordinates (background
    consistency)."""
    judged = examined(film, bench)
    lab, bare = judged.layers.lab, bare_ground(judged)
    third = max(1, len(lab) // 3)
    first, last = (_estimate(lab[part], bare[part]) for part in (np.s_[:third], np.s_[-third:]))
    known = np.isfinite(first[..., 0]) & np.isfinite(last[..., 0])
    if known.mean() < 0.05 or len(lab) < 2:
        raise Unscored("too little background is seen both at the beginning and at the end")
    change = float(distance(first, last)[known].mean())
    return Measured.of(_falling(change, *REPAINTED), change=change)


def _estimate(lab: Array, bare: Mask) -> Array:
    """Median (h, w, 3) of every pixel over the frames on which it is bare, softened; nan where it never is."""
    known = bare.any(axis=0)
    seen = np.where(bare[..., None], lab, np.nan)[:, known]
    picture = np.full(lab.shape[1:], np.nan, np.float32)
    picture[known] = np.nanmedian(seen, axis=0)
    return picture


def edges(film: Film, bench: Bench) -> Measured:
    """How crisp the actors' outlines are: the part of its height that an edge rises within a pixel, or within a block
    of a picture made of blocks (aesthetic quality, as far as a plain drawing has it)."""
    judged = examined(film, bench)
    rises = [_rises(judged, region) for track in judged.tracks for region in track.found]
    if not rises or not (every := np.concatenate(rises)).size:
        raise Unscored("no actor is seen before a background lighter or darker than itself")
    rise = float(np.median(every)) * judged.block
    return Measured.of(min(1.0, rise / STEEP), rise=rise)


def _rises(judged: Examined, region: Region) -> Floats:
    """Of pixels on a region's rim: the steepest step between neighbours there by the height of the edge.

    Lightness alone is asked: files of video hold hue at half the resolution.
    """
    (left, top), (height, width) = region.corner, region.cover.shape
    window = np.s_[max(0, top - 4) : top + height + 4, max(0, left - 4) : left + width + 4]
    light = np.ascontiguousarray(judged.layers.lab[region.frame][window][..., 0])
    inside = np.zeros(judged.layers.lab.shape[1:3], np.uint8)
    inside[top : top + height, left : left + width] = region.cover > 0.5
    inside = inside[window]
    rim = (inside > 0) & (cv2.erode(inside, np.ones((3, 3), np.uint8)) == 0)
    reach = np.ones((7, 7), np.uint8)
    tall = cv2.dilate(light, reach) - cv2.erode(light, reach)
    step = np.zeros_like(light)
    step[:, 1:] = np.abs(np.diff(light, axis=1))
    step[1:] = np.maximum(step[1:], np.abs(np.diff(light, axis=0)))
    steep = cv2.dilate(step, np.ones((3, 3), np.uint8))
    rim &= tall > TALL
    shares: Floats = np.asarray(steep[rim] / tall[rim], np.float64)
    return shares


def cleanness(film: Film, bench: Bench) -> Measured:
    """How free of noise the flat parts of the picture are (imaging quality)."""
    judged = examined(film, bench)
    noise = float(np.median([_noise(frame) for frame in judged.layers.lab]))
    return Measured.of(_falling(noise, *NOISE), noise=noise)


def _noise(lab: Array) -> float:
    """Standard deviation of noise in ΔE, from the flattest pixels: the mask of Immerkaer 1996, which no plane excites.

    His mean over all pixels would take a drawing's edges for noise; the quantile below leaves out whatever is drawn.
    """
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    answer = np.abs(cv2.filter2D(lab, -1, mask))[1:-1, 1:-1]
    quantile, normal = 0.4, 0.5244  # of |N(0, 1)|, two fifths lie below
    each = np.quantile(answer.reshape(-1, 3), quantile, axis=0) / (6 * normal)
    return float(np.sqrt((each**2).sum()))


def _falling(amount: float, best: float, worst: float) -> float:
    """1 up to `best`, 0 from `worst` on, linear between."""
    return float(np.clip((worst - amount) / (worst - best), 0, 1))

