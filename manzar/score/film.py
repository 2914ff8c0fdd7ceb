"""A video to be scored: all its frames as they are stored, decoded once, and what was asked for when it was made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from manzar.media import probe, stored
from manzar.nouns import MediaError

if TYPE_CHECKING:
    from manzar.nouns import Frames

MOST_BYTES = 3 << 30  # of decoded frames; all of them are in memory at once


@dataclass(frozen=True)
class Asked:
    """What a film was made for.

    prompt: None where nobody knows.
    sample: its number among the films of that prompt.
    details: what the suite says about the prompt, by dimension: {"color": {"color": "red"}}.
    """

    prompt: str | None = None
    sample: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Film:
    """frames: uint8 (T, H, W, 3) RGB, every stored frame in order; digest: sha256 of the file, hexadecimal."""

    path: Path
    frames: Frames
    fps: float
    digest: str
    asked: Asked = Asked()


def open_film(path: Path, asked: Asked | None = None) -> Film:
    """Decode a whole film. Raises MediaError for one that cannot be decoded, or is too long to hold in memory."""
    info = probe(path)
    kept: list[Frames] = []
    for frame in stored(path):
        if kept and frame.shape != kept[0].shape:
            raise MediaError(f"{path}: frame {len(kept)} has the shape {frame.shape}, those before it "
                             f"{kept[0].shape}; score the parts of one size by themselves")
        kept.append(frame)
        if len(kept) * frame.nbytes > MOST_BYTES:
            raise MediaError(f"{path}: more than {len(kept) - 1:,} frames of {frame.shape[1]}x{frame.shape[0]}, too "
                             "many to score at once; score pieces of it")
    if not kept:
        raise MediaError(f"{path}: not one frame can be decoded")
    return Film(path, np.stack(kept), info.fps, file_digest(path), asked or Asked())


def file_digest(path: Path) -> str:
    """sha256 of a file, or of the names and bytes of a folder of images."""
    hashed = hashlib.sha256()
    for part in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        if path.is_dir():
            hashed.update(part.relative_to(path).as_posix().encode())
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                hashed.update(block)
    return hashed.hexdigest()
