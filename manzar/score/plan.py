"""What is to be measured: which films there are, what each was made for, and which dimensions can look at it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from manzar.media import SUFFIXES, is_image_folder
from manzar.nouns import UsageError, existing
from manzar.score.asked import NAME as ASKED_NAME
from manzar.score.asked import asked_for, read_asked
from manzar.score.catalogue import chosen, groups, sets
from manzar.score.film import Asked
from manzar.score.suite import NUMBER, Matching, Slot, entries, film_stem, match, match_custom, prompt_of

Suite = Literal["vbench", "world", "custom"]

ONLY_THE_WORLD = "only films of the world have its truth"


@dataclass(frozen=True)
class Plan:
    """suite: where prompts come from.
    wanted: the names of the dimensions of the report, in its order.
    asked: film -> dimension -> what it was made for.
    missing: films of the suite that are not here, and the dimensions that lack them.
    out_of_reach: dimensions that no film here can be asked for, and why.
    idle: films that no dimension looks at, and why.
    """

    suite: Suite
    wanted: tuple[str, ...]
    asked: Mapping[Path, Mapping[str, Asked]]
    missing: Sequence[Slot] = ()
    out_of_reach: Mapping[str, str] = field(default_factory=dict)
    idle: Mapping[Path, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def prompt_set(self) -> str:
        """What was asked for, in a line: "VBench, 61 of 72 prompts"."""
        prompts = {asked.prompt for own in self.asked.values() for asked in own.values() if asked.prompt is not None}
        if self.suite != "vbench":
            name = "the world's suite" if self.suite == "world" else "no suite"
            return f"{name}, {_count(len(prompts), 'prompt')}"
        official = [name for name in self.wanted if name in groups()["official"]]
        whole = {entry.prompt for name in official for entry in entries(name)}
        return f"VBench, {len(prompts & whole)} of {len(whole)} prompts"


def plan(videos: Sequence[Path], dimensions: str | None = None, suite: Suite | None = None) -> Plan:
    """Look at names, not at films. suite: None takes what the names tell.

    Raises UsageError for what is not there or holds no film, and for dimensions that there are not; DataError for a
    damaged asked.json.
    """
    films = list_films(videos)
    asked_file = next((path for path in (folder / ASKED_NAME for folder in map(Path, videos)) if path.is_file()), None)
    source = Path(videos[0]) if len(videos) == 1 and Path(videos[0]).is_dir() else films
    if suite is None:
        suite = "world" if asked_file is not None else _guess(films)
    if suite == "vbench":
        return _vbench(source, chosen(dimensions, ("official", "beside")))
    rows = read_asked(asked_file) if asked_file is not None else {}
    if suite == "world" and not rows:
        raise UsageError(f"{videos[0]} has no {ASKED_NAME} that says what its films were made for; "
                         "manzar generate --prompts world writes one")
    usual = ("official", "beside", "truth") if any("world" in row for row in rows.values()) else ("official", "beside")
    return _custom(films, {name: asked_for(row, _number(Path(name))) for name, row in rows.items()},
                   chosen(dimensions, usual))


def list_films(videos: Sequence[Path]) -> list[Path]:
    """Films of folders, of the folders in them, and those named themselves. UsageError where there is none."""
    found: dict[Path, None] = {}
    for path in map(Path, videos):
        here = existing(path)
        if here.is_file() or is_image_folder(here):
            found[here] = None
        else:
            inside = sorted(entry for entry in here.rglob("*") if _is_film(entry))
            found |= dict.fromkeys(inside)
    if not found:
        raise UsageError(f"{', '.join(map(str, videos))}: no film in there; {', '.join(sorted(SUFFIXES)[:4])} … and "
                         "folders of numbered images are films")
    return list(found)


def _is_film(path: Path) -> bool:
    if any(part.startswith(".") for part in path.parts[-1:]):
        return False
    return is_image_folder(path) if path.is_dir() else path.suffix.lower() in SUFFIXES


def _guess(films: Sequence[Path]) -> Suite:
    """VBench's, if at least half of the films are called as its prompts are."""
    prompts = {entry.prompt for entry in entries()}
    return "vbench" if 2 * sum(_suite_name(path) in prompts for path in films) >= len(films) else "custom"


def _suite_name(path: Path) -> str:
    return prompt_of(path) if NUMBER.search(film_stem(path)) else ""


def _number(path: Path) -> int:
    found = re.search(r"-(\d+)$", film_stem(path))
    return int(found[1]) if found else 0


def _vbench(source: Path | Sequence[Path], wanted: Sequence[str]) -> Plan:
    official = [name for name in wanted if name in groups()["official"]]
    beside = [name for name in wanted if name in {**groups()["beside"], **sets()}]
    matching = match(source, official) if official else Matching({})
    asked: dict[Path, dict[str, Asked]] = {path: dict(own) for path, own in matching.asked.items()}
    for path in (*asked, *matching.spare):
        own = next(iter(asked.get(path, {}).values()), Asked(prompt_of(path), _number(path)))
        asked.setdefault(path, {}).update(dict.fromkeys(beside, own))
    out_of_reach = {name: ONLY_THE_WORLD for name in wanted if name in groups()["truth"]}
    idle = dict.fromkeys(matching.strangers, "its name is none of VBench's")
    idle |= {path: "no dimension looks at it" for path in matching.spare if not asked[path]}
    reached = {name for own in asked.values() for name in own}
    out_of_reach |= {name: "no film of its prompts is here" for name in official if name not in reached}
    return Plan("vbench", tuple(wanted), asked, matching.missing, out_of_reach, idle, matching.notes)


def _custom(films: Sequence[Path], given: Mapping[str, Asked], wanted: Sequence[str]) -> Plan:
    known = [path for path in films if not given or path.name in given]
    official = [name for name in wanted if name in groups()["official"]]
    matching = match_custom(known, official) if official and known else Matching({})
    asked: dict[Path, dict[str, Asked]] = {}
    beside = {**groups()["beside"], **sets()}
    truth = {name: one for name, one in groups()["truth"].items() if name in wanted}
    for path in known:
        own = given.get(path.name, Asked(prompt_of(path), _number(path)))
        names = [*matching.asked.get(path, {}), *(name for name in wanted if name in beside)]
        names += [name for name, one in truth.items() if "world" in own.details or not one.suite_only]
        asked[path] = dict.fromkeys(names, own)
    reached = {name for own in asked.values() for name in own}
    out_of_reach = dict.fromkeys(matching.refused, "VBench scores it on films of its own prompts only")
    out_of_reach |= {name: ONLY_THE_WORLD for name in truth if name not in reached}
    idle = {path: f"{ASKED_NAME} does not name it" for path in films if path not in asked}
    return Plan("world" if any("world" in own.details for own in given.values()) else "custom", tuple(wanted), asked,
                out_of_reach=out_of_reach, idle=idle, notes=matching.notes)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"
