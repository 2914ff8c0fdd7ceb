"""Our DiT against diffusers' WanTransformer3DModel: same weights, same inputs, alternating in one process.

    python benchmarks/dit.py [--rounds N] [--threads N] [--clock wall|cpu]

On a machine that others are using, `--threads 1 --clock cpu` counts only this process's own work; with more threads
than free cores, what is measured is waiting.

The stock class is timed at its best plain setting: eager, under bf16 autocast,
with the prompt trimmed to the longest of the batch ("trimmed", the headline) and padded to 512 as its pipeline does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from manzar.device import autocast, describe
from manzar.dit import DiT, DiTConfig

TEXT_DIM, LONGEST, PADDED = 256, 150, 512
BUDGET_S = 45.0  # wall time of one table of contestants, after its warm-up
CASES = {  # name: (batch, latent grid, heads of 64, layers)
    "64 x 80 tokens, width 256, 6 layers": (64, (5, 8, 8), 4, 6),
    "1 x 1560 tokens, width 512, 8 layers": (1, (5, 24, 52), 8, 8),
}


def models(heads: int, layers: int) -> tuple[DiT, torch.nn.Module]:
    from diffusers import WanTransformer3DModel

    config = DiTConfig(
        num_attention_heads=heads, attention_head_dim=64, text_dim=TEXT_DIM, ffn_dim=256 * heads, num_layers=layers
    )
    ours = DiT(config)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    stock = WanTransformer3DModel.from_config(config.to_json())
    stock.load_state_dict(ours.state_dict())
    return ours, stock


def seconds(call: Callable[[], Tensor], backward: bool, clock: Callable[[], float]) -> float:
    start = clock()
    with torch.set_grad_enabled(backward), autocast():
        out = call()
    if backward:
        out.float().square().mean().backward()
    return clock() - start


def measure(
    contestants: dict[str, Callable[[], Tensor]], rounds: int, backward: bool, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Every contestant once per round, after one round that does not count; fewer rounds if BUDGET_S runs out."""
    start = 0.0
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, call in contestants.items():
            spent = seconds(call, backward, clock)
            if turn:
                times[name].append(spent)
        if turn == 0:
            start = time.monotonic()
        elif time.monotonic() - start > BUDGET_S:
            break
    return times


def run(name: str, rounds: int, clock: Callable[[], float]) -> None:
    batch, grid, heads, layers = CASES[name]
    torch.manual_seed(0)
    ours, stock = models(heads, layers)
    latents, timestep = torch.randn(batch, 16, *grid), torch.rand(batch) * 1000
    lengths = torch.randint(30, LONGEST, (batch,))
    lengths[0] = LONGEST
    text = torch.randn(batch, LONGEST, TEXT_DIM) * (torch.arange(LONGEST) < lengths[:, None])[..., None]
    padded = torch.nn.functional.pad(text, (0, 0, 0, PADDED - LONGEST))
    contestants = {
        "manzar": lambda: ours(latents, timestep, text, lengths, PADDED),
        "stock, text trimmed": lambda: stock(latents, timestep, text, return_dict=False)[0],
        "stock, text padded to 512": lambda: stock(latents, timestep, padded, return_dict=False)[0],
    }
    with torch.no_grad():
        difference = (contestants["manzar"]() - contestants["stock, text padded to 512"]()).abs().max()
    assert difference < 1e-3, f"the two compute different things: {difference}"
    print(f"\n{name}")
    for backward in (False, True):
        times = measure(contestants, rounds, backward, clock)
        mine = times["manzar"]
        for who, spent in times.items():
            ratio = statistics.median(spent) / statistics.median(mine)
            best = min(spent) / min(mine)
            what = "forward+backward" if backward else "forward"
            print(
                f"  {what:17} {who:26} median {statistics.median(spent) * 1e3:8.1f} ms   min {min(spent) * 1e3:8.1f} ms"
                f"   ratio {ratio:5.2f} (of minima {best:5.2f}), n {len(spent)}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{describe()}; load average {load}; up to {options.rounds} alternating rounds, {options.clock} clock")
    for name in CASES:
        run(name, options.rounds, clock)
    print(f"\nload average at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
