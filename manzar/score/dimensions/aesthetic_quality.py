"""How well the frames please, by LAION's predictor on CLIP's features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from manzar.score import transforms
from manzar.score.consistency import frame_features
from manzar.score.dimension import Dimension, Measured

if TYPE_CHECKING:
    from manzar.score.bench import Bench
    from manzar.score.film import Film


@torch.inference_mode()
def measure(film: Film, bench: Bench) -> Measured:
    """A tenth of the mean rating of the frames, so mostly between 0 and 1; a film is one part."""
    head, clip = bench.backbone("laion_aesthetic"), bench.backbone("clip_vitl14")
    features = bench.once(
        "clip_vitl14_image",
        lambda: frame_features(film.frames, transforms.clip, clip.embed_images, bench.device),
    )  # (T, 768)
    ratings = head(F.normalize(features, dim=-1).to(bench.device))  # (T, 1)
    return Measured.of(float((ratings / 10).mean()))


DIMENSION = Dimension("aesthetic_quality", "official", measure, backbones=("clip_vitl14", "laion_aesthetic"))
