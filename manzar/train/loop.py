"""The one training loop. A recipe says what a batch, a loss and a sample sheet are; everything else is here.

State is a position (step, samples seen). All randomness of a step derives from (seed, samples seen), so a run stopped
anywhere, and resumed, goes through the same losses bit for bit on the same device.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from manzar.device import peak_memory_bytes
from manzar.nouns import Frames, TrainingError, UsageError
from manzar.train import checkpoint
from manzar.train.checkpoint import Position
from manzar.train.data import random_generator
from manzar.train.ema import Ema
from manzar.train.forecast import Forecast, probe
from manzar.train.log import RunLog
from manzar.train.optimiser import Optimiser, rate_scale
from manzar.train.settings import Settings

Look = tuple[dict[str, Any], str, Frames]  # held-out measures, what the picture shows, the picture

WARMUP_PARTS = 10  # a warm-up is at most one part in so many of its run: a short run must get to its rates, too


@dataclass
class StepLoss:
    """What one forward pass gives. `sigmas` and `per_sample` feed the loss in ten bins of σ.

    aside: a loss that only helps on the way. It counts as far as the learning rates are up, so that the end of a run
    is free of it: what it teaches early holds the model back late (HASTE, Wang et al. 2025, arXiv 2505.16792).
    """

    loss: Tensor
    terms: Mapping[str, Tensor]
    sigmas: Tensor | None = None
    per_sample: Tensor | None = None
    aside: Tensor | None = None


class Recipe(Protocol):
    """What differs between training a VAE, a DiT and a LoRA."""

    name: str
    fingerprint: str  # hash of what it trains on; a resumed run must find the same

    @property
    def settings(self) -> Settings: ...

    @property
    def trained(self) -> nn.Module: ...

    def is_matrix(self, name: str, p: nn.Parameter) -> bool:
        """True for the hidden matrices, which Muon moves."""

    def rate(self, name: str) -> float:
        """A factor on a parameter's learning rate."""

    def batch(self, generator: torch.Generator) -> Any:
        """A record of tensors that knows its length, and in `clip_ids` where it came from."""

    def probe_batches(self) -> list[tuple[float, Any]]:
        """(share of steps, batch) for every shape that occurs, for the forecast."""

    def loss(self, batch: Any, generator: torch.Generator) -> StepLoss: ...

    def validate(self) -> dict[str, Any]: ...

    def sheet(self) -> tuple[str, Frames]:
        """A picture of what the model can do now, and one line on what it shows."""

    def export(self, folder: Path, position: Position) -> None: ...


@dataclass(frozen=True)
class Budget:
    """How long to train: exactly one of the two. Minutes count everything, from the start of the command."""

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise UsageError("say how long to train: --minutes M or --steps N, one of the two")
        asked = self.steps if self.minutes is None else self.minutes
        if asked is None or not 0 < asked < float("inf"):
            raise UsageError(f"--minutes and --steps must be numbers above 0, not {asked}")

    def less(self, seconds: float) -> Budget:
        """What is left of the minutes when `seconds` are kept back, at least half; steps are not touched."""
        return self if self.minutes is None else Budget(minutes=max(self.minutes / 2, self.minutes - seconds / 60))

    def part(self, share: float) -> Budget:
        """That share of it."""
        if self.steps is not None:
            return Budget(steps=max(1, round(share * self.steps)))
        assert self.minutes is not None
        return Budget(minutes=share * self.minutes)

    def progress(self, position: Position) -> float:
        """Share of the budget that is spent, 0 to 1."""
        if self.steps is not None:
            return min(1.0, position.step / self.steps)
        assert self.minutes is not None
        return min(1.0, position.seconds / (60 * self.minutes))


@dataclass
class Outcome:
    """What a run came to; the `--json` object of `manzar train`."""

    run: Path
    model: Path
    position: Position
    forecast: Forecast
    memory_bytes: int
    finished: bool


def train(recipe: Recipe, run: Path, budget: Budget, *, resume: bool, log: RunLog, started: float) -> Outcome:
    """Train until the budget is spent or the user interrupts; either way the run can be taken up again.

    started: `time.monotonic()` of the command, so that preparation counts toward --minutes.
    Raises TrainingError at a non-finite loss or gradient, naming the step, the clips and the last good checkpoint.
    """
    s = recipe.settings
    optimiser = Optimiser(recipe.trained, recipe.is_matrix,
                          muon_lr=s.muon_lr, adam_lr=s.adam_lr, weight_decay=s.weight_decay, rate=recipe.rate)
    ema = Ema(recipe.trained, s.ema)
    kind = f"{recipe.name} {recipe.fingerprint}"
    cost, first_look = probe(recipe, optimiser, lambda: look(recipe, ema))
    position = checkpoint.load(run, kind, recipe.trained, ema, optimiser) if resume else Position()
    log.rewind(position.step)
    first_step, before = position.step, position.seconds
    position.seconds = before + time.monotonic() - started
    # what follows the last step, a look and an export of about its length, belongs to the minutes too
    budget = budget.less(2 * cost.look)
    next_look = int(budget.progress(position) * s.validations) + 1
    forecast = cost.forecast(budget, position, s.validations + 1 - next_look)
    foretold = time.monotonic()
    log.say(str(forecast))
    warmup = min(s.warmup, (position.step + forecast.steps) // WARMUP_PARTS)
    if not resume:
        checkpoint.save(run, kind, position, recipe.trained, ema, optimiser)
        log.look(position, *first_look)
    saved = time.monotonic()
    with interruptible() as interrupted:
        while (budget.progress(position) < 1 or position.step == 0) and not interrupted():
            rate = rate_scale(position.step, budget.progress(position), warmup, s.cooldown)
            step(recipe, run, position, rate, optimiser, ema, log)
            position.seconds = before + time.monotonic() - started
            progress = budget.progress(position)
            log.progress(progress, position)
            if next_look / s.validations <= progress < 1:
                log.look(position, *look(recipe, ema))
                next_look = int(progress * s.validations) + 1
            if time.monotonic() - saved > s.checkpoint_seconds:
                checkpoint.save(run, kind, position, recipe.trained, ema, optimiser)
                saved = time.monotonic()
        checkpoint.save(run, kind, position, recipe.trained, ema, optimiser)
        finished = not interrupted()
    model = run / "model"
    if finished:
        log.look(position, *look(recipe, ema))
        with ema.applied():
            recipe.export(model, position)
    position.seconds = before + time.monotonic() - started
    log.say(forecast.compare(position.step - first_step, time.monotonic() - foretold))
    return Outcome(run, model, position, forecast, peak_memory_bytes(), finished)


def step(recipe: Recipe, run: Path, position: Position, rate: float, optimiser: Optimiser, ema: Ema,
         log: RunLog) -> None:
    """One optimiser step over `accumulate` batches, at `rate` times the learning rates.

    Moves `position` on and writes one line of the log.
    """
    s = recipe.settings
    total, terms, ids = 0.0, dict[str, float](), list[str]()
    begun = time.monotonic()
    for _ in range(s.accumulate):
        generator = random_generator(s.seed, position.samples_seen)
        batch = recipe.batch(generator)
        out = recipe.loss(batch, generator)
        loss = out.loss if out.aside is None else out.loss + rate * out.aside
        (loss / s.accumulate).backward()  # type: ignore[no-untyped-call]
        position.samples_seen += len(batch)
        total += float(loss.detach()) / s.accumulate
        ids += batch.clip_ids
        for name, value in out.terms.items():
            terms[name] = terms.get(name, 0.0) + float(value.detach()) / s.accumulate
        log.bin(out.sigmas, out.per_sample)
    norm = float(nn.utils.clip_grad_norm_(recipe.trained.parameters(), s.clip, foreach=True))
    if not (np.isfinite(total) and np.isfinite(norm)):
        raise TrainingError(
            f"step {position.step}: loss {total}, gradient norm {norm}; the clips were "
            f"{', '.join(sorted(set(ids))[:8])}. The last good checkpoint is {run / checkpoint.NAME}. "
            f"Start a new --out with lower --set muon_lr and adam_lr, or without those clips"
        )
    optimiser.step(rate)
    ema.update(position.step)
    position.step += 1
    position.loss = total
    log.step(position, {"loss": total, "grad": norm, **terms, "step_seconds": time.monotonic() - begun})


def look(recipe: Recipe, ema: Ema) -> Look:
    """Validate and draw a sample sheet with the averaged weights."""
    recipe.trained.eval()
    with ema.applied(), torch.no_grad():
        values, (caption, picture) = recipe.validate(), recipe.sheet()
    recipe.trained.train()
    return values, caption, picture


@contextmanager
def interruptible() -> Iterator[Any]:
    """Ctrl-C and SIGTERM end the loop after the step in hand instead of in the middle of it; twice ends it at once."""
    stop = {"asked": False}

    def ask(number: int, frame: object) -> None:
        if stop["asked"]:
            raise KeyboardInterrupt
        stop["asked"] = True

    try:
        old = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: the caller handles signals
        old = {}
    try:
        yield lambda: stop["asked"]
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
