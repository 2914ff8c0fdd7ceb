"""What Pillow reads: animated WebP, AVIF, and folders of numbered images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, features

from manzar.media.source import MOST_PIXELS, PAPER, TOO_LARGE, Probe, inner
from manzar.nouns import MediaError

if TYPE_CHECKING:
    from manzar.media.source import Timed
    from manzar.nouns import Frames

FOLDER_FPS = 24.0
STILL_FPS = 1.0  # a single picture is shown for a second
BRIEFEST_MS, USUAL_MS = 10, 100  # browsers show a picture that claims no more than the first for the second
IMAGE_SUFFIXES = frozenset((".jpeg", ".jpg", ".png", ".webp"))
NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)  # the last run of digits counts
FORMATS = ("JPEG", "PNG", "WEBP")
# What Pillow and the libraries below it raise on bad data.
ERRORS = (OSError, SyntaxError, ValueError, EOFError, LookupError, RuntimeError, Image.DecompressionBombError)


class Animation:
    """An animated (or single) WebP or AVIF file."""

    def __init__(self, path: Path, form: str) -> None:
        self.path = path
        self.form = form
        self._image = _opened(path, (form,), 0)
        self.count = int(getattr(self._image, "n_frames", 1))
        self.fps = STILL_FPS if self.count == 1 else 1000 / self._milliseconds(0)

    def close(self) -> None:
        self._image.close()

    def probe(self) -> Probe:
        """From the header and all pictures, of which each says how long it stays. Raises MediaError if the first is
        damaged; of the others those that survive count."""
        width, height = self._image.size
        alpha = _see_through(self._loaded(0))
        depth = _avif_depth(self.path) if self.form == "AVIF" else 8
        fps = STILL_FPS if self.count == 1 else self._mean_fps()
        seconds = self.count / fps
        return Probe(width, height, fps, self.count, seconds, self.form.lower(), bit_depth=depth, alpha=alpha)

    def pictures(self, size: tuple[int, int] | None, *, start_s: float = 0.0, start_frame: int = 0) -> Iterator[Timed]:
        """As `Source.pictures`; always decoded from the first, since each picture builds on the one before."""
        seconds = 0.0
        for index in range(self.count):
            image = self._loaded(index)
            if index >= start_frame:
                yield seconds, _shown(image, size or image.size, image.size)
            seconds += self._milliseconds(index) / 1000

    def _mean_fps(self) -> float:
        milliseconds: list[float] = []
        with suppress(MediaError):
            milliseconds.extend(self._milliseconds(index) for index in range(self.count))
        return 1000 * len(milliseconds) / sum(milliseconds)

    def _loaded(self, index: int) -> Image.Image:
        try:
            self._image.seek(index)
            self._image.load()
        except ERRORS as error:
            raise MediaError(f"{self.path}: damaged ({error}); {index} frames survive before it") from error
        return self._image

    def _milliseconds(self, index: int) -> float:
        stated = float(self._loaded(index).info.get("duration") or 0)
        return stated if stated > BRIEFEST_MS else USUAL_MS


class Folder:
    """Numbered images, one picture each, in the order of their numbers; the first decides on the size."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fps = FOLDER_FPS
        self.files = numbered_images(path)

    def close(self) -> None:
        """Nothing to do: every image is closed as soon as it is read."""

    def probe(self) -> Probe:
        """From the names and the first image. Raises MediaError if that is damaged."""
        image = _loaded(self.files[0], 0)
        with _opened(self.files[0], FORMATS, 0) as first:
            codec = str(first.format).lower()
            turned = {3: 180, 6: 90, 8: 270}.get(first.getexif().get(0x0112, 1), 0)
        count = len(self.files)
        return Probe(
            *image.size,
            self.fps,
            count,
            count / self.fps,
            codec,
            rotation=turned,
            bit_depth=16 if image.mode.startswith("I") else 8,
            alpha=_see_through(image),
        )

    def pictures(self, size: tuple[int, int] | None, *, start_s: float = 0.0, start_frame: int = 0) -> Iterator[Timed]:
        """As `Source.pictures`; images before the wanted one are not opened."""
        displayed = _loaded(self.files[0], 0).size
        skipped = max(start_frame, int(max(0.0, start_s) * self.fps + 1e-6))
        for index in range(skipped, len(self.files)):
            image = _loaded(self.files[index], index, size)
            yield index / self.fps, _shown(image, size or displayed, displayed)


def numbered_images(folder: Path) -> list[Path]:
    """The images of the one pattern (clip_001.png, clip_002.png, …) that a folder holds at least two of, by number.

    Empty if there are none, or several patterns of two and more: then nobody can say which one is the film.
    """
    patterns: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
    for entry in folder.iterdir():
        match = NUMBERED.fullmatch(entry.stem)
        if match and entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith("."):
            before, digits, after = match.groups()
            patterns.setdefault((before, after, entry.suffix.lower()), []).append((int(digits), entry.name))
    several = [names for names in patterns.values() if len(names) >= 2]
    return [folder / name for _, name in sorted(several[0])] if len(several) == 1 else []


def moves(path: Path) -> bool:
    """Whether an image file holds several pictures."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return int(getattr(image, "n_frames", 1)) > 1
    except ERRORS:
        return False


def pillow_format(path: Path) -> str | None:
    """ "WEBP" or "AVIF" where a file is one, whatever its name, and Pillow can read it; else None."""
    try:
        with open(path, "rb") as file:
            head = file.read(32)
    except OSError:  # whoever opens it next says why it cannot be
        return None
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis") and features.check("avif"):
        return "AVIF"
    return None


def _avif_depth(path: Path) -> int:
    """Bits of a sample, from the AV1 configuration box (AV1-ISOBMFF, section 2.3.3); Pillow has them as 8."""
    with open(path, "rb") as file:
        _, box, after = file.read(1 << 16).partition(b"av1C")
    flags = after[2] if box and len(after) > 2 else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def _opened(path: Path, formats: tuple[str, ...], index: int) -> Image.Image:
    """The header of an image alone. `index`: how many pictures came before it."""
    try:
        image = Image.open(path, formats=formats)
    except ERRORS as error:
        raise MediaError(f"{path}: not a picture that can be opened; {index} frames survive before it") from error
    if image.width * image.height > MOST_PIXELS:
        image.close()
        raise MediaError(f"{path}: {image.width}x{image.height} is {TOO_LARGE}; {index} frames survive before it")
    return image


def _loaded(path: Path, index: int, size: tuple[int, int] | None = None) -> Image.Image:
    """One image file, upright; where only `size` is needed, a JPEG is decoded at a fraction of its own."""
    with _opened(path, FORMATS, index) as image:
        try:
            if size is not None:
                image.draft("RGB", (max(size), max(size)))
            return ImageOps.exif_transpose(image)
        except ERRORS as error:
            raise MediaError(f"{path}: damaged ({error}); {index} frames survive before it") from error


def _shown(image: Image.Image, size: tuple[int, int], displayed: tuple[int, int]) -> Frames:
    """uint8 (H, W, 3) of `size`; an image of another shape than `displayed`, the first one's, gets black bars."""
    rgb, part = _rgb(image), inner(*image.size, displayed, size)
    if rgb.size != part:
        smaller = part[0] * part[1] < rgb.width * rgb.height
        rgb = rgb.resize(part, Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC)
    if part != size:
        canvas = Image.new("RGB", size)
        canvas.paste(rgb, ((size[0] - part[0]) // 2, (size[1] - part[1]) // 2))
        rgb = canvas
    return np.asarray(rgb, dtype=np.uint8)


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB, see-through places on white."""
    if image.mode.startswith("I"):  # 16-bit grey; Pillow would clip it
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, (PAPER, PAPER, PAPER, 255))
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert("RGB")


def _see_through(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    return bool(np.asarray(image.convert("RGBA"))[..., 3].min() < 255)
