"""Progress as it happens: server-sent events of one job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio.to_thread
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from manzar.serve.http.context import Context, Here, Owner
from manzar.serve.http.errors import REFUSALS
from manzar.serve.http.objects import Video, VideoId, video
from manzar.serve.jobs import Job, NoSuchJob

router = APIRouter(prefix="/v1/videos", tags=["videos"], responses=REFUSALS)

LOOK_S = 0.25  # between two looks at the job
HEARTBEAT_S = 15.0  # of silence, before a comment keeps the connection alive
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


@router.get("/{video_id}/events", summary="Follow a video", response_class=StreamingResponse, responses=STREAM)
async def follow_video(here: Here, owner: Owner, video_id: VideoId) -> StreamingResponse:
    """`event: progress` with the video at each change, `event: done` with it at the end, and that is the end."""
    job = await anyio.to_thread.run_sync(here.queue.get, video_id, owner)
    return StreamingResponse(changes(here, job), media_type="text/event-stream",
                             headers={"x-accel-buffering": "no"})


async def changes(here: Context, job: Job) -> AsyncIterator[str]:
    told: tuple[object, ...] = ()
    told_at = time.monotonic()
    while not job.finished:
        now = (job.status, job.progress, job.steps_done, job.attempts)
        if now != told:
            yield event("progress", video(job))
            told, told_at = now, time.monotonic()
        elif time.monotonic() - told_at > HEARTBEAT_S:
            yield ": still here\n\n"
            told_at = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(here.closing.wait(), LOOK_S)
            return
        try:
            job = await anyio.to_thread.run_sync(here.queue.get, job.id)
        except NoSuchJob:  # deleted meanwhile
            return
    yield event("done", video(job))


def event(name: str, shown: Video) -> str:
    return f"event: {name}\ndata: {shown.model_dump_json()}\n\n"
