"""Fréchet distance between what a set of films and a reference set look like to some features.

The squared Wasserstein distance between the Gaussians with the sets' means and covariances (Dowson & Landau 1982;
Heusel et al. 2017), in float64: |m1 − m2|² + tr C1 + tr C2 − 2 tr (C1^½ C2 C1^½)^½. Figures compare with one another
only for one kind of features and one number of rows: with few rows it comes out too large.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from manzar.score.beside import features
from manzar.score.beside.sets import Features, Floats, SetMeasure
from manzar.score.dimension import Measured, Unscored

FEWEST = 16  # films on either side; the frames of one film are too much alike to stand for others


def compare(films: Sequence[Features], reference: Sequence[Features]) -> Measured:
    """The distance, every row of every film being one draw.

    Raises Unscored for fewer films than FEWEST, or no more rows than dimensions, on either side: the covariance of so
    few is not that of the set.
    """
    if not reference:
        raise Unscored("there is no reference to compare with; name a folder of real films with --reference")
    for side, name in ((films, "scored"), (reference, "in the reference")):
        if len(side) < FEWEST:
            raise Unscored(f"{len(side)} films {name} are too few for a covariance; at least {FEWEST} are needed")
    one, other = (np.concatenate([film.values for film in side]) for side in (films, reference))  # (n, d), (m, d)
    d = one.shape[1]
    for rows, name in ((one, "scored"), (other, "in the reference")):
        if len(rows) <= d:
            raise Unscored(f"{len(rows)} rows of {d} dimensions {name} are too few for a covariance; films for more "
                           f"than {d} rows are needed")
    return Measured.of(distance(one, other), dims=d, rows=len(one), films=len(films),
                       reference_rows=len(other), reference_films=len(reference))  # fmt: skip


def distance(one: Floats, other: Floats) -> float:
    """Fréchet distance between Gaussian fits of two sets of rows (n, d) and (m, d)."""
    gap = one.mean(axis=0) - other.mean(axis=0)
    c1, c2 = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (one, other))
    root = _root(c1)
    # (C1^½ C2 C1^½) has the eigenvalues of C1 C2 and is symmetric, so no imaginary parts can arise from rounding
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ c2 @ root), 0, None)).sum()
    return float(max(gap @ gap + np.trace(c1) + np.trace(c2) - 2 * shared, 0.0))


def _root(symmetric: Floats) -> Floats:
    values, vectors = np.linalg.eigh(symmetric)
    root: Floats = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


THUMBNAIL = SetMeasure("frechet_thumbnail", features.thumbnail, compare, against_reference=True)
DINO = SetMeasure("frechet_dino", features.dino, compare, ("dino_vitb16",), against_reference=True)
CLIP = SetMeasure("frechet_clip", features.clip, compare, ("clip_vitb32",), against_reference=True)
