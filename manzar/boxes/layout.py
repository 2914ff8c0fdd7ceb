"""From the words of a prompt to where its things are, moment by moment, before anything is drawn.

How many things there are, which colour is whose, which way each goes: the text has all of that, and a diffusion
transformer learns it late, since little of the loss of a picture depends on it. A small network says it in numbers, as
boxes with names, and box control draws what they say: plan first, draw second, as in LayoutGPT (Feng et al. 2023, arXiv
2305.15393) and LLM-grounded video diffusion (Lian et al. 2023, arXiv 2309.17444), where a language model is the
planner.

    things ─┬─ transformer decoder ─┬─ + noisy courses, σ, size ─┬─ transformer decoder ─ courses
    words ──┘                       └─ there? called what?       └─ words

The things of a prompt are in its order, so the k-th place is the k-th thing said. What is a matter of chance, where
they are, is a rectified flow over their boxes at a few moments; what is not, whether there is a thing and what it is
called, is read before there is a course that could give it away. The text encoder's words are read as they are, so
every language of a model is a language of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manzar.boxes.control import WAVES, fourier
from manzar.boxes.script import BoxScript, read_script
from manzar.nouns import Box, ModelError, VideoShape

MOMENTS = 9  # at which the boxes of a thing are told, evenly spread over a clip
SPREAD = 4.0  # a course in units of its network: (share of the frame − ½) · SPREAD, which has a deviation of about 1
LONGEST = 64  # words of a prompt whose places are told apart
THINNEST = 0.03  # side of a box, in shares of the frame, where the network says less


@dataclass(frozen=True)
class LayoutConfig:
    """text is the width of the embeddings that prompts come in; words those that names are made of, in the order in
    which names have them; things the most that a prompt can have."""

    text: int
    words: tuple[str, ...]
    things: int = 4
    width: int = 192
    layers: int = 3
    heads: int = 4

    def __post_init__(self) -> None:
        needed = (self.text, self.things, self.width, self.layers, self.heads)
        if min(needed) < 1 or self.width % self.heads or not self.words:
            raise ModelError(f"layout: {needed} for text, things, width, layers and heads and {len(self.words)} words "
                             "need numbers above 0, a width that the heads divide, and a word")

    def to_json(self) -> dict[str, Any]:
        return {"_class_name": "Layout", **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LayoutConfig:
        own = {name: value for name, value in values.items() if not name.startswith("_")}
        return cls(**own | {"words": tuple(own["words"])})


Prompt = tuple[Tensor, Tensor, Tensor]  # its things (B, N, width), its words (B, L, width), which of them are padding


class Layout(nn.Module):
    """`read` finds the things of a prompt, `forward` x_0 of their courses from noisy ones; `layers` deep each."""

    def __init__(self, config: LayoutConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.things = nn.Parameter(torch.randn(config.things, width) * width**-0.5)
        self.enter = nn.Linear(4 * MOMENTS, width)
        self.level = nn.Linear(2 * WAVES, width)
        self.size = nn.Linear(2, width)
        self.word = nn.Linear(config.text, width)
        self.place = nn.Linear(2 * WAVES, width)
        layer = nn.TransformerDecoderLayer(width, config.heads, 4 * width, 0.0, "gelu", batch_first=True,
                                           norm_first=True)
        self.reader, self.drawer = (nn.TransformerDecoder(layer, config.layers, nn.LayerNorm(width)) for _ in range(2))
        self.course = nn.Linear(width, 4 * MOMENTS)
        self.told = nn.Linear(width, 1 + len(config.words))

    def read(self, text: Tensor, lengths: Tensor) -> tuple[Prompt, Tensor]:
        """text (B, L, d) and lengths (B,) -> the prompt as `forward` takes it, and logits (B, N, 1 + W) of there being
        such a thing and of each word in its name."""
        order = torch.arange(text.shape[1], device=text.device)  # (L,)
        places = self.place(fourier((order / LONGEST).clamp(max=1)[:, None]))  # (L, width)
        words = self.word(F.layer_norm(text.float(), text.shape[-1:])) + places  # (B, L, width)
        padding = order >= lengths[:, None]  # (B, L)
        things = self.reader(self.things.expand(len(text), -1, -1), words, memory_key_padding_mask=padding)
        return (things, words, padding), self.told(things)

    def forward(self, x_t: Tensor, sigma: Tensor, prompt: Prompt, size: Tensor) -> Tensor:
        """x_t (B, N, 36), sigma (B,), what `read` made of the prompt, size (B, 2) as `size_of` -> x_0 (B, N, 36)."""
        things, words, padding = prompt
        about = self.level(fourier(sigma[:, None])) + self.size(size)  # (B, width)
        out = self.drawer(things + self.enter(x_t) + about[:, None], words, memory_key_padding_mask=padding)
        course: Tensor = self.course(out)
        return course


def size_of(shape: VideoShape) -> tuple[float, float]:
    """What of a video's size boxes depend on: how wide it is, and whether it moves at all."""
    return shape.width / shape.height - 1.0, float(shape.frames > 1)


def moments(frames: int) -> list[int]:
    """The pixel frames that stand for the moments of a course; the same one more than once in a short clip."""
    return [round(k * (frames - 1) / (MOMENTS - 1)) for k in range(MOMENTS)]


def course_of(boxes: Sequence[Box]) -> Tensor:
    """(36,): the boxes of all frames of a clip as the network has them."""
    picked = torch.tensor([boxes[frame].as_list() for frame in moments(len(boxes))])  # (9, 4)
    return ((picked - 0.5) * SPREAD).flatten()


def script_of(course: Tensor, told: Tensor, words: Sequence[str], frames: int) -> BoxScript | None:
    """What the network said, courses (N, 36) and logits (N, 1 + W), as a boxes.json; None where there is nothing."""
    objects = []
    for number, (own, (there, *said)) in enumerate(zip(course.view(-1, MOMENTS, 4), told.tolist(), strict=True), 1):
        if there > 0:
            name = " ".join(word for word, logit in zip(words, said, strict=True) if logit > 0) or "object"
            keys = {frame: within(box) for frame, box in zip(moments(frames), own.tolist(), strict=True)}
            objects.append({"name": f"{name} {number}",
                            "keys": [{"frame": frame, "box": box} for frame, box in keys.items()]})
    return read_script({"objects": objects}) if objects else None


def within(box: Sequence[float]) -> list[float]:
    """Four numbers of a course as a box in the frame, with an area."""
    x0, y0, x1, y1 = (min(1.0, max(0.0, value / SPREAD + 0.5)) for value in box)
    sides = []
    for low, high in ((x0, x1), (y0, y1)):
        middle, half = (low + high) / 2, max(THINNEST, high - low) / 2
        middle = min(1 - half, max(half, middle))
        sides.append((round(middle - half, 4), round(middle + half, 4)))
    return [sides[0][0], sides[1][0], sides[0][1], sides[1][1]]
