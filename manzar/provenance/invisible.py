"""An invisible mark of 32 bits in the brightness of a film, read without the original.

The mark is laid over the picture, not over its pixels: x and y run from 0 to 1, so a film that is scaled keeps it in
place. It is a sum of waves cos(π k m x) cos(π l m y) of middle frequencies, 8 <= hypot(k, l) < 32, the same in every
frame. Each wave belongs to one bit and has a sign drawn from the key; a bit that is 0 turns its waves over. `m`, the
number of times that the pattern stands side by side, grows with the picture.

It is read from what is left of the picture when its own content is taken out: differences to the neighbours, but for
those too large to be the mark's. That rest, averaged over frames, is correlated with the waves. Over the draw of the
key, whatever the film, Hoeffding's inequality bounds the chance that some payload correlates above t by
2^32 · exp(-t² / 2), once for every place that is tried; the thresholds are set so that all of it is below 10⁻⁶.

The key is in this file: anybody can read the mark, and who means to remove or forge it can. It is there for films that
were re-encoded, scaled or trimmed by people who mean no harm, and lost their metadata so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import log, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from manzar.nouns import Frames

    Real = NDArray[np.float32]

BITS = 32
GRID = 64  # cells of one copy of the pattern, each way
LOWEST, HIGHEST = 8, 32  # waves; below, pictures have much of their own; above, H.264 keeps little
COPIES = (1, 2, 4)  # each way
STRENGTH = {1: 2.2, 2: 1.7, 4: 1.1}  # root mean square of the mark, of 255, by copies
MOST_STRENGTH = 2.5  # of any frame, busy ones included: PSNR 40.2 dB
BUSY = 6.0  # mean difference to the neighbours, of 255, where the mark may be twice as strong
LARGEST_STEP = 18.0  # of 255; a larger difference of neighbouring cells is the picture's, not the mark's
REACH = 3  # cells
CLIP = 2.0  # medians; no single wave counts for more
KEY = b"manzar invisible mark 1"
LUMA = np.array((0.2126, 0.7152, 0.0722), np.float32)  # BT.709

CUT = 0.15  # of width or height: what may have been cut away, both sides together
FALSE_POSITIVE = 1e-6  # of one film, all that is tried included
DIRECT_TRIALS, SEARCH_TRIALS = len(COPIES), 1e7  # the second above what `_search` can reach
CANDIDATES = 4


class Waves(NamedTuple):
    """The waves of the mark, one entry each: frequencies across and down, the bit they carry, sign and amplitude."""

    down: NDArray[np.intp]
    across: NDArray[np.intp]
    bit: NDArray[np.intp]
    sign: Real
    weight: Real


@dataclass(frozen=True)
class Reading:
    """What was read from a film.

    payload: its 32 bits, of meaning only if found. correlation: how well the mark fits, in standard deviations of
    chance; threshold: above which it counts as found. copies: of the pattern, each way. kept: (top, bottom, left,
    right), the part of the marked picture that is left, from 0 to 1. matching: bits equal to those expected, None where
    none were.
    """

    found: bool
    payload: int
    correlation: float
    threshold: float
    copies: int
    kept: tuple[float, float, float, float]
    matching: int | None = None


def payload_of(name: str) -> int:
    """The 32 bits that stand for an id: the beginning of its SHA-256."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[: BITS // 8], "big")


def threshold(trials: float, payloads: float = 2.0**BITS) -> float:
    """Correlation that any of so many payloads reaches in any of so many trials with half the FALSE_POSITIVE."""
    return sqrt(2 * log(2 * trials * payloads / FALSE_POSITIVE))


def embed(chunks: Iterable[Frames], payload: int) -> Iterator[Frames]:
    """The same chunks with the mark in them; every frame by itself, so memory is that of one chunk."""
    for chunk in chunks:
        marked = np.empty_like(chunk)
        for index, frame in enumerate(chunk):
            marked[index] = _marked(frame, payload)
        yield marked


def _marked(frame: Frames, payload: int) -> Frames:
    height, width = frame.shape[:2]
    copies = copies_for(width, height)
    cells = copies * GRID
    busy = _blurred(np.abs(_rest(_shrunk(frame, cells))))
    mark = _pattern(payload, copies) * STRENGTH[copies] * (1 + np.minimum(busy / BUSY, 1))
    mark *= min(1.0, MOST_STRENGTH / float(np.sqrt(np.square(mark).mean())))
    full = _spread(cells, height) @ mark @ _spread(cells, width).T
    marked: Frames = np.clip(np.rint(frame + full[..., None]), 0, 255).astype(np.uint8)
    return marked


def copies_for(width: int, height: int) -> int:
    """Copies of the pattern each way: as many as the short side has cells for."""
    return max((copies for copies in COPIES if copies * GRID <= min(width, height)), default=1)


class Reader:
    """Takes the pictures of one film, whatever their number, and then says what mark they carry."""

    def __init__(self) -> None:
        self.pictures = 0
        self._rest: dict[int, Real] = {}  # by copies: the sum over pictures

    def add(self, frame: Frames) -> None:
        """One picture, uint8 (H, W, 3)."""
        self.pictures += 1
        for copies in COPIES:
            if copies == 1 or min(frame.shape[:2]) >= copies * GRID / 2:  # smaller, and half of it is gone
                self._rest[copies] = self._rest.get(copies, 0) + _rest(_shrunk(frame, copies * GRID))

    def reading(self, expected: int | None = None) -> Reading | None:
        """The likeliest mark; None without pictures.

        expected: a payload to look for; where one is known, a far weaker trace of it counts.
        """
        if not self.pictures:
            return None
        whole = (0.0, 1.0)
        direct = [self._read(copies, whole, whole, DIRECT_TRIALS, expected) for copies in self._rest]
        best = max(direct, key=lambda reading: (reading.found, reading.correlation))
        if best.found:
            return best
        searched = [self._read(*place, SEARCH_TRIALS, expected) for place in self._search()]
        return max((best, *searched), key=lambda reading: (reading.found, reading.correlation))

    def _read(
        self, copies: int, down: tuple[float, float], across: tuple[float, float], trials: float, expected: int | None
    ) -> Reading:
        votes, norm = self._votes(copies, down, across)
        payload = sum(1 << bit for bit in range(BITS) if votes[bit] > 0)
        correlation, limit, matching = float(np.abs(votes).sum()) / norm, threshold(trials), None
        if expected is not None:
            matching = BITS - (payload ^ expected).bit_count()
            known, limit_known = float(votes @ _signs(expected)) / norm, threshold(trials, payloads=1)
            if known > limit_known and correlation <= limit:
                correlation, limit = known, limit_known
        kept = (*down, *across)
        return Reading(correlation > limit, payload, correlation, limit, copies, kept, matching)

    def _votes(self, copies: int, down: tuple[float, float], across: tuple[float, float]) -> tuple[Real, float]:
        """For each bit, how much speaks for 1; and by how much all of them together go astray by chance."""
        rest, waves = self._rest[copies], wave_table()
        plane = _waves(copies, *down) @ rest @ _waves(copies, *across).T
        heard: Real = _clipped(np.asarray(plane[waves.down, waves.across] * waves.weight, np.float32)) * waves.sign
        return _owners(HIGHEST) @ heard, float(np.sqrt(np.square(heard).sum())) + 1e-9

    def _search(self) -> Iterator[tuple[int, tuple[float, float], tuple[float, float]]]:
        """The likeliest parts that the film may be of a marked picture: a coarse look at all, a finer one at a few."""
        for copies in self._rest:
            step = 1 / (64 if copies < 4 else 128)
            spans = _spans(step)
            for row, column in self._coarse(copies, spans, HIGHEST if copies == 1 else HIGHEST // 2):
                yield copies, *self._refined(copies, spans[row], spans[column], step)

    def _coarse(self, copies: int, spans: list[tuple[float, float]], highest: int) -> list[tuple[int, int]]:
        """Indices of the likeliest spans down and across, judged by waves below `highest` alone."""
        waves = wave_table()
        low = (waves.down < highest) & (waves.across < highest)
        basis = np.concatenate([_waves(copies, *span)[:highest] for span in spans])
        plane = (basis @ self._rest[copies] @ basis.T).reshape(len(spans), highest, len(spans), highest)
        score = np.empty((len(spans), len(spans)), np.float32)
        for row in range(len(spans)):
            heard = plane[row][waves.down[low], :, waves.across[low]] * waves.weight[low, None]  # (waves, spans)
            heard = _clipped(heard) * waves.sign[low, None]
            votes = _owners(highest) @ heard
            score[row] = np.abs(votes).sum(0) / (np.sqrt(np.square(heard).sum(0)) + 1e-9)
        best = np.argsort(score, axis=None)[::-1][:CANDIDATES]
        return [(int(index) // len(spans), int(index) % len(spans)) for index in best]

    def _refined(
        self, copies: int, down: tuple[float, float], across: tuple[float, float], step: float
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """The place near this one where the mark fits best, to a quarter of `step`."""
        place: tuple[float, ...] = (*down, *across)
        for move in (step / 2, step / 4):
            near = [tuple(at + move * way for at, way in zip(place, ways, strict=True))
                    for ways in product((0, -1, 1), repeat=4)]  # fmt: skip
            place = max(near, key=lambda spot: self._fit(copies, spot[:2], spot[2:]))
        return (place[0], place[1]), (place[2], place[3])

    def _fit(self, copies: int, down: tuple[float, ...], across: tuple[float, ...]) -> float:
        votes, norm = self._votes(copies, (down[0], down[1]), (across[0], across[1]))
        return float(np.abs(votes).sum()) / norm


@lru_cache(maxsize=1)
def wave_table() -> Waves:
    """Drawn once from the key; neighbours in frequency go to different bits, so that each bit has all kinds."""
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(KEY).digest(), "big")))
    down, across = (axis.ravel() for axis in np.indices((HIGHEST, HIGHEST)))
    radius = np.hypot(down, across)
    inside = (radius >= LOWEST) & (radius < HIGHEST)
    down, across, radius = down[inside], across[inside], radius[inside]
    order = np.argsort(radius + rng.uniform(-1, 1, len(radius)))
    bit = np.empty(len(radius), np.intp)
    for start in range(0, len(radius), BITS):
        some = order[start : start + BITS]
        bit[some] = rng.permutation(BITS)[: len(some)]
    sign = rng.choice(np.array((-1, 1), np.float32), len(radius))
    return Waves(down, across, bit, sign, np.sqrt(LOWEST / radius).astype(np.float32))


@lru_cache(maxsize=8)
def _owners(highest: int) -> Real:
    """(bits, waves below `highest`): 1 where the wave belongs to the bit."""
    waves = wave_table()
    bit = waves.bit[(waves.down < highest) & (waves.across < highest)]
    return np.asarray(bit == np.arange(BITS)[:, None], np.float32)


def _signs(payload: int) -> Real:
    """(bits,) +1 for 1, -1 for 0."""
    return np.array([1 if payload >> bit & 1 else -1 for bit in range(BITS)], np.float32)


@lru_cache(maxsize=8)
def _pattern(payload: int, copies: int) -> Real:
    """The mark on the grid of cells, its root mean square 1."""
    waves = wave_table()
    plane = np.zeros((HIGHEST, HIGHEST), np.float32)
    plane[waves.down, waves.across] = waves.weight * waves.sign * _signs(payload)[waves.bit]
    basis = _waves(copies, 0.0, 1.0)
    pattern = basis.T @ plane @ basis
    return np.asarray(pattern / np.sqrt(np.square(pattern).mean()), np.float32)


def _waves(copies: int, first: float, last: float) -> Real:
    """(frequencies, cells): the waves along one side of a picture that shows `first` to `last` of the marked one."""
    cells = copies * GRID
    place = first + (last - first) * (np.arange(cells) + 0.5) / cells
    return np.asarray(np.cos(np.pi * copies * np.arange(HIGHEST)[:, None] * place), np.float32)


def _spans(step: float) -> list[tuple[float, float]]:
    """All (first, last) that are left when up to CUT of a side is cut away, in steps."""
    most = int(CUT / step)
    return [(a * step, 1 - b * step) for a in range(most + 1) for b in range(most + 1 - a)]


def _clipped(heard: Real) -> Real:
    """No entry above CLIP medians of its column."""
    limit = CLIP * np.median(np.abs(heard), axis=0)
    return np.asarray(np.clip(heard, -limit, limit), np.float32)


def _rest(luma: Real) -> Real:
    """Mean difference to the neighbours within REACH, large ones left out (Tukey's biweight)."""
    rest, size = np.zeros(luma.shape, np.float32), len(luma)
    for dy, dx in product(range(REACH + 1), range(-REACH, REACH + 1)):
        if (dy, dx) > (0, 0) and dy * dy + dx * dx <= REACH * REACH + 1:
            here = (slice(0, size - dy), slice(max(0, -dx), size - max(0, dx)))
            there = (slice(dy, size), slice(max(0, dx), size - max(0, -dx)))
            step = luma[here] - luma[there]
            kept = np.maximum(0, 1 - np.square(step / LARGEST_STEP))
            step *= kept * kept
            rest[here] += step
            rest[there] -= step
    rest /= 36  # neighbours of a cell in the middle
    return rest


def _blurred(values: Real) -> Real:
    """The mean over 5x5 cells."""
    padded = np.pad(values, 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    return np.asarray(windows.mean((-2, -1)), np.float32)


def _shrunk(frame: Frames, cells: int) -> Real:
    """Brightness, averaged over cells x cells equal parts of the picture."""
    height, width = frame.shape[:2]
    return np.asarray(_shares(height, cells) @ (frame @ LUMA) @ _shares(width, cells).T, np.float32)


@lru_cache(maxsize=32)
def _shares(pixels: int, cells: int) -> Real:
    """(cells, pixels): the share that each pixel has in each cell."""
    edges = np.arange(cells + 1) * pixels / cells
    first, last = edges[:-1, None], edges[1:, None]
    at = np.arange(pixels)
    overlap = np.maximum(0, np.minimum(last, at + 1) - np.maximum(first, at))
    return np.asarray(overlap * cells / pixels, np.float32)


@lru_cache(maxsize=32)
def _spread(cells: int, pixels: int) -> Real:
    """(pixels, cells): linear interpolation between the middles of cells."""
    place = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(place[:, None] - np.arange(cells))), np.float32)
