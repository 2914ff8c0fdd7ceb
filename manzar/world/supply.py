"""Finished clips: pixels, captions and truth together."""

from __future__ import annotations

from collections.abc import Iterator

from manzar.nouns import Clip, UsageError, Video, VideoShape
from manzar.world.film import render
from manzar.world.path import truth
from manzar.world.sample import Draw, WorldConfig, sample_scene
from manzar.world.say import captions

BATCH_CLIPS, BATCH_PIXELS = 32, 1 << 23  # how many clips are filmed at once, so that memory stays bounded
VALIDATION_SHARE = 0.05


def clips(
    n: int, seed: int = 0, shape: VideoShape | None = None, fps: float = 8.0, config: WorldConfig | None = None
) -> Iterator[tuple[Video, Clip]]:
    """`n` clips of the scenes seed, seed + 1, ...; the first k of n are the same whatever n is.

    `shape` is 17 frames of 64x64 by default. A clip's `id` and `path` are left empty for the data set to fill in.

    Raises:
        UsageError: fewer than no clips, a rate that is not positive, or a frame too small to show anything.
    """
    shape, config = shape or VideoShape(17, 64, 64), config or WorldConfig()
    if n < 0 or fps <= 0 or shape.frames < 1 or min(shape.height, shape.width) < 8:
        raise UsageError(f"clips: n={n}, fps={fps}, {shape}: needs n >= 0, fps > 0 and at least 1 frame of 8x8")
    return _clips(n, seed, shape, fps, config)


def _clips(n: int, seed: int, shape: VideoShape, fps: float, config: WorldConfig) -> Iterator[tuple[Video, Clip]]:
    batch = max(1, min(BATCH_CLIPS, BATCH_PIXELS // (shape.frames * shape.height * shape.width)))
    for begin in range(0, n, batch):
        seeds = range(seed + begin, seed + min(begin + batch, n))
        scenes = [sample_scene(number, config) for number in seeds]
        for number, scene, frames in zip(seeds, scenes, render(scenes, shape, fps).numpy(), strict=True):
            fate = Draw(~number)  # apart from the scene's own stream
            clip = Clip(
                id="", path="", source=f"world:{number}", start_s=0.0, end_s=shape.frames / fps,
                width=shape.width, height=shape.height, fps=fps, frames=shape.frames,
                captions=captions(scene, fate.bits() >> 32, moving=shape.frames > 1),
                tracks=truth(scene, shape, fps),
                split="val" if fate.uniform() < VALIDATION_SHARE else "train",
            )  # fmt: skip
            yield Video(frames, fps), clip
