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
    """`forward` (c, c) maps old raw latents to new ones, `backward` back; `mean` and `power` (c,) are of the new."""

    forward: Tensor
    backward: Tensor
    mean: Tensor
    power: Tensor


@torch.no_grad()
def find_basis(vae: VideoVAE, videos: Sequence[Tensor]) -> Basis:
    """The basis in which the decoder is equally sensitive to all channels and the channels are uncorrelated.

    videos: (B, 3, T, H, W) in [−1, 1] each, what the latents are to be good at. With J the derivative of the decoder,
    M = E[JᵀJ] over channels of one position and C the covariance of the latents, new = Uᵀ M^½ old, where U turns
    M^½ C M^½ onto its axes, the strongest first.
    """
    c, device = vae.config.z_dim, videos[0].device
    latents = [vae.encode(video).mean for video in videos]
    rows = torch.cat([z.movedim(1, -1).reshape(-1, c).double() for z in latents])  # (N, c)
    deviation = rows.std(dim=0)
    covariance = torch.cov((rows / deviation).mT)  # (c, c), of latents over their deviations
    generator = torch.Generator().manual_seed(0)
    metric = torch.zeros(c, c, dtype=torch.float64, device=device)
    for z in latents:
        noise = torch.randn(z.shape, generator=generator).to(device)
        metric += _outer(_pulled_back(vae, z, noise, deviation.float()), noise)
    metric = 0.5 * (metric + metric.mT)
    values, vectors = torch.linalg.eigh(metric)
    values = values.clamp_min(FLOOR * float(values.mean()))
    root = (vectors * values.sqrt()) @ vectors.mT  # M^½, (c, c)
    inverse = (vectors / values.sqrt()) @ vectors.mT
    power, turn = torch.linalg.eigh(root @ covariance @ root)  # ascending
    power, turn = power.flip(0), turn.flip(1)
    forward = (turn.mT @ root) / deviation
    return Basis(forward, deviation[:, None] * (inverse @ turn), forward @ rows.mean(dim=0), power)


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
    assert encode.bias is not None and decode.bias is not None
    weight, bias = encode.weight.double()[:, :, 0, 0, 0], encode.bias.double()
    spread = forward.square() @ bias[c:].exp()  # (c,) variance of a sum of independent parts
    encode.weight[:c, :, 0, 0, 0] = (forward @ weight[:c]).to(encode.weight.dtype)
    encode.bias[:c] = (forward @ bias[:c]).to(encode.bias.dtype)
    encode.weight[c:] = 0
    encode.bias[c:] = spread.log().to(encode.bias.dtype)
    decode.weight[:, :, 0, 0, 0] = (decode.weight.double()[:, :, 0, 0, 0] @ backward).to(decode.weight.dtype)
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


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """Mean over positions of a bᵀ, both (B, c, t, h, w): (c, c)."""
    c = a.shape[1]
    x, y = (each.movedim(1, -1).reshape(-1, c).double() for each in (a, b))
    return x.mT @ y / len(x)
