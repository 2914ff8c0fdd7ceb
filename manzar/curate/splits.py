"""Training and held-out clips, divided by source: no shot of one film lies on both sides."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Literal

from manzar.curate.journal import JOURNAL, write_json
from manzar.nouns import Clip

RELATED = "related.json"
VAL_SHARE = 0.08
LEAST_FILMS_FOR_VAL = 4
MOST_VAL_SHARE = 0.25  # a film with more of the clips than this is for training, whatever its name says


def assign_splits(
    clips: Sequence[Clip], related: Iterable[tuple[str, str]] = (), settled: Set[str] = frozenset()
) -> list[Clip]:
    """Each clip with its split. Films are source files by name, and files that share pictures (`related`, pairs of
    sources) are one film. The side follows from the film's name; with four films or more at least one is held out.

    settled: sources whose clips keep the side they have; what is newly tied to them goes to their side.
    """
    film = _films({clip.source for clip in clips}, related)
    sizes = Counter(film[clip.source] for clip in clips)
    val = held_out({name for name, size in sizes.items() if size <= MOST_VAL_SHARE * len(clips)}, len(sizes))
    taken: dict[str, str] = {}
    for clip in clips:
        if clip.source in settled and taken.get(film[clip.source]) != "train":
            taken[film[clip.source]] = clip.split  # what was once trained on is never held out
    for name, side in taken.items():
        val = val | {name} if side == "val" else val - {name}
    return [clip if clip.source in settled else with_split(clip, film[clip.source] in val) for clip in clips]


def remembered(out: Path, related: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """These pairs of sources that share pictures, and those of all runs before: of a twin that was turned away no other
    trace is left by which to keep the rest of its film on one side."""
    file = out / JOURNAL / RELATED
    try:
        known = {(str(a), str(b)) for a, b in json.loads(file.read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError):
        known = set()
    pairs = sorted(known | set(related))
    write_json(file, pairs)
    return pairs


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
