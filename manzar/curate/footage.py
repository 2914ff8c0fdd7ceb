"""What footage there is: files and image folders under what was named, each known by the hash of its bytes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manzar import media
from manzar.curate.journal import JOURNAL, write_json
from manzar.nouns import Progress, Rejection, UsageError, existing

SAVE_SECONDS = 10.0
SEEN = "seen.json"  # {path: [size, time of change, digest]}: what has not changed is not read again


@dataclass(frozen=True)
class Source:
    """A file of footage or a folder of numbered pictures, the folder it was found under, and the hash of its bytes."""

    path: Path
    root: Path
    digest: str

    @property
    def name(self) -> str:
        """How it is called in the rows of the data set."""
        return name_of(self.path)


def name_of(path: Path) -> str:
    """`path` in the rows of a data set; of a name that is no UTF-8, as old disks have them, the odd bytes escaped."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def find_footage(footage: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """(file or image folder, folder it was found under), in order of name; not what is hidden or under `out`.

    Raises UsageError where something does not exist or a folder holds no video.
    """
    if not footage:
        raise UsageError("no footage was given; name at least one video or folder")
    found: dict[Path, Path] = {}
    for given in map(Path, footage):
        existing(given)
        if given.is_file() or media.is_image_folder(given):
            found.setdefault(given, given.parent)
            continue
        paths = [path for path in sorted(given.rglob("*")) if _is_footage(path, given, out)]
        if not paths:
            kinds = (
                "is empty" if not any(given.iterdir()) else "holds no video (.mp4, .mov, .mkv, .webm, .avi and so on)"
            )
            raise UsageError(f"{given} {kinds}; name a folder with footage in it")
        for path in paths:
            if path.parent not in found:  # a picture of an image folder is no footage by itself
                found.setdefault(path, given)
    return list(found.items())


def distinct(
    found: Sequence[tuple[Path, Path]], out: Path, report: Progress | None = None
) -> tuple[list[Source], list[Rejection]]:
    """Sources with different bytes, and a row for each that repeats an earlier one or cannot be opened."""
    seen = _Seen(out)
    first: dict[str, Path] = {}
    sources: list[Source] = []
    rejections: list[Rejection] = []
    for done, (path, root) in enumerate(found, 1):
        name = name_of(path)
        try:
            digest = seen.digest(path)
        except OSError as error:
            rejections.append(Rejection(name, 0.0, "unreadable", f"{name}: {error.strerror}"))
        else:
            if digest in first:
                detail = f"the same bytes as {name_of(first[digest])}"
                rejections.append(Rejection(name, 0.0, "duplicate", detail))
            else:
                first[digest] = path
                sources.append(Source(path, root, digest))
        if report is not None:
            report(done, len(found), "known by their bytes")
    seen.save()
    return sources, rejections


class _Seen:
    """Digests by path, size and time of last change; kept between runs."""

    def __init__(self, out: Path) -> None:
        self.file = out / JOURNAL / SEEN
        self.entries: dict[str, list[int | str]] = {}
        self.saved = time.monotonic()
        try:
            loaded = json.loads(self.file.read_text(encoding="utf-8"))
            self.entries = loaded if isinstance(loaded, dict) else {}
        except (OSError, ValueError):
            pass

    def digest(self, path: Path) -> str:
        files = sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]
        stats = [file.stat() for file in files]
        size, changed = sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)
        known = self.entries.get(name_of(path))
        if known and known[:2] == [size, changed]:
            return str(known[2])
        digest = _digest(files)
        self.entries[name_of(path)] = [size, changed, digest]
        if time.monotonic() - self.saved > SAVE_SECONDS:
            self.save()
        return digest

    def save(self) -> None:
        write_json(self.file, self.entries)
        self.saved = time.monotonic()


def _digest(files: Sequence[Path]) -> str:
    """SHA-256 of one file's bytes; of a folder's, the hash of its files' names and hashes."""
    digests = []
    for file in files:
        with open(file, "rb") as stream:
            digests.append((file.name, hashlib.file_digest(stream, "sha256").hexdigest()))
    return digests[0][1] if len(digests) == 1 else hashlib.sha256(repr(digests).encode()).hexdigest()


def _is_footage(path: Path, root: Path, out: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    if hidden or path.resolve().is_relative_to(out.resolve()):
        return False
    if path.is_dir():
        return media.is_image_folder(path)
    return path.suffix.lower() in media.SUFFIXES and path.is_file()
