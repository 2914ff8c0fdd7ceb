"""Human action: whether an action classifier is sure of the action that the film's name asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor

from manzar.score import transforms
from manzar.score.backbones.kinetics import classes
from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.film import Film
from manzar.score.sampling import middle
from manzar.score.suite import action_label, film_stem

if TYPE_CHECKING:
    from manzar.score.bench import Bench

FRAMES = 16
TOP = 5
SURE = 0.85  # of a class's probability, rounded to four places


def sure_of(logits: Tensor) -> list[tuple[str, float]]:
    """The actions of which the classifier is sure and their probabilities, the likeliest first; `logits` (400,).

    At most five are looked at, and each class's probability is its own: the sigmoid of its logit.
    """
    best, indices = torch.sigmoid(logits).topk(TOP)
    rounded = [round(value, 4) for value in best.tolist()]
    return [(classes()[i], value) for i, value in zip(indices.tolist(), rounded, strict=True) if value >= SURE]


def measure(film: Film, bench: Bench) -> Measured:
    """True if the label is among them.

    Raises Unscored for a label that the classifier does not know, of which it can never be sure; none of VBench's is.
    """
    label = action_label(film.asked.prompt or film_stem(film.path))
    if label not in classes():
        raise Unscored(f'"{label}", which its name asks for, is none of the 400 actions of Kinetics')
    network = bench.backbone("umt_l16_k400")
    with torch.inference_mode():
        frames = transforms.kinetics(film.frames[middle(len(film.frames), FRAMES)])  # (T, 3, h, w)
        clip = rearrange(frames, "t c h w -> 1 c t h w").contiguous()
        sure = sure_of(network(clip.to(bench.device))[0].cpu())
    return Measured.of(label in dict(sure), label=label, sure_of=dict(sure))


DIMENSION = Dimension("human_action", "official", measure, backbones=("umt_l16_k400",))
