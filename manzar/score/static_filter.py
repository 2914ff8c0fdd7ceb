"""Which films stand still: temporal flickering is measured on these alone.

VBench asks for 25 films of each of its still-life prompts and takes the first five that do not move: optical flow is
small between nearly all neighbours, and between the two ends both ways.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from manzar.nouns import existing, storage
from manzar.score.backbones.raft import motions
from manzar.score.dimension import Unscored
from manzar.score.film import open_film

if TYPE_CHECKING:
    from manzar.score.bench import Bench
    from manzar.score.film import Film

FASTEST = 0.02  # of the pixels; their mean speed is the speed of a pair
KEPT = 5  # films of a prompt


@dataclass(frozen=True)
class Filtered:
    """kept: of each prompt, the still films, no more than were asked for; moving: films that were looked at and not
    kept; unscored: films that could not be judged, and why. What was not needed any more is in none of them."""

    kept: dict[str, list[Path]]
    moving: list[Path]
    unscored: dict[Path, str]

    def short(self, wanted: int = KEPT) -> dict[str, int]:
        """How many films each prompt lacks that has fewer than wanted."""
        return {prompt: wanted - len(films) for prompt, films in self.kept.items() if len(films) < wanted}


def still_films(candidates: Mapping[str, Sequence[Path]], bench: Bench, wanted: int = KEPT) -> Filtered:
    """Of each prompt's films the first `wanted` in order of file name that stand still.

    Raises MediaError for a film that cannot be decoded, Unscored where RAFT's weights are not here.
    """
    bench.backbone("raft_things")
    filtered = Filtered({prompt: [] for prompt in candidates}, [], {})
    for prompt, films in candidates.items():
        for path in sorted(films):
            if len(filtered.kept[prompt]) >= wanted:
                break
            try:
                still = stands_still(open_film(path), bench)
            except Unscored as reason:
                filtered.unscored[path] = str(reason)
                continue
            (filtered.kept[prompt] if still else filtered.moving).append(path)
    return filtered


def copy_still(filtered: Filtered, folder: Path) -> list[Path]:
    """Copy the films that were kept into a folder, numbered anew from 0 as VBench names them: PROMPT-0.mp4, …"""
    copies: list[Path] = []
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for prompt, films in filtered.kept.items():
            for sample, path in enumerate(films):
                copies.append(folder / f"{prompt}-{sample}{path.suffix}")
                shutil.copyfile(existing(path, "file"), copies[-1])
    return copies


def stands_still(film: Film, bench: Bench) -> bool:
    """Raises Unscored for a film of one frame, or of frames too small for optical flow."""
    total, height, width, _ = film.frames.shape
    if total < 2:
        raise Unscored("one frame only: there is nothing to compare it with")
    network = bench.backbone("raft_things")
    ends = motions(network, film.frames, [(0, total - 1), (total - 1, 0)], FASTEST)
    steps = motions(network, film.frames, list(pairwise(range(total))), FASTEST)
    return is_static(steps, ends, total, threshold(height, width))


def threshold(height: int, width: int) -> float:
    """Pixels between frames above which a pair moves."""
    return 3.0 * (min(height, width) / 256)


def allowed_pairs(frames: int) -> int:
    """How many neighbours may move; a half is rounded to the even number, so of four frames or fewer none may."""
    return round(frames / 8)


def is_static(steps: Iterable[float], ends: Iterable[float], frames: int, limit: float) -> bool:
    """steps: speeds between neighbours; ends: from the first frame to the last, and back.

    The ends may be as far apart as twice the allowed number of moving pairs, each at the limit. They are asked for
    first, for they settle most films that move; of the steps no more are read than must be.
    """
    allowed = allowed_pairs(frames)
    if any(speed > limit * allowed * 2 for speed in ends):
        return False
    moving = 0
    for seen, speed in enumerate(steps, start=1):
        moving += speed > limit
        if moving > allowed:
            return False
        if moving + frames - 1 - seen <= allowed:
            return True
    return True
