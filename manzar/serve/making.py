"""A Task to the files of its result: the request that it is for the model, and the video with its companions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import ceil, floor, log, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import manzar
from manzar.generate.files import frames_for
from manzar.generate.inputs import Inputs
from manzar.media import write_stream
from manzar.nouns import Progress, Request, Stride
from manzar.provenance import Stamp, finish_file, mark_stream, metadata_of
from manzar.serve.jobs import PREVIEW, VIDEO, Job
from manzar.serve.outputs import companions, scaled, write_picture
from manzar.serve.settings import ServeSettings
from manzar.serve.task import Task, sides

if TYPE_CHECKING:
    from manzar.generate import Generator
    from manzar.nouns import Frames

AREA_COUNTS = 0.25
LARGEST = 1.5  # times its own area: what a model is asked to make; beyond that the video is scaled


@dataclass(frozen=True)
class Made:
    """What is to be known of a video that was made."""

    size: str
    generated_size: str
    frames: int
    fps: float
    notes: tuple[str, ...]
    seconds: str


def make(job: Job, generator: Generator, folder: Path, out: Path, settings: ServeSettings, on_step: Progress) -> Made:
    """Makes the video of a job and its companions in `out`; previews go to `folder`, whose input/ has what was given.

    Raises ManzarError for what cannot be made, and whatever `on_step` raises to stop it.
    """
    task = job.task
    request = request_of(task, folder / "input", generator)
    assert request.width is not None and request.height is not None and request.fps is not None, request
    width, height = sides(task.size) if task.size else (request.width, request.height)
    made_as = f"{request.width}x{request.height}"
    stamp = Stamp(job.id, task.model, manzar.__version__, task.prompt, task.seed, job.created_at)
    chunks = Counted(generator.stream(request, on_step, lambda frame, _: write_picture(frame, folder / PREVIEW)))
    marked = mark_stream(scaled(chunks, width, height), request.fps, stamp, settings.marks)
    video = write_stream(marked, request.fps, out / VIDEO, metadata=metadata_of(stamp, settings.marks))
    companions(video, chunks.count)
    notes = [*task.notes, *generator.notes(request)]
    if (width, height) != (request.width, request.height):
        notes.append(f"made as {made_as} and scaled to {width}x{height}")
    notes += finish_file(video, stamp, settings.marks, certificate_folder=settings.certificate)
    seconds = told_seconds(job.seconds, chunks.count / request.fps, generator.parts.vae.stride.time / request.fps)
    return Made(f"{width}x{height}", made_as, chunks.count, request.fps, tuple(notes), seconds)


def request_of(task: Task, given: Path, generator: Generator) -> Request:
    """The complete request of a task whose files lie in `given`. Raises ManzarError for one that cannot be met."""
    inputs = inputs_of(task, given)
    inputs.check()
    request = Request(
        task.prompt, negative_prompt=task.negative_prompt, seed=task.seed, steps=task.steps, guidance=task.guidance,
        box_guidance=task.box_guidance,
    )  # fmt: skip
    if task.size is not None:
        width, height = sides(task.size)
        own = generator.parts.defaults["width"] * generator.parts.defaults["height"]
        area = min(width * height, LARGEST * own)
        width, height = nearest_size(width / height, area, generator.parts.stride)
        request = replace(request, width=width, height=height)
    request = inputs.add_to(request, generator.parts)
    if task.seconds is not None:
        request = replace(request, frames=frames_for(task.seconds, request, inputs, generator))
    return generator.complete(request)


def nearest_size(proportion: float, area: float, stride: Stride) -> tuple[int, int]:
    """(width, height) on the model's grid, at most `area` pixels: as close as can be in proportion and in area.

    Proportions count more, for what differs in them is cut off.
    """

    def misfit(size: tuple[int, int]) -> float:
        width, height = size
        return abs(log(width / height / proportion)) + AREA_COUNTS * abs(log(width * height / area))

    cells = max(1, floor(area / (stride.width * stride.height)))
    rows = min(cells, 2 * ceil(sqrt(area / proportion) / stride.height))  # more of them than that cannot be near
    sizes = [(column * stride.width, row * stride.height)
             for row in range(1, 1 + rows) for column in range(1, 1 + cells // row)]
    return min(sizes, key=misfit)


def inputs_of(task: Task, given: Path) -> Inputs:
    def path(name: str | None) -> Path | None:
        return None if name is None else given / name

    values: dict[str, Any] = {"image": path(task.image), "loop": task.loop, "boxes": boxes_file(task, given)}
    video = path(task.video)
    if task.kind == "extension":
        values |= {"extend": video, "direction": task.direction}
    elif task.kind == "connection":
        values |= {"connect": (video, path(task.last))}
    elif video is not None:
        values |= {"edit": video, "strength": task.strength, "mask": path(task.mask)}
    return Inputs(**values)


def boxes_file(task: Task, given: Path) -> Path | None:
    if task.boxes is None:
        return None
    path = given / "boxes.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(task.boxes), encoding="utf-8")
    return path


def told_seconds(nominal: str, seconds: float, grain: float) -> str:
    """The length as the API tells it: what was asked for, if the model came within its grain of that; else the truth.

    A model makes 1 + r·k frames, so that "4" is 4.125 s at 8 frames per second; nobody means that by a 4.
    """
    try:
        close = abs(float(nominal) - seconds) <= grain
    except ValueError:
        close = False
    return nominal if close else f"{round(seconds, 3):g}"


class Counted:
    """Chunks of frames, and how many frames have come."""

    def __init__(self, chunks: Iterable[Frames]) -> None:
        self.chunks, self.count = chunks, 0

    def __iter__(self) -> Iterator[Frames]:
        for chunk in self.chunks:
            self.count += len(chunk)
            yield chunk
