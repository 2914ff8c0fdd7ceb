"""How technically good the frames look (noise, blur, exposure), by MUSIQ as trained on SPAQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from manzar.score import transforms
from manzar.score.dimension import Dimension, Measured, Unscored

if TYPE_CHECKING:
    from manzar.score.bench import Bench
    from manzar.score.film import Film

LONGEST = 2 * 224  # times as long as wide: beyond it, the smallest of MUSIQ's sizes would have no row of pixels
MOST_FRAMES = 8  # at once on an accelerator; a CPU is fastest with one


@torch.inference_mode()
def measure(film: Film, bench: Bench) -> Measured:
    """The mean over frames, 0..100, as result files carry it; a hundredth of it goes into the dimension's mean.

    Raises Unscored for a film so narrow that nothing is left of a side when it is made smaller.
    """
    _, height, width, _ = film.frames.shape
    if max(height, width) >= LONGEST * min(height, width):
        raise Unscored(f"{width}x{height} is too narrow: nothing is left of it at 224 pixels on the longer side")
    network = bench.backbone("musiq_spaq")
    step = 1 if bench.device.type == "cpu" else MOST_FRAMES
    scores: list[float] = []
    for begin in range(0, len(film.frames), step):
        pictures = transforms.musiq(film.frames[begin : begin + step]).to(bench.device)
        scores += network(pictures).tolist()
    value = sum(scores) / len(scores)
    return Measured(value, (value / 100,))


DIMENSION = Dimension("imaging_quality", "official", measure, backbones=("musiq_spaq",))
