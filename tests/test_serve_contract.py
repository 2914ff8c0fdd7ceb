"""The wire, without any client: requests as bytes, as they were captured from the official one, and what comes back.

No reference server is left, so these recordings are the reference.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from serving import House, film, running

ID = r"video_[0-9a-f]{24}"
VIDEO_FIELDS = {"id", "object", "created_at", "completed_at", "expires_at", "status", "progress", "model", "prompt",
                "seconds", "size", "remixed_from_video_id", "error"}  # fmt: skip
OWN_FIELDS = {"kind", "seed", "steps", "frames", "fps", "generated_size", "notes", "cost_seconds", "eta_seconds",
              "preview_url"}  # fmt: skip
CLIENT = "accept: application/json\r\nuser-agent: OpenAI/Python 3.54.0\r\nx-stainless-lang: python\r\n" \
         "x-stainless-retry-count: 0\r\nauthorization: Bearer any\r\n"  # fmt: skip


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        assert self.headers["content-type"] == "application/json"
        read: dict[str, object] = json.loads(self.body)
        return read


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running(tmp_path_factory.mktemp("contract")) as one:
        yield one


def ask(house: House, line: str, headers: str = "", body: bytes = b"") -> Answer:
    """One request on a connection of its own."""
    host, port = house.url.removeprefix("http://").split(":")
    length = f"content-length: {len(body)}\r\n" if body else ""
    head = f"{line} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n{CLIENT}{length}{headers}\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as wire:
        wire.sendall(head.encode() + body)
        raw = b"".join(iter(lambda: wire.recv(65536), b""))
    top, _, rest = raw.partition(b"\r\n\r\n")
    first, *lines = top.decode().split("\r\n")
    found = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
    return Answer(int(first.split(" ")[1]), found, rest)


def form(**fields: str | tuple[str, bytes]) -> tuple[str, bytes]:
    """A multipart body as the client sends it; names may hold brackets (as `a__b` for a[b])."""
    parts = []
    for name, value in fields.items():
        name = re.sub(r"__(\w+)", r"[\1]", name)
        if isinstance(value, str):
            parts.append(f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
        else:
            head = (f'--xyz\r\nContent-Disposition: form-data; name="{name}"; filename="{value[0]}"\r\n'
                    "Content-Type: application/octet-stream\r\n\r\n")
            parts.append(head.encode() + value[1] + b"\r\n")
    return "content-type: multipart/form-data; boundary=xyz\r\n", b"".join(parts) + b"--xyz--\r\n"


def finished(house: House, id: object) -> dict[str, object]:
    for _ in range(500):
        video = ask(house, f"GET /v1/videos/{id}").json
        if video["status"] in ("completed", "failed"):
            return video
        house.worker.ended.wait(0.02)
    raise AssertionError(f"{id} is not finished")


@pytest.fixture(scope="module")
def done(house: House) -> dict[str, object]:
    return finished(house, ask(house, "POST /v1/videos", *form(prompt="a red circle", seconds="4")).json["id"])


def test_create_answers_with_a_queued_video(house: House) -> None:
    answer = ask(house, "POST /v1/videos", *form(prompt="a red circle", model="sora-2", seconds="4", size="720x1280"))
    video = answer.json
    assert answer.status == 200 and set(video) == VIDEO_FIELDS | OWN_FIELDS
    assert re.fullmatch(ID, str(video["id"])) and isinstance(video["created_at"], int)
    told = {name: video[name] for name in ("object", "status", "progress", "prompt", "seconds", "size", "error")}
    assert told == {"object": "video", "status": "queued", "progress": 0, "prompt": "a red circle", "seconds": "4",
                    "size": "720x1280", "error": None}  # fmt: skip
    assert 250 <= int(answer.headers["openai-poll-after-ms"]) <= 5000
    assert re.fullmatch(r"req_[0-9a-f]{24}", answer.headers["x-request-id"])


def test_json_is_read_as_well(house: House) -> None:
    body = json.dumps({"prompt": "ایک سرخ دائرہ", "seconds": "4", "seed": 7, "loop": True}).encode()
    video = ask(house, "POST /v1/videos", "content-type: application/json\r\n", body).json
    assert (video["prompt"], video["seed"]) == ("ایک سرخ دائرہ", 7)


def test_a_finished_video(done: dict[str, object]) -> None:
    assert (done["status"], done["progress"], done["seconds"], done["cost_seconds"]) == ("completed", 100, "4", 0.5)
    assert (done["frames"], done["fps"], done["generated_size"]) == (9, 8.0, "64x64")
    assert isinstance(done["completed_at"], int) and isinstance(done["expires_at"], int)


def test_a_failed_video_has_its_reason(house: House) -> None:
    failed = finished(house, ask(house, "POST /v1/videos", *form(prompt="FAIL")).json["id"])
    assert failed["status"] == "failed"
    assert failed["error"] == {"code": "out_of_memory", "message": "it needs more memory than there is", "param": None,
                               "type": "server_error"}  # fmt: skip


def test_the_list_is_a_page(house: House, done: dict[str, object]) -> None:
    page = ask(house, "GET /v1/videos?limit=1&order=asc").json
    assert set(page) == {"object", "data", "first_id", "last_id", "has_more"} and page["object"] == "list"
    (video,) = page["data"]  # type: ignore[misc]
    assert page["first_id"] == page["last_id"] == video["id"]
    empty = ask(house, f"GET /v1/videos?after={newest(house)}&order=asc").json
    assert (empty["data"], empty["last_id"], empty["has_more"]) == ([], None, False)


def newest(house: House) -> object:
    return ask(house, "GET /v1/videos?limit=1").json["first_id"]


def test_remix_edit_and_extend(house: House, done: dict[str, object]) -> None:
    id = str(done["id"])
    body = json.dumps({"prompt": "blue"}).encode()
    remix = ask(house, f"POST /v1/videos/{id}/remix", "content-type: application/json\r\n", body).json
    assert (remix["remixed_from_video_id"], remix["kind"]) == (id, "remix")
    edit = ask(house, "POST /v1/videos/edits", *form(prompt="blue", video__id=id)).json
    assert (edit["remixed_from_video_id"], edit["kind"]) == (id, "edit")
    longer = ask(house, "POST /v1/videos/extensions", *form(prompt="on", seconds="8", video__id=id)).json
    assert (longer["seconds"], longer["kind"]) == ("9.125", "extension")
    both = ask(house, "POST /v1/videos/connections", *form(prompt="on", first__id=id, last__id=id, seconds="2")).json
    assert (both["seconds"], both["kind"]) == ("4.25", "connection")


def test_a_character(house: House, tmp_path: Path) -> None:
    clip = film(tmp_path / "c.mp4").read_bytes()
    made = ask(house, "POST /v1/videos/characters", *form(name="Mira", video=("c.mp4", clip))).json
    assert {"id", "created_at", "name"} <= set(made) and made["name"] == "Mira"
    assert ask(house, f"GET /v1/videos/characters/{made['id']}").json == made
    gone = ask(house, f"DELETE /v1/videos/characters/{made['id']}").json
    assert gone == {"id": made["id"], "object": "character.deleted", "deleted": True}


def test_delete(house: House) -> None:
    id = ask(house, "POST /v1/videos", *form(prompt="gone soon")).json["id"]
    assert ask(house, f"DELETE /v1/videos/{id}").json == {"id": id, "object": "video.deleted", "deleted": True}
    assert ask(house, f"DELETE /v1/videos/{id}").status == 404


def test_content_and_its_variants(house: House, done: dict[str, object]) -> None:
    for query, kind in (("", "video/mp4"), ("?variant=video", "video/mp4"), ("?variant=thumbnail", "image/webp"),
                        ("?variant=spritesheet", "image/jpeg")):  # fmt: skip
        answer = ask(house, f"GET /v1/videos/{done['id']}/content{query}")
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        assert len(answer.body) == int(answer.headers["content-length"]) > 50
    wrong = ask(house, f"GET /v1/videos/{done['id']}/content?variant=audio")
    assert (wrong.status, error_of(wrong)["param"]) == (400, "variant")


def test_parts_of_the_content(house: House, done: dict[str, object]) -> None:
    path = f"GET /v1/videos/{done['id']}/content"
    whole = ask(house, path).body
    size = len(whole)
    for text, part in (("0-9", slice(0, 10)), (f"{size - 5}-", slice(size - 5, None)), ("-7", slice(-7, None)),
                       (f"10-{size * 2}", slice(10, None))):  # fmt: skip
        answer = ask(house, path, f"range: bytes={text}\r\n")
        assert (answer.status, answer.body) == (206, whole[part]), text
        assert answer.headers["content-range"].endswith(f"/{size}")
    beyond = ask(house, path, f"range: bytes={size}-\r\n")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert error_of(beyond)["code"] == "range"
    for nonsense in ("bytes=9-3", "bytes=a-b", "lines=1-2", "bytes=-"):
        assert ask(house, path, f"range: {nonsense}\r\n").body == whole
    tag = ask(house, path).headers["etag"]
    assert ask(house, path, f"if-none-match: {tag}\r\n").status == 304


def error_of(answer: Answer) -> dict[str, object]:
    error = answer.json["error"]
    assert isinstance(error, dict) and set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str) and len(error["message"]) > 8
    return error


WRONG: list[tuple[str, dict[str, str], int, str | None]] = [
    ("POST /v1/videos", {}, 400, "prompt"),
    ("POST /v1/videos", {"prompt": " "}, 400, "prompt"),
    ("POST /v1/videos", {"prompt": "x", "promt": "y"}, 400, "promt"),
    ("POST /v1/videos", {"prompt": "x", "seconds": "four"}, 400, "seconds"),
    ("POST /v1/videos", {"prompt": "x", "seconds": "0"}, 400, "seconds"),
    ("POST /v1/videos", {"prompt": "x", "seconds": "inf"}, 400, "seconds"),
    ("POST /v1/videos", {"prompt": "x", "seconds": "2000"}, 400, "seconds"),
    ("POST /v1/videos", {"prompt": "x", "size": "big"}, 400, "size"),
    ("POST /v1/videos", {"prompt": "x", "size": "63x64"}, 400, "size"),
    ("POST /v1/videos", {"prompt": "x", "seed": "-1"}, 400, "seed"),
    ("POST /v1/videos", {"prompt": "x", "steps": "0"}, 400, "steps"),
    ("POST /v1/videos", {"prompt": "x", "guidance": "nan"}, 400, "guidance"),
    ("POST /v1/videos", {"prompt": "x", "boxes": "{"}, 400, "boxes"),
    ("POST /v1/videos", {"prompt": "x", "model": "veo"}, 404, "model"),
    ("POST /v1/videos", {"prompt": "x", "input_reference__image_url": "https://a.example/x"}, 400, "input_reference"),
    ("POST /v1/videos", {"prompt": "x", "input_reference__image_url": "file:///etc/passwd"}, 400, "input_reference"),
    ("POST /v1/videos", {"prompt": "x", "input_reference__file_id": "file_1"}, 404, "input_reference.file_id"),
    ("POST /v1/videos/edits", {"prompt": "x"}, 400, "video"),
    ("POST /v1/videos/edits", {"prompt": "x", "video__id": "video_1"}, 404, "video"),
    ("POST /v1/videos/extensions", {"prompt": "x", "direction": "up"}, 400, "direction"),
    ("POST /v1/videos/characters", {"name": "x"}, 400, "video"),
    ("GET /v1/videos?limit=0", {}, 400, "limit"),
    ("GET /v1/videos?order=up", {}, 400, "order"),
    ("GET /v1/videos?after=video_1", {}, 404, "after"),
    ("GET /v1/nothing", {}, 404, None),
    ("PUT /v1/videos", {}, 405, None),
]


@pytest.mark.parametrize(("line", "fields", "status", "param"), WRONG, ids=[f"{w[0]} {w[1]}"[:70] for w in WRONG])
def test_what_is_wrong_is_named(
    house: House, line: str, fields: dict[str, str], status: int, param: str | None
) -> None:
    answer = ask(house, line, *(form(**fields) if line.startswith("POST") else ("", b"")))
    assert (answer.status, error_of(answer)["param"]) == (status, param)


def test_bodies_of_another_kind_are_refused(house: House) -> None:
    assert ask(house, "POST /v1/videos", "content-type: text/plain\r\n", b'{"prompt": "x"}').status == 415
    assert ask(house, "POST /v1/videos", "content-type: application/json\r\n", b'{"prompt": ').status == 400
    assert ask(house, "POST /v1/videos", "content-type: application/json\r\n", b'["prompt"]').status == 400
    assert ask(house, "POST /v1/videos", "content-type: multipart/form-data\r\n", b"--x").status == 400
    lone = rb'{"prompt": "\ud800"}'
    assert ask(house, "POST /v1/videos", "content-type: application/json\r\n", lone).status == 400
