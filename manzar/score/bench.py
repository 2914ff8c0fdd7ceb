"""The workbench of a scoring process: backbones are loaded once, and what one film gives is computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from manzar.score.checkpoints import load_backbone

T = TypeVar("T")


@dataclass
class Bench:
    """weights: folders to look for checkpoints in, before the hub's cache; device: where backbones run.

    A dimension asks `backbone(name)` for a network and wraps features that others share in `once(key, compute)`.
    """

    weights: tuple[Path, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _backbones: dict[str, Any] = field(default_factory=dict)
    _features: dict[str, Any] = field(default_factory=dict)

    def backbone(self, name: str) -> Any:
        """The network of that name in `checkpoints.CHECKPOINTS`. Raises Unscored where its weights are not here."""
        if name not in self._backbones:
            self._backbones[name] = load_backbone(name, self.weights, self.device)
        return self._backbones[name]

    def once(self, key: str, compute: Callable[[], T]) -> T:
        """`compute()`, the first time that this film is asked for `key`."""
        if key not in self._features:
            self._features[key] = compute()
        return cast(T, self._features[key])

    def next_film(self) -> None:
        """Forget the features of the last film."""
        self._features.clear()
