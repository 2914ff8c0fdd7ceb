"""How a video drifts as it is extended again and again: carried latents against decoding and encoding anew.

    python scripts/drift.py [--model FOLDER] [--scenes N] [--extensions K] [--sheet drift.png]

Clips of the world are extended K times by one window each, two ways: as one request, where each window is given the
latents of the one before; and as K requests, where each is given the pixels of the clip so far. Per extension:

    colour      mean |difference| of the frames' mean colour from that of the given clip, in levels of 255
    sharpness   mean |difference of neighbouring pixels|, as a share of that of the given clip through the VAE
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from manzar.generate import PRETRAINED, Extend, Generator, load
from manzar.generate.fitting import to_frames, to_pixels
from manzar.nouns import Frames, Request, Video, VideoShape
from manzar.world import Scene, WorldConfig, captions, render, sample_scene

PLAIN = WorldConfig(actors=(1, 1), cameras=("still",))


def carried(generator: Generator, request: Request, clip: Video, times: int) -> list[Frames]:
    """What each extension added, all of them made in one request."""
    added = generator.complete(replace(request, conditions=(Extend(clip),))).frames
    assert added is not None
    long = replace(request, frames=times * added, conditions=(Extend(clip),))
    frames = generator.generate(long)[0].frames[len(clip.frames) :]
    return [frames[k * added : (k + 1) * added] for k in range(times)]


def encoded_anew(generator: Generator, request: Request, clip: Video, times: int) -> list[Frames]:
    """The same, each extension a request of its own that is given the end of the clip so far, as pixels."""
    pieces, so_far = [], clip
    for k in range(times):
        more = replace(request, seed=request.seed + 1000 * (k + 1), conditions=(Extend(so_far),))
        longer = generator.generate(more)[0]
        pieces.append(longer.frames[len(so_far.frames) :])
        so_far = longer
    return pieces


def sharpness(frames: Frames) -> float:
    levels = frames.astype(float)
    return float(np.abs(np.diff(levels, axis=1)).mean() + np.abs(np.diff(levels, axis=2)).mean())


def measures(pieces: list[Frames], through: Frames) -> list[tuple[float, float]]:
    """(colour, sharpness) of each piece; `through` is the given clip as the VAE gives it back."""
    mean = through.mean((0, 1, 2))
    return [(float(np.abs(piece.mean((0, 1, 2)) - mean).mean()), sharpness(piece) / sharpness(through))
            for piece in pieces]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=PRETRAINED)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--extensions", type=int, default=10)
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    torch.manual_seed(0)
    generator = load(asked.model)
    defaults = generator.parts.defaults
    defaults.setdefault("window", defaults["frames"])
    generator.parts.info["defaults"] = defaults
    shape = VideoShape(int(defaults["frames"]), int(defaults["height"]), int(defaults["width"]))
    scenes: list[Scene] = [sample_scene(800_000 + k, PLAIN) for k in range(asked.scenes)]
    films = render(scenes, shape, defaults["fps"]).cpu().numpy()
    rows: dict[str, list[list[tuple[float, float]]]] = {"carried": [], "encoded anew": []}
    strips = []
    for seed, (scene, film) in enumerate(zip(scenes, films, strict=True)):
        clip = Video(film, defaults["fps"])
        through = to_frames(generator.decode(generator.encode(to_pixels(film)))[0])
        request = Request(captions(scene, 0)["en"], seed=seed)
        for name, extend in (("carried", carried), ("encoded anew", encoded_anew)):
            pieces = extend(generator, request, clip, asked.extensions)
            rows[name].append(measures(pieces, through))
            strips.append(np.concatenate([film[-1], *(piece[-1] for piece in pieces)], axis=1))
    print("extension   " + "   ".join(f"{name:>12}: colour sharpness" for name in rows))
    for k in range(asked.extensions):
        cells = (np.mean([scene[k] for scene in scenes_], axis=0) for scenes_ in rows.values())
        print(f"{k + 1:9}   " + "   ".join(f"{'':13} {colour:6.2f} {share:9.2f}" for colour, share in cells))
    if asked.sheet:
        Image.fromarray(np.concatenate(strips)).save(asked.sheet)


if __name__ == "__main__":
    main()
