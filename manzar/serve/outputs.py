"""What is delivered beside the video itself: a thumbnail, a sheet of frames, previews; and the size that was asked for.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from manzar.media import frames
from manzar.nouns import storage
from manzar.serve.jobs import SPRITESHEET, THUMBNAIL

if TYPE_CHECKING:
    from manzar.nouns import Frames

TELLING = 1 / 3  # of a video's length: where its thumbnail is taken
THUMBNAIL_SIDE = 640  # pixels of the longer side, at most
CELL_SIDE, CELLS = 256, 25  # of a sprite sheet: longer side of one frame, at most, and how many
QUALITY = 85


def companions(video: Path, count: int) -> None:
    """Write the thumbnail and the sprite sheet of a video of `count` frames, beside it."""
    picks = sheet_picks(count)
    telling = int((count - 1) * TELLING)
    cells: list[Image.Image] = []
    for index, (_, frame) in enumerate(frames(video)):
        if index == telling:
            image = Image.fromarray(frame)
            image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            write_picture(image, video.with_name(THUMBNAIL))
        if index in picks:
            image = Image.fromarray(frame)
            image.thumbnail((CELL_SIDE, CELL_SIDE))
            cells.append(image)
    write_picture(sheet(cells), video.with_name(SPRITESHEET))


def sheet_picks(count: int) -> frozenset[int]:
    """Indices of the frames on a sprite sheet, evenly spread, first and last among them."""
    return frozenset(np.linspace(0, count - 1, min(CELLS, count)).round().astype(int).tolist())


def sheet(cells: list[Image.Image]) -> Image.Image:
    """The pictures in rows, as nearly a square of them as there can be; what is left over stays black."""
    columns = ceil(len(cells) ** 0.5)
    width, height = cells[0].size
    page = Image.new("RGB", (columns * width, ceil(len(cells) / columns) * height))
    for index, cell in enumerate(cells):
        page.paste(cell, (index % columns * width, index // columns * height))
    return page


def write_picture(image: Image.Image | Frames, path: Path) -> None:
    """A still as WebP or JPEG, by its extension; who reads meanwhile sees the one before.

    Raises StorageError if the disk is full, FileNotFoundError if the folder is gone.
    """
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP" if path.suffix == ".webp" else "JPEG", quality=QUALITY)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage(path):
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)


def scaled(chunks: Iterable[Frames], width: int, height: int) -> Iterator[Frames]:
    """The same frames as width × height, a few at a time: scaled to fill it, what stands over cropped about the centre.

    The model's grid is coarse, so its proportions are only nearly those asked for; cropping keeps circles round.
    """
    for chunk in chunks:
        if chunk.shape[1:3] == (height, width):
            yield chunk
            continue
        at_once = max(1, (16 << 20) // (width * height))
        rows = iter(chunk)
        while part := [resized(frame, width, height) for frame in islice(rows, at_once)]:
            yield np.stack(part)


def resized(frame: Frames, width: int, height: int) -> Frames:
    """uint8 (H, W, 3) as (height, width, 3)."""
    own_height, own_width = frame.shape[:2]
    scale = min(own_width / width, own_height / height)
    across, down = scale * width, scale * height
    left, top = (own_width - across) / 2, (own_height - down) / 2
    image = Image.fromarray(frame)
    box = (left, top, left + across, top + down)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box=box))
