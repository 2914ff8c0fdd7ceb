"""A procedural, captioned world: scenes with exact truth, filmed at any size, told in five languages."""

from manzar.world.film import render
from manzar.world.path import truth
from manzar.world.sample import WorldConfig, sample_scene
from manzar.world.say import caption, captions
from manzar.world.scene import (
    BACKGROUNDS,
    CAMERAS,
    COLOURS,
    HELD_OUT,
    LOOKS,
    MOTIONS,
    SHAPES,
    SIZES,
    Actor,
    Scene,
    held_out,
    relation,
)
from manzar.world.supply import clips
from manzar.world.telling import PHRASINGS

__all__ = [
    "BACKGROUNDS",
    "CAMERAS",
    "COLOURS",
    "HELD_OUT",
    "LOOKS",
    "MOTIONS",
    "PHRASINGS",
    "SHAPES",
    "SIZES",
    "Actor",
    "Scene",
    "WorldConfig",
    "caption",
    "captions",
    "clips",
    "held_out",
    "relation",
    "render",
    "sample_scene",
    "truth",
]
