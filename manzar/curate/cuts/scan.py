"""One pass over a file: when its pictures are shown, how much each differs from the last, and each one very small.

That is all that cut finding asks for. An hour of film leaves about 40 MB in memory and a third of it on disk; the
film itself is streamed, a block of thumbnails at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from manzar import media
from manzar.nouns import DataError, MediaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from manzar.nouns import Frames

THUMBNAIL = (64, 36)  # width, height
CELL = 4  # thumbnail pixels on each side of one pixel of a miniature
BLOCK = 100  # pictures measured, and reported, at a time
LAYOUT = 1  # of the saved file; another one is not read


@dataclass(frozen=True)
class Scan:
    """What one pass over a file leaves behind, N pictures in order of display.

    times: (N,) float64, seconds since the first picture.
    steps: (N,) float32, mean absolute difference of thumbnails t and t - 1 in [0, 1]; 0 for the first.
    miniatures: (N, 9, 16, 3) uint8, the thumbnails averaged over cells of 4×4.
    damage: why the pass ended early, "" if it did not.
    """

    times: NDArray[np.float64]
    steps: NDArray[np.float32]
    miniatures: NDArray[np.uint8]
    damage: str = ""

    def __post_init__(self) -> None:
        lengths = len(self.times), len(self.steps), len(self.miniatures)
        assert len(set(lengths)) == 1, f"times, steps and miniatures of {lengths} pictures"

    def save(self, path: str | Path) -> None:
        """Write the scan to `path` as .npz."""
        with open(path, "wb") as file:
            np.savez_compressed(
                file,
                layout=np.int64(LAYOUT),
                times=self.times,
                steps=self.steps,
                miniatures=self.miniatures,
                damage=np.str_(self.damage),
            )

    @classmethod
    def load(cls, path: str | Path) -> Scan:
        """Read what `save` wrote. Raises DataError if it is something else, damaged, or of another version."""
        try:
            with np.load(path, allow_pickle=False) as saved:
                if int(saved["layout"]) == LAYOUT:
                    return cls(saved["times"], saved["steps"], saved["miniatures"], str(saved["damage"]))
        except Exception as error:  # of a spoilt file zipfile, zlib and NumPy raise nearly anything
            raise DataError(f"{path} is no whole scan ({error}); delete it to have the film scanned again") from error
        raise DataError(f"{path} is a scan of another version; delete it to have the film scanned again")


def scan(path: str | Path, report: Callable[[int], None] | None = None) -> Scan:
    """Stream a file once. `report` is told now and then how many pictures are done.

    Damage ends the pass and is noted, not raised, if at least one picture came before it; else MediaError. Raises
    UsageError for a missing file.
    """
    return scan_pictures(media.frames(path, size=THUMBNAIL), report)


def scan_pictures(pictures: Iterable[tuple[float, Frames]], report: Callable[[int], None] | None = None) -> Scan:
    """`scan` of pictures that are decoded anyway, of any size: (seconds, uint8 (H, W, 3)) in order of display.

    Raises MediaError if there are none.
    """
    times: list[float] = []
    steps: list[NDArray[np.float32]] = []
    miniatures: list[NDArray[np.uint8]] = []
    damage = ""
    last: Frames | None = None
    try:
        for block in _blocks(pictures, times):  # (n, h, w, 3)
            steps.append(_steps(block if last is None else np.concatenate([last[None], block]), last is None))
            miniatures.append(_miniatures(block))
            last = block[-1]
            if report is not None:
                report(len(times))
    except MediaError as error:
        if not times:
            raise
        damage = str(error)
    if not times:
        raise MediaError("no picture came to be scanned; 0 frames survive")
    return Scan(np.asarray(times), np.concatenate(steps), np.concatenate(miniatures), damage)


def _blocks(pictures: Iterable[tuple[float, Frames]], times: list[float]) -> Iterator[Frames]:
    """Thumbnails in blocks (n, h, w, 3); the seconds of each are appended to `times`. Damage is raised after the last
    sound block has been given out."""
    held: list[Frames] = []
    damage: MediaError | None = None
    try:
        for seconds, picture in pictures:
            times.append(seconds)
            held.append(_thumbnail(picture))
            if len(held) == BLOCK:
                yield np.stack(held)
                held.clear()
    except MediaError as error:
        damage = error
    if held:
        yield np.stack(held)
    if damage is not None:
        raise damage


def _thumbnail(picture: Frames) -> Frames:
    if picture.shape[1::-1] == THUMBNAIL:
        return picture
    return np.asarray(cv2.resize(picture, THUMBNAIL, interpolation=cv2.INTER_AREA), np.uint8)


def _steps(block: Frames, first: bool) -> NDArray[np.float32]:
    """Mean absolute difference of neighbours in [0, 1]; a 0 before them if the block begins the film."""
    later, earlier = block[1:], block[:-1]
    difference = np.maximum(later, earlier) - np.minimum(later, earlier)  # stays uint8
    total = difference.sum(axis=(1, 2, 3), dtype=np.uint32)
    steps = (total / (255.0 * block[0].size)).astype(np.float32)
    return np.concatenate([np.zeros(1, np.float32), steps]) if first else steps


def _miniatures(block: Frames) -> NDArray[np.uint8]:
    n, h, w, _ = block.shape
    cells = block.reshape(n, h // CELL, CELL, w // CELL, CELL, 3)
    total = cells.sum(axis=2, dtype=np.uint16).sum(axis=3, dtype=np.uint16)  # (n, h / 4, w / 4, 3)
    return np.asarray((total + CELL * CELL // 2) // (CELL * CELL), np.uint8)
