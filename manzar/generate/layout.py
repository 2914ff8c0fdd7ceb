"""Where the things of a prompt are to be, when nobody drew boxes: the model's own layout, and the folder it is kept in.

    FOLDER/layout/config.json, diffusion_pytorch_model.safetensors      beside a stock model with box control
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from manzar import weights
from manzar.boxes import BoxScript
from manzar.boxes.layout import MOMENTS, Layout, LayoutConfig, script_of, size_of
from manzar.flow import Schedule, integrate
from manzar.generate.boxes import Reads
from manzar.nouns import ModelError, VideoShape

PART = "layout"
STEPS = 16
SCHEDULE = Schedule("unipc", 1.0, "sample")


@torch.no_grad()
def imagine(layout: Layout, text: Reads, prompts: Sequence[str], shape: VideoShape, seeds: Sequence[int]
            ) -> list[BoxScript | None]:
    """A layout for each prompt of a video of this shape, always the same for a seed; None for one without things."""
    device = layout.things.device
    embeddings, lengths = text.embed(prompts)
    size = torch.tensor([size_of(shape)] * len(prompts), device=device)
    noise = torch.stack([torch.randn(layout.config.things, 4 * MOMENTS, generator=torch.Generator().manual_seed(seed))
                         for seed in seeds]).to(device)  # (B, N, 36)
    prompt, told = layout.read(embeddings, lengths)

    def predict(x: Tensor, sigma: float) -> Tensor:
        course: Tensor = layout(x, x.new_full((len(x),), sigma), prompt, size)
        return course

    courses = integrate(predict, noise, SCHEDULE, STEPS)
    pairs = zip(courses.float().cpu(), told.float().cpu(), strict=True)
    return [script_of(course, said, layout.config.words, shape.frames) for course, said in pairs]


def load_layout(folder: Path, text_width: int) -> Layout:
    """The network in `folder`/layout. Raises ModelError if it is not whole, or reads another text encoder."""
    part = folder / PART
    try:
        config = LayoutConfig.from_json(weights.read_json(part / "config.json"))
    except (KeyError, TypeError) as error:
        raise ModelError(f"{part / 'config.json'} cannot be used: {error}") from error
    if config.text != text_width:
        raise ModelError(f"{part} reads embeddings of {config.text} numbers; the text encoder beside it makes "
                         f"{text_width}")
    layout = Layout(config)
    weights.load_strict(layout, weights.read_part(part), part)
    return layout.eval()


def save_layout(layout: Layout, folder: Path) -> None:
    """Write `folder`/layout; what was there is replaced once the new is whole."""
    with weights.replacing(folder / PART) as scratch:
        weights.write_part(scratch, layout.state_dict(), layout.config.to_json())
