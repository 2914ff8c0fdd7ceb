"""What a run will cost, measured before its first step by a probe of everything that a run repeats."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from manzar.device import describe, peak_memory_bytes
from manzar.train.data import random_generator

if TYPE_CHECKING:
    from manzar.train.checkpoint import Position
    from manzar.train.loop import Budget, Look, Recipe
    from manzar.train.optimiser import Optimiser


@dataclass(frozen=True)
class Forecast:
    """Expected cost of what is still to do, validations and sample sheets included."""

    seconds_per_step: float
    steps: int
    seconds: float
    memory_bytes: int
    device: str

    def __str__(self) -> str:
        return (f"forecast: {self.steps} steps, {self.seconds_per_step:.3f} s each, {clock(self.seconds)} in all, "
                f"peak memory {self.memory_bytes / 2**30:.2f} GiB ({self.device})")

    def compare(self, steps: int, seconds: float) -> str:
        """What was spent since the forecast, beside what it said."""
        return (f"spent: {steps} steps, {clock(seconds)} in all, peak memory {peak_memory_bytes() / 2**30:.2f} GiB "
                f"(forecast: {self.steps} steps, {clock(self.seconds)}, {self.memory_bytes / 2**30:.2f} GiB)")


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass(frozen=True)
class Cost:
    """Measured seconds of one optimiser step and of one look (validation and sample sheet), and the peak of memory."""

    step: float
    look: float
    memory_bytes: int

    def forecast(self, budget: Budget, position: Position, looks: int) -> Forecast:
        """`looks` is how often the run will validate until its end."""
        if budget.steps is not None:
            steps = max(0, budget.steps - position.step)
            seconds = steps * self.step + looks * self.look
        else:
            assert budget.minutes is not None
            seconds = max(0.0, budget.minutes * 60 - position.seconds)
            steps = int(max(0.0, seconds - looks * self.look) / self.step)
        return Forecast(self.step, steps, seconds, self.memory_bytes, describe())


def probe(recipe: Recipe, optimiser: Optimiser, look: Callable[[], Look]) -> tuple[Cost, Look]:
    """Run every shape that occurs, one update and one look, then put weights and optimiser back as they were.

    Call it before a checkpoint is loaded: the optimiser's state is cleared.
    """
    trained = [p for p in recipe.trained.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in trained]
    expected = 0.0
    for share, batch in recipe.probe_batches():
        for _ in range(2):  # the first pass pays for allocation and is not counted
            begun = time.monotonic()
            loss = recipe.loss(batch, random_generator(0, 0)).loss
            loss.backward()  # type: ignore[no-untyped-call]
            float(loss.detach())  # waits for an accelerator
            elapsed = time.monotonic() - begun
        expected += share * elapsed
    begun = time.monotonic()
    optimiser.step(1.0)
    step = max(1e-4, expected * recipe.settings.accumulate + time.monotonic() - begun)
    optimiser.reset()
    with torch.no_grad():
        for p, value in zip(trained, before, strict=True):
            p.copy_(value)
    begun = time.monotonic()
    first_look = look()
    return Cost(step, time.monotonic() - begun, peak_memory_bytes()), first_look
