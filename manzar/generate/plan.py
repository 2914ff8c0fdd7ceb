"""What a request leaves open, and what that makes of it: sizes, rates, lengths, and how given clips lie in time."""

from __future__ import annotations

from dataclasses import replace

from manzar.generate.boxes import Boxes
from manzar.generate.conditions import Given, Join, Loop, check_together
from manzar.generate.fitting import Canvas, matching
from manzar.generate.folder import ModelParts
from manzar.generate.timeline import CONTEXT, SMALLEST, Timeline, context
from manzar.nouns import Request, UsageError, VideoShape


def complete(request: Request, parts: ModelParts) -> Request:
    """The request with nothing left open and its conditions fitted; a complete one comes back as it is.

    Raises UsageError for numbers that no video can have and for conditions that contradict each other or do not fit,
    ShapeError with the nearest size for one off the model's grid.
    """
    check_together(request.conditions)
    canvas = fill_in(request, parts)
    if any(isinstance(each, Loop) and each.video is None for each in request.conditions):
        timeline = lay_out(replace(request, frames=canvas.frames), parts)
        canvas = replace(canvas, frames=timeline.frames(parts.stride.time))
    request = replace(
        request,
        height=canvas.height,
        width=canvas.width,
        fps=canvas.fps,
        steps=int(parts.defaults["steps"]) if request.steps is None else request.steps,
        guidance=parts.defaults["guidance"] if request.guidance is None else request.guidance,
    )
    check(replace(request, frames=canvas.frames))
    free = any(each.any_length for each in givens(request))
    VideoShape(1 if free else canvas.frames, canvas.height, canvas.width).latent(parts.stride)
    fitted = (each.fit(canvas) if isinstance(each, Given) else each for each in request.conditions)
    request = replace(request, conditions=tuple(fitted))
    frames = canvas.frames
    if any(isinstance(each, Join) for each in request.conditions):
        frames = lay_out(request, parts).frames(parts.stride.time)
    made = replace(canvas, frames=frames)
    placed = (each.fit(made, parts.control) if isinstance(each, Boxes) else each for each in request.conditions)
    return replace(request, frames=frames, conditions=tuple(placed))


def givens(request: Request) -> list[Given]:
    return [each for each in request.conditions if isinstance(each, Given)]


def fill_in(request: Request, parts: ModelParts) -> Canvas:
    """Rate, length and size: as asked for, else as what is given has them, else the model's own.

    The size is in the proportions of what is given, so that nothing of it is cut off.
    """
    defaults, given = parts.defaults, givens(request)
    fps = float(defaults["fps"] if request.fps is None else request.fps)
    height, width = int(defaults["height"]), int(defaults["width"])
    sizes = [each.size for each in given if each.size is not None]
    if sizes and request.height is None and request.width is None:
        shape = matching(*sizes[0], height * width, parts.stride)
        height, width = shape.height, shape.width
    lengths = [each.frames_at(fps) for each in given] if 0 < fps < float("inf") else []
    own = next((length for length in lengths if length is not None), int(defaults["frames"]))
    return Canvas(
        own if request.frames is None else request.frames,
        height if request.height is None else request.height,
        width if request.width is None else request.width,
        fps,
        parts.stride,
    )


def window_limit(parts: ModelParts) -> int | None:
    """Latent frames of the longest video that the model was trained on, None where that is not known."""
    frames = parts.defaults.get("window")
    return None if frames is None else 1 + (int(frames) - 1) // parts.stride.time


def lay_out(request: Request, parts: ModelParts) -> Timeline:
    """How the request, whose conditions are fitted, lies in time."""
    r = parts.stride.time
    usual = 1 + (int(parts.defaults["frames"]) - 1) // r
    join = next((each for each in request.conditions if isinstance(each, Join)), None)
    made = usual if request.frames is None else 1 + -(-(request.frames - 1) // r)
    if join is None:
        return Timeline(made)
    size = max(SMALLEST, window_limit(parts) or usual)
    if isinstance(join, Loop) and join.video is None:
        if made < 2:
            raise UsageError(f"a loop of {request.frames} frames is too short; this model needs at least {1 + r}")
        again = min(CONTEXT, made - 1, CONTEXT if (limit := window_limit(parts)) is None else limit - made)
        if again > 0:
            return Timeline(made, again=again)
        return Timeline(made, 0, context(min(size, max(SMALLEST, made)), two_sided=True)[1], closing=True)
    front, back = join.clips
    before, after = context(size, two_sided=None not in (front, back))
    if join.context is not None:
        before, after = min(1 + (join.context - 1) // r, size - 1), min(max(1, join.context // r), size - 2)
    before = 0 if front is None else min(before, 1 + (len(front.frames) - 1) // r)
    after = 0 if back is None else min(after, max(1, len(back.frames) // r))
    if request.frames is None:
        made = size - before - after
    else:
        made = max(1, round(request.frames / r)) if before else 1 + round((request.frames - 1) / r)
    return Timeline(made, before, after, backward=front is None)


def check(request: Request) -> None:
    """Raise UsageError for a number that no video can have. Sizes off the grid are `VideoShape.latent`'s to refuse."""
    for name in ("frames", "height", "width", "steps", "count"):
        value = getattr(request, name)
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}; it must be at least 1")
    for name, least in (("fps", 0.0), ("guidance", -float("inf")), ("box_guidance", -float("inf"))):
        value = getattr(request, name)
        if value is not None and not least < value < float("inf"):
            raise UsageError(f"{name} is {value}; it must be a finite number" + (" above 0" if least == 0 else ""))
    if not 0 <= request.seed <= 2**63 - request.count:
        raise UsageError(f"seed is {request.seed}; it must be in 0 … 2^63 - count")
