"""Characters: a named subject from a short clip, as far as the model's conditioning supports it, and said so.

A prompt that holds the name is read with the description in its place, and the video begins with the clip's middle
frame unless it is given a first frame of its own. That is all: nothing is trained on the clip.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio.to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel

from manzar.serve.http.bodies import CharacterBody, documented, read_body
from manzar.serve.http.context import Context, Here, Owner
from manzar.serve.http.errors import REFUSALS, ApiError, bad, unfit
from manzar.serve.http.records import Record, new_id
from manzar.serve.http.uploads import Uploads

router = APIRouter(tags=["characters"], responses=REFUSALS)

KIND = "characters"
CLIP_SECONDS = (0.5, 10.0)  # two to four are asked for
FRAME = "frame.png"  # all that is kept of the clip
MOST = 200  # of one key


class CharacterObject(BaseModel):
    """A subject that prompts may ask for by name."""

    id: str
    created_at: int
    name: str
    object: Literal["character"] = "character"
    description: str | None
    notes: list[str]


class CharacterList(BaseModel):
    """All characters of a key, the oldest first."""

    object: Literal["list"] = "list"
    data: list[CharacterObject]


class CharacterDeleted(BaseModel):
    """What is left of a deleted character; videos made with it stay."""

    id: str
    object: Literal["character.deleted"] = "character.deleted"
    deleted: Literal[True] = True


@router.post("/v1/videos/characters", summary="Create a character",
             openapi_extra=documented(CharacterBody, "video"))
async def create_character(request: Request, here: Here, owner: Owner) -> CharacterObject:
    sent = await read_body(request)
    body = sent.read(CharacterBody, "video")
    if "video" not in sent.files:
        raise bad("Missing required parameter: 'video', a file of two to four seconds", "video",
                  "missing_required_parameter")
    with Uploads(here) as uploads:
        middle = uploads.place(".png")
        clip = await uploads.part(sent.files["video"], "film", "video", middle)
        least, most = CLIP_SECONDS
        if not least <= clip.seconds <= most:
            raise unfit(f"video: the clip lasts {clip.seconds:.2f} s; between {least:g} and {most:g} s are taken, two "
                        "to four are best", "video")
        return await anyio.to_thread.run_sync(_keep, here, owner, body, middle)


@router.get("/v1/videos/characters", summary="List characters")
def list_characters(here: Here, owner: Owner) -> CharacterList:
    return CharacterList(data=[shown(record) for record in here.records.of(KIND, owner)])


@router.get("/v1/videos/characters/{character_id}", summary="One character")
def retrieve_character(here: Here, owner: Owner, character_id: str) -> CharacterObject:
    return shown(here.records.one(KIND, character_id, owner, "character_id"))


@router.delete("/v1/videos/characters/{character_id}", summary="Delete a character")
def delete_character(here: Here, owner: Owner, character_id: str) -> CharacterDeleted:
    record = here.records.one(KIND, character_id, owner, "character_id")
    here.records.remove(record["id"])
    shutil.rmtree(here.folder(KIND, record["id"]), ignore_errors=True)
    return CharacterDeleted(id=record["id"])


@dataclass(frozen=True)
class Cast:
    """What characters make of a prompt: its words, a first frame if one is to be taken from them, and notes."""

    prompt: str
    frame: Path | None
    notes: tuple[str, ...]


def cast(here: Context, owner: str, ids: Sequence[str], prompt: str, has_frame: bool) -> Cast:
    """Raises ApiError 404 for one that is not there, 400 where its name is not in the prompt."""
    frame: Path | None = None
    notes: list[str] = []
    for index, id in enumerate(ids):
        record = here.records.one(KIND, id, owner, "characters")
        name, description = record["name"], record["description"]
        pattern = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
        if not pattern.search(prompt):
            raise bad(f"characters: the name {name!r} must be in the prompt", "characters", "character_not_named")
        if description:
            prompt = description.join(pattern.split(prompt))
            notes.append(f"{name} was read as: {description}")
        else:
            notes.append(f"{name} has no description; the model reads the name as any other word")
        if index == 0 and not has_frame:
            frame = here.folder(KIND, id) / FRAME
            notes.append(f"the video begins with a frame of {name}'s clip")
        else:
            notes.append(f"{name}'s looks are not given to the model, which takes one first frame only")
    return Cast(prompt, frame, tuple(notes))


def shown(record: Record) -> CharacterObject:
    return CharacterObject(id=record["id"], created_at=record["created_at"], name=record["name"],
                           description=record["description"], notes=record["notes"])


def _keep(here: Context, owner: str, body: CharacterBody, middle: Path) -> CharacterObject:
    if len(here.records.of(KIND, owner)) >= MOST:
        raise ApiError(429, f"there are {MOST} characters of this key; delete some", code="quota_reached")
    notes = ["a prompt with this name is read with the description in its place, and its video begins with the clip's "
             "middle frame; nothing is trained on the clip"]
    if body.description is None:
        notes.append("there is no description: the model reads the name as any other word")
    id = new_id("char")
    folder = here.folder(KIND, id)
    folder.mkdir(parents=True)
    middle.rename(folder / FRAME)
    return shown(here.records.add(KIND, id, owner, name=body.name, description=body.description, notes=notes))
