"""Small grey films, what a clip's signature holds, and the pairs of them that deserve a closer look.

All pictures of all films are compared by blocks of matrix products, so no likely pair is lost to an index; what makes
that affordable is that a still film needs one picture to be found by, and a moving one about one a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Cells = NDArray[np.float32]  # (..., 64)
    Indices = NDArray[np.int64]

SIDE = 8
CELLS = SIDE * SIDE
BINS_PER_SECOND = 4
KEY_ALIKE = 0.6  # of two pictures, by their weighted frequencies; re-encodes have 0.95, 10 % crops 0.67 and more
KEY_NEAR = 0.95  # a picture this near to one already chosen adds nothing to a film's keys
MOMENT_ALIKE = 0.6  # of a moment of movement; true copies have 0.8 and more even half a bin out of step
MOMENTS = 4  # the strongest movement in each quarter of the shorter film
STILL_LEVELS = 1.0  # root mean square movement, of 255, below which a film has none
KEY_BLOCK = 2048
PAIR_BLOCK = 4096
BLOCK_NUMBERS = 1 << 25  # float32 that a block of pairs may need at a time, 128 MB
COPIES = 8  # of both films, with all that is derived from them


@dataclass(frozen=True)
class Films:
    """Ragged films end to end: `cells` (all bins, 64) bytes; film i is the `lengths[i]` rows from `starts[i]` on."""

    cells: NDArray[np.uint8]
    starts: Indices
    lengths: Indices

    @classmethod
    def read(cls, texts: Sequence[str]) -> Films:
        """From signatures; a text that is not one becomes a film of length 0."""
        films = [_parse(text) for text in texts]
        lengths = np.array([len(film) for film in films], dtype=np.int64)
        cells = np.concatenate([*films, np.zeros((0, CELLS), np.uint8)])
        return cls(cells, np.cumsum(lengths) - lengths, lengths)

    def seconds(self, index: int) -> float:
        return float(self.lengths[index]) / BINS_PER_SECOND

    def gather(self, which: Indices) -> Cells:
        """The films `which`, (P,), without each picture's mean level, padded with zeros: (P, longest, 64)."""
        longest = int(self.lengths[which].max(initial=3))
        steps = np.arange(longest)
        inside = steps < self.lengths[which][:, None]  # (P, N)
        rows = np.minimum(self.starts[which][:, None] + steps, max(len(self.cells) - 1, 0))
        cells: Cells = self.cells[rows].astype(np.float32)  # (P, N, 64)
        cells -= cells.mean(axis=2, keepdims=True)
        cells *= inside[:, :, None]
        return cells

    def blocks(self, pairs: Indices, most: int) -> Iterator[Indices]:
        """Places in `pairs`, (P, 2), of those to compare at a time: at most `most`, and as many as fit in memory when
        all are padded to the longest among them. The shortest come first, so that there is little padding."""
        first, second = self.lengths[pairs].T
        shorter, longer = np.minimum(first, second), np.maximum(first, second)
        order = np.lexsort((shorter, first > second, longer))
        start = 0
        while start < len(order):
            here = order[start : start + most]
            n, m = np.maximum.accumulate(first[here]), np.maximum.accumulate(second[here])
            each = (n + m) * (2 * np.minimum(n, m) + COPIES * CELLS)
            fitting = np.searchsorted(each * np.arange(1, len(here) + 1), BLOCK_NUMBERS, side="right")
            yield here[: max(1, int(fitting))]
            start += max(1, int(fitting))


def candidates(films: Films) -> Iterator[Indices]:
    """Pairs (P, 2), first index below second, each once, that share a picture and, if they move, a moment."""
    keys, owners = _keys(films)
    bounds = _film_bounds(owners)
    for row, row_end in bounds:
        found = [
            _alike(keys[row:row_end], owners[row:row_end], keys[col:col_end], owners[col:col_end], len(films.lengths))
            for col, col_end in bounds
            if col >= row
        ]
        pairs = np.concatenate(found)
        for start in range(0, len(pairs), PAIR_BLOCK):
            block = pairs[start : start + PAIR_BLOCK]
            shared = np.zeros(len(block), dtype=bool)
            for places in films.blocks(block, PAIR_BLOCK):
                shared[places] = _share_a_moment(films, block[places])
            block = block[shared]
            if len(block):
                yield block


def _parse(text: str) -> NDArray[np.uint8]:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    usable = len(raw) % CELLS == 0
    return np.frombuffer(raw if usable else b"", dtype=np.uint8).reshape(-1, CELLS)


def _weighted_frequencies() -> Cells:
    """(64, 64): cells to their cosine transform (DCT-II), each term times its spatial frequency.

    Natural pictures hold most energy in the lowest frequencies, where any two are alike; the weight evens them out.
    """
    index = np.arange(SIDE)
    dct = np.cos(np.pi * (index + 0.5) * index[:, None] / SIDE)  # (frequency, cell)
    dct /= np.linalg.norm(dct, axis=1, keepdims=True)
    weight = np.hypot(index[:, None], index[None]).ravel()
    return np.asarray(weight[:, None] * np.kron(dct, dct), dtype=np.float32)


def _keys(films: Films) -> tuple[Cells, Indices]:
    """Unit vectors (K, 64) to find films by, and the film of each, ascending."""
    transform = _weighted_frequencies().T
    keys: list[Cells] = []
    for start, length in zip(films.starts.tolist(), films.lengths.tolist(), strict=True):
        pictures = films.cells[start : start + length : BINS_PER_SECOND].astype(np.float32) @ transform
        norms = np.linalg.norm(pictures, axis=1)
        said = norms > STILL_LEVELS  # a flat picture says nothing
        keys.append(_distinct(pictures[said] / norms[said, None]))
    owners = np.repeat(np.arange(len(keys)), [len(chosen) for chosen in keys])
    return np.concatenate([*keys, np.zeros((0, CELLS), np.float32)]), owners


def _distinct(pictures: Cells) -> Cells:
    """The first, and each that is not near one before it."""
    if len(pictures) < 2:
        return pictures
    near = pictures @ pictures.T > KEY_NEAR  # (n, n)
    chosen = [0]
    for index in range(1, len(pictures)):
        if not near[index, chosen].any():
            chosen.append(index)
    return pictures[chosen]


def _film_bounds(owners: Indices) -> list[tuple[int, int]]:
    """Blocks of about KEY_BLOCK keys that never divide a film, so that a pair is found in one block only."""
    firsts = np.flatnonzero(np.diff(owners, prepend=-1))
    marks: list[int] = []
    for first in firsts.tolist():
        if not marks or first - marks[-1] >= KEY_BLOCK:
            marks.append(first)
    return list(zip(marks, [*marks[1:], len(owners)], strict=True)) if marks else []


def _alike(rows: Cells, row_owners: Indices, columns: Cells, column_owners: Indices, count: int) -> Indices:
    """The pairs of `count` films with a key of one like a key of the other: (P, 2)."""
    row, column = np.divmod(np.flatnonzero(rows @ columns.T >= KEY_ALIKE), len(columns))
    first, second = row_owners[row], column_owners[column]
    codes = np.unique((first * count + second)[first < second])
    return np.stack(np.divmod(codes, count), axis=1)


def _share_a_moment(films: Films, pairs: Indices) -> NDArray[np.bool_]:
    """Whether some strong movement of the shorter film occurs in the longer: (P,). True where the shorter is still."""
    swap = films.lengths[pairs[:, 0]] > films.lengths[pairs[:, 1]]
    shorter, longer = np.where(swap[:, None], pairs[:, ::-1], pairs).T
    short_moves, strength = _moments(films, shorter)  # (P, N, 64), (P, N)
    long_moves, _ = _moments(films, longer)  # (P, M, 64)
    size, more = np.divmod(np.maximum(films.lengths[shorter] - 2, 0), MOMENTS)  # of a quarter; the first are longer
    bounds = [(size * k + np.minimum(more, k))[:, None] for k in range(MOMENTS + 1)]
    steps = np.arange(strength.shape[1])
    inside = [(steps >= begin) & (steps < end) for begin, end in pairwise(bounds)]
    picks = np.stack([np.where(quarter, strength, -1).argmax(axis=1) for quarter in inside], axis=1)  # (P, 4)
    strongest = np.take_along_axis(short_moves, picks[:, :, None], axis=1)  # (P, 4, 64)
    best = (strongest @ long_moves.transpose(0, 2, 1)).max(axis=(1, 2))
    return np.asarray((best >= MOMENT_ALIKE) | (strength.max(axis=1) < STILL_LEVELS))


def _moments(films: Films, which: Indices) -> tuple[Cells, Cells]:
    """Unit changes over half a second (P, N - 2, 64), zero beyond each film, and their root mean square (P, N - 2)."""
    cells = films.gather(which)
    change = cells[:, 2:] - cells[:, :-2]
    norms = np.linalg.norm(change, axis=2)
    norms *= np.arange(change.shape[1]) < films.lengths[which][:, None] - 2  # the padding is no change
    return change * (norms > 0)[:, :, None] / np.maximum(norms, 1e-6)[:, :, None], norms / np.float32(SIDE)
