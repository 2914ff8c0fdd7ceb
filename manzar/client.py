"""A small client for a Manzar server, for what the official one has no method for, and without its size.

    with Client("http://127.0.0.1:8000/v1") as client:
        video = client.wait(client.create("a red boat moves to the left", seconds=4)["id"], print)
        client.download(video["id"], "boat.mp4")

Every answer is the server's JSON as it is, and every refusal an `ApiError`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import httpx2

from manzar.nouns import ManzarError, existing, storage

Video = dict[str, Any]
Source = str | Path  # the id of a video that the server has made, or a file
Variant = Literal["video", "thumbnail", "spritesheet"]

KEY_VARIABLE = "MANZAR_SERVE_KEY"
TIMEOUT_S = 60.0
SILENCE_S = 40.0  # of a stream of events; the server says something every 15 s
ENDED = ("completed", "failed")


class ApiError(ManzarError):
    """The server refused. `status` is 0 where it did not answer at all; `param` names the field at fault."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param


class Client:
    """One server. The key comes from MANZAR_SERVE_KEY where none is given; on loopback none may be needed."""

    def __init__(self, url: str = "http://127.0.0.1:8000/v1", key: str | None = None) -> None:
        key = key or os.environ.get(KEY_VARIABLE)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(base_url=url.rstrip("/") + "/", headers=headers, timeout=TIMEOUT_S)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def create(self, prompt: str, *, image: str | Path | None = None, **fields: Any) -> Video:
        """A new video, queued. fields: seconds, size, seed, steps, guidance, negative_prompt, loop, boxes, model, …"""
        return self._post("videos", {"prompt": prompt} | fields, {"input_reference": image})

    def remix(self, id: str, prompt: str, **fields: Any) -> Video:
        return self._post(f"videos/{id}/remix", {"prompt": prompt} | fields, {})

    def edit(self, prompt: str, video: Source, *, mask: str | Path | None = None, **fields: Any) -> Video:
        return self._post("videos/edits", {"prompt": prompt} | fields, {"video": video, "mask": mask})

    def extend(self, prompt: str, video: Source, **fields: Any) -> Video:
        """fields: seconds (that are added), direction ("forward", "backward"), loop, …"""
        return self._post("videos/extensions", {"prompt": prompt} | fields, {"video": video})

    def connect(self, prompt: str, first: Source, last: Source, **fields: Any) -> Video:
        return self._post("videos/connections", {"prompt": prompt} | fields, {"first": first, "last": last})

    def character(self, name: str, video: str | Path, description: str | None = None) -> dict[str, Any]:
        fields = {"name": name} | ({} if description is None else {"description": description})
        return self._post("videos/characters", fields, {"video": video})

    def retrieve(self, id: str) -> Video:
        return self._ask("GET", f"videos/{id}")

    def delete(self, id: str) -> None:
        self._ask("DELETE", f"videos/{id}")

    def cancel(self, id: str) -> Video:
        return self._ask("POST", f"videos/{id}/cancel")

    def models(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", "models")["data"]
        return found

    def list(self, order: Literal["asc", "desc"] = "desc") -> Iterator[Video]:
        """All videos, a page at a time."""
        after: dict[str, str] = {}
        while True:
            page = self._ask("GET", "videos", params={"limit": 100, "order": order} | after)
            yield from page["data"]
            if not page["has_more"]:
                return
            after = {"after": page["last_id"]}

    def events(self, id: str) -> Iterator[Video]:
        """The video at each change, and at last as it ended."""
        with self._http.stream("GET", f"videos/{id}/events", timeout=SILENCE_S) as stream:
            if stream.is_error:
                stream.read()
                raise refusal(stream)
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def wait(self, id: str, tell: Callable[[Video], object] = lambda _: None) -> Video:
        """The video when it has ended, well or not; `tell` is called with it at each change before."""
        while True:
            try:
                for video in self.events(id):
                    if video["status"] in ENDED:
                        return video
                    tell(video)
            except httpx2.TransportError:
                time.sleep(1.0)  # the server may be starting again; if it is gone for good, the next line says so
            video = self.retrieve(id)
            if video["status"] in ENDED:
                return video

    def download(self, id: str, path: str | Path, variant: Variant = "video") -> Path:
        """What was made, whole or not at all."""
        target = Path(path)
        part = target.with_name(f".{target.name}.part")
        with self._http.stream("GET", f"videos/{id}/content", params={"variant": variant}) as stream:
            if stream.is_error:
                stream.read()
                raise refusal(stream)
            with storage(target), open(part, "wb") as file:
                for chunk in stream.iter_bytes():
                    file.write(chunk)
        return part.replace(target)

    def _post(self, path: str, fields: Mapping[str, Any], given: Mapping[str, Source | None]) -> dict[str, Any]:
        """JSON, or multipart where files go with it."""
        sources = {name: source for name, source in given.items() if source is not None}
        ids = {name: source for name, source in sources.items() if is_id(source)}
        files = {name: existing(source, "file") for name, source in sources.items() if name not in ids}
        if not files:
            return self._ask("POST", path, json=dict(fields) | {name: {"id": str(id)} for name, id in ids.items()})
        form = {name: as_text(value) for name, value in fields.items() if value is not None}
        form |= {f"{name}[id]": str(id) for name, id in ids.items()}
        with ExitStack() as stack:
            parts = {name: (path.name, stack.enter_context(path.open("rb"))) for name, path in files.items()}
            return self._ask("POST", path, data=form, files=parts)

    def _ask(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **content)
        except httpx2.TransportError as error:
            raise ApiError(0, f"{self._http.base_url} does not answer ({error}); is the server running?") from error
        if answer.is_error:
            raise refusal(answer)
        read: dict[str, Any] = answer.json()
        return read


def refusal(answer: httpx2.Response) -> ApiError:
    try:
        error = answer.json()["error"]
        return ApiError(answer.status_code, error["message"], error["code"], error["param"])
    except (ValueError, KeyError, TypeError):
        return ApiError(answer.status_code, f"{answer.url} answered {answer.status_code}; is it a Manzar server?")


def is_id(source: Source) -> bool:
    return isinstance(source, str) and source.startswith("video_") and not Path(source).exists()


def as_text(value: Any) -> str:
    """As multipart has it: structures as JSON, and true rather than True."""
    return value if isinstance(value, str) else json.dumps(value)
