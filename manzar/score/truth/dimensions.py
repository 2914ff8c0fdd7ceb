"""The ideas of VBench's sixteen dimensions, asked of films of the world, where what is right is known exactly.

Every one is measured on pixels by the judge, which shares no code with what draws the world; all values lie in [0, 1].
`IDEAS` says which of VBench's dimensions each one answers to. They are facts about the world's simple scenes and no
substitute for VBench's numbers: the kind is "truth", and nothing mixes the two.
"""

from __future__ import annotations

from collections.abc import Callable

from manzar.score.bench import Bench
from manzar.score.dimension import Dimension, Measured
from manzar.score.film import Film
from manzar.score.truth import craft, prompt

Measure = Callable[[Film, Bench], Measured]


def _of_prompt(name: str, measure: Measure) -> Dimension:
    return Dimension(f"truth_{name}", "truth", measure, suite_only=True)


def _of_craft(name: str, measure: Measure) -> Dimension:
    return Dimension(f"truth_{name}", "truth", measure)


_ROWS: tuple[tuple[str, Dimension], ...] = (
    ("subject_consistency", _of_craft("subject", craft.subject)),
    ("background_consistency", _of_craft("background", craft.background)),
    ("temporal_flickering", _of_craft("flicker", craft.flicker)),
    ("motion_smoothness", _of_craft("smoothness", craft.smoothness)),
    ("dynamic_degree", _of_prompt("dynamic", prompt.dynamic)),
    ("aesthetic_quality", _of_craft("edges", craft.edges)),
    ("imaging_quality", _of_craft("cleanness", craft.cleanness)),
    ("object_class", _of_prompt("object", prompt.one_object)),
    ("multiple_objects", _of_prompt("objects", prompt.objects)),
    ("human_action", _of_prompt("action", prompt.action)),
    ("color", _of_prompt("colour", prompt.colour)),
    ("spatial_relationship", _of_prompt("relation", prompt.relation)),
    ("scene", _of_prompt("scene", prompt.scene)),
    ("appearance_style", _of_prompt("look", prompt.look)),
    ("temporal_style", _of_prompt("camera", prompt.camera)),
    ("overall_consistency", _of_prompt("consistency", prompt.consistency)),
)
TRUTH: dict[str, Dimension] = {dimension.name: dimension for _, dimension in _ROWS}
IDEAS: dict[str, str] = {dimension.name: idea for idea, dimension in _ROWS}
