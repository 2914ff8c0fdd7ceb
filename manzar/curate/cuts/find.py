"""Where one shot ends and the next begins: hard cuts, dissolves and fades.

Three questions are asked of a scan. A *hard cut* is a step between neighbours that stands out from the steps around it
and leaves little of the picture as it was; if the old picture soon comes back it was a flash. A *dissolve* is a run of
pictures that lie on a straight line between its two ends, x_t = (1 - a_t) x_s + a_t x_e with a_t rising evenly, which
nothing that moves does: an object that moves crosses each pixel at another time. A *fade* is the same with a flat
picture (black, white, any colour) at one end; two of them meeting in one flat picture, or one meeting a hard cut there,
make one transition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from manzar.curate.cuts.scan import Scan, scan
from manzar.nouns import MediaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from manzar.nouns import Frames

    Floats = NDArray[np.float32]

BLOCK = 256  # pictures held as floats at a time

# Hard cuts. Steps are mean absolute differences of full scale; a step's height is in multiples of the steps around it.
WINDOW = 8  # pictures on either side that count as around
LOCAL_NOISE = 0.005  # added to the mean step around, so that a still shot does not make its grain a cut
LEAST_SHOT = 3  # pictures; of two steps closer than this the larger is the cut
FAINT_STEP, CLEAR_STEP, STRONG_STEP = 0.02, 0.08, 0.12
FAINT_HEIGHT, FAINT_LIKENESS, FAINT_CHANGE = 3.0, 0.5, 0.01  # between dark or misty shots: small, but all is new
CLEAR_HEIGHT, CLEAR_LIKENESS = 8.0, 0.93  # in a calm shot; alike but for brightness is the exposure, not a cut
STIRRED_HEIGHT, STIRRED_NOVELTY = 2.2, 0.2  # amid fast motion: less high, if more of the picture is new
FLASH_FRAMES = 4  # the longest flash
FLAT_FLASH_FRAMES = 12  # the longest that blots everything out: it fades away more slowly
FLASH_RETURN = 0.6  # if the picture from before is back within this share of the step, the step was a flash

# Dissolves and fades: of a window of pictures that may be a ramp from one end to the other.
USUAL_FPS = 30.0  # of films that are much faster only every second, third... picture is looked at
LENGTHS = range(2, 49)  # steps from end to end
LEAST_DISSOLVE = 5  # steps; shorter ones are hard cuts
BEND = 0.06  # mean square distance from the straight line, of the squared distance of the ends
LONG = 12  # steps; in a shorter dissolve the shots move less, so it must be straighter
BEND_COST = 10.0  # makes the window that fits a ramp exactly win over one that reaches into the shots
EVENNESS = 2.2  # largest step, of the mean step; a hard cut makes this as large as the window is long
STRAIGHTNESS = 0.5  # distance of the ends, of the way walked between them
LEAST_DISTANCE = 0.08  # rms difference of the ends, of full scale
LEAST_CHANGE = 0.05  # median over the cells of the difference of the ends: a title that appears changes few
MOST_LIKENESS = 0.75  # correlation of the ends from which on they are one shot, brighter or a little moved
MOST_PACE = 0.5  # of the pace inside: a dissolve is over at its ends, where a slow pan goes on as before
FLAT = 0.015  # spread of a flat picture, of full scale


@dataclass(frozen=True)
class Cut:
    """The change from one shot to the next; the pictures start..end - 1 belong to neither.

    frame: the first picture of the new shot for a hard cut (then start == end == frame), the middle of a dissolve, of
    a fade the middle of its flat pictures, or the hard cut to or from them. seconds: its time in the file.
    """

    frame: int
    seconds: float
    kind: Literal["cut", "dissolve", "fade"]
    start: int
    end: int


class _Ramp(NamedTuple):
    """An even change from picture `first` to picture `last`, both still pure."""

    first: int
    last: int


def find_cuts(path: str | Path) -> list[Cut]:
    """Shot changes of a file in order. Raises UsageError for a missing file, MediaError for a damaged one."""
    scanned = scan(path)
    if scanned.damage:
        raise MediaError(scanned.damage)
    return cuts_of(scanned)


def cuts_of(scanned: Scan) -> list[Cut]:
    """Shot changes of a scanned film, in order, none overlapping another."""
    miniatures = scanned.miniatures.reshape(len(scanned.times), -1)  # (n, d)
    flat = _spread(miniatures) < FLAT  # (n,)
    stride = _stride(scanned.times)
    hard = list(_hard_cuts(miniatures, scanned.steps))
    ramps = _ramps(miniatures[::stride], flat[::stride], [-(-t // stride) for t in hard])
    ramps = [_Ramp(first * stride, last * stride) for first, last in ramps]
    hard = [t for t in hard if not any(first < t <= last for first, last in ramps)]

    def cut(kind: Literal["cut", "dissolve", "fade"], start: int, frame: int, end: int) -> Cut:
        return Cut(frame, float(scanned.times[frame]), kind, start, end)

    soft = [cut("fade", *fade) for fade in _fades(ramps, hard, flat)]
    for first, last in ramps:
        if not (flat[first] or flat[last]):
            soft.append(cut("dissolve", first + 1, (first + 1 + last) // 2, last))
    kept = [cut("cut", t, t, t) for t in hard if not any(s.start <= t <= s.end for s in soft)]
    return sorted(soft + kept, key=lambda found: found.start)


def _hard_cuts(miniatures: Frames, steps: Floats) -> Iterator[int]:
    """First pictures of new shots."""
    for t in np.flatnonzero(steps >= FAINT_STEP):
        frame = int(t)
        near = steps[max(1, frame - LEAST_SHOT + 1) : frame + LEAST_SHOT]
        if steps[frame] < near.max():
            continue
        height = float(steps[frame]) / (_around(steps, frame) + LOCAL_NOISE)
        before, after = _unit(miniatures[frame - 1 : frame + 1])
        if _is_new(float(steps[frame]), height, before, after) and not _is_flash(miniatures, frame):
            yield frame


def _is_new(step: float, height: float, before: Floats, after: Floats) -> bool:
    """Whether a step this high, of these pictures, is a cut: small, clear or amid motion, in this order."""
    if height < STIRRED_HEIGHT:
        return False
    likeness, change = _likeness(before, after), _change(before, after)
    if step < STRONG_STEP and height >= FAINT_HEIGHT and likeness < FAINT_LIKENESS and change >= FAINT_CHANGE:
        return True
    if step < CLEAR_STEP:
        return False
    if height >= CLEAR_HEIGHT and likeness < CLEAR_LIKENESS:
        return True
    return height * change * (1.0 - likeness) >= STIRRED_NOVELTY


def _around(steps: Floats, frame: int) -> float:
    """Mean step near `frame`, itself and the two largest left out: they may be cuts of their own."""
    others = np.concatenate([steps[max(1, frame - WINDOW) : frame], steps[frame + 1 : frame + 1 + WINDOW]])
    return float(np.sort(others)[:-2].mean()) if len(others) > 2 else 0.0


def _is_flash(miniatures: Frames, frame: int) -> bool:
    """Whether a picture soon after `frame` is like the one before it, or `frame` itself like one a little earlier."""
    before, after = _unit(miniatures[frame - 1 : frame + 1])
    later = _unit(miniatures[frame + 1 : frame + 1 + FLAT_FLASH_FRAMES])
    if _spread(miniatures[frame : frame + 1])[0] < FLAT:  # anything is nearer to the picture before than pure white
        return any(_likeness(before, picture) > MOST_LIKENESS for picture in later)
    earlier = _unit(miniatures[max(0, frame - 1 - FLASH_FRAMES) : frame - 1])
    back = np.concatenate([np.abs(later[:FLASH_FRAMES] - before).mean(axis=1), np.abs(earlier - after).mean(axis=1)])
    return bool((back < FLASH_RETURN * np.abs(after - before).mean()).any())


def _stride(times: NDArray[np.float64]) -> int:
    period = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return max(1, round(1.0 / (period * USUAL_FPS))) if period > 0 else 1


def _ramps(miniatures: Frames, flat: NDArray[np.bool_], hard: Sequence[int]) -> list[_Ramp]:
    """Even changes from one picture to quite another, in order; where several overlap, the best."""
    found: list[tuple[float, float, _Ramp]] = []
    gram, steps = _products(miniatures, LENGTHS[-1])
    for length in LENGTHS:
        if length >= len(miniatures):
            break
        for first, distance, bend in _straight(gram, steps, length):
            found.append((distance * (1 - BEND_COST * bend), bend, _Ramp(first, first + length)))
    found.sort(key=lambda item: (-item[0], item[2]))
    taken = np.zeros(len(miniatures), bool)
    kept = []
    for _, bend, ramp in found:
        inside = slice(ramp.first + 1, ramp.last)
        if taken[inside].any():
            continue
        if flat[list(ramp)].any() or _is_dissolve(miniatures, ramp, bend, hard):
            taken[inside] = True
            kept.append(ramp)
    return sorted(kept)


def _is_dissolve(miniatures: Frames, ramp: _Ramp, bend: float, hard: Sequence[int]) -> bool:
    """The more the two ends have in common, and the shorter the way, the straighter it must be."""
    before, after = _unit(miniatures[list(ramp)])
    length, likeness = ramp.last - ramp.first, _likeness(before, after)
    change = min(_change(before, after), _change(_level(before), _level(after)))  # not only the level of all
    if length < LEAST_DISSOLVE or likeness > MOST_LIKENESS or change < LEAST_CHANGE:
        return False
    straight = bend < BEND * (1.0 - likeness) * min(1.0, length / LONG)
    return straight and _pace_outside(miniatures, ramp, hard) < MOST_PACE


def _pace_outside(miniatures: Frames, ramp: _Ramp, hard: Sequence[int]) -> float:
    """How fast the pictures before and after go the same way (or back), as a share of the pace inside: 1 for a slow
    pan, 0 for a dissolve. Infinite if there are none before the last cut and the next."""
    length = ramp.last - ramp.first
    reach = max(2, length // 4)
    begin = max([0, *(t for t in hard if t <= ramp.first)])
    end = min([len(miniatures), *(t for t in hard if t > ramp.last)])
    before, after = _unit(miniatures[list(ramp)])
    way = (after - before) / np.square(after - before).sum()
    paces = []
    for near, far in ((max(begin, ramp.first - reach), ramp.first), (ramp.last, min(end - 1, ramp.last + reach))):
        if far - near >= 2:
            earlier, later = _unit(miniatures[[near, far]])
            paces.append(float((later - earlier) @ way) * length / (far - near))
    return abs(sum(paces)) / len(paces) if paces else float("inf")


def _straight(gram: Floats, steps: Floats, length: int) -> Iterator[tuple[int, float, float]]:
    """(first picture, rms distance of the ends, bend) of each nearly straight and even run of `length` steps.

    With x_i between the ends x_s and x_e and a = i / length, |x_i - (1 - a) x_s - a x_e|² is written out in inner
    products, so that the pictures themselves are not touched again.
    """
    own = gram[:, 0]
    square = own[:-length] + own[length:] - 2 * gram[:-length, length]  # (n - length,)
    s = np.flatnonzero(square > LEAST_DISTANCE**2)
    way = np.concatenate([[0.0], np.cumsum(steps, dtype=np.float64)])
    walked = way[s + length] - way[s]
    largest = np.lib.stride_tricks.sliding_window_view(steps, length).max(axis=1)[s]
    s = s[(largest * length < EVENNESS * walked) & (np.sqrt(square[s]) > STRAIGHTNESS * walked)]
    e = s + length
    bend = np.zeros(len(s), np.float32)
    for i in range(1, length):
        a, t = i / length, s + i
        bend += own[t] + (1 - a) ** 2 * own[s] + a**2 * own[e]
        bend += 2 * a * (1 - a) * gram[s, length] - 2 * (1 - a) * gram[s, i] - 2 * a * gram[t, length - i]
    bend /= (length - 1) * square[s]
    fits = bend < BEND
    yield from zip(s[fits].tolist(), np.sqrt(square[s][fits]).tolist(), bend[fits].tolist(), strict=True)


def _products(miniatures: Frames, reach: int) -> tuple[Floats, Floats]:
    """(n, reach + 1) mean product of pictures t and t + k, 0 past the end; (n - 1,) rms difference of neighbours."""
    n = len(miniatures)
    gram = np.zeros((n, reach + 1), np.float32)
    steps = np.zeros(n - 1, np.float32)
    for start in range(0, n, BLOCK):
        pictures = _unit(miniatures[start : start + BLOCK + reach])  # (m, d)
        products = pictures[:BLOCK] @ pictures.T / np.float32(pictures.shape[1])
        for k in range(reach + 1):
            diagonal = np.diagonal(products, k)
            gram[start : start + len(diagonal), k] = diagonal
        differences = np.diff(pictures[: BLOCK + 1], axis=0)
        steps[start : start + len(differences)] = np.sqrt(np.square(differences).mean(axis=1))
    return gram, steps


def _fades(ramps: list[_Ramp], hard: list[int], flat: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """(start, middle, end) of the transitions through flat pictures: into them, perhaps on to others, and out again,
    at least once evenly; none overlaps another.

    A film that begins or ends flat does not change its shot there.
    """
    into = {last: first + 1 for first, last in ramps if flat[last]} | {t: t for t in hard if flat[t]}
    out_of = {first: last for first, last in ramps if flat[first]} | {t - 1: t for t in hard if flat[t - 1]}
    done = 0
    for arrived, start in sorted(into.items(), key=lambda way: way[1]):
        if start < done:
            continue
        left, end, evenly = arrived, arrived, start < arrived
        while flat[end]:  # black may lead to white before the new shot comes
            left = end
            while left not in out_of and left + 1 < len(flat) and flat[left + 1]:
                left += 1
            if left not in out_of:
                break
            end = out_of[left]
            evenly = evenly or left + 1 < end
        if flat[end] or not evenly:
            continue
        done = end
        goes, appears = start < arrived, left + 1 < end
        if goes == appears:
            yield start, (arrived + left) // 2, end
        elif appears:  # cut to a flat picture from which the new shot appears
            yield start, start, end
        else:  # the old shot goes, and the new one is cut to
            yield start, end, end


def _likeness(a: Floats, b: Floats) -> float:
    """Correlation of two pictures (d,), each colour's mean taken out; 0 if one of them is flat."""
    a, b = _level(a), _level(b)
    scale = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum()) / scale if scale > 1e-4 * a.size else 0.0


def _level(picture: Floats) -> Floats:
    """A picture (d,) as cells (d / 3, 3), each colour's mean taken out."""
    cells = picture.reshape(-1, 3)
    return np.asarray(cells - cells.mean(axis=0), np.float32)


def _change(a: Floats, b: Floats) -> float:
    """Median over the cells of the mean absolute difference: 0 while less than half of the picture changes."""
    return float(np.median(np.abs(a - b).reshape(-1, 3).mean(axis=1)))


def _spread(miniatures: Frames) -> Floats:
    """(n,) standard deviation over the cells of each picture, each colour's mean taken out."""
    spread = np.zeros(len(miniatures), np.float32)
    for start in range(0, len(miniatures), BLOCK):
        cells = _unit(miniatures[start : start + BLOCK])
        spread[start : start + BLOCK] = np.sqrt(cells.reshape(len(cells), -1, 3).var(axis=1).mean(axis=1))
    return spread


def _unit(miniatures: Frames) -> Floats:
    """(n, d) uint8 to [-0.5, 0.5]: products of numbers around 0 lose fewer digits."""
    return np.asarray(miniatures / np.float32(255.0) - np.float32(0.5), np.float32)
