"""Processes that write to one file by turns.

SQLite lets those who wait look again at growing intervals, up to a tenth of a second; a process that writes without a
pause leaves gaps far shorter than that, and was seen to keep another one out for twenty seconds. Here the one who waits
holds the place of the next, and nobody gets past it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOOK_SECONDS = 0.001
PATIENCE_SECONDS = 5.0  # with one who was stopped in the middle of its turn; SQLite's own locks are what protects


class Turns:
    """The turns at writing `path`. For one thread at a time; others have a Turns of their own."""

    def __init__(self, path: Path) -> None:
        self._next, self._now = (
            os.open(path.with_suffix(f".{name}"), os.O_RDWR | os.O_CREAT, 0o644) for name in ("next", "now")
        )

    @contextmanager
    def mine(self) -> Iterator[None]:
        """Waits for its turn, which lasts as long as the block."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        take(self._next, deadline)
        take(self._now, deadline)
        leave(self._next)
        try:
            yield
        finally:
            leave(self._now)

    def close(self) -> None:
        os.close(self._next)
        os.close(self._now)


def take(handle: int, deadline: float) -> None:
    """Lock the file, or go on without that: after the deadline, or where the file system has no such locks."""
    while time.monotonic() < deadline:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOOK_SECONDS)
        except OSError:
            return


def leave(handle: int) -> None:
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)
