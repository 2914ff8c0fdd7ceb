"""Whether the subject stays itself: DINO's features of every frame against the frame before and the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manzar.score import transforms
from manzar.score.consistency import consistency, frame_features
from manzar.score.dimension import Dimension, Measured

if TYPE_CHECKING:
    from manzar.score.bench import Bench
    from manzar.score.film import Film


def measure(film: Film, bench: Bench) -> Measured:
    """One part for every frame but the first. Raises Unscored for a film of one frame."""
    return consistency(
        film,
        lambda: bench.once(
            "dino_vitb16_image",
            lambda: frame_features(film.frames, transforms.dino, bench.backbone("dino_vitb16"), bench.device),
        ),
    )


DIMENSION = Dimension("subject_consistency", "official", measure, backbones=("dino_vitb16",))
