"""Whether the film has the style that was asked for: CLIP's cosine of every frame with the style's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from manzar.score import transforms
from manzar.score.backbones.bpe import tokenize
from manzar.score.checkpoints import vocabulary
from manzar.score.consistency import frame_features
from manzar.score.dimension import Dimension, Measured, Unscored

if TYPE_CHECKING:
    from manzar.score.bench import Bench
    from manzar.score.film import Film


@torch.inference_mode()
def measure(film: Film, bench: Bench) -> Measured:
    """One part for every frame. Raises Unscored if nobody says what style was asked for."""
    style = film.asked.details.get("appearance_style", {}).get("appearance_style")
    if style is None:
        raise Unscored("no style is known to have been asked for")
    clip = bench.backbone("clip_vitb32")
    tokens = tokenize(style, clip.config.context, vocabulary(bench.weights)).to(bench.device)  # (1, 77)
    features = bench.once(
        "clip_vitb32_pillow",
        lambda: frame_features(film.frames, transforms.clip_images, clip.embed_images, bench.device),
    )  # (T, 512)
    text = clip.embed_tokens(tokens)  # (1, 512)
    parts = (clip.logits(features.to(bench.device), text)[:, 0] / 100).tolist()  # the scale it learned is 100
    return Measured(sum(parts) / len(parts), tuple(parts))


DIMENSION = Dimension("appearance_style", "official", measure, backbones=("clip_vitb32",), suite_only=True)
