"""Two grey films laid over one another: at which offset and speed they agree, for how long and how well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from manzar.curate.duplicates.films import BINS_PER_SECOND, SIDE, STILL_LEVELS, Films

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from manzar.curate.duplicates.films import Cells, Indices

    Floats = NDArray[np.float32]

COVERED = 0.5  # of the shorter film that must lie over the longer
# Rates at which one copy of a film runs against another: 24, 25 and 30 pictures a second taken for one another, half.
OTHER_SPEEDS = (0.8, 5 / 6, 0.96, 25 / 24, 1.2, 1.25, 0.5, 2.0)
SHIFTS = (0.0, 0.5)  # bins: what two quarter-second grids can be out of step
# Chance agreement falls with the number of bins compared: measured, not derived (benchmarks/duplicates.py).
LEAST_AGREEMENT = 0.65
EVIDENCE = 0.9  # least agreement = 0.65 + 0.9 / bins
LEAST_BINS = 3
STRICT_AGREEMENT = 0.95
STRICT_BINS = 8
LEAST_STILL = 0.5  # of what does not move, where the movement agrees: a large logo leaves 0.6
STILL_PICTURES = 0.998  # where nothing moves, the picture is all there is to go by
ALIGN_BLOCK = 256


def _crop(share: float) -> Cells:
    """(64, 64), for cells from the left: the middle `share` of the picture's sides, stretched over all of it."""
    centre = (SIDE - 1) / 2
    places = centre + (np.arange(SIDE) - centre) * share  # in cells, where each new cell's middle lies
    weights = np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(SIDE)))  # linear between neighbours
    return np.asarray(np.kron(weights, weights).T, dtype=np.float32)


CROPPED = _crop(0.9)  # a copy that lost a twentieth of the picture on each side


@dataclass(frozen=True)
class Match:
    """How film a lies over film b.

    bins: length of the overlap in a's time; speed: b's seconds per second of a.
    move: correlation of the pictures less their mean over the overlap; steps: of the changes from bin to bin.
    still: correlation of the mean pictures. moving: whether movement was compared, or one still picture.
    """

    bins: int
    speed: float
    move: float
    steps: float
    still: float
    moving: bool

    @property
    def seconds(self) -> float:
        """Length of the overlap, in a's time."""
        return self.bins / BINS_PER_SECOND

    @property
    def likeness(self) -> float:
        return min(self.move, self.steps) if self.moving else self.still

    def reversed(self) -> Match:
        """The same seen from b."""
        return replace(self, bins=max(1, round(self.bins * self.speed)), speed=1 / self.speed)


@dataclass
class _Best:
    """The best alignment so far of each pair: B(t · speed + shift) over A, rows a.. and b.. for `bins` rows."""

    score: Floats
    bins: Indices
    a: Indices
    b: Indices
    speed: NDArray[np.float64]
    shift: NDArray[np.float64]


def alike(match: Match, strict: bool = False) -> bool:
    """Whether a match is good enough, for its length, to call two clips the same."""
    if not match.moving:
        return match.still >= STILL_PICTURES and not strict
    least = LEAST_AGREEMENT + float(_handicap(np.int64(match.bins), match.speed))
    if strict:
        least = max(least, STRICT_AGREEMENT)
    enough = match.bins >= (STRICT_BINS if strict else LEAST_BINS)
    return enough and match.likeness >= least and match.still >= LEAST_STILL


def align(films: Films, pairs: Indices) -> list[Match | None]:
    """The best match of each pair (P, 2), or None where the two cannot be laid over one another."""
    matches: list[Match | None] = [None] * len(pairs)
    for block in films.blocks(pairs, ALIGN_BLOCK):
        for index, match in zip(block.tolist(), _align_block(films, pairs[block]), strict=True):
            matches[index] = match
    return matches


def _align_block(films: Films, pairs: Indices) -> list[Match | None]:
    a, b = films.gather(pairs[:, 0]), films.gather(pairs[:, 1])  # (P, N, 64), (P, M, 64)
    n, m = films.lengths[pairs[:, 0]], films.lengths[pairs[:, 1]]
    matches = _by_movement(a, n, b, m, (1.0,))
    rest = np.array([i for i, match in enumerate(matches) if match is None or not alike(match)], dtype=np.int64)
    if len(rest):
        others = _by_movement(a[rest], n[rest], b[rest], m[rest], OTHER_SPEEDS)
        inside = _by_movement(a[rest], n[rest], b[rest] @ CROPPED, m[rest], (1.0,))
        outside = _by_movement(a[rest] @ CROPPED, n[rest], b[rest], m[rest], (1.0,))
        stills = _by_picture(a[rest], n[rest], b[rest], m[rest])
        for index, *found in zip(rest.tolist(), others, inside, outside, stills, strict=True):
            matches[index] = next((match for match in found if match is not None and alike(match)), None)
    return matches


def _by_movement(a: Cells, n: Indices, b: Cells, m: Indices, speeds: tuple[float, ...]) -> list[Match | None]:
    """The alignment whose changes agree best for its length, over all offsets at the given speeds."""
    pairs = len(a)
    best = _Best(
        score=np.full(pairs, -np.inf, dtype=np.float32),
        bins=np.zeros(pairs, dtype=np.int64),
        a=np.zeros(pairs, dtype=np.int64),
        b=np.zeros(pairs, dtype=np.int64),
        speed=np.ones(pairs),
        shift=np.zeros(pairs),
    )
    for speed in speeds:
        for shift in SHIFTS:
            played, length = _played(b, m, speed, shift)
            _improve(best, a, n, played, length, speed, shift)
    return _describe(best, a, b, m)


def _played(b: Cells, m: Indices, speed: float, shift: float) -> tuple[Cells, Indices]:
    """Films (P, M, 64) at another speed, `shift` bins later, by linear interpolation, and their lengths."""
    if speed == 1.0 and shift == 0.0:
        return b, m
    length = np.maximum(0, np.floor((m - 1 - shift) / speed + 1e-6).astype(np.int64) + 1)
    steps = np.arange(max(1, int(length.max(initial=0))))
    times = np.clip(steps * speed + shift, 0, b.shape[1] - 1)
    before = np.floor(times).astype(np.int64)
    after = np.minimum(before + 1, b.shape[1] - 1)
    weight = (times - before).astype(np.float32)[:, None]
    played = b[:, before] * (1 - weight) + b[:, after] * weight
    played *= (steps < length[:, None])[:, :, None]
    return played, length


def _improve(best: _Best, a: Cells, n: Indices, b: Cells, m: Indices, speed: float, shift: float) -> None:
    """Compare the changes of a and b at every offset and keep what beats `best`."""
    da, db = _changes(a, n), _changes(b, m)  # (P, N - 1, 64), (P, M - 1, 64)
    if da.shape[1] == 0 or db.shape[1] == 0:
        return
    offsets = np.arange(1 - da.shape[1], db.shape[1])  # b's row less a's
    from_a = np.maximum(0, -offsets)
    from_b = from_a + offsets
    bins = np.minimum(n[:, None] - from_a, m[:, None] - from_b)  # (P, O), pictures in the overlap
    count = np.maximum(bins - 1, 0)
    power_a, power_b = _running(da), _running(db)
    norm_a = _between(power_a, from_a, count)
    norm_b = _between(power_b, from_b, count)
    agreement = _by_offset(da, db) / np.sqrt(np.maximum(norm_a * norm_b, 1e-6))
    least = np.ceil(COVERED * np.minimum(n, m))[:, None]
    allowed = (bins >= least) & (bins * min(1.0, speed) >= LEAST_BINS) & (norm_a > 0) & (norm_b > 0)
    score = np.where(allowed, agreement - _handicap(np.maximum(bins, 1), speed), -np.inf).astype(np.float32)
    top = score.argmax(axis=1)
    rows = np.arange(len(score))
    better = score[rows, top] > best.score
    for values, new in (
        (best.score, score[rows, top]), (best.bins, bins[rows, top]), (best.a, from_a[top]), (best.b, from_b[top]),
    ):  # fmt: skip
        values[better] = new[better]
    best.speed[better] = speed
    best.shift[better] = shift


def _changes(film: Cells, length: Indices) -> Cells:
    """Change from each bin to the next, zero beyond the film's end: (P, N, 64) to (P, N - 1, 64)."""
    change = np.diff(film, axis=1)
    change *= (np.arange(change.shape[1]) < length[:, None] - 1)[:, :, None]
    return change


def _running(change: Cells) -> Floats:
    """Energy of the first 0, 1, … changes: (P, N - 1, 64) to (P, N)."""
    energy = np.square(change).sum(axis=2)
    return np.pad(np.cumsum(energy, axis=1), ((0, 0), (1, 0)))


def _between(running: Floats, first: Indices, count: Indices) -> Floats:
    """Energy of `count` changes from `first` (O,) on: (P, O)."""
    end = running.shape[1] - 1
    up_to_last = np.take_along_axis(running, np.minimum(first + count, end), axis=1)
    return np.asarray(np.maximum(up_to_last - running[:, np.minimum(first, end)], 0))


def _handicap(bins: Indices | np.int64, speed: float) -> NDArray[np.float64]:
    """What chance adds to the best agreement over `bins`; stretched ones say no more than those they came from."""
    return np.asarray(EVIDENCE / (bins * min(1.0, speed)))


def _by_offset(a: Cells, b: Cells) -> Floats:
    """Inner products summed along each offset: out[p, o] = Σ_t a[p, t] · b[p, t + o - (N - 1)], (P, N + M - 1)."""
    pairs, rows, columns = len(a), a.shape[1], b.shape[1]
    if rows > columns:  # the same from b, which takes less memory
        return _by_offset(b, a)[:, ::-1]
    # Row t of a, counted from the last, is written t places to the right: a diagonal of the product becomes a column.
    skewed = np.zeros((pairs, rows, columns + rows), dtype=np.float32)
    skewed[:, :, :columns] = a[:, ::-1] @ b.transpose(0, 2, 1)
    flat = skewed.reshape(pairs, -1)[:, : rows * (columns + rows - 1)]
    return np.asarray(flat.reshape(pairs, rows, columns + rows - 1).sum(axis=1))


def _describe(best: _Best, a: Cells, b: Cells, m: Indices) -> list[Match | None]:
    """The best alignment of each pair with all its measures."""
    matches: list[Match | None] = []
    for p, score in enumerate(best.score.tolist()):
        if not np.isfinite(score):
            matches.append(None)
            continue
        bins, speed, shift = int(best.bins[p]), float(best.speed[p]), float(best.shift[p])
        played, _ = _played(b[p : p + 1], m[p : p + 1], speed, shift)
        over_a = a[p, best.a[p] : best.a[p] + bins]  # (bins, 64)
        over_b = played[0, best.b[p] : best.b[p] + bins]
        mean_a, mean_b = over_a.mean(axis=0), over_b.mean(axis=0)
        move = _cosine(over_a - mean_a, over_b - mean_b)
        steps = score + float(_handicap(best.bins[p], speed))
        matches.append(Match(bins, speed, move, steps, _cosine(mean_a, mean_b), True))
    return matches


def _by_picture(a: Cells, n: Indices, b: Cells, m: Indices) -> list[Match | None]:
    """For pairs of which the shorter film is still: for how long the longer one shows its picture."""
    matches: list[Match | None] = []
    for p in range(len(a)):
        film_a, film_b = a[p, : n[p]], b[p, : m[p]]
        shorter, longer = (film_a, film_b) if len(film_a) <= len(film_b) else (film_b, film_a)
        mean = shorter.mean(axis=0)
        if not len(mean) or np.sqrt(np.square(shorter - mean).mean()) >= STILL_LEVELS:
            matches.append(None)
            continue
        likeness = np.array([_cosine(mean, picture) for picture in longer])
        same = likeness >= STILL_PICTURES
        bins = min(len(shorter), int(same.sum()))
        enough = bins >= max(1, COVERED * len(shorter))
        matches.append(Match(bins, 1.0, 0.0, 0.0, float(likeness[same].mean()), False) if enough else None)
    return matches


def _cosine(x: Cells, y: Cells) -> float:
    return float((x * y).sum() / max(float(np.linalg.norm(x) * np.linalg.norm(y)), 1e-6))
