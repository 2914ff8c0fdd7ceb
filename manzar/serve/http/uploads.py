"""Files that people send: told by their first bytes, kept under fixed names, decoded once under limits, then believed.

Nothing is fetched from anywhere: a file comes in the request itself, as a data URL, or was uploaded before.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import anyio.to_thread
from starlette.datastructures import UploadFile

from manzar.nouns import storage
from manzar.serve.http.context import Context
from manzar.serve.http.errors import ApiError, bad, unfit

MOST_SECONDS = 120.0  # of a film that is uploaded
MOST_PIXELS = 4096 * 4096  # of one picture
LOOKING_S = 60.0
HEAD_BYTES = 16
CHUNK_BYTES = 1 << 20

Kind = Literal["film", "picture"]

# What files begin with: (where, bytes) → the family. Anything else is refused before a decoder sees it.
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftypavif", "avif"), (4, b"ftypavis", "avif"), (4, b"ftyp", "mp4"), (4, b"moov", "mp4"), (4, b"wide", "mp4"),
    (0, b"\x1aE\xdf\xa3", "matroska"), (8, b"AVI ", "avi"), (8, b"WEBP", "webp"), (0, b"GIF8", "gif"),
    (0, b"\x89PNG\r\n\x1a\n", "png"), (0, b"\xff\xd8\xff", "jpeg"), (0, b"OggS", "ogg"), (0, b"FLV\x01", "flv"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"), (0, b"\x00\x00\x01\xba", "mpeg"), (0, b"\x00\x00\x01\xb3", "mpeg"),
    (0, b"DKIF", "ivf"), (0, b"YUV4MPEG2 ", "y4m"), (0, b"\x00\x00\x00\x01", "raw"), (0, b"\x00\x00\x01", "raw"),
    (0, b"G", "ts"),
)  # fmt: skip
NAMED: Mapping[str, str] = {  # what a name promises
    "mp4": "mp4", "m4v": "mp4", "mov": "mp4", "3gp": "mp4", "webm": "matroska", "mkv": "matroska", "avi": "avi",
    "webp": "webp", "gif": "gif", "png": "png", "apng": "png", "jpg": "jpeg", "jpeg": "jpeg", "ogv": "ogg",
    "flv": "flv", "wmv": "asf", "asf": "asf", "mpg": "mpeg", "mpeg": "mpeg", "ivf": "ivf", "y4m": "y4m",
    "ts": "ts", "avif": "avif", "h264": "raw", "h265": "raw", "264": "raw", "265": "raw", "hevc": "raw",
}  # fmt: skip
SUFFIX = {"matroska": ".mkv", "jpeg": ".jpg", "mpeg": ".mpg", "ogg": ".ogv", "asf": ".wmv", "raw": ".h264"}


@dataclass(frozen=True)
class Upload:
    """A file that was found good. `seconds` is its true length, `frames` how many pictures it has."""

    path: Path
    suffix: str
    width: int
    height: int
    fps: float
    frames: int
    seconds: float


class Uploads:
    """The files of one request, until they belong to a job; whatever is left at the end is removed."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._paths: list[Path] = []

    def __enter__(self) -> Uploads:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._paths:
            path.unlink(missing_ok=True)

    def place(self, suffix: str = "") -> Path:
        """A name that nobody chose."""
        path = self.context.incoming / f"{secrets.token_hex(12)}{suffix}"
        self._paths.append(path)
        return path

    async def part(self, part: UploadFile, kind: Kind, param: str, middle: Path | None = None) -> Upload:
        """A file of a multipart body. Raises ApiError 400, 413 or 422 for one that is no good."""
        check_name(part.filename or "", param)
        path = await anyio.to_thread.run_sync(self._save, part.file, param)
        return await self.look(path, kind, param, part.filename or "", middle)

    async def data_url(self, url: str, kind: Kind, param: str) -> Upload:
        """A picture or film in the text of a field."""
        path = await anyio.to_thread.run_sync(self._save_bytes, read_data_url(url, param))
        return await self.look(path, kind, param)

    async def copy(self, source: Path, kind: Kind, param: str) -> Upload:
        """A file that was uploaded before."""
        return await self.look(await anyio.to_thread.run_sync(self.link, source), kind, param)

    def link(self, source: Path, suffix: str = "") -> Path:
        """The same file once more, without copying where the disk can do that."""
        path = self.place(suffix)
        with storage(path):
            try:
                os.link(source, path)
            except OSError:
                shutil.copyfile(source, path)
        return path

    async def look(self, path: Path, kind: Kind, param: str, name: str = "", middle: Path | None = None) -> Upload:
        family = told_by(path)
        if family is None:
            raise unfit(f"{param}: this is no {kind} of a kind that can be read, whatever it is called", param)
        promised = NAMED.get(name.rpartition(".")[2].lower())
        if promised not in (None, family):
            raise unfit(f"{param}: it is named as {promised}, and is {family}; give it its true name", param)
        async with self.context.looking:
            found = await inspected(path, param, middle)
        if kind == "film" and found.frames < 2:
            raise unfit(f"{param}: it holds a single picture; a film is needed here", param)
        return found

    def _save(self, file: IO[bytes], param: str) -> Path:
        path, most = self.place(), self.context.settings.max_upload_bytes
        with storage(path), open(path, "xb") as out:
            while chunk := file.read(CHUNK_BYTES):
                out.write(chunk)
                if out.tell() > most:
                    raise ApiError(413, f"{param}: larger than {most / 2**20:.0f} MiB", param=param, code="too_large")
        return path

    def _save_bytes(self, data: bytes) -> Path:
        path = self.place()
        with storage(path):
            path.write_bytes(data)
        return path


async def inspected(path: Path, param: str, middle: Path | None) -> Upload:
    """What a process of its own finds out about a file. Raises ApiError 422."""
    command = [sys.executable, "-m", "manzar.serve.http.inspection", str(path), str(MOST_SECONDS), str(MOST_PIXELS)]
    process = await asyncio.create_subprocess_exec(
        *command, *([str(middle)] if middle else []), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(LOOKING_S):
            out, _ = await process.communicate()
    except TimeoutError:
        raise unfit(f"{param}: decoding it takes more than {LOOKING_S:g} s; send less of it", param) from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    try:
        told = json.loads(out)
    except ValueError:
        raise unfit(f"{param}: it breaks the decoder", param) from None
    if "error" in told:
        raise unfit(f"{param}: {told['error']}", param)
    family = told_by(path) or ""
    return Upload(path, SUFFIX.get(family, f".{family}"), **told)


def told_by(path: Path) -> str | None:
    """The family of a file by its first bytes, None for one that is no film or picture."""
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    return next((family for start, mark, family in SIGNATURES if head[start : start + len(mark)] == mark), None)


def check_name(name: str, param: str) -> None:
    """File names are not used for anything; one that tries to be a path is refused all the same."""
    if "/" in name or "\\" in name or name in (".", "..") or any(ord(letter) < 32 for letter in name):
        raise bad(f"{param}: {name!r} is no plain file name", param, "invalid_filename")


def read_data_url(url: str, param: str) -> bytes:
    """The bytes within "data:image/png;base64,…". Raises ApiError 400 for anything else, remote addresses above all."""
    head, comma, text = url.partition(",")
    if not head.startswith("data:"):
        raise bad(f"{param}: nothing is fetched from other servers; send the file itself, or a data: URL", param,
                  "remote_url")  # fmt: skip
    if not comma or not head.endswith(";base64"):
        raise bad(f"{param}: a data URL is written data:image/png;base64,…", param, "invalid_data_url")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise bad(f"{param}: the data URL is not base64 ({error})", param, "invalid_data_url") from None


def clear(folder: Path) -> None:
    """`folder`, empty: what a server that was killed had not finished taking in is of no use."""
    with storage(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
