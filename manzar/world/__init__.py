"""A procedural, captioned world: scenes with exact truth, filmed at any size, told in five languages."""

from manzar.world.film import render
from manzar.world.path import truth
from manzar.world.recipe import Kind, WorldRecipe, read_recipe, write_recipe
from manzar.world.sample import WorldConfig, sample_scene
from manzar.world.say import caption, captions
from manzar.world.scene import (
    BACKGROUNDS,
    CAMERAS,
    COLOURS,
    EXTRA_LOOKS,
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
    "EXTRA_LOOKS",
    "HELD_OUT",
    "LOOKS",
    "MOTIONS",
    "PHRASINGS",
    "SHAPES",
    "SIZES",
    "Actor",
    "Kind",
    "Scene",
    "WorldConfig",
    "WorldRecipe",
    "caption",
    "captions",
    "clips",
    "held_out",
    "read_recipe",
    "relation",
    "render",
    "sample_scene",
    "truth",
    "write_recipe",
]
