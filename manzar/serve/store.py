"""One SQLite file that many threads and processes use; whoever writes gets its answer when it is on the disk.

A commit costs one wait for the disk, four milliseconds on an ordinary one. Twenty clients who took turns at that would
each wait eighty; so those who come while a commit is under way go into the next one together.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from manzar.nouns import StorageError, UsageError, storage
from manzar.serve.turns import Turns

BUSY_SECONDS = 20.0  # another process may hold the file; it does so for milliseconds

T = TypeVar("T")


@dataclass(eq=False)
class _Entry(Generic[T]):
    """Work that waits for the next transaction, and what came of it. Woken when it is done, or has to lead."""

    work: Callable[[sqlite3.Connection], T]
    woken: threading.Event = field(default_factory=threading.Event)
    done: bool = False
    value: T | None = None
    error: BaseException | None = None


class Store:
    """A connection to read and one to write with, each for one thread at a time.

    Of the threads that want to write one leads: it commits for all who wait, and then lets the first of those who came
    meanwhile lead.
    """

    def __init__(self, path: Path, schema: str, version: int) -> None:
        """schema: the statements that make an empty file one of this version.

        Raises UsageError for a file of another version or of another program, StorageError where it cannot be written.
        """
        self.path = path
        with storage(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._waiting: list[_Entry[Any]] = []
        self._led = False
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._turns = Turns(path)
        try:
            self._writer = connect(path)
            migrate(self._writer, path, schema, version)
            self._reader = connect(path)
        except sqlite3.Error as error:
            raise explained(error, path) from error

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of one query, as of the last commit."""
        with self._reading:
            return self._reader.execute(sql, values).fetchall()

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, once all it did is on the disk; where it raises, nothing of it is done.

        Raises what `work` raises, and StorageError where the disk is full.
        """
        entry = _Entry(work)
        with self._lock:
            self._waiting.append(entry)
            follows, self._led = self._led, True
        if follows:
            try:
                entry.woken.wait()
            except BaseException:  # Ctrl-C
                self._withdraw(entry)
                raise
        if not entry.done:
            self._lead()
        if entry.error is not None:
            raise entry.error
        return entry.value  # type: ignore[return-value]  # done without an error

    def close(self) -> None:
        with self._reading:
            self._reader.close()
        self._writer.close()
        self._turns.close()

    def _lead(self) -> None:
        try:
            with self._turns.mine():
                with self._lock:
                    entries, self._waiting = self._waiting, []
                self._commit(entries)
        finally:
            with self._lock:
                self._led = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].woken.set()

    def _withdraw(self, entry: _Entry[Any]) -> None:
        """Its thread waits no longer; the others do."""
        with self._lock:
            if entry in self._waiting and not entry.woken.is_set():
                self._waiting.remove(entry)
        if entry.woken.is_set() and not entry.done:
            self._lead()

    def _commit(self, entries: list[_Entry[Any]]) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for entry in entries:
                self._apply(entry)
            self._writer.execute("COMMIT")
        except BaseException as error:  # also Ctrl-C: a transaction that stays open would hold up everybody
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            for entry in entries:
                entry.error = entry.error or explained(error, self.path)
            if not isinstance(error, sqlite3.Error):
                raise
        finally:
            for entry in entries:
                entry.done = True
                entry.woken.set()

    def _apply(self, entry: _Entry[Any]) -> None:
        """One entry's work; what it raises is its own affair, and undone without touching the others."""
        self._writer.execute("SAVEPOINT one")
        try:
            entry.value = entry.work(self._writer)
        except Exception as error:
            entry.error = explained(error, self.path) if isinstance(error, sqlite3.OperationalError) else error
            self._writer.execute("ROLLBACK TO one")
        self._writer.execute("RELEASE one")


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # NORMAL would lose what was accepted when the power fails
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def migrate(connection: sqlite3.Connection, path: Path, schema: str, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == 0:
            for statement in filter(str.strip, schema.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    if found not in (0, version):
        raise UsageError(f"{path} is a queue of version {found}, and this program knows version {version}; "
                         "choose another root, or the program that made it")


def explained(error: BaseException, path: Path) -> BaseException:
    """What an error of SQLite means to the person at the server; unforeseen ones stay as they are."""
    text = str(error)
    if "full" in text or "disk I/O" in text or "readonly" in text or "unable to open" in text:
        return StorageError(f"cannot write {path}: {text}; free some space, or choose a root that you may write to")
    if isinstance(error, sqlite3.DatabaseError) and "not a database" in text:
        return UsageError(f"{path} is no queue of Manzar; move it away, or choose another root")
    return error
