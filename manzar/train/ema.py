"""Averaged weights (exponential moving average): what is validated, shown and exported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Running mean of the trained parameters. Early on the window grows with the step, so the start is forgotten."""

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.live = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.mean = {name: p.detach().clone() for name, p in self.live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.mean.values()), [p.detach() for p in self.live.values()], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the module computes with the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, p in self.live.items():
            p.data, self.mean[name] = self.mean[name], p.data

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.mean)

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        assert tensors.keys() == self.mean.keys(), sorted(tensors.keys() ^ self.mean.keys())[:3]
        for name, value in tensors.items():
            self.mean[name].copy_(value)
