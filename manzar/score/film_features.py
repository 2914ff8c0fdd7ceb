"""What single films give to measures of a set, as a worker measures it and the cache keeps it."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from manzar.score.bench import Bench
from manzar.score.beside import SETS, SetMeasure
from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.film import Asked, Film

MARK = "features of "


def features_name(one: SetMeasure) -> str:
    """Under which a film's features are kept; measures that share a function share its features."""
    return f"{MARK}{one.features.__module__.rpartition('.')[2]} {one.features.__name__}"


@cache
def feature_dimensions() -> dict[str, Dimension]:
    """What a worker measures for the sets, by name."""
    return {features_name(one): _features_of(one) for one in SETS.values()}


def _features_of(one: SetMeasure) -> Dimension:
    def measure(film: Film, bench: Bench) -> Measured:
        values = np.asarray(one.features(film, bench), np.float32)  # (n, d)
        if not np.isfinite(values).all():
            raise Unscored("the film gave features that are no finite numbers")
        packed = base64.b64encode(values.tobytes()).decode()
        return Measured.of(0.0, shape=list(values.shape), features=packed)

    measure.__module__ = one.features.__module__  # whose code the values depend on
    return Dimension(features_name(one), "beside", measure, one.backbones)


def unpacked(one: Measured) -> NDArray[np.float64]:
    """(n, d)"""
    values = np.frombuffer(base64.b64decode(one.detail["features"]), np.float32)
    return values.reshape(one.detail["shape"]).astype(np.float64)


def asked_of_workers(own: Mapping[str, Asked], absent: Collection[str]) -> dict[str, Asked]:
    """What a worker is to measure of a film: features in place of what is said of sets, each once."""
    return {features_name(SETS[name]) if name in SETS else name: asked
            for name, asked in own.items() if name not in absent}
