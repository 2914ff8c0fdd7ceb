"""The tables of the queue, the statements that are more than a line, and what a row says."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import fields

from manzar.serve.jobs import Job, NoSuchJob
from manzar.serve.task import Task

VERSION = 1
SCHEMA = """
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    task TEXT NOT NULL,
    owner TEXT NOT NULL,
    seconds TEXT NOT NULL,
    size TEXT NOT NULL,
    remixed_from TEXT,
    idempotency_key TEXT,
    fingerprint TEXT NOT NULL,
    batch TEXT,
    status TEXT NOT NULL DEFAULT 'queued',
    progress INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    started_at REAL,
    completed_at REAL,
    expires_at REAL,
    error_code TEXT,
    error_message TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    lease_until REAL,
    cost_seconds REAL,
    steps_done INTEGER NOT NULL DEFAULT 0,
    steps_total INTEGER NOT NULL DEFAULT 0,
    generated_size TEXT,
    frames INTEGER,
    fps REAL,
    notes TEXT NOT NULL DEFAULT '[]',
    bytes INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX jobs_by_status ON jobs (status, owner, seq);
CREATE INDEX jobs_by_owner ON jobs (owner, seq);
CREATE INDEX jobs_by_batch ON jobs (batch, seq) WHERE batch IS NOT NULL;
CREATE INDEX jobs_by_end ON jobs (expires_at) WHERE expires_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_by_key ON jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE TABLE turns (owner TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE tally (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    owner TEXT NOT NULL,
    type TEXT NOT NULL,
    created_at REAL NOT NULL,
    due_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX outbox_by_due ON outbox (due_at);
CREATE INDEX outbox_by_job ON outbox (job_id);
"""
COLUMNS = ", ".join(each.name for each in fields(Job))
READY = """SELECT EXISTS (SELECT 1 FROM jobs WHERE status = 'queued')
           OR EXISTS (SELECT 1 FROM jobs WHERE status = 'in_progress' AND lease_until < ?)"""
# Whose turn it is: who has least under way, then whose last turn is longest ago, then who asked first. Turns are kept
# apart from the jobs, for whoever deletes finished ones should not thereby come first.
NEXT_OWNER = """SELECT owner FROM jobs AS waiting LEFT JOIN turns USING (owner) WHERE status = 'queued' GROUP BY owner
    ORDER BY (SELECT count(*) FROM jobs WHERE status = 'in_progress' AND owner = waiting.owner),
             coalesce(turns.at, 0), min(seq) LIMIT 1"""
CLAIM = f"""UPDATE jobs SET status = 'in_progress', worker = ?, lease_until = ?, started_at = ?,
    attempts = attempts + 1, progress = 0, steps_done = 0, steps_total = 0
    WHERE seq = (SELECT min(seq) FROM jobs WHERE status = 'queued' AND owner = ?) RETURNING {COLUMNS}"""
REQUEUE = """UPDATE jobs SET status = 'queued', worker = NULL, lease_until = NULL, started_at = NULL, progress = 0,
    steps_done = 0, steps_total = 0, attempts = attempts - ? WHERE seq = ?"""
TALLY = "INSERT INTO tally VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
MINE = "id = ? AND worker = ? AND status = 'in_progress'"


def one(rows: list[sqlite3.Row], id: str) -> sqlite3.Row:
    if not rows:
        raise NoSuchJob(f"there is no video {id!r}; it may have expired or been deleted")
    return rows[0]


def job_of(row: sqlite3.Row) -> Job:
    values = {each.name: row[each.name] for each in fields(Job)}
    values["task"] = Task.model_validate_json(values["task"])
    values["notes"] = tuple(json.loads(values["notes"]))
    return Job(**values)


def add_up(connection: sqlite3.Connection, name: str, amount: float) -> None:
    """Count on; what is counted so never goes down, also when jobs are removed."""
    connection.execute(TALLY, (name, amount))
