"""Walk the flow from noise to data: Euler, and UniPC of second order (Zhao et al. 2023, arXiv:2302.04867).

UniPC in the terms of this room, where α = 1 − σ. With λ = ln(α/σ) as time, the path between two levels s → t obeys

    x_t = (σ_t/σ_s) x_s + α_t ∫ e^{λ−λ_t} x̂_0(λ) dλ        over λ_s … λ_t,  h = λ_t − λ_s

where x̂_0 is the network's guess of the data. Were x̂_0 constant, the integral would be (1 − e^{−h}) x̂_0, which is
the first-order step. x̂_0 is taken as a polynomial in λ through the guesses at hand: the predictor uses the level
before s; the corrector, once the network has spoken at t, also uses t, and repairs the step just made at no further
cost. The paper's B(h) is its second choice, B = 1 − e^{−h} ("bh2").
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manzar.flow.path import velocity_from_x_0, x_0_from_velocity
from manzar.flow.schedule import Schedule

Predict = Callable[[Tensor, float], Tensor]
OnStep = Callable[[int, Tensor], None]
Project = Callable[[Tensor, float], Tensor]


@torch.no_grad()
def integrate(
    predict: Predict,
    x: Tensor,
    schedule: Schedule,
    steps: int,
    *,
    sigma_start: float = 1.0,
    on_step: OnStep | None = None,
    project: Project | None = None,
) -> Tensor:
    """Carry x, of any shape, from the noise level sigma_start down to 0; the state is fp32, or fp64 if x is.

    predict(x_t, σ) returns what schedule.prediction says. project(x, σ) is called after each step with the level
    reached, and its result replaces x: the place to put given content back. on_step(i, x) follows it.
    Raises UsageError as `Schedule.grid` does.
    """
    levels = schedule.grid(steps, sigma_start)
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    unipc = _UniPC() if schedule.kind == "unipc" else None
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(levels)):
        output = predict(x, sigma).to(x.dtype)
        last = i == len(levels) - 2
        if unipc is not None:
            x_0 = x_0_from_velocity(x, output, sigma) if schedule.prediction == "velocity" else output
            x = unipc.step(x, x_0, sigma, sigma_next, last)
        else:
            v = velocity_from_x_0(x, output, sigma) if schedule.prediction == "sample" else output
            x = x + (_fp32(sigma_next) - _fp32(sigma)) * v
        if project is not None:
            x = project(x, sigma_next)
        if on_step is not None:
            on_step(i, x)
    return x


@dataclass(frozen=True)
class _Guess:
    """The network's guess of the data at one level, and where the state stood (after correction) when it was made."""

    sigma: float
    x: Tensor
    x_0: Tensor


class _UniPC:
    """The solver's memory: the last two guesses."""

    def __init__(self) -> None:
        self.last: _Guess | None = None
        self.before: _Guess | None = None  # the one before last, where the step now to be corrected used it

    def step(self, x: Tensor, x_0: Tensor, sigma: float, sigma_next: float, last: bool) -> Tensor:
        """Correct x at σ with the guess just made there, then predict the state at σ_next."""
        sigma, sigma_next = _fp32(sigma), _fp32(sigma_next)
        if self.last is not None:
            x = _correct(self.last, self.before, x_0, sigma)
        self.before, self.last = self.last, _Guess(sigma, x, x_0)
        # The last step ends at λ = ∞, where only the first-order formula has a limit: x_t = x̂_0.
        return x_0 if last else _predict(self.last, self.before, sigma_next)


def _predict(at: _Guess, before: _Guess | None, sigma: float) -> Tensor:
    """UniP: first order without an earlier guess, second order with one (arXiv:2302.04867, equation 9)."""
    h = _half_log_snr(sigma) - _half_log_snr(at.sigma)
    x = _first_order(at, sigma, h)
    if before is None:
        return x
    # At second order the paper sets the one coefficient to 1/2 rather than solving for it (its section 3.3).
    return x - 0.5 * (1 - sigma) * math.expm1(-h) * _slope(at, before, h)


def _correct(at: _Guess, before: _Guess | None, x_0: Tensor, sigma: float) -> Tensor:
    """UniC: make the step from `at` to σ again, knowing the guess x_0 at its end (equation 10, B = 1 − e^{−h})."""
    h = _half_log_snr(sigma) - _half_log_snr(at.sigma)
    scale = -(1 - sigma) * math.expm1(-h)
    x = _first_order(at, sigma, h)
    if before is None:
        return x + 0.5 * scale * (x_0 - at.x_0)
    # ρ solves [1 1; r 1] ρ = b: the quadratic through three guesses is integrated exactly up to its second moment.
    r = _ratio(at, before, h)
    b_1 = -1 / h - 1 / math.expm1(-h)
    b_2 = 2 * (-b_1 / h - 0.5 / math.expm1(-h))
    rho = (b_1 - b_2) / (1 - r)
    return x + scale * (rho * _slope(at, before, h) + (b_1 - rho) * (x_0 - at.x_0))


def _first_order(at: _Guess, sigma: float, h: float) -> Tensor:
    return (sigma / at.sigma) * at.x - (1 - sigma) * math.expm1(-h) * at.x_0


def _slope(at: _Guess, before: _Guess, h: float) -> Tensor:
    """Change of the guess over one step of h, read off the step before."""
    return (before.x_0 - at.x_0) / _ratio(at, before, h)


def _ratio(at: _Guess, before: _Guess, h: float) -> float:
    return (_half_log_snr(before.sigma) - _half_log_snr(at.sigma)) / h


def _half_log_snr(sigma: float) -> float:
    """λ = ln((1 − σ)/σ)."""
    return math.log1p(-sigma) - math.log(sigma)


def _fp32(sigma: float) -> float:
    """Stock classes store their levels in fp32. Next to σ = 1 that rounding moves λ by a hundredth, so we follow it."""
    return torch.tensor(sigma, dtype=torch.float32).item()
