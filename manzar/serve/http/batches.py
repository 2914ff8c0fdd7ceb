"""Batches: a file with a request to POST /v1/videos in each line, made one after another, answered in one file.

A batch is a record that says how far it is; its jobs carry its id. `advance` moves every batch on a little, and may be
cut off anywhere: lines are submitted under idempotency keys of their own, so none is made twice.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from manzar.nouns import ManzarError
from manzar.serve.http import files
from manzar.serve.http.bodies import CreateBody, Sent, read_json
from manzar.serve.http.context import Context, Here, Owner
from manzar.serve.http.errors import REFUSALS, bad, conflict, missing, translated
from manzar.serve.http.objects import video
from manzar.serve.http.records import Record, new_id
from manzar.serve.http.submission import Submission
from manzar.serve.http.uploads import Uploads
from manzar.serve.jobs import Job, NoSuchJob, QuotaReached

log = logging.getLogger("manzar.serve")
router = APIRouter(prefix="/v1/batches", tags=["batches"], responses=REFUSALS)

KIND = "batches"
ENDPOINT = "/v1/videos"
MOST_LINES = 10_000
OPEN = ("validating", "in_progress")

BatchStatus = Literal["validating", "failed", "in_progress", "completed", "cancelling", "cancelled"]


class BatchBody(BaseModel):
    """Which file to work through. The completion window is taken and means nothing here."""

    model_config = ConfigDict(extra="forbid")

    input_file_id: str = Field(min_length=1, max_length=64)
    endpoint: Literal["/v1/videos"]
    completion_window: Literal["24h"] = "24h"
    metadata: dict[str, Annotated[str, Field(max_length=512)]] | None = Field(default=None, max_length=16)


class Counts(BaseModel):
    """How many lines there are, and how many of them have ended, and how."""

    total: int
    completed: int
    failed: int


class BatchError(BaseModel):
    """What is wrong with the file."""

    code: str | None
    line: int | None
    message: str
    param: str | None


class BatchErrors(BaseModel):
    """Everything that is wrong with the file."""

    object: Literal["list"] = "list"
    data: list[BatchError]


class Batch(BaseModel):
    """Many requests at once. Files: `output_file_id` holds the answers, `error_file_id` the lines without one."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    input_file_id: str
    completion_window: str
    status: BatchStatus
    created_at: int
    in_progress_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: BatchErrors | None = None
    request_counts: Counts
    metadata: dict[str, str] | None = None


class BatchList(BaseModel):
    """A page of batches; the next one begins after `last_id`."""

    object: Literal["list"] = "list"
    data: list[Batch]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.post("", summary="Create a batch")
def create_batch(here: Here, owner: Owner, body: BatchBody) -> Batch:
    here.records.one(files.FILES, body.input_file_id, owner, "input_file_id")
    return shown(here.records.add(KIND, new_id("batch"), owner, status="validating", lines=[],
                                  counts={"total": 0, "completed": 0, "failed": 0}, **body.model_dump()))


@router.get("", summary="List batches")
def list_batches(
    here: Here,
    owner: Owner,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> BatchList:
    records, has_more = here.records.page(KIND, owner, after, limit, "desc")
    data = [shown(record) for record in records]
    return BatchList(data=data, first_id=data[0].id if data else None, last_id=data[-1].id if data else None,
                     has_more=has_more)


@router.get("/{batch_id}", summary="One batch")
def retrieve_batch(here: Here, owner: Owner, batch_id: str) -> Batch:
    return shown(here.records.one(KIND, batch_id, owner, "batch_id"))


@router.post("/{batch_id}/cancel", summary="Cancel a batch")
def cancel_batch(here: Here, owner: Owner, batch_id: str) -> Batch:
    """What is made stays; the rest is not made."""
    record = here.records.one(KIND, batch_id, owner, "batch_id")
    if record["status"] not in OPEN or "cancelling_at" in record:
        raise conflict(f"{batch_id} is {shown(record).status} already", "batch_id")
    return shown(here.records.merge(batch_id, {"cancelling_at": int(time.time())}) or record)


def shown(record: Record) -> Batch:
    values = {name: value for name, value in record.items() if name in Batch.model_fields}
    if values["status"] in OPEN and "cancelling_at" in values:
        values["status"] = "cancelling"
    return Batch(**values, request_counts=Counts(**record["counts"]))


async def advance(here: Context) -> None:
    """Every open batch a step further."""
    for owner, record in await anyio.to_thread.run_sync(here.records.every, KIND):
        if record["status"] not in OPEN:
            continue
        try:
            await Progress(here, owner, record).step()
        except ManzarError as error:
            log.warning("%s: %s", record["id"], error)


class Progress:
    """One open batch. Who cancels it writes `cancelling_at` meanwhile, and nothing else does."""

    def __init__(self, here: Context, owner: str, record: Record) -> None:
        self.here, self.owner, self.record = here, owner, record

    async def step(self) -> None:
        if self.record["status"] == "validating":
            await self.validate()
        elif self.record["status"] == "in_progress":
            await self.submit()
        await anyio.to_thread.run_sync(self.settle)

    async def validate(self) -> None:
        """All lines are read before any is made."""
        lines, errors = await anyio.to_thread.run_sync(self.read)
        if errors:
            self.record["errors"] = {"object": "list", "data": errors}
            self.move("failed")
            return
        self.record["lines"] = [{"custom_id": line["custom_id"], "job": None, "error": None} for line in lines]
        self.record["counts"]["total"] = len(lines)
        self.move("in_progress")

    def read(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The lines of the file, and what is wrong with any."""
        path = self.here.folder(files.FILES, self.record["input_file_id"])
        if not path.is_file():
            return [], [problem(None, "the file has been deleted")]
        lines: list[dict[str, Any]] = []
        seen: set[str] = set()
        with open(path, "rb") as file:
            for number, text in enumerate(file, 1):
                if number > MOST_LINES:
                    return [], [problem(number, f"there are more than {MOST_LINES} lines")]
                if text.strip():
                    try:
                        lines.append(checked(text, seen))
                    except ManzarError as error:
                        return [], [problem(number, str(error))]
        return lines, [] if lines else [problem(None, "the file has no line")]

    async def submit(self) -> None:
        """Queue what is not queued yet, until the key has as many unfinished videos as it may have."""
        waiting = [index for index, line in enumerate(self.record["lines"]) if not (line["job"] or line["error"])]
        if not waiting:
            return
        lines, _ = await anyio.to_thread.run_sync(self.read)
        if len(lines) != len(self.record["lines"]):
            for index in waiting:
                self.record["lines"][index]["error"] = bad("the input file was deleted").body()["error"]
            return
        for index in waiting:
            try:
                job = await self.queue(lines[index], index)
            except QuotaReached:
                return
            except (ManzarError, ValidationError) as error:
                self.record["lines"][index]["error"] = translated(error).body()["error"]
            else:
                self.record["lines"][index]["job"] = job.id

    async def queue(self, line: dict[str, Any], index: int) -> Job:
        sent = Sent(line["body"], typed=True)
        key = f"{self.record['id']}:{index}"
        with Submission(self.here, self.owner, sent, key, self.record["id"]) as submission:
            return await submission.create(sent.read(CreateBody))

    def settle(self) -> None:
        """Count, and finish when all have ended."""
        fresh = self.here.records.get(KIND, self.record["id"], self.owner)
        cancelled = fresh is not None and "cancelling_at" in fresh
        if cancelled:
            for line in self.record["lines"]:
                if line["job"]:
                    self.cancel(line["job"])
                elif not line["error"]:
                    line["error"] = conflict("the batch was cancelled", code="cancelled").body()["error"]
        jobs = [self.job(line["job"]) for line in self.record["lines"]]
        done = [job is not None and job.status == "completed" for job in jobs]
        ended = [bool(line["error"]) or (bool(line["job"]) and (job is None or job.finished))
                 for line, job in zip(self.record["lines"], jobs, strict=True)]
        self.record["counts"] |= {"completed": sum(done), "failed": sum(ended) - sum(done)}
        if self.record["status"] in OPEN and all(ended) and (cancelled or self.record["status"] == "in_progress"):
            self.write(jobs)
            self.move("cancelled" if cancelled else "completed")
        self.record.pop("cancelling_at", None)
        self.here.records.merge(self.record["id"], self.record)

    def move(self, status: BatchStatus) -> None:
        self.record |= {"status": status, f"{status}_at": int(time.time())}

    def cancel(self, id: str) -> None:
        try:
            self.here.queue.cancel(id)
        except NoSuchJob:
            return

    def job(self, id: str | None) -> Job | None:
        try:
            return None if id is None else self.here.queue.get(id, self.owner)
        except NoSuchJob:
            return None

    def write(self, jobs: list[Job | None]) -> None:
        """The answers in one file, the lines that were never queued in another."""
        answers, errors = [], []
        for index, (line, job) in enumerate(zip(self.record["lines"], jobs, strict=True)):
            id = f"{self.record['id']}_{index}"
            told = {"id": id, "custom_id": line["custom_id"], "response": None, "error": None}
            if job is not None:
                body = video(job).model_dump()
                answers.append(told | {"response": {"status_code": 200, "request_id": id, "body": body}})
            else:
                gone = missing("the video was deleted").body()["error"]
                errors.append(told | {"error": line["error"] or gone})
        for name, lines in (("output", answers), ("error", errors)):
            if lines and f"{name}_file_id" not in self.record:
                with Uploads(self.here) as uploads:
                    path = uploads.place()
                    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
                    kept = files.keep(self.here, self.owner, path, f"{self.record['id']}_{name}.jsonl", "batch_output")
                self.record[f"{name}_file_id"] = kept.id


def checked(text: bytes, seen: set[str]) -> dict[str, Any]:
    """A line that is a request. Raises ApiError."""
    line = read_json(text)
    name = line.get("custom_id")
    if not isinstance(name, str) or not 0 < len(name) <= 512:
        raise bad("custom_id must be a text of 1 to 512 letters", "custom_id")
    if name in seen:
        raise bad(f"custom_id {name!r} is there twice", "custom_id")
    if line.get("method") != "POST" or line.get("url") != ENDPOINT:
        raise bad(f"{name}: method and url must be POST and {ENDPOINT}", "url")
    if not isinstance(line.get("body"), dict):
        raise bad(f"{name}: body must be an object", "body")
    seen.add(name)
    return line


def problem(line: int | None, message: str) -> dict[str, Any]:
    return {"code": "invalid_request", "line": line, "message": message, "param": None}
