"""Training and held-out clips, divided by source: no shot of one film lies on both sides."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from manzar.nouns import Clip

VAL_SHARE = 0.08
LEAST_FILMS_FOR_VAL = 4
MOST_VAL_SHARE = 0.25  # a film with more of the clips than this is for training, whatever its name says


def assign_splits(clips: Sequence[Clip], related: Iterable[tuple[str, str]] = ()) -> list[Clip]:
    """Each clip with its split. Films are source files by name, and files that share pictures (`related`, pairs of
    sources) are one film. The side follows from the name alone, so that footage added later moves nothing; with four
    films or more at least one is held out."""
    film = _films({clip.source for clip in clips}, related)
    sizes = Counter(film[clip.source] for clip in clips)
    val = held_out({name for name, size in sizes.items() if size <= MOST_VAL_SHARE * len(clips)}, len(sizes))
    return [with_split(clip, film[clip.source] in val) for clip in clips]


def held_out(names: set[str], total: int) -> set[str]:
    """The names that fall on the held-out side."""
    place = {name: int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64 for name in names}
    val = {name for name in names if place[name] < VAL_SHARE}
    if not val and names and total >= LEAST_FILMS_FOR_VAL:
        val = {min(names, key=lambda name: (place[name], name))}
    return val


def with_split(clip: Clip, is_held_out: bool) -> Clip:
    split: Literal["train", "val"] = "val" if is_held_out else "train"
    return replace(clip, split=split)


def _films(sources: set[str], related: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Source to the name of its film: the first of the names that it is tied to."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for a, b in [*related, *((source, f"name:{Path(source).name}") for source in sources)]:
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    members: dict[str, list[str]] = {}
    for source in sources:
        members.setdefault(root(source), []).append(Path(source).name)
    return {source: min(members[root(source)]) for source in sources}
