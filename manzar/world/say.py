"""Captions in five languages and several phrasings."""

from __future__ import annotations

from collections.abc import Callable

from manzar.nouns import LANGUAGES, UsageError
from manzar.world.languages import arabic, chinese, english, hindi, urdu
from manzar.world.scene import Scene
from manzar.world.telling import PHRASINGS, Telling, Thing, tell

_SAY: dict[str, Callable[[Telling, int], str]] = {
    "en": english.say, "zh": chinese.say, "hi": hindi.say, "ur": urdu.say, "ar": arabic.say,
}  # fmt: skip
_NAME: dict[str, Callable[[Thing], str]] = {
    "en": english.name, "zh": chinese.name, "hi": hindi.name, "ur": urdu.name, "ar": arabic.name,
}  # fmt: skip


def caption(scene: Scene, language: str, phrasing: int, moving: bool = True) -> str:
    """What is seen, in one language. `moving=False` describes a still image. Any `phrasing`, taken modulo PHRASINGS.

    Raises:
        UsageError: a language that is not one of LANGUAGES.
    """
    if language not in _SAY:
        raise UsageError(f"caption: language {language!r} is not one of {', '.join(LANGUAGES)}")
    return _SAY[language](tell(scene, moving), phrasing % PHRASINGS)


def captions(scene: Scene, phrasing: int, moving: bool = True) -> dict[str, str]:
    """The same caption in every language of LANGUAGES."""
    telling = tell(scene, moving)
    return {language: _SAY[language](telling, phrasing % PHRASINGS) for language in LANGUAGES}


def names(scene: Scene, language: str) -> tuple[str, ...]:
    """What a caption in that language calls each of the actors."""
    return tuple(_NAME[language](thing) for thing in tell(scene).things)
