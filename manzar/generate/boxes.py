"""Where things are to go: the condition, and the folder of the module that obeys it.

    FOLDER/boxes/config.json, diffusion_pytorch_model.safetensors      beside a stock model, or in a place of its own
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from manzar import weights
from manzar.boxes import BoxScript, Plan, latent_plan
from manzar.boxes.control import BoxControl, ControlConfig, palette
from manzar.boxes.tracks import spoken
from manzar.dit import DiT
from manzar.generate.fitting import Canvas
from manzar.nouns import Box, Condition, ModelError, SamplingState, UsageError
from manzar.text import clean

PART = "boxes"

T = TypeVar("T")


@dataclass(frozen=True)
class Boxes(Condition):
    """Objects go where the script says. Time counts from the first frame that is made, whatever is given before it."""

    script: BoxScript
    plans: tuple[Plan, ...] = ()
    objects: int = 0

    def fit(self, canvas: Canvas, control: BoxControl | None) -> Boxes:
        """The same for a video of this length and rate. Raises UsageError, also for a model without box control."""
        if control is None:
            raise UsageError("this model has no box control; train one with: manzar train boxes, and name it with "
                             "--control, or leave out --boxes")
        objects = control.config.objects
        return replace(self, plans=tuple(self.script.resolve(canvas.frames, canvas.fps, objects)), objects=objects)

    def apply(self, state: SamplingState) -> SamplingState:
        assert self.objects, "boxes must be fitted to a video before they apply"
        whole = self.whole(state.total, state.before, state.after, state.stride.time)  # (t, N, 9)
        boxes = whole[state.first : state.last].to(state.latents.device)
        return replace(state, boxes=boxes, names=tuple(spoken(plan.name) for plan in self.plans))

    def whole(self, total: int, before: int, after: int, r: int) -> Tensor:
        """(total, N, 9): the boxes of every latent frame; none on the `before` and `after` that are given."""
        context = 1 + r * (before - 1) if before else 0
        frames = 1 + r * (total - 1)
        stretched = [stretch(plan, context, frames) for plan in self.plans]
        boxes = control_boxes([latent_plan(plan, r) for plan in stretched], total, self.objects)
        boxes[:before, :, -1] = 0
        boxes[total - after :, :, -1] = 0
        return boxes


def stretch(plan: Plan, before: int, frames: int) -> Plan:
    """The plan with its first box held for so many frames before, and its last to the end of `frames`."""
    after = max(0, frames - before - len(plan.boxes))

    def held(row: Sequence[T], outside: Callable[[int], T]) -> tuple[T, ...]:
        return ((outside(0),) * before + tuple(row) + (outside(-1),) * after)[:frames]

    return Plan(plan.name, held(plan.boxes, plan.boxes.__getitem__), held(plan.hard, lambda _: False),
                held(plan.exact, plan.exact.__getitem__))


def control_boxes(objects: list[tuple[tuple[Box, ...], tuple[bool, ...]]], frames: int, slots: int) -> Tensor:
    """(frames, slots, 9) of boxes and hard flags per latent frame; the k-th object has the k-th colour."""
    out = torch.zeros(frames, slots, 9)
    for k, (colour, (boxes, hard)) in enumerate(zip(palette(slots), objects, strict=False)):
        out[:, k, :4] = torch.tensor([box.as_list() for box in boxes])
        out[:, k, 4:7] = torch.tensor(colour)
        out[:, k, 7] = torch.tensor(hard).float()
        out[:, k, 8] = 1
    return out


class Reads(Protocol):
    """A text encoder, or what stands before one."""

    def embed(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(B, L, d), zero beyond each one's length, and the lengths (B,)."""


def read_names(text: Reads, names: Sequence[str], slots: int) -> Tensor:
    """(slots, d): the mean of each name's embedding, and zeros for "" and for slots without a name."""
    padded = [clean(name) for name in names] + [""] * (slots - len(names))
    embeddings, lengths = text.embed(padded)  # (slots, L, d)
    said = torch.tensor([bool(name) for name in padded], device=lengths.device)
    return embeddings.float().sum(1) * (said / lengths)[:, None]


def new_control(dit: DiT, objects: int, width: int) -> BoxControl:
    """A fresh module for a transformer; it changes nothing yet."""
    config = dit.config
    return BoxControl(ControlConfig(config.dim, config.num_layers, objects, width, text=config.text_dim))


def control_folder(path: Path) -> Path | None:
    """The folder of box control in a model, a run, or itself; None where there is none."""
    return next((folder for folder in (path / PART, path / "model" / PART, path)
                 if _is_control(folder)), None)  # fmt: skip


def _is_control(folder: Path) -> bool:
    config = folder / "config.json"
    return config.is_file() and weights.read_json(config).get("_class_name") == BoxControl.__name__


def load_control(path: Path, dit: DiT) -> BoxControl:
    """The module in `path`, or in a run or model there. Raises ModelError if none is, or one for another width."""
    folder = control_folder(path)
    if folder is None:
        raise ModelError(f"{path} holds no box control; manzar train boxes makes one")
    try:
        config = ControlConfig.from_json(weights.read_json(folder / "config.json"))
    except TypeError as error:
        raise ModelError(f"{folder / 'config.json'} cannot be used: {error}") from error
    if (config.dim, config.layers) != (dit.config.dim, dit.config.num_layers):
        raise ModelError(f"{folder} is for a transformer {config.dim} wide of {config.layers} blocks; this one is "
                         f"{dit.config.dim} wide of {dit.config.num_layers}")
    control = BoxControl(config)
    weights.load_strict(control, weights.read_part(folder), folder)
    return control.eval()


def save_control(control: BoxControl, folder: Path) -> None:
    """Write `folder`/boxes; what was there is replaced once the new is whole."""
    with weights.replacing(folder / PART) as scratch:
        weights.write_part(scratch, control.state_dict(), control.config.to_json())
