"""What the HTTP side keeps beside the jobs, as JSON records in one table: characters, files, batches, webhooks."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from typing import Any

from manzar.serve.http.errors import missing
from manzar.serve.store import Store

ONE = {"batches": "batch", "characters": "character", "files": "file", "webhooks": "webhook"}  # of each kind
TABLE = """CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, owner TEXT NOT NULL,
    body TEXT NOT NULL)"""
INDEX = "CREATE INDEX IF NOT EXISTS records_of_owner ON records (kind, owner, number)"

Record = dict[str, Any]  # its fields, with "id" and "created_at" in unix seconds among them


def new_id(prefix: str) -> str:
    """An id that nobody can guess."""
    return f"{prefix}_{secrets.token_hex(12)}"


class Records:
    """Records of several kinds, each with an owner who alone sees them. Safe from many threads and processes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._store.write(lambda connection: (connection.execute(TABLE), connection.execute(INDEX)))

    def add(self, kind: str, id: str, owner: str, **fields: Any) -> Record:
        """A new record, created now."""
        record: Record = {"id": id, "created_at": int(time.time()), **fields}
        self._write("INSERT INTO records (id, kind, owner, body) VALUES (?, ?, ?, ?)",
                    id, kind, owner, json.dumps(record))  # fmt: skip
        return record

    def get(self, kind: str, id: str, owner: str) -> Record | None:
        rows = self._store.read("SELECT body FROM records WHERE id = ? AND kind = ? AND owner = ?", (id, kind, owner))
        return json.loads(rows[0]["body"]) if rows else None

    def one(self, kind: str, id: str, owner: str, param: str) -> Record:
        """Raises ApiError, 404, that names the parameter which asked for it."""
        record = self.get(kind, id, owner)
        if record is None:
            raise missing(f"there is no {ONE[kind]} {id!r}", param)
        return record

    def merge(self, id: str, fields: Record) -> Record | None:
        """The record with these fields as they are now, in one transaction; None if it is no longer there."""

        def work(connection: sqlite3.Connection) -> Record | None:
            row = connection.execute("SELECT body FROM records WHERE id = ?", (id,)).fetchone()
            if row is None:
                return None
            merged: Record = json.loads(row["body"]) | fields
            connection.execute("UPDATE records SET body = ? WHERE id = ?", (json.dumps(merged), id))
            return merged

        return self._store.write(work)

    def remove(self, id: str) -> None:
        self._write("DELETE FROM records WHERE id = ?", id)

    def of(self, kind: str, owner: str) -> list[Record]:
        """The owner's records, the oldest first."""
        rows = self._store.read("SELECT body FROM records WHERE kind = ? AND owner = ? ORDER BY number", (kind, owner))
        return [json.loads(row["body"]) for row in rows]

    def every(self, kind: str) -> list[tuple[str, Record]]:
        """(owner, record) of everybody's, the oldest first."""
        rows = self._store.read("SELECT owner, body FROM records WHERE kind = ? ORDER BY number", (kind,))
        return [(row["owner"], json.loads(row["body"])) for row in rows]

    def page(self, kind: str, owner: str, after: str | None, limit: int, order: str) -> tuple[list[Record], bool]:
        """Up to `limit` records that follow `after`, and whether there are more. Raises ApiError without such a one."""
        records = self.of(kind, owner)
        if order == "desc":
            records.reverse()
        if after is not None:
            places = [index for index, record in enumerate(records) if record["id"] == after]
            if not places:
                raise missing(f"there is no {ONE[kind]} {after!r}", "after")
            records = records[places[0] + 1 :]
        return records[:limit], len(records) > limit

    def _write(self, sql: str, *values: str) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(sql, values)

        self._store.write(work)
