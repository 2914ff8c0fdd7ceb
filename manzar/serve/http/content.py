"""What was made, as files: the video with its thumbnail and sprite sheet, in parts if asked for, and the preview."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from manzar.serve.http.context import Here, Owner
from manzar.serve.http.errors import REFUSALS, ApiError, conflict, missing
from manzar.serve.http.objects import VideoId
from manzar.serve.jobs import PREVIEW, SPRITESHEET, THUMBNAIL, VIDEO

router = APIRouter(prefix="/v1/videos", tags=["content"], responses=REFUSALS)

Variant = Literal["video", "thumbnail", "spritesheet"]
VARIANTS: dict[str, tuple[str, str]] = {
    "video": (VIDEO, "video/mp4"), "thumbnail": (THUMBNAIL, "image/webp"), "spritesheet": (SPRITESHEET, "image/jpeg"),
}  # fmt: skip
RANGES = re.compile(r"\s*bytes\s*=(.*)", re.IGNORECASE)
RANGE = re.compile(r"\s*(\d{0,19})\s*-\s*(\d{0,19})\s*")
MOST_RANGES = 8
PRIVATE = {"cache-control": "private, max-age=3600, immutable"}  # a finished video never changes


def binary(*kinds: str) -> dict[str, Any]:
    return {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}}


@router.get("/{video_id}/content", summary="Download a video", response_class=Response,
            responses={200: binary(*(kind for _, kind in VARIANTS.values())),
                       206: binary(*(kind for _, kind in VARIANTS.values()), "multipart/byteranges"),
                       304: {"description": "It has not changed."}})  # fmt: skip
async def download_content(
    request: Request, here: Here, owner: Owner, video_id: VideoId, variant: Variant = "video"
) -> Response:
    """The MP4, a picture of it (WebP) or a sheet of its frames (JPEG). Takes Range."""
    job = await anyio.to_thread.run_sync(here.queue.get, video_id, owner)
    if job.status != "completed":
        raise conflict(f"{video_id} is {job.status.replace('_', ' ')}; there is nothing to download", "video_id",
                       "not_finished")  # fmt: skip
    name, kind = VARIANTS[variant]
    return await file_answer(request, here.queue.folder(video_id) / name, kind, f"{video_id}{Path(name).suffix}")


@router.get("/{video_id}/preview", summary="The latest preview", response_class=Response,
            responses={200: binary("image/webp"), 204: {"description": "There is none yet."}})
def preview(here: Here, owner: Owner, video_id: VideoId) -> Response:
    """What the video looks like so far: its middle frame, as the model would have it now."""
    here.queue.get(video_id, owner)
    try:
        picture = (here.queue.folder(video_id) / PREVIEW).read_bytes()
    except FileNotFoundError:
        return Response(status_code=204)
    return Response(picture, media_type="image/webp")


async def file_answer(request: Request, path: Path, kind: str, name: str) -> Response:
    """A file, or the part of it that Range asks for. Raises ApiError 404 if it has gone, 416 for a part it lacks."""
    try:
        stat = await anyio.to_thread.run_sync(os.stat, path)
    except FileNotFoundError:
        raise missing("the file is no longer kept", "video_id") from None
    answer = FileResponse(path, media_type=kind, filename=name, stat_result=stat, content_disposition_type="inline",
                          headers=PRIVATE)  # fmt: skip
    if request.headers.get("if-none-match") == answer.headers["etag"]:
        return Response(status_code=304, headers={"etag": answer.headers["etag"], **PRIVATE})
    check_range(request, stat.st_size)
    return answer


def check_range(request: Request, size: int) -> None:
    """Forget a Range header that is none, as the standard has it; raise ApiError 416 if nothing of it is there."""
    text = request.headers.get("range")
    if text is None:
        return
    whole = RANGES.fullmatch(text)
    parts = [RANGE.fullmatch(part) for part in whole[1].split(",")] if whole else []
    found = [(part[1], part[2]) for part in parts if part is not None and (part[1] or part[2])]
    wrong = any(first and last and int(last) < int(first) for first, last in found)
    if not found or len(found) < len(parts) or len(found) > MOST_RANGES or wrong:
        request.scope["headers"] = [item for item in request.scope["headers"] if item[0] != b"range"]
    elif not any(int(first) < size if first else int(last) > 0 for first, last in found):
        raise ApiError(416, f"the file has {size} bytes, and nothing at {text}", code="range",
                       headers={"content-range": f"bytes */{size}"})  # fmt: skip
