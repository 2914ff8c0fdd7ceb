"""What is known of each source, under DATA/.ingest: a killed run goes on from it, and a later one asks it first.

<digest>.npz    the scan: one number or two for every picture of the file
<digest>.jsonl  a line for each thing found out, appended as it is: {"key", "value"}; a torn last line is passed over
seen.json       digests of files by path, size and time of change
lock            held by the one run that may write here
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from manzar.nouns import DataError, storage

JOURNAL = ".ingest"
LOCK = "lock"
HOLDER = "holder.json"


class Journal:
    """The lines about one source. What was written last under a key counts."""

    def __init__(self, out: Path, digest: str) -> None:
        self.scan = out / JOURNAL / f"{digest}.npz"
        self.file = out / JOURNAL / f"{digest}.jsonl"
        self.entries: dict[str, Any] = {}
        self._whole = True  # whether the file ends with a whole line
        try:
            text = self.file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        self._whole = text.endswith("\n") or not text
        for line in text.split("\n"):
            try:
                entry = json.loads(line)
                self.entries[entry["key"]] = entry["value"]
            except (ValueError, KeyError, TypeError):
                continue

    def get(self, key: str) -> Any:
        return self.entries.get(key)

    def put(self, key: str, value: Any) -> None:
        """Append one line. Raises StorageError if the disk is full; a half-written line is passed over later."""
        line = json.dumps({"key": key, "value": value}) + "\n"
        with storage(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(line if self._whole else "\n" + line)
        self._whole = True
        self.entries[key] = value


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as JSON, whole or not at all."""
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Hold the data set `out` for one run; the system lets go when the process ends, however it ends.

    Raises DataError naming the process that holds it already.
    """
    folder = out / JOURNAL
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            holder = _holder(folder)
            raise DataError(f"{out} is being written by another run{holder}; wait for it or stop it") from error
    try:
        begun = time.strftime("%Y-%m-%d %H:%M:%S")
        write_json(folder / HOLDER, {"process": os.getpid(), "begun": begun})
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    try:
        held = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f" (process {held['process']}, begun {held['begun']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
