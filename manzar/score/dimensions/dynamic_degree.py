"""Whether anything moves much: optical flow between neighbours of about eight frames a second."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

from manzar.score.backbones.raft import motions
from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.sampling import about_eight_a_second

if TYPE_CHECKING:
    from manzar.score.bench import Bench
    from manzar.score.film import Film

FASTEST = 0.05  # of the pixels; their mean speed is the speed of a pair


def measure(film: Film, bench: Bench) -> Measured:
    """True where enough pairs move. Pairs are measured until the answer is sure; the detail says how many.

    Raises Unscored for a film of which one frame is looked at, or of frames too small for optical flow.
    """
    total, height, width, _ = film.frames.shape
    chosen = about_eight_a_second(total, film.fps)
    if len(chosen) < 2:
        raise Unscored(f"{total} frames at {film.fps:g} a second: at eight a second one is left, and nothing to "
                       "compare it with")
    pairs = list(pairwise(chosen))
    limit, wanted = threshold(height, width), wanted_pairs(len(chosen))
    speeds: list[float] = []

    def measured() -> Iterable[float]:
        for speed in motions(bench.backbone("raft_things"), film.frames, pairs, FASTEST):
            speeds.append(speed)
            yield speed

    moves = is_dynamic(measured(), len(pairs), limit, wanted)
    return Measured.of(moves, threshold=limit, wanted=wanted, pairs=len(pairs), speeds=[round(x, 4) for x in speeds])


def threshold(height: int, width: int) -> float:
    """Pixels between frames above which a pair moves."""
    return 6.0 * (min(height, width) / 256)


def wanted_pairs(frames: int) -> int:
    """How many pairs must move; a half is rounded to the even number, so 2 frames need none and always pass."""
    return round(frames / 4)


def is_dynamic(speeds: Iterable[float], pairs: int, limit: float, wanted: int) -> bool:
    """Whether at least `wanted` of the speeds exceed the limit; reads no more of them than it must."""
    moving = 0
    for seen, speed in enumerate(speeds, start=1):
        moving += speed > limit
        if moving >= wanted:
            return True
        if moving + pairs - seen < wanted:
            return False
    return False


DIMENSION = Dimension("dynamic_degree", "official", measure, backbones=("raft_things",))
