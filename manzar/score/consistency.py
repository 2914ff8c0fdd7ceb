"""How alike the frames of a film are to a network: what two dimensions measure, each with its own network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from manzar.score.dimension import Measured, Unscored
from manzar.score.transforms import Transform, batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from manzar.nouns import Frames
    from manzar.score.film import Film


def consistency(film: Film, embed: Callable[[], Tensor]) -> Measured:
    """Every frame but the first is compared with the one before it and with the first; the mean of the two cosines,
    each no less than zero, is one part, so that films pool by frames.

    embed: gives the features (T, d) of the film's frames. Raises Unscored for a film of one frame.
    """
    if len(film.frames) < 2:
        raise Unscored("one frame only: there is nothing to compare it with")
    features = F.normalize(embed(), dim=-1)  # (T, d)
    to_previous = F.cosine_similarity(features[:-1], features[1:], dim=-1).clamp_min(0)  # (T - 1)
    to_first = F.cosine_similarity(features[:1], features[1:], dim=-1).clamp_min(0)  # (T - 1)
    parts = ((to_previous.double() + to_first.double()) / 2).tolist()
    return Measured(sum(parts) / len(parts), tuple(parts))


@torch.inference_mode()
def frame_features(
    frames: Frames, transform: Transform, network: Callable[[Tensor], Tensor], device: torch.device
) -> Tensor:
    """What `network` says of every frame (T, …), float32 on the CPU; batch by batch, so memory stays bounded."""
    return torch.cat([network(batch.to(device)).float().cpu() for batch in batches(frames, transform)])
