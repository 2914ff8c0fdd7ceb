"""One moving picture of every task, from a model, for people to look at; and the table of them for a page.

    python scripts/gallery.py --model FOLDER --out docs/images/gallery

Given clips and pictures are filmed in the procedural world. Whatever is given is framed in gray for as long as it is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from door import run_script
from PIL import Image

from manzar.generate import Connect, Edit, Extend, FirstFrame, Generator, Keyframes, Loop, load
from manzar.generate.folder import PRETRAINED
from manzar.media import write
from manzar.nouns import Frames, Request, Video, VideoShape
from manzar.world import Scene, WorldConfig, caption, render, sample_scene

SCALE = 2  # pixels of the page for one of the model
PROMPTS = (
    ("English", "A large red circle moves to the right in front of the sea."),
    ("中文", "一个蓝色的圆形向下移动，背景是黄色。"),
    ("हिन्दी", "घास के मैदान के सामने एक बड़ा बैंगनी वर्ग बाईं ओर जा रहा है।"),
    ("اردو", "تاروں بھری رات کے سامنے ایک نارنجی ستارہ گھوم رہا ہے۔"),
    ("العربية", "دائرة خضراء كبيرة تتحرك إلى الأعلى، والخلفية بيضاء."),
)


def scene(seed: int, **config: object) -> Scene:
    plain = {"actors": (1, 1), "looks": ("flat",), "cameras": ("still",), "held_out": "any"} | config
    return sample_scene(seed, WorldConfig(**plain))  # type: ignore[arg-type]


def film(shown: Scene, frames: int = 17, height: int = 64, width: int = 64) -> Video:
    return Video(render([shown], VideoShape(frames, height, width), 8.0)[0].numpy(), 8.0)


def framed(frames: Frames, given: range) -> Frames:
    """A gray frame about the given ones."""
    frames = frames.copy()
    for k in given:
        frames[k, :2], frames[k, -2:], frames[k, :, :2], frames[k, :, -2:] = 128, 128, 128, 128
    return frames


def tasks(generator: Generator) -> dict[str, Callable[[], Frames]]:
    """File name → what makes its frames."""
    right = scene(11, motions=("right",), backgrounds=("grass",), colours=("red",))
    spin = scene(21, motions=("spin",), backgrounds=("sky",), colours=("purple",))
    bounce = scene(31, motions=("bounce",), backgrounds=("plain",), colours=("blue",))

    def made(prompt: str, *conditions: object, seed: int = 0, **sizes: int) -> Frames:
        request = Request(prompt, seed=seed, conditions=conditions, **sizes)  # type: ignore[arg-type]
        return generator.generate(request)[0].frames

    long = film(right, 33)
    start, end = Video(long.frames[:13], 8.0), Video(long.frames[20:], 8.0)
    told = caption(right, "en", 0)

    def forward() -> Frames:
        return framed(made(told, Extend(start), frames=20), range(13))

    def backward(seed: int) -> Frames:
        frames = made(told, Extend(end, "backward"), frames=17, seed=seed)
        return framed(frames, range(len(frames) - 13, len(frames)))

    def connect() -> Frames:
        frames = made(told, Connect(start, end), frames=8)
        return framed(frames, range(13))

    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    middle = film(scene(41, motions=("spin",), backgrounds=("grass",), colours=("orange",)))
    return {
        "image": lambda: made("A still image of a large yellow circle in front of the sea.", frames=1),
        "animate": lambda: framed(made(told, FirstFrame(long.frames[0])), range(1)),
        "extend": forward,
        "backward-1": lambda: backward(1),
        "backward-2": lambda: backward(2),
        "loop": lambda: made(caption(spin, "en", 0), Loop()),
        "connect": connect,
        "keyframes": lambda: made(told, Keyframes({0: long.frames[0], 16: long.frames[-1]})),
        "edit": lambda: made(caption(right, "en", 0).replace("red", "blue"), Edit(film(right), 0.85)),
        "mask": lambda: made("A blue circle spins.", Edit(middle, 1.0, mask)),
        "wide": lambda: made(caption(spin, "en", 0), height=64, width=96),
        "tall": lambda: made(caption(spin, "en", 0), height=96, width=64),
        "long": lambda: made(caption(bounce, "en", 0), frames=81),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=PRETRAINED)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    generator = load(given.model)
    for k, (_, prompt) in enumerate(PROMPTS):
        for note in generator.notes(Request(prompt)):
            print(f"{prompt}: {note}", file=sys.stderr)
        save(generator.generate(Request(prompt, seed=k))[0].frames, given.out / f"prompt-{k}.webp")
    for name, make in tasks(generator).items():
        save(make(), given.out / f"{name}.webp")
    return 0


def save(frames: Frames, path: Path) -> None:
    size = (frames.shape[2] * SCALE, frames.shape[1] * SCALE)
    large = np.stack([np.asarray(Image.fromarray(f).resize(size, Image.Resampling.BICUBIC)) for f in frames])
    print(write(Video(large, 8.0), path), f"{path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    run_script(main)
