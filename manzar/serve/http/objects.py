"""Answers as the API spells them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel

from manzar.serve.http.errors import ErrorDetail
from manzar.serve.jobs import Job

POLL_MS = (250, 5000)  # how soon a client is told to ask again

VideoId = Annotated[str, Path(description="The id of a video.", max_length=64)]


class Video(BaseModel):
    """A generation job. Times are unix seconds; the fields after `error` are Manzar's own.

    seconds: length of the whole as a string, after an extension too. size: "WxH" of the file; where none was asked for
    it is the model's own until the video is made, which may be in the proportions of what was given.
    generated_size: "WxH" in which the model made it, before it was scaled to what was asked for.
    notes: what the person should know about how the request was understood and met.
    cost_seconds: what it took to compute; eta_seconds: how long it will take from now, where that can be told.
    """

    id: str
    object: Literal["video"] = "video"
    created_at: int
    completed_at: int | None
    expires_at: int | None
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int
    model: str
    prompt: str | None
    seconds: str
    size: str
    remixed_from_video_id: str | None
    error: ErrorDetail | None
    kind: Literal["create", "remix", "edit", "extension", "connection"]
    seed: int
    steps: int | None
    frames: int | None
    fps: float | None
    generated_size: str | None
    notes: list[str]
    cost_seconds: float | None
    eta_seconds: float | None
    preview_url: str | None


class VideoList(BaseModel):
    """A page of videos; the next one begins after `last_id`."""

    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VideoDeleted(BaseModel):
    """What is left of a deleted video."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True


def video(job: Job, eta_seconds: float | None = None) -> Video:
    task = job.task
    failed = job.status == "failed"
    return Video(
        id=job.id,
        created_at=int(job.created_at),
        completed_at=_whole(job.completed_at),
        expires_at=_whole(job.expires_at),
        status=job.status,
        progress=job.progress,
        model=task.model,
        prompt=task.prompt,
        seconds=job.seconds,
        size=task.size or job.generated_size or job.size,
        remixed_from_video_id=job.remixed_from,
        error=_error(job) if failed else None,
        kind=task.kind,
        seed=task.seed,
        steps=job.steps_total or task.steps,
        frames=job.frames,
        fps=job.fps,
        generated_size=job.generated_size,
        notes=list(dict.fromkeys((*task.notes, *job.notes))),
        cost_seconds=job.cost_seconds,
        eta_seconds=None if job.finished else eta_seconds if eta_seconds is not None else _eta(job),
        preview_url=f"/v1/videos/{job.id}/preview" if job.status in ("in_progress", "completed") else None,
    )


def video_list(jobs: Sequence[Job], has_more: bool) -> VideoList:
    return VideoList(
        data=[video(job) for job in jobs],
        first_id=jobs[0].id if jobs else None,
        last_id=jobs[-1].id if jobs else None,
        has_more=has_more,
    )


def poll_header(shown: Video) -> dict[str, str]:
    """When the client should ask again: a tenth of what is left."""
    if shown.status in ("completed", "failed"):
        return {}
    least, most = POLL_MS
    wait = most / 5 if shown.eta_seconds is None else shown.eta_seconds * 100
    return {"openai-poll-after-ms": str(round(min(most, max(least, wait))))}


def seconds_text(seconds: float) -> str:
    """As the API writes lengths: "4", "2.125"."""
    return f"{round(seconds, 3):g}"


def _eta(job: Job) -> float | None:
    """From the pace of the steps so far; the first few say nothing."""
    if job.status != "in_progress" or job.started_at is None or job.progress < 5:
        return None
    return round(max(0.0, time.time() - job.started_at) * (100 - job.progress) / job.progress, 1)


def _error(job: Job) -> ErrorDetail:
    message = job.error_message or "the generation failed"
    return ErrorDetail(message=message, type="server_error", param=None, code=job.error_code or "failed")


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
