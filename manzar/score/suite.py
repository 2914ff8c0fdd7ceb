"""VBench's prompt suite: its 946 entries, the names of their films, and which films of a folder answer which entry.

The entries are VBench's own file (vbench/full_info.json, Apache-2.0). Sample k of a prompt is the film
`{prompt}-{k}`, five samples a prompt; temporal flickering asks for 25, of which a static filter keeps five.

Where this differs from VBench's own look-up, and where names bite:
- Two prompts stand in two entries each, of different dimensions, so 946 entries are 944 names a sample: one film
  serves both entries (as in VBench). In a folder a dimension (`FOLDERS`) each entry may have a film of its own.
- "a fantasy landscape" and "A fantasy landscape" are two entries. A disk that ignores case can hold only one of the
  two; what `match` then finds missing it says with its reason.
- VBench looks for the one extension of whichever file is listed first; here any video's extension is taken, and an
  image folder too. Where a name is there twice, .mp4 wins and the other is named among the strangers.
- Names are compared in Unicode's composed form, since some disks decompose the ç of "façades".
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manzar.media import SUFFIXES, is_image_folder
from manzar.nouns import UsageError, existing
from manzar.score.film import Asked
from manzar.score.totals import DIMENSIONS, dimension_name

SAMPLES = 5
FLICKERING = "temporal_flickering"
FLICKERING_FACTOR = 5  # times as many are made of it, so that enough are left once the moving ones are turned away

# These need to be told what the prompt asks for, which only the suite's entries say.
SUITE_ONLY = frozenset((
    "object_class", "multiple_objects", "scene", "appearance_style", "color", "spatial_relationship",
))
# Where a model's films lie in one folder a prompt list, as VBench publishes them: the folder of each dimension.
FOLDERS: dict[str, str] = {name: name for name in DIMENSIONS} | {
    "background_consistency": "scene",
    "aesthetic_quality": "overall_consistency",
    "imaging_quality": "overall_consistency",
    "motion_smoothness": "subject_consistency",
    "dynamic_degree": "subject_consistency",
}
LONGEST_STEM = 255 - len(".webm")  # bytes; 255 is the limit of a name on nearly every file system
NUMBER = re.compile(r"-(\d+)$")


@dataclass(frozen=True)
class Entry:
    """One line of the suite.

    details: what it asks for, by dimension, as VBench's file has it: {"color": {"color": "red"}}.
    """

    prompt: str
    dimensions: tuple[str, ...]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Slot:
    """One film that the suite asks for.

    name: of the file, without extension.
    dimensions: all that look at it, of both entries where the prompt stands in two.
    seed: for the sampler, see `seed_of`.
    """

    name: str
    prompt: str
    sample: int
    dimensions: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Matching:
    """Which films answer what.

    asked: film -> dimension -> what it was asked to show.
    missing: slots without a film, with only those dimensions that lack it.
    spare: films of the suite that nothing looks at: of other dimensions, or beyond the samples that are scored.
    strangers: films whose names are not of the suite.
    refused: dimensions that cannot be scored on films of one's own.
    notes: what a reader must know, in sentences.
    """

    asked: dict[Path, dict[str, Asked]]
    missing: list[Slot] = field(default_factory=list)
    spare: list[Path] = field(default_factory=list)
    strangers: list[Path] = field(default_factory=list)
    refused: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def _read_entries() -> tuple[Entry, ...]:
    rows = json.loads((Path(__file__).parent / "vbench" / "full_info.json").read_text(encoding="utf-8"))
    return tuple(Entry(row["prompt_en"], tuple(row["dimension"]), row.get("auxiliary_info", {})) for row in rows)


ENTRIES: tuple[Entry, ...] = _read_entries()


def entries(dimension: str | None = None) -> list[Entry]:
    """The entries of a dimension, or all, in the order of VBench's file. Raises UsageError for an unknown dimension."""
    name = None if dimension is None else dimension_name(dimension)
    return [entry for entry in ENTRIES if name is None or name in entry.dimensions]


def stem(prompt: str, sample: int) -> str:
    """The name of a film without its extension. Raises UsageError where no disk can hold it."""
    name = f"{prompt}-{sample}"
    if "/" in name or "\0" in name:
        raise UsageError(f'the prompt "{prompt}" holds a character that no file name can; put another in its place')
    if len(name.encode()) > LONGEST_STEM:
        raise UsageError(f'the prompt "{prompt[:60]}…" makes a file name of {len(name.encode())} bytes; most disks end '
                         f"at {LONGEST_STEM} and an extension, so shorten it")
    return name


def seed_of(prompt: str, sample: int) -> int:
    """The seed of one film: the first 31 bits of the sha256 of its name, whatever the model and the order of making.

    VBench asks that seeds differ from sample to sample, that they are not picked, and that they can be had again.
    """
    return int.from_bytes(hashlib.sha256(f"{prompt}-{sample}".encode()).digest()[:4], "big") >> 1


def slots(dimensions: Iterable[str] | None = None, samples: int = SAMPLES, flickering: int | None = None) -> list[Slot]:
    """Every film to be made for these dimensions (all sixteen if None), in the order of VBench's file.

    samples: of each prompt; flickering: of each prompt of temporal flickering, five times as many if None. One slot a
    name: a prompt that stands in two entries is made once, and its slot names the dimensions of both.
    Raises UsageError for an unknown dimension.
    """
    wanted = _wanted(dimensions)
    served: dict[str, tuple[str, ...]] = {}
    for entry in ENTRIES:
        own = tuple(name for name in entry.dimensions if name in wanted)
        if own:
            served[entry.prompt] = served.get(entry.prompt, ()) + own
    more = FLICKERING_FACTOR * samples if flickering is None else flickering
    return [
        Slot(stem(prompt, sample), prompt, sample, own, seed_of(prompt, sample))
        for prompt, own in served.items()
        for sample in range(more if FLICKERING in own else samples)
    ]


def match(source: Path | Iterable[Path], dimensions: Iterable[str] | None = None, samples: int = SAMPLES) -> Matching:
    """Which films of a folder (or of a list) answer which entries of the suite, for these dimensions (all if None).

    Samples 0 to `samples` − 1 of each prompt are scored. A subfolder that bears a name in `FOLDERS` stands in for the
    folder itself for its dimensions; other subfolders are not entered. Raises UsageError for an unknown dimension and
    for a folder that is not there.
    """
    wanted = _wanted(dimensions)
    shelves, doubles = _shelves(source)
    asked: dict[Path, dict[str, Asked]] = {}
    lacking: dict[tuple[str, int], list[str]] = {}
    for entry in ENTRIES:
        for dimension in (name for name in entry.dimensions if name in wanted):
            shelf = shelves.get(FOLDERS[dimension], shelves[""])
            for sample in range(samples):
                path = shelf.get(_composed(stem(entry.prompt, sample)))
                if path is None:
                    lacking.setdefault((entry.prompt, sample), []).append(dimension)
                else:
                    asked.setdefault(path, {})[dimension] = Asked(entry.prompt, sample, entry.details)
    missing = [Slot(stem(prompt, sample), prompt, sample, tuple(own), seed_of(prompt, sample))
               for (prompt, sample), own in lacking.items()]
    spare: list[Path] = []
    strangers = list(doubles)
    for path in (path for shelf in shelves.values() for path in shelf.values() if path not in asked):
        (spare if _of_the_suite(path) else strangers).append(path)
    notes = [*_doubles_note(doubles), *_case_note(missing, shelves), *_filter_note(spare, wanted, samples)]
    return Matching(asked, missing, sorted(spare), sorted(strangers), notes=notes)


def match_custom(source: Path | Iterable[Path], dimensions: Iterable[str] | None = None,
                 prompts: Mapping[str, str] | None = None) -> Matching:
    """Films of one's own: each is asked for every dimension that needs no more than a prompt; the rest are `refused`.

    The prompt is the name without a trailing -<digits>, or what `prompts` (file name -> prompt) says. Raises
    UsageError where `prompts` lacks a film, and as `match` does.
    """
    wanted = _wanted(dimensions)
    films = _films(source)
    unknown = [path.name for path in films if prompts is not None and path.name not in prompts]
    if unknown:
        raise UsageError(f"{len(unknown)} films have no prompt in the list that was given, {unknown[0]} the first; "
                         "add them, or leave the list out to take prompts from names")
    able = [name for name in wanted if name not in SUITE_ONLY]
    asked = {}
    for path in films:
        number = NUMBER.search(film_stem(path))
        prompt = prompts[path.name] if prompts is not None else prompt_of(path)
        asked[path] = dict.fromkeys(able, Asked(prompt, int(number[1]) if number else 0))
    return Matching(asked, refused=tuple(name for name in wanted if name in SUITE_ONLY))


def film_stem(path: Path) -> str:
    """The name of a film without its extension. That of a folder is whole: "Fireworks.-0" has no extension."""
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def prompt_of(path: Path) -> str:
    """The prompt that a film's name holds: its stem without a trailing -<digits>."""
    return NUMBER.sub("", film_stem(path))


def action_label(stem: str) -> str:
    """The action of `A person is riding a bike-0`, in lower case: what a Kinetics-400 label is compared to.

    As VBench reads it: up to the first hyphen and the first underscore, after the last "person is ". VBench takes the
    whole file name, so there one without a hyphen keeps its ".mp4" and matches no label.
    """
    return stem.lower().partition("-")[0].rpartition("person is ")[2].partition("_")[0]


def colour_object(prompt: str, colour: str) -> str:
    """The object of `a red bicycle`, by striking out: "a " and "an " wherever they stand, then the colour."""
    for struck in ("a ", "an ", colour):
        prompt = prompt.replace(struck, "")
    return prompt.strip()


def scene_words(scene: str) -> tuple[str, ...]:
    """The words of a scene's name, each of which a caption must hold."""
    return tuple(scene.split(" "))


def both_objects(objects: str) -> tuple[str, str]:
    """The two of "x and y". An " and " too few or too many is an error of the suite."""
    first, second = objects.split(" and ")
    return first.strip(), second.strip()


@dataclass(frozen=True)
class Relation:
    """where: "on the left of", "on the right of", "on the top of" or "on the bottom of"."""

    first: str
    second: str
    where: str


def relation(details: Mapping[str, Any]) -> Relation:
    """What a spatial relationship's entry asks for, from `Asked.details`."""
    own = details["spatial_relationship"]["spatial_relationship"]
    return Relation(own["object_a"], own["object_b"], own["relationship"])


def _wanted(dimensions: Iterable[str] | None) -> tuple[str, ...]:
    names = DIMENSIONS if dimensions is None else dimensions
    return tuple(dict.fromkeys(dimension_name(name) for name in names))


def _films(source: Path | Iterable[Path]) -> list[Path]:
    """Videos and image folders, sorted; files of other kinds are nobody's."""
    if isinstance(source, Path):
        source = existing(source)
        paths = [source] if source.is_file() or is_image_folder(source) else sorted(source.iterdir())
    else:
        paths = [existing(path) for path in source]
    return [path for path in paths if is_image_folder(path) or (path.is_file() and path.suffix.lower() in SUFFIXES)]


def _shelves(source: Path | Iterable[Path]) -> tuple[dict[str, dict[str, Path]], list[Path]]:
    """Films by name, of the folder itself ("") and of each subfolder in `FOLDERS`; and those whose name is taken."""
    shelves: dict[str, dict[str, Path]] = {"": {}}
    doubles = []
    groups: dict[str, list[Path]] = {"": _films(source)}
    if isinstance(source, Path):
        for folder in sorted(set(FOLDERS.values())):
            if (source / folder).is_dir() and not is_image_folder(source / folder):
                groups[folder] = _films(source / folder)
    for group, paths in groups.items():
        shelf = shelves.setdefault(group, {})
        for path in sorted(paths, key=lambda path: path.suffix.lower() != ".mp4"):
            if shelf.setdefault(_composed(film_stem(path)), path) != path:
                doubles.append(path)
    return shelves, doubles


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


_PROMPTS = frozenset(_composed(entry.prompt) for entry in ENTRIES)
_STILL_PROMPTS = frozenset(_composed(entry.prompt) for entry in ENTRIES if FLICKERING in entry.dimensions)


def _of_the_suite(path: Path, prompts: frozenset[str] = _PROMPTS) -> bool:
    return NUMBER.search(film_stem(path)) is not None and _composed(prompt_of(path)) in prompts


def _doubles_note(doubles: Sequence[Path]) -> list[str]:
    if not doubles:
        return []
    return [f"{len(doubles)} films bear a name that another film has and are not scored, {doubles[0]} the first"]


def _case_note(missing: Sequence[Slot], shelves: Mapping[str, Mapping[str, Path]]) -> list[str]:
    folded = {name.casefold() for shelf in shelves.values() for name in shelf}
    there = [slot.name for slot in missing if _composed(slot.name).casefold() in folded]
    if not there:
        return []
    return [f'{len(there)} missing films have a namesake here in another case of its letters, "{there[0]}" the first; '
            "where a disk ignores case it can hold only one of the two"]


def _filter_note(spare: Sequence[Path], wanted: Sequence[str], samples: int) -> list[str]:
    beyond = [path for path in spare if _of_the_suite(path, _STILL_PROMPTS)]
    if FLICKERING not in wanted or not beyond:
        return []
    return [f"{len(beyond)} films of temporal flickering are numbered {samples} or above, so the static filter has not "
            f"been run on this folder; numbers 0 to {samples - 1} are scored as they are"]
