"""Class-free object tracks on clips of the world, against the truth.

    python benchmarks/tracks.py [--clips N] [--seed S] [--size WxH] [--frames T]

An object counts as tracked through if its box meets the true one with an IoU of at least 0.5 on at least 80 % of the
frames that show it; as missed if no track keeps a mean IoU of 0.3; a track that is nobody's is false.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from manzar.curate.objects.tracks import object_tracks
from manzar.nouns import Box, BoxTrack, Video, VideoShape
from manzar.world import WorldConfig, clips, sample_scene

OWN, CLOSE, THROUGH = 0.3, 0.5, 0.8
SIZES = ((17, 64, 64, 8.0), (100, 180, 320, 24.0), (240, 288, 512, 24.0))  # frames, height, width, rate


@dataclass(frozen=True)
class Found:
    """How one true object fared: mean IoU of its track over the frames that show it, and the share of them over 0.5."""

    groups: tuple[str, ...]
    iou: float
    close: float


def iou(a: Box | None, b: Box | None) -> float:
    if a is None or b is None:
        return 0.0
    wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    common = max(0.0, wide) * max(0.0, high)
    return common / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - common)


def compare(truth: Sequence[BoxTrack], found: Sequence[BoxTrack]) -> tuple[list[tuple[float, float]], int]:
    """(mean IoU, share of close frames) of each true object, best pairs first, and the number of false tracks."""
    table = np.zeros((len(truth), len(found), 2))
    for i, true in enumerate(truth):
        shown = [t for t, box in enumerate(true.boxes) if box is not None]
        for j, track in enumerate(found):
            each = np.array([iou(true.boxes[t], track.boxes[t]) for t in shown])
            table[i, j] = (each.mean(), (each >= CLOSE).mean()) if shown else (0, 0)
    results, free = [(0.0, 0.0)] * len(truth), table[..., 0].copy()
    used = 0
    while free.size and free.max() >= OWN:
        i, j = np.unravel_index(free.argmax(), free.shape)
        results[i] = (float(table[i, j, 0]), float(table[i, j, 1]))
        free[i], free[:, j] = 0, 0
        used += 1
    return results, len(found) - used


def accuracy(n: int, seed: int, shape: VideoShape, fps: float) -> Iterator[tuple[list[Found], int]]:
    for number, (video, clip) in enumerate(clips(n, seed=seed, shape=shape, fps=fps)):
        scene = sample_scene(seed + number, WorldConfig())
        truth = [track for track in clip.tracks if any(track.boxes)]
        results, false = compare(truth, object_tracks(video))
        camera = scene.camera.split()[0]
        yield [
            Found((f"camera {camera}", f"{len(scene.actors)} actors", f"motion {actor.motion}", scene.background,
                   "still on a still camera" if actor.motion == "still" and camera == "still" else "in motion"), *fared)
            for actor, fared in zip(scene.actors, results, strict=True)
        ], false  # fmt: skip


def report(n: int, seed: int, shape: VideoShape, fps: float) -> None:
    groups: dict[str, list[Found]] = defaultdict(list)
    false = 0
    for objects, extra in accuracy(n, seed, shape, fps):
        false += extra
        for found in objects:
            for group in ("all", *found.groups):
                groups[group].append(found)
    print(f"{n} world clips of {shape}; {false} false tracks")
    print(f"  {'objects':<26} {'n':>5} {'mean IoU':>9} {'through':>8} {'missed':>7}")
    for group in sorted(groups, key=lambda name: (name != "all", name)):
        of = groups[group]
        through = sum(found.close >= THROUGH for found in of) / len(of)
        missed = sum(found.iou < OWN for found in of) / len(of)
        print(f"  {group:<26} {len(of):>5} {statistics.mean(f.iou for f in of):>9.3f} {through:>8.1%} {missed:>7.1%}")


def cost(rounds: int) -> None:
    print("\ncost, seconds of one processor, median over clips")
    for frames, height, width, fps in SIZES:
        pool: list[Video] = [
            video for video, _ in clips(rounds, seed=7, shape=VideoShape(frames, height, width), fps=fps)
        ]
        times = []
        for video in pool:
            begin = time.process_time()
            object_tracks(video)
            times.append(time.process_time() - begin)
        print(
            f"  {width}x{height}x{frames:<4} {1000 * statistics.median(times):8.1f} ms  (most {1000 * max(times):.1f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=50_000)
    parser.add_argument("--size", default="64x64")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--fps", type=float, default=8.0)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    width, height = map(int, arguments.size.split("x"))
    report(arguments.clips, arguments.seed, VideoShape(arguments.frames, height, width), arguments.fps)
    cost(8)


if __name__ == "__main__":
    main()
