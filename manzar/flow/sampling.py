"""Which noise levels to train on, and the shift that moves them towards noise for larger videos."""

from __future__ import annotations

import math
from typing import Literal, TypeVar

import torch
from torch import Tensor

_Number = TypeVar("_Number", float, Tensor)

# The line of shift_for_tokens: ln(shift) at two token counts, as FLUX publishes it in its scheduler settings.
_FEW_TOKENS, _LOG_SHIFT_FEW = 256, 0.5
_MANY_TOKENS, _LOG_SHIFT_MANY = 4096, 1.15
_LARGEST_SHIFT = 5.0  # what Wan 2.1 uses for 720p clips of five seconds, 75,600 tokens


def sample_sigmas(
    n: int,
    generator: torch.Generator,
    *,
    kind: Literal["logit-normal", "uniform"] = "logit-normal",
    mean: float = 0.0,
    std: float = 1.0,
    shift: float = 1.0,
) -> Tensor:
    """`n` independent noise levels in (0, 1), fp32, on the generator's device.

    logit-normal: ln(σ / (1 − σ)) ~ N(mean, std²), which spends the effort on the middle of the path, where the
    velocity is hardest to tell (Esser et al. 2024, arXiv:2403.03206, section 3.1). uniform: σ ~ U(0, 1); mean and
    std play no part. Either is then shifted.
    """
    device = generator.device
    if kind == "logit-normal":
        sigma = torch.sigmoid(mean + std * torch.randn(n, generator=generator, device=device))  # (n,)
    else:
        assert kind == "uniform", f"kind is {kind!r}; logit-normal and uniform are known"
        sigma = torch.rand(n, generator=generator, device=device)  # (n,)
    return shift_sigma(sigma, shift)


def shift_sigma(sigma: _Number, shift: float) -> _Number:
    """σ' = s σ / (1 + (s − 1) σ): odds σ/(1 − σ) times s (arXiv:2403.03206, equation 23). Ends stay at 0 and 1.

    Shifts compose: by s, then by s', is by s s'.
    """
    assert shift > 0, f"shift must be positive, is {shift}"
    return shift * sigma / (1 + (shift - 1) * sigma)


def unshift_sigma(sigma: _Number, shift: float) -> _Number:
    """The σ that `shift_sigma` moves to this one."""
    return shift_sigma(sigma, 1 / shift)


def shift_for_tokens(tokens: int) -> float:
    """The shift that suits a video of so many DiT tokens, at least 1 and at most 5.

    Neighbouring tokens say much the same, so the more there are, the more noise it takes to hide the whole: σ must
    move towards 1. The square root of the pixel ratio (arXiv:2403.03206) holds between large sizes but falls below 1
    at small ones; FLUX's law, ln(shift) linear in tokens, is gentle there: 1.6 at 80 tokens, 2.1 at 1,560, 3.2 at
    4,096. Past the range it was made for it explodes, hence the cap.
    """
    slope = (_LOG_SHIFT_MANY - _LOG_SHIFT_FEW) / (_MANY_TOKENS - _FEW_TOKENS)
    log_shift = _LOG_SHIFT_FEW + slope * (tokens - _FEW_TOKENS)
    return math.exp(min(log_shift, math.log(_LARGEST_SHIFT)))
