"""Generating with the model of the package: against diffusers' WanPipeline, and from a cold start to the file.

    python benchmarks/generate.py [--rounds N]

Both sides make the same video: the same weights, prompt padded to 512 as the pipeline does and models are trained,
UniPC, 16 steps, guidance 3, 17 frames of 64x64. Each side is timed in every plain setting it has (fp32, bf16 autocast,
and for stock also bf16 weights, as its documentation advises); the ratio is between the best medians. The cold start
is the command a person types, a new process each time, until the mp4 is on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manzar.device import Precision, describe, pick_precision
from manzar.generate import Generator, load_parts
from manzar.generate.folder import PRETRAINED
from manzar.nouns import Frames, Request

REQUEST = Request("ایک سرخ دائرہ دائیں طرف جا رہا ہے۔", frames=17, height=64, width=64, steps=16, guidance=3.0,
                  layout=False)  # which the stock pipeline does not have


def ours(folder: Path, precision: Precision) -> Callable[[], Frames]:
    generator = Generator(load_parts(folder), precision)
    return lambda: generator.generate(REQUEST)[0].frames


def stock(folder: Path, dtype: torch.dtype, autocast: bool) -> Callable[[], Frames]:
    from diffusers import AutoencoderKLWan, WanPipeline
    from diffusers.utils.logging import disable_progress_bar

    disable_progress_bar()
    vae = AutoencoderKLWan.from_pretrained(folder, subfolder="vae", torch_dtype=torch.float32)
    pipeline: Any = WanPipeline.from_pretrained(folder, vae=vae, torch_dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)

    def generate() -> Frames:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            video = pipeline(
                REQUEST.prompt, height=REQUEST.height, width=REQUEST.width, num_frames=REQUEST.frames,
                num_inference_steps=REQUEST.steps, guidance_scale=REQUEST.guidance,
                generator=torch.Generator().manual_seed(REQUEST.seed),
            ).frames[0]  # fmt: skip
        frames: Frames = (np.asarray(video) * 255).round().astype(np.uint8)
        return frames

    return generate


def measure(
    contestants: dict[str, Callable[[], Frames]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, Frames]]:
    """Seconds of every contestant once per round, after one round that does not count; and the videos."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    videos: dict[str, Frames] = {}
    for turn in range(rounds + 1):
        for name, generate in contestants.items():
            start = time.perf_counter()
            videos[name] = generate()
            if turn:
                times[name].append(time.perf_counter() - start)
    return times, videos


def best(times: dict[str, list[float]], side: str, pick: Callable[[list[float]], float]) -> tuple[float, str]:
    """Seconds and name of the fastest setting of one side."""
    return min((pick(spent), name) for name, spent in times.items() if name.startswith(side))


def cold_start(rounds: int) -> tuple[list[float], list[float]]:
    """Seconds from the command to the mp4 of the default clip, and of each of its solver steps, in new processes."""
    totals, steps = [], []
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "manzar", "generate", REQUEST.prompt, "-o", f"{scratch}/a.mp4", "--json"]
        for _ in range(rounds):
            start = time.perf_counter()
            told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            totals.append(time.perf_counter() - start)
            steps.append(float(told["seconds_per_step"]))
    return totals, steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(f"{describe()}; load average {os.getloadavg()[0]:.1f}; {rounds} alternating rounds")
    contestants = {
        "manzar fp32": ours(PRETRAINED, "fp32"),
        "stock fp32": stock(PRETRAINED, torch.float32, autocast=False),
    }
    if pick_precision() == "bf16":  # elsewhere it takes minutes, on either side
        contestants |= {
            "manzar bf16 autocast": ours(PRETRAINED, "bf16"),
            "stock bf16 autocast": stock(PRETRAINED, torch.float32, autocast=True),
            "stock bf16 weights": stock(PRETRAINED, torch.bfloat16, autocast=False),
            "stock bf16 weights, autocast": stock(PRETRAINED, torch.bfloat16, autocast=True),
        }
    times, videos = measure(contestants, rounds)
    exact = videos["stock fp32"].astype(int)
    for name, spent in times.items():
        off = np.abs(videos[name] - exact).mean()
        print(f"  {name:30} median {statistics.median(spent):6.3f} s   min {min(spent):6.3f} s   "
              f"mean difference to stock fp32 {off:.3f} of 255")
    for what, pick in (("medians", statistics.median), ("minima", min)):
        mine, theirs = (best(times, side, pick) for side in ("manzar", "stock"))
        print(f"ratio of {what}: {theirs[0] / mine[0]:.2f}   ({theirs[1]} / {mine[1]})")
    del contestants
    totals, steps = cold_start(rounds)
    print(f"cold start to the mp4: median {statistics.median(totals):.1f} s, longest {max(totals):.1f} s; "
          f"{statistics.median(steps):.3f} s a solver step")
    print(f"load average at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
