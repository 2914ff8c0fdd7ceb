"""What box control costs: a step of the sampler with the module against one without, from one process, in turns.

    python benchmarks/boxes.py [--model FOLDER] [--control RUN] [--size 64x64] [--frames 17] [--repeats 60]

A step is all that a solver asks of the network for one σ: prompt and guidance, two rows of a batch, of which the first
has the boxes. With `apart`, boxes have a guidance of their own, at a third row. A model without box control gets a
fresh module: what it draws does not matter here.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from manzar.boxes import read_script
from manzar.device import autocast, describe
from manzar.generate import PRETRAINED, Boxes, Generator, load
from manzar.generate.boxes import load_control, new_control
from manzar.nouns import Request

SCRIPT = {"objects": [{"keys": [{"at": 0, "box": [0.1, 0.1, 0.4, 0.4]}, {"at": 1, "box": [0.6, 0.5, 0.9, 0.8]}]}]}


def step(generator: Generator, request: Request) -> Callable[[], object]:
    """One call of the network, everything that a sampler does once done already."""
    request = generator.complete(request)
    shape = generator.shape(request)
    vae = generator.parts.vae
    latent = shape.latent(vae.stride)
    noise = torch.randn(1, vae.config.z_dim, latent.frames, latent.height, latent.width)
    state = generator.apply(request.conditions, generator.begin(noise, shape))
    predict = generator.predictor(request, generator.embed(request), state)

    @torch.no_grad()
    def once() -> object:
        with autocast(generator.precision):
            return predict(state.latents, 0.7)

    return once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=PRETRAINED)
    parser.add_argument("--control", type=Path)
    parser.add_argument("--size", default="64x64")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--repeats", type=int, default=60)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    generator = load(given.model)
    parts = generator.parts
    if given.control:
        parts.control = load_control(given.control, parts.dit)
    parts.control = (parts.control or new_control(parts.dit, objects=8, width=64)).eval()
    base = Request("a red ball", given.frames, height, width)
    boxed = replace(base, conditions=(Boxes(read_script(SCRIPT)),))
    sides = {"without boxes": base, "with boxes": boxed, "apart": replace(boxed, box_guidance=2.0)}
    calls = {name: step(generator, request) for name, request in sides.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(given.repeats):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(each[3:]) for name, each in seconds.items()}
    print(f"{given.frames} frames of {given.size}, {describe()}, load {os.getloadavg()[0]:.1f}, "
          f"medians of {given.repeats - 3}")
    for name, median in medians.items():
        print(f"{name:<14}{1000 * median:8.1f} ms   {median / medians['without boxes']:.2f}x")


if __name__ == "__main__":
    main()
