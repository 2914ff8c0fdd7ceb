"""What is measured of a set of films, not of each: how they differ from one another, and from films that are real."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manzar.score.bench import Bench
from manzar.score.dimension import Measured
from manzar.score.film import Film

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Features:
    """What one film gives a set measure. prompt: what it was made for, None where nobody knows; values: (n, d)."""

    path: Path
    prompt: str | None
    values: Floats


@dataclass(frozen=True)
class SetMeasure:
    """One number for a set of films.

    features: what a film gives, (n, d) float64; raises Unscored where it gives nothing.
    measure: from the features of all films, and of the films of the reference set (empty where there is none); raises
        Unscored with the reason where too few are there.
    backbones: as of a Dimension; against_reference: has no value without a reference set.
    """

    name: str
    features: Callable[[Film, Bench], Floats]
    measure: Callable[[Sequence[Features], Sequence[Features]], Measured]
    backbones: tuple[str, ...] = ()
    against_reference: bool = False
