"""A basis for the latents in which they are made like the picture: equal errors in any channel, equal errors on screen.

Nothing in its training tells an autoencoder how to spread the picture over its channels. Normalised one by one, as a
diffusion transformer sees them, half of them may hold next to nothing that can be seen; noise drowns all alike, and the
loss of the transformer counts all alike, so most of what it learns is lost on the screen. But the maps at either end of
the latents (`quant_conv`, `post_quant_conv`) are linear, so the basis is free: any invertible change of it leaves every
reconstruction as it was, and the folder stock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from manzar.vae.model import VideoVAE

FLOOR = 1e-3  # least sensitivity, and variance, of a channel, over the mean: what is idle here may not be elsewhere
STEP = 0.05  # of a perturbation, in deviations of a channel


@dataclass(frozen=True)
class Basis:
    """`forward` (c, c) maps old raw latents to new ones, `backward` back. Of the new (c,): `mean`, variance `power`,
    `spread`, the mean variance of the posterior. On the CPU: double precision is not everywhere.
    """

    forward: Tensor
    backward: Tensor
    mean: Tensor
    power: Tensor
    spread: Tensor


@torch.no_grad()
def find_basis(vae: VideoVAE, videos: Sequence[Tensor]) -> Basis:
    """The basis in which the decoder is equally sensitive to all channels and the channels are uncorrelated.

    videos: (B, 3, T, H, W) in [−1, 1] each, what the latents are to be good at. With J the derivative of the decoder,
    M = E[JᵀJ] over channels of one position and C the covariance of the latents, new = Uᵀ M^½ old, where U turns
    M^½ C M^½ onto its axes, the strongest first.
    """
    c = vae.config.z_dim
    posteriors = [vae.encode(video) for video in videos]
    latents = [posterior.mean for posterior in posteriors]
    rows = torch.cat([_rows(z) for z in latents])  # (N, c)
    variance = torch.cat([_rows(posterior.logvar).exp() for posterior in posteriors]).mean(dim=0)
    deviation = rows.std(dim=0)
    covariance = torch.cov((rows / deviation).mT)  # (c, c), of latents over their deviations
    generator = torch.Generator().manual_seed(0)
    metric = torch.zeros(c, c, dtype=torch.float64)
    for z in latents:
        noise = torch.randn(z.shape, generator=generator).to(z.device)
        pulled = _rows(_pulled_back(vae, z, noise, deviation.to(z)))
        metric += pulled.mT @ _rows(noise) / len(pulled)
    metric = 0.5 * (metric + metric.mT)
    values, vectors = torch.linalg.eigh(metric)
    values = values.clamp_min(FLOOR * float(values.mean()))
    root = (vectors * values.sqrt()) @ vectors.mT  # M^½, (c, c)
    inverse = (vectors / values.sqrt()) @ vectors.mT
    power, turn = torch.linalg.eigh(root @ covariance @ root)  # ascending
    power, turn = power.flip(0), turn.flip(1)
    forward = (turn.mT @ root) / deviation
    backward = deviation[:, None] * (inverse @ turn)
    return Basis(forward, backward, forward @ rows.mean(dim=0), power, forward.square() @ variance)


@torch.no_grad()
def change_basis(vae: VideoVAE, basis: Basis, evenness: float) -> VideoVAE:
    """The same network with its latents in `basis`; returns the model itself, with new statistics.

    evenness: 0 leaves every channel its share of the picture, whose mean variance is made 1; 1 makes all their
    variances 1; between, variances are those of 0 to the power 1 − evenness. The posterior's spread becomes one number
    per channel, which is what it was on average.
    """
    c = vae.config.z_dim
    encode, decode = vae.quant_conv, vae.post_quant_conv
    forward, backward = basis.forward, basis.backward
    assert encode.bias is not None
    encode.weight[:c, :, 0, 0, 0] = (forward @ encode.weight[:c, :, 0, 0, 0].cpu().double()).to(encode.weight)
    encode.bias[:c] = (forward @ encode.bias[:c].cpu().double()).to(encode.bias)
    encode.weight[c:] = 0
    encode.bias[c:] = basis.spread.log().to(encode.bias)
    decode.weight[:, :, 0, 0, 0] = (decode.weight[:, :, 0, 0, 0].cpu().double() @ backward).to(decode.weight)
    power = basis.power.clamp_min(FLOOR * float(basis.power.mean()))
    wanted = power ** (1 - evenness)  # variances, up to a common factor
    std = (power * wanted.mean() / wanted).sqrt()
    return vae.with_statistics(basis.mean.tolist(), std.tolist())


@torch.enable_grad()
def _pulled_back(vae: VideoVAE, z: Tensor, noise: Tensor, deviation: Tensor) -> Tensor:
    """JᵀJ noise, of latents z (B, c, t, h, w) and noise in deviations of a channel, in fp32."""
    scale = deviation.view(1, -1, 1, 1, 1)
    with torch.no_grad():
        moved = (vae.decode(z + STEP * scale * noise) - vae.decode(z - STEP * scale * noise)) / (2 * STEP)
    units = torch.zeros_like(z, requires_grad=True)
    picture = vae.decode(z + scale * units)
    (pulled,) = torch.autograd.grad((picture * moved).sum(), units)
    return pulled


def _rows(z: Tensor) -> Tensor:
    """(B, c, t, h, w) -> (B·t·h·w, c), on the CPU in double precision."""
    return z.movedim(1, -1).reshape(-1, z.shape[1]).cpu().double()
