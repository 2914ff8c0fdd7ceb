"""The routes of the Videos API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from manzar.serve.http.bodies import (
    ConnectionBody,
    CreateBody,
    EditBody,
    ExtensionBody,
    RemixBody,
    documented,
    read_body,
)
from manzar.serve.http.context import Context, Here, Owner
from manzar.serve.http.errors import REFUSALS, missing
from manzar.serve.http.objects import Video, VideoDeleted, VideoId, VideoList, poll_header, video, video_list
from manzar.serve.http.submission import Submission
from manzar.serve.jobs import Job, NoSuchJob

router = APIRouter(prefix="/v1/videos", tags=["videos"], responses=REFUSALS)

IDEMPOTENT: dict[str, Any] = {"parameters": [{
    "name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string"},
    "description": "The same key with the same request gives the same job, however often it is sent.",
}]}  # fmt: skip


async def opened(request: Request, here: Context, owner: str) -> Submission:
    return Submission(here, owner, await read_body(request), request.headers.get("idempotency-key"))


def accepted(job: Job, response: Response) -> Video:
    shown = video(job)
    response.headers.update(poll_header(shown))
    return shown


@router.post("", summary="Create a video", openapi_extra=documented(CreateBody, "input_reference") | IDEMPOTENT)
async def create_video(request: Request, response: Response, here: Here, owner: Owner) -> Video:
    """A video from a prompt, with its first frame, boxes and characters if they are given. Answers as soon as the job
    is safe on the disk."""
    with await opened(request, here, owner) as submission:
        return accepted(await submission.create(submission.sent.read(CreateBody, "input_reference")), response)


@router.post("/edits", summary="Edit a video", openapi_extra=documented(EditBody, "video", "mask") | IDEMPOTENT)
async def edit_video(request: Request, response: Response, here: Here, owner: Owner) -> Video:
    with await opened(request, here, owner) as submission:
        return accepted(await submission.edit(submission.sent.read(EditBody, "video", "mask")), response)


@router.post("/extensions", summary="Extend a video", openapi_extra=documented(ExtensionBody, "video") | IDEMPOTENT)
async def extend_video(request: Request, response: Response, here: Here, owner: Owner) -> Video:
    """`seconds` is what is added; the answer's `seconds` is the length of the whole."""
    with await opened(request, here, owner) as submission:
        return accepted(await submission.extend(submission.sent.read(ExtensionBody, "video")), response)


@router.post("/connections", summary="Connect two videos",
             openapi_extra=documented(ConnectionBody, "first", "last") | IDEMPOTENT)
async def connect_videos(request: Request, response: Response, here: Here, owner: Owner) -> Video:
    """The first video, the way from its end to the beginning of the last, and the last."""
    with await opened(request, here, owner) as submission:
        return accepted(await submission.connect(submission.sent.read(ConnectionBody, "first", "last")), response)


@router.get("", summary="List videos")
def list_videos(
    here: Here,
    owner: Owner,
    after: Annotated[str | None, Query(description="The last id of the page before.", max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> VideoList:
    try:
        return video_list(*here.queue.list(owner, after, limit, order))
    except NoSuchJob as error:
        raise missing(str(error), "after") from None


@router.get("/{video_id}", summary="One video")
def retrieve_video(here: Here, owner: Owner, video_id: VideoId, response: Response) -> Video:
    return accepted(here.queue.get(video_id, owner), response)


@router.delete("/{video_id}", summary="Delete a video")
def delete_video(here: Here, owner: Owner, video_id: VideoId) -> VideoDeleted:
    """Whatever its state: a queued one is never made, one in progress is stopped."""
    here.queue.delete(video_id, owner)
    return VideoDeleted(id=video_id)


@router.post("/{video_id}/cancel", summary="Cancel a video")
def cancel_video(here: Here, owner: Owner, video_id: VideoId) -> Video:
    """Stops it and keeps the record of it, as failed with the code `cancelled`; a finished one stays as it is."""
    return video(here.queue.cancel(video_id, owner))


@router.post("/{video_id}/remix", summary="Remix a video", openapi_extra=documented(RemixBody) | IDEMPOTENT)
async def remix_video(request: Request, response: Response, here: Here, owner: Owner, video_id: VideoId) -> Video:
    with await opened(request, here, owner) as submission:
        return accepted(await submission.remix(video_id, submission.sent.read(RemixBody)), response)
