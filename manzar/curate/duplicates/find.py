"""Near-duplicates: the same pictures under another codec, size, colour, logo, crop, speed or time offset.

A clip's signature is a small grey film of it: 8 x 8 cells, four pictures a second, each the mean of its quarter second.
Two clips are the same where, laid over one another in time, what moves moves alike and what stands still looks alike.
Movement decides: two takes of one room share every still pixel and are different clips, while a logo, a tint or another
codec leaves the movement as it was.

    signature        Video -> hex, kept in Clip.phash
    candidates       pairs with a picture and a moment of movement alike: exact, in blocks (films.py)
    align            every offset in time at a few speeds: do their movements agree? (alignment.py)
    find_duplicates  the best of each family stays
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from manzar.curate.duplicates.alignment import COVERED, Match, align, alike
from manzar.curate.duplicates.films import BINS_PER_SECOND, CELLS, SIDE, Films, candidates
from manzar.nouns import Clip, Video

if TYPE_CHECKING:
    from numpy.typing import NDArray

INSTANTS = 4  # pictures averaged into one bin: enough that a shift of a fraction of a bin can be interpolated
GREY = 5.0  # measures["colour"] at and below which a clip has none


@dataclass(frozen=True)
class _Edge:
    """Two clips of one content: their match, and which of the two the other covers."""

    match: Match
    first_covered: bool
    second_covered: bool


def signature(video: Video) -> str:
    """The grey film of `video` as hex: 128 digits (8 x 8 cells of one byte, row by row) per quarter second, at least
    one. Only the pictures that are on screen at 16 instants a second are looked at."""
    count = max(1, int(video.seconds * BINS_PER_SECOND + 1e-6))
    instants = (np.arange(count * INSTANTS) + 0.5) / (INSTANTS * BINS_PER_SECOND)
    picks = np.minimum((instants * video.fps).astype(int), len(video.frames) - 1)
    shown, inverse = np.unique(picks, return_inverse=True)
    film = np.stack([_cells(video.frames[index]) for index in shown])[inverse]  # (count * INSTANTS, 64)
    bins = film.reshape(count, INSTANTS, CELLS).mean(axis=1)
    data: bytes = np.rint(bins).astype(np.uint8).tobytes()
    return data.hex()


def find_duplicates(clips: Sequence[Clip]) -> dict[str, tuple[str, str]]:
    """The clips to turn away: {id: (id of the clip that stays, why in words)}. Independent of the order of `clips`.

    A clip that is half shown or more by a longer one goes; of clips that show each other the best stays: the most
    pixels, then the longest, colour before grey, the one most like the rest (a logo makes a copy less so), the
    crispest, the first path. Pieces of one source that do not overlap go only if they move and are nearly identical.
    Clips without a readable `phash` are left alone.
    """
    clips = sorted(clips, key=lambda clip: (clip.source, clip.start_s, clip.id))
    films = Films.read([clip.phash for clip in clips])
    neighbours: dict[int, dict[int, _Edge]] = defaultdict(dict)
    for (i, j), edge in _edges(clips, films):
        neighbours[i][j] = edge
        neighbours[j][i] = _Edge(edge.match.reversed(), edge.second_covered, edge.first_covered)
    away = _contained(clips, neighbours)
    away |= _equals(clips, neighbours, away)
    return {clips[i].id: (clips[_last(i, away)].id, _words(clips, i, away, neighbours)) for i in sorted(away)}


def _cells(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """One picture, (H, W, 3), as the mean luma (BT.601) of 8 x 8 cells: (64,), 0..255."""
    if min(frame.shape[:2]) > CELLS:  # in bytes first, which is fast; every pixel counts, or fine texture would shimmer
        frame = np.asarray(cv2.resize(frame, (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.uint8)
    grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32).ravel()


def _edges(clips: Sequence[Clip], films: Films) -> Iterator[tuple[tuple[int, int], _Edge]]:
    for pairs in candidates(films):  # (P, 2)
        for (i, j), match in zip(pairs.tolist(), align(films, pairs), strict=True):
            if match is None or not _allowed(clips[i], clips[j], match):
                continue
            first = match.seconds >= COVERED * films.seconds(i)
            second = match.seconds * match.speed >= COVERED * films.seconds(j)
            yield (i, j), _Edge(match, first, second)


def _allowed(a: Clip, b: Clip, match: Match) -> bool:
    """Neighbours in one shot look alike without being alike: those must also move as one."""
    apart = a.source == b.source and (a.end_s <= b.start_s or b.end_s <= a.start_s)
    return alike(match, strict=True) if apart else alike(match)


def _contained(clips: Sequence[Clip], neighbours: Mapping[int, Mapping[int, _Edge]]) -> dict[int, int]:
    """{short clip: the longer one that shows it}, the longest first, so that none goes for one that goes itself."""
    away: dict[int, int] = {}
    for i in sorted(neighbours, key=lambda i: (-_seconds(clips[i]), i)):
        longer = [j for j in neighbours[i] if j not in away and _seconds(clips[j]) > _seconds(clips[i])]
        holders = [j for j in longer if neighbours[i][j].first_covered and not neighbours[i][j].second_covered]
        if holders:
            away[i] = max(holders, key=lambda j: (neighbours[i][j].match.seconds, -j))
    return away


def _equals(
    clips: Sequence[Clip], neighbours: Mapping[int, Mapping[int, _Edge]], gone: Mapping[int, int]
) -> dict[int, int]:
    """{clip: the better one it equals} of those not `gone`: the best first, unless one that stays shows it."""
    away: dict[int, int] = {}
    kept: set[int] = set()
    for i in sorted((i for i in neighbours if i not in gone), key=lambda i: _preference(i, clips, neighbours)):
        better = [j for j, edge in neighbours[i].items() if j in kept and edge.first_covered]
        if better:
            away[i] = max(better, key=lambda j: (round(neighbours[i][j].match.seconds, 2), -j))
        else:
            kept.add(i)
    return away


def _preference(i: int, clips: Sequence[Clip], neighbours: Mapping[int, Mapping[int, _Edge]]) -> tuple[float, ...]:
    """Sort key, the best clip first; `i` itself is the order of source, start and id."""
    clip = clips[i]
    likeness = float(np.mean([edge.match.still for edge in neighbours[i].values()]))
    # A codec that took much leaves less sharpness than the others of the family have.
    crisp = _sharpness(clip) - float(np.mean([_sharpness(clips[j]) for j in neighbours[i]]))
    grey = clip.measures.get("colour", 100.0) <= GREY
    return (-clip.width * clip.height, -round(_seconds(clip), 1), float(grey), -round(likeness, 1), -round(crisp, 1), i)


def _sharpness(clip: Clip) -> float:
    return clip.measures.get("sharpness", 0.0)


def _last(i: int, away: Mapping[int, int]) -> int:
    """The clip that stays at the end of a chain of clips each shown by the next."""
    while i in away:
        i = away[i]
    return i


def _words(
    clips: Sequence[Clip], i: int, away: Mapping[int, int], neighbours: Mapping[int, Mapping[int, _Edge]]
) -> str:
    holder, match = clips[away[i]], neighbours[i][away[i]].match
    kind = "the movement agrees" if match.moving else "the still picture agrees"
    speed = "" if match.speed == 1.0 else f", at {match.speed:.2f} times the speed"
    return (
        f"{match.seconds:.2f} s of it are also in {holder.source} from {holder.start_s:.2f} s on "
        f"({kind} by {match.likeness:.2f}{speed})"
    )


def _seconds(clip: Clip) -> float:
    return clip.frames / clip.fps if clip.fps > 0 else 0.0
