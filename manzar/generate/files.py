"""A prompt to files on disk: what `manzar generate` does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from manzar.generate.conditions import FirstFrame
from manzar.generate.generator import load
from manzar.media import read, write
from manzar.nouns import Condition, Progress, Request, UsageError, VideoShape

SUFFIXES = (".mp4", ".webm", ".gif", ".webp", ".png", "")


def generate_files(
    prompt: str,
    model: Path,
    out: Path,
    *,
    width: int | None = None,
    height: int | None = None,
    seconds: float | None = None,
    frames: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    negative_prompt: str = "",
    seed: int = 0,
    count: int = 1,
    first_frame: Path | None = None,
    on_step: Progress | None = None,
) -> dict[str, Any]:
    """Generate and write; returns the object that `--json` prints, less its total seconds.

    Raises UsageError for a request that cannot be met, before the model runs.
    """
    if seconds is not None and frames is not None:
        raise UsageError(f"give --seconds {seconds:g} or --frames {frames}, not both")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise UsageError(f"--seconds is {seconds:g}; it must be a number above 0")
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{out}: unknown kind of file; use one of {', '.join(SUFFIXES[:-1])} or a folder")
    conditions: list[Condition] = [FirstFrame(read(first_frame, max_frames=1))] if first_frame else []
    generator = load(model)
    defaults = generator.parts.defaults
    if seconds is not None:
        wanted = VideoShape(
            max(1, round(seconds * defaults["fps"])), height or int(defaults["height"]), width or int(defaults["width"])
        )
        frames = wanted.nearest(generator.parts.stride).frames
    request = generator.complete(
        Request(prompt, frames, height, width, None, steps, guidance, negative_prompt, seed, count, conditions)
    )
    if out.suffix.lower() == ".png" and request.frames != 1:
        raise UsageError(f"{out}: one .png holds one frame, not {request.frames}; add --frames 1, or name a folder")
    begun = time.monotonic()
    videos = generator.generate(request, on_step)
    assert request.steps is not None, request
    per_step = (time.monotonic() - begun) / request.steps
    rows = []
    for index, video in enumerate(videos):
        target = numbered(out, index, count)
        path = write(video, target if target.suffix else f"{target}/")  # no extension: a folder of frames
        shape = video.shape
        rows.append(
            {
                "path": str(path),
                "frames": shape.frames,
                "width": shape.width,
                "height": shape.height,
                "fps": video.fps,
                "seed": seed + index,
                "notes": [],
            }
        )
    return {"videos": rows, "steps": request.steps, "seconds_per_step": per_step}


def numbered(out: Path, index: int, count: int) -> Path:
    """out.mp4, or out-0.mp4, out-1.mp4, … when there are several."""
    return out if count == 1 else out.with_name(f"{out.stem}-{index}{out.suffix}")
