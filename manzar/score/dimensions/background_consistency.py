"""Whether the scene stays itself: CLIP's features of whole frames against the frame before and the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manzar.score import transforms
from manzar.score.consistency import consistency, frame_features
from manzar.score.dimension import Dimension, Measured

if TYPE_CHECKING:
    from torch import Tensor

    from manzar.score.bench import Bench
    from manzar.score.film import Film


def measure(film: Film, bench: Bench) -> Measured:
    """One part for every frame but the first. Raises Unscored for a film of one frame."""
    return consistency(film, lambda: clip_features(film, bench))


def clip_features(film: Film, bench: Bench) -> Tensor:
    """CLIP ViT-B/32's features (T, 512) of every frame, not of unit length."""
    return bench.once(
        "clip_vitb32_image",
        lambda: frame_features(
            film.frames, transforms.clip, bench.backbone("clip_vitb32").embed_images, bench.device
        ),
    )


DIMENSION = Dimension("background_consistency", "official", measure, backbones=("clip_vitb32",))
