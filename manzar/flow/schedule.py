"""The noise levels a generation passes through, as the stock scheduler with the same settings would choose them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from manzar.flow.path import TIMESTEPS, timestep
from manzar.flow.sampling import shift_sigma
from manzar.nouns import ModelError, UsageError

EULER_CLASS = "FlowMatchEulerDiscreteScheduler"
UNIPC_CLASS = "UniPCMultistepScheduler"

# UniPC works with ln((1 − σ)/σ), which has no value at σ = 1; the stock class steps back by this much.
_UNIPC_MARGIN = 1e-6
# A first step shorter than this part of the one after it is not worth a network call, and a multistep solver would
# read a slope off two points so close that their difference is rounding error.
_SLIVER = 0.1

_PREDICTIONS: dict[str, Literal["velocity", "sample"]] = {"flow_prediction": "velocity", "sample": "sample"}

# What the stock classes can be set to do and we do not: any other value than these would change the result.
_EULER_NEEDS: dict[str, Any] = {
    "num_train_timesteps": TIMESTEPS, "use_dynamic_shifting": False, "invert_sigmas": False, "shift_terminal": None,
    "use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False, "stochastic_sampling": False,
}  # fmt: skip
_UNIPC_NEEDS: dict[str, Any] = {
    "num_train_timesteps": TIMESTEPS, "use_dynamic_shifting": False, "shift_terminal": None, "use_karras_sigmas": False,
    "use_exponential_sigmas": False, "use_beta_sigmas": False, "use_flow_sigmas": True, "solver_order": 2,
    "solver_type": "bh2", "predict_x0": True, "lower_order_final": True, "final_sigmas_type": "zero",
    "disable_corrector": [], "solver_p": None, "thresholding": False,
}  # fmt: skip
# Settings above whose stock default is not what we need, so that leaving them out is not the same as agreeing.
_UNIPC_DEFAULTS: dict[str, Any] = {"use_flow_sigmas": False}


@dataclass(frozen=True)
class Schedule:
    """How to walk from noise to data: which solver, how far shifted, and what the network predicts.

    kind: "euler" is first order; "unipc" is second order from x_0 predictions, with a corrector.
    shift: as in `shift_sigma`; larger spends more steps near noise.
    prediction: what the network returns, velocity ε − x_0 or the sample x_0.
    """

    kind: Literal["euler", "unipc"] = "euler"
    shift: float = 1.0
    prediction: Literal["velocity", "sample"] = "velocity"

    def __post_init__(self) -> None:
        assert self.kind in ("euler", "unipc"), f"kind is {self.kind!r}; euler and unipc are known"
        assert self.prediction in ("velocity", "sample"), f"prediction is {self.prediction!r}; velocity or sample"
        assert self.shift > 0, f"shift must be positive, is {self.shift}"

    def sigmas(self, steps: int) -> Tensor:
        """(steps + 1,) fp32, falling from (about) 1 to 0; step i goes from σ_i to σ_{i+1}."""
        return torch.tensor(self.grid(steps), dtype=torch.float32)

    def grid(self, steps: int, sigma_start: float = 1.0) -> tuple[float, ...]:
        """The same noise levels in double precision; with sigma_start < 1, only the part below it, begun exactly there.

        One less than its length is the number of network calls. Raises UsageError for steps < 1 or a sigma_start
        outside (0, 1].
        """
        if steps < 1:
            raise UsageError(f"{steps} steps were asked for; at least 1 is needed")
        if not 0 < sigma_start <= 1:
            raise UsageError(f"integration cannot start at a noise level of {sigma_start}; it must be in (0, 1]")
        levels = self._euler_levels(steps) if self.kind == "euler" else self._unipc_levels(steps)
        if sigma_start >= levels[0]:
            return (*levels, 0.0)
        below = [*(level for level in levels if level < sigma_start), 0.0]
        if len(below) > 1 and sigma_start - below[0] < _SLIVER * (below[0] - below[1]):
            below = below[1:]
        return (sigma_start, *below)

    def timestep(self, sigma: float) -> float:
        """The time input at which the stock pipeline calls the network for a level of `grid`: 1000 σ, under UniPC
        cut down to a whole number (so its first call is at 999)."""
        return timestep(sigma) if self.kind == "euler" else float(int(timestep(sigma)))

    def _euler_levels(self, steps: int) -> list[float]:
        # The stock class shifts the ends of its range when it is made, spaces the steps evenly between the shifted
        # ends, and shifts again. The first shift is done in fp32, and the ends carry that rounding.
        ends = shift_sigma(torch.tensor([TIMESTEPS, 1], dtype=torch.float32) / TIMESTEPS, self.shift)
        spaced = np.linspace(timestep(ends[0].item()), timestep(ends[1].item()), steps) / TIMESTEPS
        return [shift_sigma(level, self.shift) for level in spaced.tolist()]

    def _unipc_levels(self, steps: int) -> list[float]:
        spaced = np.linspace(1, 1 / TIMESTEPS, steps + 1)[:-1]
        levels = [shift_sigma(level, self.shift) for level in spaced.tolist()]
        return [min(levels[0], 1 - _UNIPC_MARGIN), *levels[1:]]

    @classmethod
    def from_json(cls, scheduler_config: Mapping[str, Any]) -> Schedule:
        """Read scheduler_config.json. Raises ModelError for a class or setting that would give another result here."""
        name = scheduler_config.get("_class_name")
        if name == EULER_CLASS:
            _agree(scheduler_config, _EULER_NEEDS, {})
            return cls("euler", float(scheduler_config.get("shift", 1.0)), "velocity")
        if name == UNIPC_CLASS:
            _agree(scheduler_config, _UNIPC_NEEDS, _UNIPC_DEFAULTS)
            predicted = scheduler_config.get("prediction_type", "epsilon")
            if predicted not in _PREDICTIONS:
                raise ModelError(f"scheduler prediction_type {predicted!r} is not supported; "
                                 f"{' and '.join(_PREDICTIONS)} are")
            return cls("unipc", float(scheduler_config.get("flow_shift", 1.0)), _PREDICTIONS[predicted])
        raise ModelError(f"scheduler class {name!r} is not supported; {EULER_CLASS} and {UNIPC_CLASS} "
                         "(with use_flow_sigmas) are")

    def to_json(self) -> dict[str, Any]:
        """scheduler_config.json for the stock class that walks the same way. Raises ModelError where there is none."""
        if self.kind == "unipc":
            predicted = {ours: stock for stock, ours in _PREDICTIONS.items()}[self.prediction]
            return {"_class_name": UNIPC_CLASS, **_UNIPC_NEEDS, "prediction_type": predicted, "flow_shift": self.shift}
        if self.prediction == "sample":
            raise ModelError(f"{EULER_CLASS} has no setting for a network that predicts the sample; "
                             "save with a unipc schedule instead")
        return {"_class_name": EULER_CLASS, **_EULER_NEEDS, "shift": self.shift}


def _agree(config: Mapping[str, Any], needs: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    for key, needed in needs.items():
        found = config.get(key, defaults.get(key, needed))
        if (found or None) != (needed or None):  # stock files write False, None and [] for "off"
            raise ModelError(f"scheduler setting {key} is {found!r}; only {needed!r} is supported with "
                             f"{config['_class_name']}")
