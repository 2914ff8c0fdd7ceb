"""Which files and folders are taken for footage, and how each is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from manzar.media.film import Film
from manzar.media.stills import Animation, Folder, moves, numbered_images, pillow_format
from manzar.nouns import existing

if TYPE_CHECKING:
    from manzar.media.source import Source

# fmt: off
SUFFIXES = frozenset((
    ".3gp", ".264", ".265", ".apng", ".asf", ".avi", ".avif", ".flv", ".gif", ".h264", ".h265", ".hevc", ".ivf",
    ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm",
    ".webp", ".wmv", ".y4m",
))
# fmt: on
PICTURES = frozenset((".webp",))  # among the numbered images of a folder these are images, unless they move


def is_image_folder(path: str | Path) -> bool:
    """Whether a folder is one film: at least two numbered images of one pattern, and no video among them."""
    folder = Path(path)
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        return False
    images = numbered_images(folder)
    if not images or (images[0].suffix.lower() in PICTURES and moves(images[0])):
        return False
    own = set(images)
    return not any(entry.suffix.lower() in SUFFIXES and entry not in own for entry in folder.iterdir())


@contextmanager
def opened(path: str | Path) -> Iterator[Source]:
    """A video file, an animation or an image folder, ready to be read once.

    Raises UsageError if there is no such thing, MediaError if it cannot be opened or holds no pictures.
    """
    source: Source
    if is_image_folder(path):
        source = Folder(Path(path))
    else:
        file = existing(path, "file")
        form = pillow_format(file)
        source = Film(file) if form is None else Animation(file, form)
    with closing(source):
        yield source
