"""Every dimension there is, by name: VBench's sixteen, the world's own truth, and what VBench does not ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from manzar.nouns import UsageError
from manzar.score.dimension import Dimension

if TYPE_CHECKING:
    from manzar.score.beside import SetMeasure

GROUPS = ("official", "truth", "beside")
# The dimensions that ask what was seen, and the part of the sightings that tells them.
SIGHTED = {"object_class": "objects", "multiple_objects": "objects", "spatial_relationship": "objects",
           "color": "dense", "scene": "scenes"}  # fmt: skip


@cache
def groups() -> dict[str, dict[str, Dimension]]:
    """Tables by group; within each, dimensions by name in the order of a report."""
    from manzar.score.beside import BESIDE
    from manzar.score.dimensions import OFFICIAL
    from manzar.score.truth import TRUTH

    return {"official": OFFICIAL, "truth": TRUTH, "beside": BESIDE}


def sets() -> dict[str, SetMeasure]:
    """What is measured of all films together, by name."""
    from manzar.score.beside import SETS

    return SETS


@cache
def every() -> dict[str, Dimension]:
    """All of them by name."""
    found = {name: dimension for group in groups().values() for name, dimension in group.items()}
    assert len(found) == sum(map(len, groups().values())), "two dimensions share a name"
    return found


def stand_ins(makers: Iterable[tuple[str, str]]) -> dict[str, Dimension]:
    """What other detectors and captioners than VBench's give, by name: makers are (part of the sightings, maker)."""
    found = {}
    for part, maker in makers:
        for name in (name for name, needed in SIGHTED.items() if needed == part):
            dimension = import_module(f"manzar.score.dimensions.{name}").stand_in(maker)
            found[dimension.name] = dimension
    return found


def chosen(asked: str | None, default: Sequence[str] = GROUPS) -> list[str]:
    """Names from "a,b", where official, truth, beside and all stand for whole tables; those of `default` for None.

    Raises UsageError that names the nearest one for a name that there is not.
    """
    known, found = [*every(), *sets()], dict[str, None]()
    for part in (asked.split(",") if asked is not None else default):
        word = part.strip()
        name = "_".join(word.lower().replace("-", "_").split())
        if name == "all":
            found |= dict.fromkeys(known)
        elif name in groups():
            found |= dict.fromkeys([*groups()[name], *(sets() if name == "beside" else ())])
        elif name in known:
            found[name] = None
        else:
            words = (*GROUPS, "all", *known)
            near = get_close_matches(name, words, n=1, cutoff=0.0)[0]
            raise UsageError(f'no dimension is called "{word}"; the nearest is "{near}" (there are {", ".join(words)})')
    return [name for name in known if name in found]
