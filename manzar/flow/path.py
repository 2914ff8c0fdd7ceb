"""The straight path between data and noise, and the three ways of naming a point's direction on it."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

Sigma = float | Tensor
_Number = TypeVar("_Number", float, Tensor)

TIMESTEPS = 1000  # the network's time input is 1000 σ, in [0, 1000]; known nowhere else

# Below this σ the path no longer tells noise from data: x_t − x_0 is rounding error, so dividing by less only
# makes it larger. Ten times finer than the finest step of any schedule here.
SIGMA_FLOOR = 1e-4


def timestep(sigma: _Number) -> _Number:
    """The network's time input for a noise level (any shape): 1000 σ."""
    return sigma * TIMESTEPS


def interpolate(x_0: Tensor, noise: Tensor, sigma: Sigma) -> Tensor:
    """x_t = (1 − σ) x_0 + σ ε. `sigma` is a number, or a tensor whose axes are the leading ones of x_0."""
    sigma = _align(sigma, x_0)
    return (1 - sigma) * x_0 + sigma * noise


def velocity(x_0: Tensor, noise: Tensor) -> Tensor:
    """dx_t/dσ = ε − x_0, the same at every σ of one path."""
    return noise - x_0


def x_0_from_velocity(x_t: Tensor, v: Tensor, sigma: Sigma) -> Tensor:
    """x_0 = x_t − σ v."""
    return x_t - _align(sigma, x_t) * v


def velocity_from_x_0(x_t: Tensor, x_0: Tensor, sigma: Sigma) -> Tensor:
    """v = (x_t − x_0) / σ; below SIGMA_FLOOR the divisor stays at the floor, so σ = 0 gives a finite answer."""
    sigma = _align(sigma, x_t)
    floored = sigma.clamp(min=SIGMA_FLOOR) if isinstance(sigma, Tensor) else max(sigma, SIGMA_FLOOR)
    return (x_t - x_0) / floored


def _align(sigma: Sigma, x: Tensor) -> Sigma:
    """Give σ of shape (B, ...) trailing axes of one until it broadcasts against x (B, ..., more)."""
    if not isinstance(sigma, Tensor):
        return sigma
    assert sigma.ndim <= x.ndim, f"sigma has {sigma.ndim} axes, x only {x.ndim}"
    # σ keeps its own precision if that is the higher: bf16 cannot tell 0.999 from 1.
    dtype = torch.promote_types(sigma.dtype, x.dtype) if sigma.is_floating_point() else x.dtype
    return sigma.to(x.device, dtype).reshape(*sigma.shape, *(1,) * (x.ndim - sigma.ndim))
