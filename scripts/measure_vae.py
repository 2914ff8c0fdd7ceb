"""How much of a video a model's compression network keeps, beside a cosine transform that keeps as many numbers.

    python scripts/measure_vae.py --model FOLDER --data recipes/cpu.json --data DATA --n 64

The transform cuts a clip into blocks of the network's stride (a first frame alone into flat ones), in Y'CbCr, and keeps
as many coefficients of each block as the network has channels: in one column the same ones everywhere, those with most
energy over all clips (a linear code, as the network's latent is a fixed number of values), in the other the largest of
each block (which must also say which they are, so it is no equal rival but a bound).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from door import run_script
from einops import rearrange
from torch import Tensor

from manzar.device import autocast, pick_device
from manzar.generate.folder import PRETRAINED, load_vae
from manzar.nouns import Stride, UsageError
from manzar.train.data import open_splits, to_tensor, window
from manzar.vae import VideoVAE, psnr, ssim

TO_YCBCR = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=PRETRAINED)
    parser.add_argument("--data", type=Path, action="append", required=True, help="data set or recipe; may be repeated")
    parser.add_argument("--n", type=int, default=64, help="held-out clips of each")
    parser.add_argument("--size", type=int, default=64, help="short side of footage, in pixels")
    parser.add_argument("--frames", type=int, default=17, help="longest clip")
    given = parser.parse_args()
    vae = load_vae(given.model).to(pick_device())
    print(f"{'data':24}{'n':>5}{'PSNR':>9}{'SSIM':>8}{'DCT, same':>11}{'DCT, best':>11}   dB, mean over clips")
    for data in given.data:
        videos = held_out(data, given.n, given.size, given.frames, vae.stride)
        ours = [reconstruct(vae, video) for video in videos]
        same, best = cosine_codes(videos, vae.stride, vae.config.z_dim)
        columns = [mean([measure(r, v) for r, v in zip(rs, videos, strict=True)])
                   for measure, rs in ((psnr, ours), (ssim, ours), (psnr, same), (psnr, best))]
        print(f"{data.name:24}{len(videos):5}{columns[0]:9.2f}{columns[1]:8.3f}{columns[2]:11.2f}{columns[3]:11.2f}")
    return 0


def held_out(data: Path, n: int, size: int, frames: int, stride: Stride) -> list[Tensor]:
    """(1, 3, T, H, W) each, spread evenly over the validation split. Raises UsageError if there is none."""
    _, clips = open_splits(data, size=size, fps=8.0, stride=stride * (1, 2, 2))
    if not len(clips):
        raise UsageError(f"{data} has no held-out clips")
    picks = range(0, len(clips), max(1, len(clips) // n))[:n]
    whole = (clips.frames([index])[0] for index in picks)
    fitting = (1 + stride.time * ((min(frames, clips.length(index)) - 1) // stride.time) for index in picks)
    return [to_tensor([window(f, 0, length)]) for f, length in zip(whole, fitting, strict=True)]


@torch.no_grad()
def reconstruct(vae: VideoVAE, video: Tensor) -> Tensor:
    with autocast():
        return vae.decode(vae.encode(video.to(pick_device())).mean).float().cpu()


def mean(values: list[Tensor]) -> float:
    return float(torch.cat(values).mean())


# ---- the cosine transform ------------------------------------------------------------------------------------------


def cosine_codes(videos: list[Tensor], stride: Stride, keep: int) -> tuple[list[Tensor], list[Tensor]]:
    """Every clip after keeping `keep` coefficients of each block: the same ones for all, and each block's largest."""
    parts = [split(video, stride) for video in videos]  # first frames, then the groups after them
    same, best = [], []
    chosen = [most_energetic([part[k][0] for part in parts if part[k] is not None], keep) for k in (0, 1)]
    for video, part in zip(videos, parts, strict=True):
        same.append(join([None if p is None else (p[0] * c, p[1]) for p, c in zip(part, chosen, strict=True)], video))
        best.append(join([None if p is None else (largest(p[0], keep), p[1]) for p in part], video))
    return same, best


Blocks = tuple[Tensor, Stride]  # coefficients (blocks, 3·t·h·w) and the block's size


def split(video: Tensor, stride: Stride) -> list[Blocks | None]:
    colour = torch.einsum("ij,bjthw->bithw", TO_YCBCR, video)
    first, rest = colour[:, :, :1], colour[:, :, 1:]
    flat = Stride(1, stride.height, stride.width)
    return [(transform(first, flat), flat), (transform(rest, stride), stride) if rest.shape[2] else None]


def join(parts: list[Blocks | None], video: Tensor) -> Tensor:
    size = {"h": video.shape[3], "w": video.shape[4]}
    frames = [inverse(part[0], part[1], size) for part in parts if part is not None]
    rgb = torch.einsum("ij,bjthw->bithw", torch.linalg.inv(TO_YCBCR), torch.cat(frames, dim=2))
    return rgb.clamp(-1, 1)


def basis(n: int) -> Tensor:
    """(n, n): row k is the k-th cosine of an orthonormal DCT-II."""
    k, x = torch.arange(n)[:, None], torch.arange(n)[None]
    rows = torch.cos(math.pi * (2 * x + 1) * k / (2 * n)) * (2 / n) ** 0.5
    rows[0] /= 2**0.5
    return rows


def transform(x: Tensor, size: Stride) -> Tensor:
    blocks = rearrange(x, "b c (t p) (h q) (w r) -> (b t h w) c p q r", p=size.time, q=size.height, r=size.width)
    for axis, n in zip((2, 3, 4), size, strict=True):
        blocks = torch.tensordot(blocks, basis(n), dims=([axis], [1])).movedim(-1, axis)
    return blocks.flatten(1)


def inverse(coefficients: Tensor, size: Stride, sides: dict[str, int]) -> Tensor:
    blocks = coefficients.view(-1, 3, *size)
    for axis, n in zip((2, 3, 4), size, strict=True):
        blocks = torch.tensordot(blocks, basis(n), dims=([axis], [0])).movedim(-1, axis)
    grid = {"h": sides["h"] // size.height, "w": sides["w"] // size.width}
    return rearrange(blocks, "(b t h w) c p q r -> b c (t p) (h q) (w r)", b=1, **grid)


def most_energetic(coefficients: list[Tensor], keep: int) -> Tensor:
    """(3·t·h·w,) 1 for the `keep` coefficients with most energy over all blocks, else 0."""
    energy = torch.cat(coefficients).square().mean(0)
    return torch.zeros_like(energy).scatter(0, energy.topk(min(keep, len(energy))).indices, 1.0)


def largest(coefficients: Tensor, keep: int) -> Tensor:
    picks = coefficients.abs().topk(min(keep, coefficients.shape[1]), dim=1).indices
    return torch.zeros_like(coefficients).scatter(1, picks, coefficients.gather(1, picks))


if __name__ == "__main__":
    run_script(main)
