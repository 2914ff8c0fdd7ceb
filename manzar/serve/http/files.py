"""Files that later requests refer to: the lines of a batch, what came of it, pictures to begin a video with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from manzar.nouns import storage
from manzar.serve.http.bodies import documented, read_body
from manzar.serve.http.content import binary, file_answer
from manzar.serve.http.context import Context, Here, Owner
from manzar.serve.http.errors import REFUSALS, ApiError, bad
from manzar.serve.http.records import Record, new_id
from manzar.serve.http.uploads import CHUNK_BYTES, Uploads, check_name

router = APIRouter(prefix="/v1/files", tags=["batches"], responses=REFUSALS)

FILES = "files"
MOST_FILES = 1000  # of one key
SHARE = 10  # a key's files may take this part of the room for results

Purpose = Literal["batch", "vision", "user_data"]


class FileObject(BaseModel):
    """A file; `purpose` is batch, vision or user_data as it was uploaded, or batch_output."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"


class FileList(BaseModel):
    """A page of files; the next one begins after `last_id`."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(BaseModel):
    """What is left of a deleted file."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class FileBody(BaseModel):
    """A file and what it is for: lines of a batch, or a picture (vision, user_data)."""

    model_config = ConfigDict(extra="forbid")

    purpose: Purpose


def multipart_only() -> dict[str, Any]:
    documents = documented(FileBody, "file")
    content = documents["requestBody"]["content"]
    del content["application/json"]
    content["multipart/form-data"]["schema"]["required"] = ["file", "purpose"]
    return documents


@router.post("", summary="Upload a file", openapi_extra=multipart_only())
async def create_file(request: Request, here: Here, owner: Owner) -> FileObject:
    sent = await read_body(request)
    body = sent.read(FileBody, "file")
    part = sent.files.get("file")
    if part is None:
        raise bad("Missing required parameter: 'file'", "file", "missing_required_parameter")
    name = part.filename or "file"
    check_name(name, "file")
    with Uploads(here) as uploads:
        path = uploads.place()
        await anyio.to_thread.run_sync(save, part.file, path)
        return await anyio.to_thread.run_sync(keep, here, owner, path, name, body.purpose)


@router.get("", summary="List files")
def list_files(
    here: Here,
    owner: Owner,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    order: Literal["asc", "desc"] = "desc",
    purpose: Annotated[str | None, Query(max_length=64)] = None,
) -> FileList:
    records, has_more = here.records.page(FILES, owner, after, limit, order)
    data = [shown(record) for record in records if purpose in (None, record["purpose"])]
    last = records[-1]["id"] if records else None
    return FileList(data=data, first_id=records[0]["id"] if records else None, last_id=last, has_more=has_more)


@router.get("/{file_id}", summary="One file")
def retrieve_file(here: Here, owner: Owner, file_id: str) -> FileObject:
    return shown(here.records.one(FILES, file_id, owner, "file_id"))


@router.delete("/{file_id}", summary="Delete a file")
def delete_file(here: Here, owner: Owner, file_id: str) -> FileDeleted:
    record = here.records.one(FILES, file_id, owner, "file_id")
    here.records.remove(record["id"])
    here.folder(FILES, record["id"]).unlink(missing_ok=True)
    return FileDeleted(id=record["id"])


@router.get("/{file_id}/content", summary="Download a file", response_class=Response,
            responses={200: binary("application/octet-stream"), 206: binary("application/octet-stream"),
                       304: {"description": "It has not changed."}})  # fmt: skip
async def download_file(request: Request, here: Here, owner: Owner, file_id: str) -> Response:
    record = await anyio.to_thread.run_sync(here.records.one, FILES, file_id, owner, "file_id")
    return await file_answer(request, here.folder(FILES, record["id"]), "application/octet-stream", f"{file_id}.bin")


def save(file: IO[bytes], path: Path) -> None:
    with storage(path), open(path, "xb") as out:
        shutil.copyfileobj(file, out, CHUNK_BYTES)


def keep(here: Context, owner: str, path: Path, name: str, purpose: str) -> FileObject:
    """Make a file of the incoming folder one that stays. Raises ApiError 429 for a key with too many or too much."""
    size, known = path.stat().st_size, here.records.of(FILES, owner)
    room = here.settings.disk_bytes // SHARE - sum(record["bytes"] for record in known)
    if len(known) >= MOST_FILES or size > room:
        raise ApiError(429, f"there are {len(known)} files of this key, with room for {max(0, room):,} bytes more; "
                            "delete some", code="quota_reached")  # fmt: skip
    id = new_id("file")
    place = here.folder(FILES, id)
    with storage(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    return shown(here.records.add(FILES, id, owner, bytes=size, filename=name, purpose=purpose))


def shown(record: Record) -> FileObject:
    return FileObject(id=record["id"], created_at=record["created_at"], bytes=record["bytes"],
                      filename=record["filename"], purpose=record["purpose"])  # fmt: skip
