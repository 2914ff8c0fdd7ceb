"""Jobs in one SQLite file: accepted, given to workers, finished, and removed when their time is over.

A job belongs to one worker for as long as that renews its lease. Whatever a worker says of a job which it has lost
changes nothing, so a process that was held up and comes to itself does no harm. Every change is one transaction; the
event that tells of an end is written in the transaction that ends the job.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from manzar.serve import folders
from manzar.serve.jobs import (
    UNFINISHED,
    IdempotencyConflict,
    Job,
    Outbox,
    QuotaReached,
    Spec,
    Status,
)
from manzar.serve.settings import ServeSettings
from manzar.serve.store import Store
from manzar.serve.table import CLAIM, COLUMNS, MINE, NEXT_OWNER, READY, REQUEUE, SCHEMA, VERSION, add_up, job_of, one


class Queue:
    """Safe for many threads and processes. `owner=None` stands for whoever may see everything."""

    def __init__(self, path: Path, settings: ServeSettings) -> None:
        """Opens the file or makes it. Raises as `Store` does."""
        self.store = Store(path, SCHEMA, VERSION)
        self.settings = settings
        self.root = path.parent / "jobs"

    def close(self) -> None:
        self.store.close()

    def folder(self, id: str) -> Path:
        """Where the files of a job lie: input/, what was made, and the latest preview."""
        return self.root / id

    # What clients do

    def submit(self, spec: Spec, files: Mapping[str, Path] = {}) -> Job:
        """A queued job, safe on the disk; `files` are moved to its input folder under their new names first.

        The same idempotency key with the same request gives the job of then. Raises QuotaReached, and
        IdempotencyConflict for the same key with another request.
        """
        id = f"video_{secrets.token_hex(12)}"
        fingerprint = "" if spec.idempotency_key is None else folders.fingerprint(spec.task, files)
        try:
            folders.take_in(files, self.folder(id) / "input")
            job = self.store.write(partial(self._insert, id, spec, fingerprint, time.time()))
        except BaseException:
            folders.remove(self.folder(id))
            raise
        if job.id != id:
            folders.remove(self.folder(id))
        return job

    def get(self, id: str, owner: str | None = None) -> Job:
        """Raises NoSuchJob."""
        rows = self.store.read(f"SELECT {COLUMNS} FROM jobs WHERE id = ? AND owner = coalesce(?, owner)", (id, owner))
        return job_of(one(rows, id))

    def list(
        self,
        owner: str | None = None,
        after: str | None = None,
        limit: int = 20,
        order: Literal["asc", "desc"] = "desc",
        status: Status | None = None,
        batch: str | None = None,
    ) -> tuple[list[Job], bool]:
        """Up to `limit` jobs in the order in which they came, from behind `after`; and whether there are more.

        Raises NoSuchJob for an `after` that is not there.
        """
        where: dict[str, Any] = {"owner = ?": owner, "status = ?": status, "batch = ?": batch}
        if after is not None:
            rows = self.store.read("SELECT seq FROM jobs WHERE id = ? AND owner = coalesce(?, owner)", (after, owner))
            where["seq > ?" if order == "asc" else "seq < ?"] = one(rows, after)["seq"]
        where = {clause: value for clause, value in where.items() if value is not None}
        rows = self.store.read(
            f"SELECT {COLUMNS} FROM jobs WHERE {' AND '.join(where) or 'TRUE'} "
            f"ORDER BY seq {'ASC' if order == 'asc' else 'DESC'} LIMIT ?",
            (*where.values(), limit + 1),
        )
        return [job_of(row) for row in rows[:limit]], len(rows) > limit

    def count(self, owner: str | None = None, statuses: Sequence[Status] = UNFINISHED) -> int:
        marks = ", ".join("?" * len(statuses))
        rows = self.store.read(
            f"SELECT count(*) FROM jobs WHERE status IN ({marks}) AND owner = coalesce(?, owner)", (*statuses, owner)
        )
        return int(rows[0][0])

    def cancel(self, id: str, owner: str | None = None) -> Job:
        """The job, failed as `cancelled` if it was not finished; its worker stops soon. Raises NoSuchJob."""

        def work(connection: sqlite3.Connection) -> None:
            rows = connection.execute(
                "SELECT seq, status FROM jobs WHERE id = ? AND owner = coalesce(?, owner)", (id, owner)
            ).fetchall()
            if one(rows, id)["status"] in UNFINISHED:
                self._end(connection, rows[0]["seq"], "failed", error_code="cancelled",
                          error_message="the video was cancelled before it was finished")  # fmt: skip

        self.store.write(work)
        return self.get(id, owner)

    def delete(self, id: str, owner: str | None = None) -> Job:
        """The job as it was; it is gone, its files with it, and a worker that is at it stops soon. Raises NoSuchJob."""

        def work(connection: sqlite3.Connection) -> Job:
            rows = connection.execute(
                f"DELETE FROM jobs WHERE id = ? AND owner = coalesce(?, owner) RETURNING {COLUMNS}", (id, owner)
            ).fetchall()
            return job_of(one(rows, id))

        job = self.store.write(work)
        folders.remove(self.folder(id))
        return job

    # What workers do

    def claim(self, worker: str) -> Job | None:
        """The job whose turn it is, now this worker's until its lease runs out; None if nothing waits."""
        now = time.time()
        if not self.store.read(READY, (now,))[0][0]:
            return None

        def work(connection: sqlite3.Connection) -> Job | None:
            self._expire_leases(connection, now)
            row = connection.execute(NEXT_OWNER).fetchone()
            if row is None:
                return None
            owner = row["owner"]
            connection.execute("INSERT OR REPLACE INTO turns VALUES (?, ?)", (owner, now))
            until = now + self.settings.lease_seconds
            return job_of(connection.execute(CLAIM, (worker, until, now, owner)).fetchall()[0])

        return self.store.write(work)

    def beat(self, id: str, worker: str, progress: int, steps_done: int, steps_total: int) -> bool:
        """Renews the lease and tells how far it is. False: the job is no longer this worker's, stop."""
        until = time.time() + self.settings.lease_seconds
        values = (until, progress, steps_done, steps_total, id, worker)
        return self.store.write(lambda connection: connection.execute(
            f"UPDATE jobs SET lease_until = ?, progress = ?, steps_done = ?, steps_total = ? WHERE {MINE}", values
        ).rowcount == 1)  # fmt: skip

    def complete(
        self,
        id: str,
        worker: str,
        *,
        cost_seconds: float,
        generated_size: str,
        frames: int,
        fps: float,
        notes: Sequence[str],
        seconds: str,
        size: str | None = None,
        made: Path | None = None,
    ) -> bool:
        """The job is done; the files in `made` become its own in the same step. False: it is another worker's now.

        size: "WxH" of the file, if it is another than was expected.
        """
        values = {"cost_seconds": cost_seconds, "generated_size": generated_size, "frames": frames, "fps": fps,
                  "notes": json.dumps(list(notes)), "seconds": seconds} | ({"size": size} if size else {})

        def work(connection: sqlite3.Connection) -> bool:
            seq = self._mine(connection, id, worker)
            if seq is None:
                return False
            if made is not None:
                folders.deliver(made, self.folder(id))
            self._end(connection, seq, "completed", progress=100, **values)
            add_up(connection, "generation_seconds", cost_seconds)
            return True

        return self.store.write(work)

    def fail(self, id: str, worker: str, code: str, message: str) -> bool:
        """The job cannot be done, for this reason. False: it is another worker's now."""

        def work(connection: sqlite3.Connection) -> bool:
            seq = self._mine(connection, id, worker)
            if seq is not None:
                self._end(connection, seq, "failed", error_code=code, error_message=message)
            return seq is not None

        return self.store.write(work)

    def give_back(self, id: str, worker: str) -> bool:
        """The worker stops before the job is done: it is queued again in its old place, as if it was never begun."""

        def work(connection: sqlite3.Connection) -> bool:
            seq = self._mine(connection, id, worker)
            if seq is not None:
                connection.execute(REQUEUE, (1, seq))
            return seq is not None

        return self.store.write(work)

    def lose(self, worker: str | None, reason: str) -> None:
        """The process of a worker is known to be dead, or of all with None: its job is tried again, or has failed."""

        def work(connection: sqlite3.Connection) -> None:
            rows = connection.execute(
                "SELECT seq, attempts FROM jobs WHERE status = 'in_progress' AND worker = coalesce(?, worker)",
                (worker,),
            ).fetchall()
            for row in rows:
                self._retry(connection, row, reason)
            if worker is not None:
                add_up(connection, "worker_deaths", 1)

        self.store.write(work)

    # What the house does

    def sweep(self, now: float) -> Sequence[str]:
        """Ends leases that ran out, and removes what is over: results by age, then the oldest of those that take too
        much room, and folders of no job. Returns the ids of the jobs that are gone; unfinished ones never are."""

        def work(connection: sqlite3.Connection) -> Sequence[str]:
            self._expire_leases(connection, now)
            rows = connection.execute("SELECT id FROM jobs WHERE expires_at <= ?", (now,)).fetchall()
            gone = [row["id"] for row in rows]
            rows = connection.execute(
                "SELECT id, bytes FROM jobs WHERE expires_at > ? ORDER BY completed_at DESC", (now,)
            ).fetchall()
            room = self.settings.disk_bytes
            for row in rows:
                room -= row["bytes"]
                if room < 0:
                    gone.append(row["id"])
            connection.executemany("DELETE FROM jobs WHERE id = ?", [(id,) for id in gone])
            return gone

        gone = self.store.write(work)
        for id in gone:
            folders.remove(self.folder(id))
        old = folders.older_than(self.root, now - folders.ORPHAN_SECONDS)
        known = {row["id"] for row in self.store.read("SELECT id FROM jobs")} if old else set()
        for folder in old:
            if folder.name not in known:
                folders.remove(folder)
        return gone

    def outbox_due(self, now: float, limit: int = 100) -> Sequence[Outbox]:
        """Events to tell of, the oldest first."""
        rows = self.store.read(
            "SELECT id, job_id, owner, type, created_at, attempts FROM outbox WHERE due_at <= ? ORDER BY id LIMIT ?",
            (now, limit),
        )
        return [Outbox(**dict(row)) for row in rows]

    def outbox_done(self, id: int) -> None:
        self.store.write(lambda connection: connection.execute("DELETE FROM outbox WHERE id = ?", (id,)) and None)

    def outbox_retry(self, id: int, at: float) -> None:
        """Telling failed; it is due again at `at`."""
        self.store.write(lambda connection: connection.execute(
            "UPDATE outbox SET due_at = ?, attempts = attempts + 1 WHERE id = ?", (at, id)
        ) and None)  # fmt: skip

    def stats(self) -> dict[str, float]:
        """How many jobs are in each status; how long the oldest has waited; how many bytes all results take; and what
        has been counted since the file was made, total:<what>: submitted, completed, failed:<code>, worker_deaths,
        generation_seconds."""
        counts = self.store.read("SELECT status, count(*) AS n FROM jobs GROUP BY status")
        found: dict[str, float] = {"queued": 0, "in_progress": 0, "completed": 0, "failed": 0}
        found |= {row["status"]: row["n"] for row in counts}
        row = self.store.read("""SELECT (SELECT coalesce(sum(bytes), 0) FROM jobs) AS bytes, (SELECT created_at
            FROM jobs WHERE status = 'queued' ORDER BY seq LIMIT 1) AS oldest""")[0]
        found["bytes"] = row["bytes"]
        found["oldest_queued_seconds"] = 0.0 if row["oldest"] is None else max(0.0, time.time() - row["oldest"])
        return found | {f"total:{row['name']}": row["value"] for row in self.store.read("SELECT * FROM tally")}

    # Within transactions

    def _insert(self, id: str, spec: Spec, fingerprint: str, now: float, connection: sqlite3.Connection) -> Job:
        if spec.idempotency_key is not None:
            row = connection.execute(
                f"SELECT {COLUMNS}, fingerprint FROM jobs WHERE owner = ? AND idempotency_key = ?",
                (spec.owner, spec.idempotency_key),
            ).fetchone()
            if row is not None:
                if row["fingerprint"] != fingerprint:
                    raise IdempotencyConflict(f"the idempotency key {spec.idempotency_key!r} was used for another "
                                              f"request, the one of {row['id']}; use a new key for a new request")
                return job_of(row)
        unfinished = connection.execute(
            "SELECT count(*) FROM jobs WHERE status IN ('queued', 'in_progress') AND owner = ?", (spec.owner,)
        ).fetchone()[0]
        if unfinished >= self.settings.queued_per_key:
            raise QuotaReached(f"{unfinished} videos are waiting already, and this key may have "
                               f"{self.settings.queued_per_key}; try again when some are done")
        add_up(connection, "submitted", 1)
        rows = connection.execute(
            f"""INSERT INTO jobs (id, task, owner, seconds, size, remixed_from, idempotency_key, fingerprint, batch,
            created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING {COLUMNS}""",
            (id, spec.task.model_dump_json(), spec.owner, spec.seconds, spec.size, spec.remixed_from,
             spec.idempotency_key, fingerprint, spec.batch, now),
        ).fetchall()  # fmt: skip
        return job_of(rows[0])

    def _mine(self, connection: sqlite3.Connection, id: str, worker: str) -> int | None:
        row = connection.execute(f"SELECT seq FROM jobs WHERE {MINE}", (id, worker)).fetchone()
        return None if row is None else int(row["seq"])

    def _end(self, connection: sqlite3.Connection, seq: int, status: Status, **values: Any) -> None:
        """Completes or fails a job, and puts the event of it into the outbox."""
        now = time.time()
        (id, owner) = connection.execute("SELECT id, owner FROM jobs WHERE seq = ?", (seq,)).fetchone()
        folders.clear(self.folder(id))
        values |= {
            "status": status, "lease_until": None, "completed_at": now, "bytes": folders.size(self.folder(id)),
            "expires_at": now + self.settings.retention_seconds,
        }  # fmt: skip
        assigned = ", ".join(f"{name} = ?" for name in values)
        connection.execute(f"UPDATE jobs SET {assigned} WHERE seq = ?", (*values.values(), seq))
        connection.execute(
            "INSERT INTO outbox (job_id, owner, type, created_at, due_at) VALUES (?, ?, ?, ?, ?)",
            (id, owner, f"video.{status}", now, now),
        )
        add_up(connection, "completed" if status == "completed" else f"failed:{values['error_code']}", 1)

    def _expire_leases(self, connection: sqlite3.Connection, now: float) -> None:
        rows = connection.execute(
            "SELECT seq, attempts FROM jobs WHERE status = 'in_progress' AND lease_until < ?", (now,)
        ).fetchall()
        for row in rows:
            self._retry(connection, row, f"its worker was silent for {self.settings.lease_seconds:g} s")

    def _retry(self, connection: sqlite3.Connection, row: sqlite3.Row, reason: str) -> None:
        if row["attempts"] < self.settings.max_attempts:
            connection.execute(REQUEUE, (0, row["seq"]))
            return
        times = "time" if row["attempts"] == 1 else "times"
        self._end(connection, row["seq"], "failed", error_code="worker_died",
                  error_message=f"it was begun {row['attempts']} {times} and never finished: {reason}; "
                  "a smaller or shorter video may do")  # fmt: skip
