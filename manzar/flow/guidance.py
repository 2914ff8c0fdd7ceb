"""Classifier-free guidance."""

from __future__ import annotations

from torch import Tensor


def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Move `scale` times as far from the unconditional prediction as the conditional one does.

    Ho & Salimans 2022, arXiv:2207.12598: scale 1 is the conditional prediction, 0 the unconditional one. Holds for
    velocity and for x_0 alike, since each is affine in the other at a given x_t and σ.
    """
    return unconditional + scale * (conditional - unconditional)
