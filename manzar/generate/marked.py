"""A generated film with its marks of origin."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from manzar import __version__
from manzar.generate.folder import PRETRAINED, ModelParts, model_folder
from manzar.generate.inputs import Inputs
from manzar.media import write_stream
from manzar.media.encode import TAGGED
from manzar.nouns import Request
from manzar.provenance import Marks, Stamp, default_folder, finish_file, mark_stream, metadata_of

if TYPE_CHECKING:
    from manzar.nouns import Frames


def write_marked(
    chunks: Iterable[Frames], fps: float, path: str | Path, stamp: Stamp, marks: Marks
) -> tuple[Path, list[str]]:
    """As `write_stream`, with those of `marks` that the format can carry; returns the path and what to know about them.

    Signed with the person's own certificate, which is made the first time.
    """
    suffix = Path(path).suffix.lower()
    able = replace(marks, metadata=marks.metadata and suffix in TAGGED, c2pa=marks.c2pa and suffix == ".mp4")
    told = metadata_of(stamp, able)
    written = write_stream(mark_stream(chunks, fps, stamp, able), fps, path, metadata=told)
    return written, finish_file(written, stamp, able, certificate_folder=default_folder())


def stamp_of(request: Request, inputs: Inputs, model: Path, parts: ModelParts) -> Stamp:
    """What the marks of one film say. Its id follows from all that determines it, so the same film has the same."""
    folder = model_folder(model)
    name = "manzar" if folder == PRETRAINED else folder.name
    asked = repr(replace(request, conditions=())) + repr(inputs) + json.dumps(parts.info, sort_keys=True)
    digest = hashlib.sha256(f"{name} {__version__} {asked}".encode("utf-8", "surrogatepass"))
    for path in (inputs.image, inputs.mask, inputs.boxes, *inputs.clips, *(each for _, each in inputs.keyframes)):
        if path is not None and path.is_file():
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return Stamp(f"video_{digest.hexdigest()[:24]}", name, __version__, request.prompt, request.seed, time.time())
