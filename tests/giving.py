"""A small model to give things to, and a witness of every window that it makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_model import tiny_parts
from torch import Tensor

from manzar.flow import Schedule
from manzar.generate import Generator
from manzar.nouns import Request, SamplingState, Stride, Video

SMALL = Request("a red ball", height=32, width=32, steps=2, guidance=1.0)
STRIDE = Stride(4, 16, 16)


def footage(frames: int, height: int = 32, width: int = 32, fps: float = 8.0, seed: int = 0) -> Video:
    """Soft noise that drifts, so that no two frames and no two places are alike."""
    base = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Video(np.stack([np.roll(base, k, axis=1) for k in range(frames)]), fps)


def model_with(window: int | None = 17, kind: Any = "euler") -> Generator:
    parts = tiny_parts(Schedule(kind, 3.0))
    parts.info["defaults"] |= {"frames": 17} | ({} if window is None else {"window": window})
    return Generator(parts, precision="fp32")

CLIP = footage(13)
MASK = np.zeros((32, 32), np.uint8)
MASK[:, 16:] = 255


def given_frames(state: SamplingState) -> list[int]:
    """Latent frames of which everything is given."""
    assert ((state.given == 0) | (state.given == 1)).all()
    return [k for k, frame in enumerate(state.given) if bool(frame.all())]


class Watched:
    """Every window that a generation goes through: the state before the solver and the latents after it."""

    def __init__(self, model: Generator, monkeypatch: pytest.MonkeyPatch):
        self.states: list[SamplingState] = []
        self.latents: list[Tensor] = []
        sample = model.sample

        def watched(request: Request, state: SamplingState, *rest: Any) -> Tensor:
            self.states.append(state)
            self.latents.append(sample(request, state, *rest))
            return self.latents[-1]

        monkeypatch.setattr(model, "sample", watched)
