"""Overall consistency: how well the film and its whole prompt belong together, by a network that reads both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manzar.score import transforms
from manzar.score.backbones.bpe import tokenize
from manzar.score.checkpoints import vocabulary
from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.film import Film
from manzar.score.sampling import middle

if TYPE_CHECKING:
    from manzar.score.bench import Bench

FRAMES = 8


def agreement(film: Film, bench: Bench) -> Measured:
    """Cosine of ViCLIP's features of eight frames and of the prompt. Raises Unscored where no prompt is known."""
    prompt = film.asked.prompt
    if prompt is None:
        raise Unscored("its prompt is not known")
    read = bench.once(f"viclip_text {prompt}", lambda: _of_prompt(prompt, bench))  # (space,)
    seen = bench.once("viclip_video", lambda: _of_clip(film, bench))  # (space,)
    return Measured.of(float(seen @ read))


@torch.inference_mode()
def _of_clip(film: Film, bench: Bench) -> Tensor:
    network = bench.backbone("viclip_internvid")
    clip = transforms.clip_levels(film.frames[middle(len(film.frames), FRAMES)])  # (T, 3, 224, 224)
    feature: Tensor = network.embed_clip(clip[None].to(bench.device))[0].cpu()
    return feature


@torch.inference_mode()
def _of_prompt(prompt: str, bench: Bench) -> Tensor:
    network = bench.backbone("viclip_internvid")
    tokens = tokenize(prompt, network.config.context, vocabulary(bench.weights))  # (1, 32)
    feature: Tensor = network.embed_tokens(tokens.to(bench.device))[0].cpu()
    return feature


DIMENSION = Dimension("overall_consistency", "official", agreement, backbones=("viclip_internvid",))
