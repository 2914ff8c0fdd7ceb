"""A prompt to files on disk: what `manzar generate` does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manzar.generate.folder import PRETRAINED
from manzar.generate.generator import Generator, load
from manzar.generate.inputs import Inputs
from manzar.generate.marked import stamp_of, write_marked
from manzar.generate.plan import fill_in
from manzar.media import write_stream
from manzar.nouns import Progress, Request, UsageError, VideoShape
from manzar.provenance.marks import MACHINE_READABLE, Marks, Stamp

if TYPE_CHECKING:
    from manzar.nouns import Frames

SUFFIXES = (".mp4", ".webm", ".gif", ".webp", ".png", "")


def generate_files(
    request: Request,
    out: Path,
    *,
    model: Path = PRETRAINED,
    control: Path | None = None,
    inputs: Inputs = Inputs(),  # noqa: B008 (frozen)
    seconds: float | None = None,
    marks: Marks = MACHINE_READABLE,
    on_step: Progress | None = None,
) -> dict[str, Any]:
    """Generate and write; returns the object that `--json` prints, less its total seconds.

    seconds: the request's length, instead of its frames. marks: of origin; a format gets those it can carry.
    Raises UsageError for a request that cannot be met, before the model runs.
    """
    check_length(seconds, request.frames)
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{out}: unknown kind of file; use one of {', '.join(SUFFIXES[:-1])} or a folder")
    inputs.check()
    generator = load(model, control=control)
    request = inputs.add_to(request, generator.parts)
    if seconds is not None:
        request = replace(request, frames=frames_for(seconds, request, inputs, generator))
    request = generator.complete(request)
    if out.suffix.lower() == ".png" and (request.frames != 1 or inputs.adds):
        raise UsageError(f"{out}: one .png holds one frame, not {request.frames}; add --frames 1, or name a folder")
    notes, rows = generator.notes(request), []
    begun, clock = time.monotonic(), Clock(on_step)
    for part in (parts := split(request, generator)):
        for index, chunks in enumerate(films(generator, part, clock.of(len(parts)))):
            seed = part.seed + index
            stamp = stamp_of(replace(part, seed=seed, count=1), inputs, model, generator.parts)
            row = write_film(chunks, part, numbered(out, seed - request.seed, request.count), stamp, marks)
            rows.append(row | {"seed": seed, "notes": notes + row["notes"]})
    per_step = (time.monotonic() - begun) / max(1, clock.steps)
    return {"videos": rows, "steps": request.steps, "seconds_per_step": per_step}


def check_length(seconds: float | None, frames: int | None) -> None:
    if seconds is not None and frames is not None:
        raise UsageError(f"give --seconds {seconds:g} or --frames {frames}, not both")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise UsageError(f"--seconds is {seconds:g}; it must be a number above 0")


def frames_for(seconds: float, request: Request, inputs: Inputs, generator: Generator) -> int:
    """The length in frames, to the nearest that the model can make."""
    canvas = fill_in(request, generator.parts)
    frames = max(1, round(seconds * canvas.fps))
    if inputs.clips:
        return frames
    return VideoShape(frames, canvas.height, canvas.width).nearest(generator.parts.stride).frames


def split(request: Request, generator: Generator) -> list[Request]:
    """All videos together where each is one window; longer ones one after another, so that each can be streamed."""
    if request.count == 1 or len(generator.windows(request)) == 1:
        return [request]
    return [replace(request, seed=request.seed + index, count=1) for index in range(request.count)]


def films(generator: Generator, request: Request, on_step: Progress) -> Iterator[Iterable[Frames]]:
    """Each video of the request as chunks of frames."""
    if request.count == 1:
        yield generator.stream(request, on_step)
    else:
        yield from ([video.frames] for video in generator.generate(request, on_step))


def write_film(
    chunks: Iterable[Frames], request: Request, path: Path, stamp: Stamp | None = None, marks: Marks = MACHINE_READABLE
) -> dict[str, Any]:
    """Write one video as it comes; returns path, frames, width, height, fps and notes. Without a stamp it is unmarked,
    which is how films to be scored are written."""
    assert request.fps is not None, request
    count = 0

    def seen() -> Iterator[Frames]:
        nonlocal count
        for chunk in chunks:
            count += len(chunk)
            yield chunk

    target = path if path.suffix else f"{path}/"  # no extension: a folder of frames
    if stamp is None:
        written, notes = write_stream(seen(), request.fps, target), list[str]()
    else:
        written, notes = write_marked(seen(), request.fps, target, stamp, marks)
    return {"path": str(written), "frames": count, "width": request.width, "height": request.height,
            "fps": request.fps, "notes": notes}  # fmt: skip


def numbered(out: Path, index: int, count: int) -> Path:
    """out.mp4, or out-0.mp4, out-1.mp4, … when there are several."""
    return out if count == 1 else out.with_name(f"{out.stem}-{index}{out.suffix}")


class Clock:
    """Counts the steps of several generations as if they were one."""

    def __init__(self, on_step: Progress | None) -> None:
        self.on_step, self.steps = on_step, 0

    def of(self, parts: int) -> Progress:
        """Progress of one of so many equal parts."""

        def tick(done: int, total: int, detail: str) -> None:
            self.steps += 1
            if self.on_step is not None:
                self.on_step(self.steps, parts * total, detail)

        return tick
