"""A request that was read → a Task in the queue: what is given is found and kept, what is left open is settled."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread

from manzar.serve.http.bodies import (
    MOST_SEED,
    ById,
    ConnectionBody,
    CreateBody,
    EditBody,
    ExtensionBody,
    Reference,
    RemixBody,
    Sent,
)
from manzar.serve.http.characters import cast
from manzar.serve.http.context import Context
from manzar.serve.http.errors import bad, conflict, missing
from manzar.serve.http.files import FILES
from manzar.serve.http.models import Abilities, chosen
from manzar.serve.http.objects import seconds_text
from manzar.serve.http.uploads import Kind, Uploads
from manzar.serve.jobs import VIDEO, Job, NoSuchJob, Spec
from manzar.serve.task import Kind as TaskKind
from manzar.serve.task import Task

MOST_WHOLE_SECONDS = 120.0  # of an extended or connected video
MOST_KEY = 255  # letters of an idempotency key

AnyBody = CreateBody | RemixBody | EditBody | ExtensionBody | ConnectionBody


@dataclass(frozen=True)
class Clip:
    """A film that a task starts from: its file in the incoming folder, its name within the job, its length."""

    path: Path
    name: str
    seconds: float


class Submission:
    """One request on its way into the queue; a context manager, so that its uploads go where it fails."""

    def __init__(self, here: Context, owner: str, sent: Sent, idempotency_key: str | None = None,
                 batch: str | None = None) -> None:  # fmt: skip
        if idempotency_key is not None and not 0 < len(idempotency_key) <= MOST_KEY:
            raise bad(f"an idempotency key has 1 to {MOST_KEY} letters", "Idempotency-Key")
        self.here, self.owner, self.sent = here, owner, sent
        self.key, self.batch = idempotency_key, batch
        self.uploads = Uploads(here)
        self.files: dict[str, Path] = {}
        self.notes: list[str] = []

    def __enter__(self) -> Submission:
        return self

    def __exit__(self, *_: object) -> None:
        self.uploads.__exit__()

    async def create(self, body: CreateBody) -> Job:
        name, able = self.model(body)
        seconds = self.length(body.seconds, "seconds")
        image = await self.reference(body.input_reference)
        prompt = body.prompt
        if body.characters:
            ids = [each.id for each in body.characters]
            played = await anyio.to_thread.run_sync(cast, self.here, self.owner, ids, prompt, image is not None)
            prompt = played.prompt
            self.notes += played.notes
            if played.frame is not None:
                image = self.keep("image", ".png", self.uploads.link(played.frame))
        whole = able.seconds if seconds is None else seconds
        return await self.submit("create", name, able, body, whole, prompt=prompt, seconds=seconds, image=image,
                                 loop=body.loop, characters=tuple(each.id for each in body.characters),
                                 **self.boxes(body, able))  # fmt: skip

    async def remix(self, source: str, body: RemixBody) -> Job:
        name, able = self.model(body)
        clip = await self.made(source, "video_id", "video")
        return await self.submit("remix", name, able, body, clip.seconds, remixed_from=source, video=clip.name,
                                 strength=body.strength)  # fmt: skip

    async def edit(self, body: EditBody) -> Job:
        name, able = self.model(body)
        clip = await self.clip("video", body.video)
        mask = await self.file("mask", "picture")
        source = body.video.id if body.video else None
        return await self.submit("edit", name, able, body, clip.seconds, remixed_from=source, video=clip.name,
                                 mask=mask, strength=body.strength)  # fmt: skip

    async def extend(self, body: ExtensionBody) -> Job:
        name, able = self.model(body)
        if body.loop and body.direction == "backward":
            raise bad("loop: a loop goes on from the video's end; leave out direction", "loop")
        clip = await self.clip("video", body.video)
        added = self.length(body.seconds, "seconds")
        whole = self.whole(clip.seconds + (able.seconds if added is None else added))
        source = body.video.id if body.video else None
        return await self.submit("extension", name, able, body, whole, remixed_from=source, video=clip.name,
                                 seconds=added, direction=body.direction, loop=body.loop,
                                 **self.boxes(body, able))  # fmt: skip

    async def connect(self, body: ConnectionBody) -> Job:
        name, able = self.model(body)
        first, last = await self.clip("first", body.first, "video"), await self.clip("last", body.last)
        added = self.length(body.seconds, "seconds")
        whole = self.whole(first.seconds + last.seconds + (able.seconds if added is None else added))
        return await self.submit("connection", name, able, body, whole, video=first.name, last=last.name, seconds=added,
                                 **self.boxes(body, able))  # fmt: skip

    async def submit(self, kind: TaskKind, model: str, able: Abilities, body: AnyBody, whole_seconds: float, *,
                     remixed_from: str | None = None, **fields: Any) -> Job:  # fmt: skip
        """Queue it, safe on the disk. Raises ApiError or an error of the queue."""
        shared = {"prompt": body.prompt, "negative_prompt": body.negative_prompt, "size": body.size,
                  "steps": body.steps, "guidance": body.guidance, "seed": self.seed(body)}
        task = Task(**{"kind": kind, "model": model, "notes": tuple(self.notes)} | shared | fields)
        size = body.size or f"{able.width}x{able.height}"
        spec = Spec(task, self.owner, seconds_text(whole_seconds), size, remixed_from, self.key, self.batch)
        return await anyio.to_thread.run_sync(partial(self.here.queue.submit, spec, self.files))

    def model(self, body: AnyBody) -> tuple[str, Abilities]:
        name, note = chosen(self.here.models, body.model)
        if note is not None:
            self.notes.append(note)
        abilities: Abilities = self.here.models[name].manzar
        return name, abilities

    def seed(self, body: AnyBody) -> int:
        """As asked for; else any, and the same again under the same idempotency key."""
        if body.seed is not None:
            return body.seed
        if self.key is None:
            return secrets.randbelow(2**31)
        return int.from_bytes(hashlib.sha256(f"{self.owner}\n{self.key}".encode()).digest()[:8]) & MOST_SEED

    def length(self, seconds: float | str | None, param: str) -> float | None:
        most = self.here.settings.max_seconds
        if seconds is not None and float(seconds) > most:
            raise bad(f"{param}: {float(seconds):g} s is more than the {most:g} s that are made here at once", param)
        return None if seconds is None else float(seconds)

    def whole(self, seconds: float) -> float:
        if seconds > MOST_WHOLE_SECONDS:
            raise bad(f"seconds: the whole would last {seconds:g} s; it may last {MOST_WHOLE_SECONDS:g} s", "seconds")
        return seconds

    def boxes(self, body: CreateBody | ExtensionBody | ConnectionBody, able: Abilities) -> dict[str, Any]:
        """The fields about boxes. Raises ApiError for a script that means nothing, or a model that takes none."""
        if body.boxes is None:
            return {"box_guidance": body.box_guidance}
        from manzar.boxes.script import BoxError, read_script

        if able.boxes is None:
            raise bad("boxes: this model has no box control; GET /v1/models tells which have", "boxes")
        try:
            script = read_script(body.boxes)
        except BoxError as error:
            raise bad(str(error), "boxes") from None
        if len(script.objects) > able.boxes["objects"]:
            raise bad(f"boxes: {len(script.objects)} objects; this model holds {able.boxes['objects']} apart", "boxes")
        return {"boxes": body.boxes, "box_guidance": body.box_guidance}

    async def reference(self, reference: Reference | None) -> str | None:
        """The first frame: an upload, a data URL, or a file from before."""
        param = "input_reference"
        if reference is None:
            return await self.file(param, "picture", "image")
        if (reference.image_url is None) == (reference.file_id is None):
            raise bad(f"{param}: give either image_url or file_id", param)
        if reference.image_url is not None:
            found = await self.uploads.data_url(reference.image_url, "picture", param)
        else:
            assert reference.file_id is not None
            asked = (FILES, reference.file_id, self.owner, f"{param}.file_id")
            record = await anyio.to_thread.run_sync(self.here.records.one, *asked)
            found = await self.uploads.copy(self.here.folder(FILES, record["id"]), "picture", param)
        return self.keep("image", found.suffix, found.path)

    async def clip(self, param: str, reference: ById | None, name: str | None = None) -> Clip:
        """A film that was sent, or a video that was made here."""
        if reference is not None:
            return await self.made(reference.id, param, name or param)
        if param not in self.sent.files:
            raise bad(f"Missing required parameter: {param!r}, a file or the id of a video", param,
                      "missing_required_parameter")  # fmt: skip
        found = await self.uploads.part(self.sent.files[param], "film", param)
        return Clip(found.path, self.keep(name or param, found.suffix, found.path), found.seconds)

    async def made(self, id: str, param: str, name: str) -> Clip:
        """The video of another job. Raises ApiError 404 if there is none, 409 if it is not finished."""
        return await anyio.to_thread.run_sync(self._made, id, param, name)

    def _made(self, id: str, param: str, name: str) -> Clip:
        try:
            job = self.here.queue.get(id, self.owner)
        except NoSuchJob as error:
            raise missing(str(error), param) from None
        if job.status != "completed":
            status = job.status.replace("_", " ")
            raise conflict(f"{param}: {id} is {status}; only a completed video can be used", param, "not_finished")
        path = self.uploads.link(self.here.queue.folder(id) / VIDEO)
        seconds = job.frames / job.fps if job.frames and job.fps else float(job.seconds)
        return Clip(path, self.keep(name, ".mp4", path), seconds)

    async def file(self, param: str, kind: Kind, name: str | None = None) -> str | None:
        """The name within the job of a file that may have been sent."""
        if param not in self.sent.files:
            return None
        found = await self.uploads.part(self.sent.files[param], kind, param)
        return self.keep(name or param, found.suffix, found.path)

    def keep(self, name: str, suffix: str, path: Path) -> str:
        self.files[f"{name}{suffix}"] = path
        return f"{name}{suffix}"
