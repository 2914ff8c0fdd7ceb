"""What films are compared by: a network's view of their frames, or a plain thumbnail where there is no network.

Each gives (MOMENTS, d) float64: one row for each of a few moments that part the film evenly.
"""

from __future__ import annotations

import cv2
import numpy as np

from manzar.score import transforms
from manzar.score.bench import Bench
from manzar.score.beside.sets import Floats
from manzar.score.consistency import frame_features
from manzar.score.dimensions.background_consistency import clip_features
from manzar.score.film import Film

MOMENTS = 8
GRID = 4  # cells of a thumbnail along each side


def moments(frames: int, wanted: int = MOMENTS) -> list[int]:
    """The middles of `wanted` equal parts; a film of fewer frames shows some of them twice."""
    return [min(frames - 1, int((k + 0.5) * frames / wanted)) for k in range(wanted)]


def thumbnail(film: Film, bench: Bench) -> Floats:
    """(8, 48): the mean CIE Lab colour of every cell of a 4 x 4 grid. It knows layout and colour and no content."""
    rows = []
    for frame in film.frames[moments(len(film.frames))]:
        cells = cv2.resize(frame.astype(np.float32) / 255, (GRID, GRID), interpolation=cv2.INTER_AREA)
        rows.append(cv2.cvtColor(cells, cv2.COLOR_RGB2Lab).ravel())
    return np.stack(rows).astype(np.float64)


def dino(film: Film, bench: Bench) -> Floats:
    """(8, 768): DINO ViT-B/16's features, each of unit length."""
    features = bench.once(
        "dino_vitb16_image",
        lambda: frame_features(film.frames, transforms.dino, bench.backbone("dino_vitb16"), bench.device),
    )
    return _unit(features.double().numpy())[moments(len(film.frames))]


def clip(film: Film, bench: Bench) -> Floats:
    """(8, 512): CLIP ViT-B/32's features, each of unit length."""
    return _unit(clip_features(film, bench).double().numpy())[moments(len(film.frames))]


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit
