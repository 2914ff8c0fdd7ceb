"""How much films of one prompt differ: the mean distance between every two of them.

Made with other noise, films of one prompt should show it in different ways; a model that has collapsed gives one film
again and again. What counts as a difference depends on the features, so each has a measure of its own name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from manzar.score.beside import features
from manzar.score.beside.sets import Features, Floats, SetMeasure
from manzar.score.dimension import Measured, Unscored

Distance = Callable[[Floats, Floats], float]


def angle(a: Floats, b: Floats) -> float:
    """1 less the cosine between the mean features (n, d) of two films."""
    one, other = a.mean(axis=0), b.mean(axis=0)
    return float(1 - one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12))


def colour_apart(a: Floats, b: Floats) -> float:
    """Mean ΔE between two films' thumbnails (n, 3 · cells), moment by moment and cell by cell."""
    return float(np.linalg.norm((a - b).reshape(len(a), -1, 3), axis=2).mean())


def diversity(films: Sequence[Features], distance: Distance) -> Measured:
    """The mean over prompts of the mean distance between the films of each.

    Raises Unscored where no prompt has two films. Films whose prompt nobody knows are left out.
    """
    by_prompt: dict[str, list[Floats]] = defaultdict(list)
    for film in films:
        if film.prompt is not None:
            by_prompt[film.prompt].append(film.values)
    several = [own for own in by_prompt.values() if len(own) > 1]
    if not several:
        raise Unscored("no prompt has two films or more; make several samples of each")
    means = tuple(float(np.mean([distance(a, b) for a, b in combinations(own, 2)])) for own in several)
    return Measured(float(np.mean(means)), means, {"prompts": len(means), "films": sum(map(len, several))})


THUMBNAIL = SetMeasure("diversity_thumbnail", features.thumbnail, lambda films, _: diversity(films, colour_apart))
DINO = SetMeasure("diversity_dino", features.dino, lambda films, _: diversity(films, angle), ("dino_vitb16",))
CLIP = SetMeasure("diversity_clip", features.clip, lambda films, _: diversity(films, angle), ("clip_vitb32",))
