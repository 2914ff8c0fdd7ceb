"""The folders of jobs: what is moved in, what is delivered, what is left behind by the dead and cleared away."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from manzar.nouns import storage
from manzar.serve.task import Task

MAKING = ".making-"  # and the name of a worker: what it has not yet finished; all such names begin with a dot
ORPHAN_SECONDS = 3600.0  # the files of a job lie there shortly before the job does


def take_in(files: Mapping[str, Path], folder: Path) -> None:
    """Move `files` into `folder` under their new names, and see to it that they are on the disk.

    Raises StorageError where there is no room.
    """
    if not files:
        return
    with storage(folder):
        folder.mkdir(parents=True)
        for name, path in files.items():
            assert Path(name).name == name, f"{name!r} is no plain name of a file"
            shutil.move(path, folder / name)
            sync(folder / name)
        sync(folder)


def deliver(made: Path, folder: Path) -> None:
    """What was made gets its names: all of it was written elsewhere, so that nobody ever sees a part of a file."""
    for path in made.iterdir():
        path.replace(folder / path.name)
    sync(folder)


def clear(folder: Path) -> None:
    """Remove what workers have begun there and not finished."""
    for path in folder.glob(".*"):
        if path.is_dir():
            remove(path)
        else:
            path.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def older_than(root: Path, time: float) -> list[Path]:
    """The folders in `root` in which nothing has come or gone since `time`, in unix seconds."""
    found = []
    for path in root.iterdir() if root.is_dir() else ():
        try:
            if path.stat().st_mtime < time:
                found.append(path)
        except FileNotFoundError:  # deleted just now
            continue
    return found


def fingerprint(task: Task, files: Mapping[str, Path]) -> str:
    """The same for two requests that ask for the same."""
    digest = hashlib.sha256(task.model_dump_json().encode())
    for name in sorted(files):
        with open(files[name], "rb") as file:
            digest.update(f"\n{name}\n{hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
