"""API keys: made here, shown once, kept only as a hash, in the same database as the jobs.

A key is 256 random bits, so one round of SHA-256 hides it as well as any slow hash would: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from manzar.nouns import UsageError, storage

PREFIX = "mz-"
NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
FRESH_S = 1.0  # a removed key is refused after so long at the latest
BUSY_S = 30.0

SCHEMA = """CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, hash TEXT NOT NULL UNIQUE, created_at REAL NOT NULL)"""


@dataclass(frozen=True)
class Key:
    """What is known of a key: its id is the owner of all that is made with it. `created_at` in unix seconds."""

    id: str
    name: str
    created_at: float


class Keys:
    """The keys of one server. Safe from many threads and processes; raises StorageError if they cannot be kept."""

    def __init__(self, database: Path) -> None:
        self.database = database
        with storage(database):
            database.parent.mkdir(parents=True, exist_ok=True)
        with self._opened() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(SCHEMA)
        self._lock = threading.Lock()
        self._owners: dict[str, str] = {}
        self._read_at = float("-inf")

    def add(self, name: str) -> tuple[Key, str]:
        """A new key and its secret, which cannot be had again. Raises UsageError for a name that is taken."""
        return self._keep(name, PREFIX + secrets.token_urlsafe(32))

    def add_from(self, file: Path) -> list[Key]:
        """Keys from a file of lines `NAME SECRET`, for deployments that bring their own; those known are left alone.

        Raises UsageError for a line that is something else, or a secret that is too short to be safe.
        """
        added = []
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            name, _, secret = line.strip().rpartition(" ")
            if not name or len(secret) < 32:
                raise UsageError(f"{file}, line {number}: a name and a secret of 32 characters or more are needed")
            if self._id_of(hashed(secret)) is None:
                added.append(self._keep(name.strip(), secret)[0])
        return added

    def remove(self, name: str) -> Key:
        """The key of this name or id, which is refused from now on. Raises UsageError if there is none."""
        found = next((key for key in self.all() if name in (key.name, key.id)), None)
        if found is None:
            known = ", ".join(key.name for key in self.all()) or "none"
            raise UsageError(f"there is no key {name!r}; there are: {known}")
        with self._opened() as connection:
            connection.execute("DELETE FROM keys WHERE id = ?", (found.id,))
        self._read_at = float("-inf")  # as if never read
        return found

    def all(self) -> list[Key]:
        """The oldest first."""
        with self._opened() as connection:
            rows = connection.execute("SELECT id, name, created_at FROM keys ORDER BY created_at").fetchall()
        return [Key(*row) for row in rows]

    def owner(self, secret: str) -> str | None:
        """The id of the key with this secret, None if there is none."""
        return self._current().get(hashed(secret))

    def any(self) -> bool:
        return bool(self._current())

    @property
    def stale(self) -> bool:
        """Whether the next question reads the database; keys are added and removed by other processes."""
        return time.monotonic() - self._read_at > FRESH_S

    def refresh(self) -> None:
        with self._lock, self._opened() as connection:
            self._owners = dict(connection.execute("SELECT hash, id FROM keys").fetchall())
            self._read_at = time.monotonic()

    def _current(self) -> dict[str, str]:
        """Hash → id."""
        if self.stale:
            self.refresh()
        return self._owners

    def _id_of(self, digest: str) -> str | None:
        with self._opened() as connection:
            row = connection.execute("SELECT id FROM keys WHERE hash = ?", (digest,)).fetchone()
        return None if row is None else str(row[0])

    def _keep(self, name: str, secret: str) -> tuple[Key, str]:
        if not NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be a key's name; use 1 to 64 printable characters")
        key = Key(f"key_{secrets.token_hex(8)}", name, time.time())
        try:
            with self._opened() as connection:
                connection.execute("INSERT INTO keys (id, name, hash, created_at) VALUES (?, ?, ?, ?)",
                                   (key.id, name, hashed(secret), key.created_at))  # fmt: skip
        except sqlite3.IntegrityError as error:
            raise UsageError(f"there is a key {name!r} already; choose another name, or remove that one") from error
        self._read_at = float("-inf")
        return key, secret

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with storage(self.database), closing(sqlite3.connect(self.database, timeout=BUSY_S)) as connection, connection:
            yield connection


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
