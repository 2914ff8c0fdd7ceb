"""What VBench does not ask: whether films of one prompt differ, whether as much moves as in real footage, how far the
set is from real films, how sharp films are, and whether they keep their colours and sharpness to the end."""

from manzar.score.beside import diversity, drift, dynamics, frechet, sharpness
from manzar.score.beside.sets import Features, SetMeasure
from manzar.score.dimension import Dimension

BESIDE: dict[str, Dimension] = {
    dimension.name: dimension
    for dimension in (dynamics.DIMENSION, sharpness.DIMENSION, drift.COLOUR, drift.SHARPNESS)
}
SETS: dict[str, SetMeasure] = {
    one.name: one
    for one in (diversity.THUMBNAIL, diversity.DINO, diversity.CLIP, dynamics.AGAINST,
                frechet.THUMBNAIL, frechet.DINO, frechet.CLIP)
}  # fmt: skip

__all__ = ["BESIDE", "SETS", "Features", "SetMeasure"]
