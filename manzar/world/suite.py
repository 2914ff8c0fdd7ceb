"""Prompts to score a model with: scenes of combinations that no training of the world shows, in every language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from manzar.nouns import LANGUAGES, UsageError
from manzar.world.sample import WorldConfig, sample_scene
from manzar.world.say import caption
from manzar.world.scene import Scene
from manzar.world.telling import PHRASINGS, tell

FIRST = 300_000  # the recipes of the models that ship draw their scenes from elsewhere


@dataclass(frozen=True)
class Wanted:
    """One film to be made: `name` is its file's, `seed` that of its noise, `world` what `asked` says of its scene."""

    name: str
    prompt: str
    language: str
    seed: int
    world: dict[str, Any]

    @property
    def row(self) -> dict[str, Any]:
        """What `asked.json` says about it."""
        return {"prompt": self.prompt, "language": self.language, "seed": self.seed, "world": self.world}


def suite_scenes(n: int, seed: int = FIRST, held_out: Literal["exclude", "only", "any"] = "only") -> list[Scene]:
    """`n` scenes of consecutive seeds, of one actor and of two in turn; all else as the world draws it."""
    configs = [WorldConfig(actors=(count, count), held_out=held_out) for count in (1, 2)]
    return [sample_scene(seed + index, configs[index % 2]) for index in range(n)]


def world_suite(n: int, seed: int = FIRST, languages: Sequence[str] = LANGUAGES) -> list[Wanted]:
    """`n` held-out scenes, each asked for in every language with the same noise; phrasings take turns.

    The first k scenes are the same whatever n is.

    Raises:
        UsageError: fewer than one scene, or a language that is not one of LANGUAGES.
    """
    unknown = [language for language in languages if language not in LANGUAGES]
    if n < 1 or unknown or not languages:
        raise UsageError(f"world_suite: n={n}, languages={list(languages)}: at least one scene is needed, and some of "
                         f"{', '.join(LANGUAGES)}")
    return [
        Wanted(f"{index:05d}-{language}.mp4", caption(scene, language, index // 2 % PHRASINGS), language, seed + index,
               asked(scene))
        for index, scene in enumerate(suite_scenes(n, seed))
        for language in languages
    ]  # fmt: skip


def asked(scene: Scene) -> dict[str, Any]:
    """What a film of this scene has to show, as plain JSON: the format that `manzar.score.truth` documents.

    Colours are None where the look leaves none to be seen, `backdrop` where no caption names it.
    """
    told = tell(scene)
    return {
        "actors": [
            {"colour": thing.colour, "shape": thing.shape, "motion": actor.motion}
            for thing, actor in zip(told.things, scene.actors, strict=True)
        ],
        "background": scene.background,
        "backdrop": scene.backdrop if told.background == "plain" else None,
        "camera": scene.camera,
        "look": scene.look,
        "relation": told.relation,
    }
