"""Our VideoVAE against diffusers' AutoencoderKLWan: same weights, same inputs, alternating in one process.

    python benchmarks/vae.py [--rounds N] [--train-only]

Encode + decode is timed against the stock class at the fastest of its plain settings: autocast, whole in bf16, and
the latter with channels-last input. Forward + backward is timed under autocast on both sides, with the same loss. On a
chip without bf16 autocast is fp32.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from manzar.device import autocast, describe, pick_device, pick_precision
from manzar.vae import SMALL, Posterior, VAEConfig, VideoVAE, vae_loss

CASES = {  # name: (configuration, video)
    "residual form, 2 clips of 17x64x64": (SMALL, (2, 3, 17, 64, 64)),
    "plain form, base 48, 1 clip of 9x64x64": (VAEConfig(base_dim=48), (1, 3, 9, 64, 64)),
}
TRAINING = (16, 3, 9, 32, 32)


def models(config: VAEConfig) -> tuple[VideoVAE, Any]:
    """Ours and the stock class with the same randomised weights."""
    from diffusers import AutoencoderKLWan

    ours = VideoVAE(config).to(pick_device())
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    fields = {key: value for key, value in config.to_json().items() if not key.startswith("_")}
    stock = AutoencoderKLWan(**fields).to(pick_device())
    stock.load_state_dict(ours.state_dict())
    return ours, stock


def measure(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Every contestant once per round, after one round that does not count; seconds."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, call in contestants.items():
            start = time.perf_counter()
            call()
            if pick_device().type != "cpu":
                torch.accelerator.synchronize()
            if turn:
                times[name].append(time.perf_counter() - start)
    return times


def report(title: str, times: dict[str, list[float]], clips: int) -> float:
    """Print medians and the ratio of the fastest stock setting to ours; returns that ratio."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"\n{title}")
    for name, value in medians.items():
        print(f"  {name:<34} {1000 * value:9.1f} ms   {clips / value:8.1f} clips/s")
    ratio = min(value for name, value in medians.items() if name != "manzar") / medians["manzar"]
    print(f"  ratio to the fastest stock setting {ratio:9.2f} x")
    return ratio


def channels_last_weights(model: torch.nn.Module) -> torch.nn.Module:
    """A copy whose 3-D kernels lie as oneDNN likes them best."""
    model = copy.deepcopy(model)
    for p in model.parameters():
        if p.ndim == 5:
            p.data = p.data.contiguous(memory_format=torch.channels_last_3d)
    return model


@torch.inference_mode()
def inference(title: str, rounds: int) -> float:
    config, shape = CASES[title]
    ours, stock = models(config)
    half, last = copy.deepcopy(stock).to(torch.bfloat16), channels_last_weights(stock)
    video = torch.rand(shape, device=pick_device()) * 2 - 1
    channels_last = video.contiguous(memory_format=torch.channels_last_3d)

    def manzar() -> Tensor:
        with autocast():
            return ours.decode(ours.encode(video).mean)

    def stock_autocast() -> Tensor:
        with autocast():
            decoded: Tensor = stock.decode(stock.encode(video).latent_dist.mean).sample
        return decoded

    def stock_last(pixels: Tensor) -> Tensor:
        with autocast():
            decoded: Tensor = last.decode(last.encode(pixels).latent_dist.mean).sample
        return decoded

    def stock_half(pixels: Tensor) -> Tensor:
        decoded: Tensor = half.decode(half.encode(pixels.bfloat16()).latent_dist.mean).sample
        return decoded

    contestants: dict[str, Callable[[], object]] = {
        "manzar": manzar,
        "stock, autocast": stock_autocast,
        "stock, autocast, channels last": lambda: stock_last(channels_last),
    }
    if pick_precision() == "bf16":  # elsewhere it takes minutes
        contestants |= {
            "stock, whole in bf16": lambda: stock_half(video),
            "stock, bf16, channels last": lambda: stock_half(channels_last),
        }
    return report(f"encode + decode, {title}", measure(contestants, rounds), shape[0])


def training(rounds: int) -> float:
    ours, stock = models(SMALL)
    video = torch.rand(TRAINING, device=pick_device()) * 2 - 1

    def manzar() -> None:
        with autocast():
            posterior = ours.encode(video)
            recon = ours.decode(posterior.sample())
        loss, _ = vae_loss(recon, video, posterior)
        torch.autograd.backward(loss)

    def theirs(model: torch.nn.Module, pixels: Tensor) -> None:
        with autocast():
            latents = model.encode(pixels).latent_dist
            recon = model.decode(latents.sample()).sample
        loss, _ = vae_loss(recon, video, Posterior(latents.mean.float(), latents.logvar.float()))
        torch.autograd.backward(loss)

    last, pixels = channels_last_weights(stock), video.contiguous(memory_format=torch.channels_last_3d)
    times = measure({
        "manzar": manzar,
        "stock, autocast": lambda: theirs(stock, video),
        "stock, autocast, channels last": lambda: theirs(last, pixels),
    }, rounds)
    return report("forward + backward, residual form, 16 crops of 9x32x32", times, TRAINING[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds per contestant (default 5)")
    parser.add_argument("--train-only", action="store_true", help="skip encode + decode")
    options = parser.parse_args()
    torch.manual_seed(0)
    print(describe())
    ratios = [] if options.train_only else [inference(title, options.rounds) for title in CASES]
    ratios.append(training(options.rounds))
    print("\nratios:", ", ".join(f"{ratio:.2f}x" for ratio in ratios))


if __name__ == "__main__":
    main()
