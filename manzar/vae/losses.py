"""What the autoencoder is trained for: the right pixels, the right structure at every scale, and tame latents.

Pixel errors alone reward blur: an edge rendered as a ramp is cheap. A loss from a pretrained network would cure that,
at the price of weights that somebody must download and that were trained on somebody else's pictures. We compare
instead the spatial and temporal differences of both videos at several scales. A difference filter throws away
brightness and keeps edges and motion, and the sum over a pyramid of halvings weighs fine and coarse structure alike
(the band-pass view of Burt and Adelson 1983; gradient differences as in Mathieu et al. 2016, arXiv:1511.05440).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from manzar.vae.model import Posterior

MSE_WEIGHT = 2.0
STRUCTURE_WEIGHT = 1.0
SCALES = 3


def vae_loss(
    recon: Tensor, target: Tensor, posterior: Posterior, *, kl_weight: float = 1e-6
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss to minimise, and its parts (detached scalars: l1, mse, structure, kl).

    recon and target: (B, 3, T, H, W) in [−1, 1]. kl_weight multiplies nats per latent coordinate.
    """
    assert recon.shape == target.shape, f"{tuple(recon.shape)} against {tuple(target.shape)}"
    error = recon.float() - target.float()
    l1, mse, kl = error.abs().mean(), error.square().mean(), posterior.kl().mean()
    structure = structure_loss(error)
    loss = l1 + MSE_WEIGHT * mse + STRUCTURE_WEIGHT * structure + kl_weight * kl
    parts = {"l1": l1, "mse": mse, "structure": structure, "kl": kl}
    return loss, {name: part.detach() for name, part in parts.items()}


def structure_loss(error: Tensor) -> Tensor:
    """Mean absolute difference between neighbours, in x, y and time, over a pyramid of halved sides.

    error: (B, C, T, H, W), the difference of two videos; filters are linear, so the pyramid of the difference is the
    difference of the pyramids, at half the work. Returns a scalar.
    """
    total = error.new_zeros(())
    levels = 0
    while levels < SCALES and min(error.shape[-2:]) >= 2:
        total = total + sum(error.diff(dim=axis).abs().mean() for axis in (2, 3, 4) if error.shape[axis] > 1)
        levels += 1
        error = F.avg_pool3d(error, (1, 2, 2))
    return total / max(levels, 1)
