"""Our generate against diffusers' WanPipeline: one folder, one request, alternating in one process.

    python benchmarks/generate.py [--rounds N]

Both sides make the same video: the same weights, prompt padded to 512 as the pipeline does and models are trained,
UniPC, 16 steps, guidance 3, 17 frames of 64x64. Each side is timed in every plain setting it has (fp32, bf16 autocast,
and for stock also bf16 weights, as its documentation advises); the ratio is between the best medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from manzar.device import Precision, describe
from manzar.dit import DiT, DiTConfig
from manzar.flow import Schedule
from manzar.generate import Generator, ModelParts, load_parts, save_parts
from manzar.nouns import Frames, Request
from manzar.text import SMALL as SMALL_TEXT
from manzar.text import ByteTokenizer, TextEncoder
from manzar.vae import SMALL as SMALL_VAE
from manzar.vae import VideoVAE

LAYERS, HEADS, HEAD_DIM = 6, 4, 64
REQUEST = Request(
    "ایک سرخ گیند نیلے پس منظر پر بائیں سے دائیں اچھل رہی ہے", frames=17, height=64, width=64, steps=16, guidance=3.0
)


def write_folder(folder: Path) -> None:
    """A model of the size that trains on a laptop, with random weights."""
    torch.manual_seed(0)
    config = DiTConfig(
        num_attention_heads=HEADS, attention_head_dim=HEAD_DIM, ffn_dim=4 * HEADS * HEAD_DIM, num_layers=LAYERS,
        text_dim=SMALL_TEXT.d_model,
    )  # fmt: skip
    parts = ModelParts(
        DiT(config), VideoVAE(SMALL_VAE), TextEncoder(SMALL_TEXT, ByteTokenizer()), Schedule("unipc", 3.0)
    )
    for module in (parts.dit, parts.vae):
        disturb(module)
    save_parts(parts, folder)


@torch.no_grad()
def disturb(module: nn.Module) -> None:
    """Fresh weights have zeros that would leave nothing to compare."""
    for parameter in module.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(f"{describe()}; load average {os.getloadavg()[0]:.1f}; {rounds} alternating rounds")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        write_folder(folder)
        contestants = {
            "manzar fp32": ours(folder, "fp32"),
            "manzar bf16 autocast": ours(folder, "bf16"),
            "stock fp32": stock(folder, torch.float32, autocast=False),
            "stock bf16 autocast": stock(folder, torch.float32, autocast=True),
            "stock bf16 weights": stock(folder, torch.bfloat16, autocast=False),
            "stock bf16 weights, autocast": stock(folder, torch.bfloat16, autocast=True),
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
    print(f"load average at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
