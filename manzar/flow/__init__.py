"""Rectified flow: the straight path from data to noise, when to train on it, and how to walk it back.

x_t = (1 − σ) x_0 + σ ε, velocity v = ε − x_0, σ = 0 data, σ = 1 noise (Liu et al. 2022, arXiv:2209.03003;
Lipman et al. 2022, arXiv:2210.02747). Read in this order: path, sampling, schedule, solvers, guidance.
"""

from __future__ import annotations

from manzar.flow.guidance import guide
from manzar.flow.path import interpolate, timestep, velocity, velocity_from_x_0, x_0_from_velocity
from manzar.flow.sampling import sample_sigmas, shift_for_tokens, shift_sigma, unshift_sigma
from manzar.flow.schedule import Schedule
from manzar.flow.solvers import integrate

__all__ = [
    "Schedule",
    "guide",
    "integrate",
    "interpolate",
    "sample_sigmas",
    "shift_for_tokens",
    "shift_sigma",
    "timestep",
    "unshift_sigma",
    "velocity",
    "velocity_from_x_0",
    "x_0_from_velocity",
]
