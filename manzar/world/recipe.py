"""The world as a source of training clips without any video file: a short JSON file says what to film, and every clip
is filmed when it is asked for, on whatever device there is.

    {"seed": 7, "val_share": 0.02,
     "kinds": [{"frames": 17, "height": 64, "width": 64, "clips": 12000, "fps": 8.0, "actors": [1, 3], "looks": null},
               {"frames": 1, "height": 96, "width": 64, "clips": 2000}]}

A kind may have every field of WorldConfig; what is absent or null is that field's default.

    recipe = read_recipe(Path("world.json"))
    rows = recipe.rows("train")                         # list[Clip], at once; captions are made when first looked at
    for frames in recipe.frames(rows, device="cuda"):   # uint8 (T, H, W, 3) each, in the order of the rows
        ...
    for batch in recipe.batches(rows, device="cuda"):   # the same as uint8 tensors (B, T, H, W, 3), left on the device
        ...

Rows of one size are best kept together: neighbours of one kind are filmed in one batch. Growing `clips` of a kind adds
scenes and changes none, neither their split; a row's id changes with whatever changes its pixels.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from manzar.nouns import LANGUAGES, Clip, DataError, Frames, UsageError, VideoShape, existing, storage
from manzar.world.film import render
from manzar.world.sample import Draw, WorldConfig, sample_scene
from manzar.world.say import captions
from manzar.world.scene import Scene

# A scene's number has the recipe's seed, the kind and the clip side by side, above all numbers that people type.
SEED_BITS, KIND_BITS, CLIP_BITS = 24, 8, 28
ORIGIN = 1 << (SEED_BITS + KIND_BITS + CLIP_BITS)
BATCH = {"cpu": (32, 1 << 23)}  # clips and pixels filmed at once; anything else than a CPU is fed more
BATCH_ELSEWHERE = (512, 1 << 25)


@dataclass(frozen=True)
class Kind:
    """`clips` clips of one size and length, of the part of the world that `config` allows.

    Raises:
        UsageError: a size, length, rate or number that cannot be filmed.
    """

    frames: int
    height: int
    width: int
    clips: int
    fps: float = 8.0
    config: WorldConfig = field(default_factory=WorldConfig)

    def __post_init__(self) -> None:
        whole = all(type(n) is int for n in (self.frames, self.height, self.width, self.clips))
        if not (whole and self.frames >= 1 and min(self.height, self.width) >= 8 and self.fps > 0
                and 0 <= self.clips < 1 << CLIP_BITS):  # fmt: skip
            raise UsageError(
                f"a kind of {self.clips} clips, {self.shape}, fps={self.fps}: needs whole numbers, fps > 0, at least "
                f"1 frame of 8x8 and fewer than {1 << CLIP_BITS} clips"
            )

    @property
    def shape(self) -> VideoShape:
        return VideoShape(self.frames, self.height, self.width)

    def to_dict(self) -> dict[str, Any]:
        own = {key: value for key, value in asdict(self).items() if key != "config"}
        return {**own, **asdict(self.config)}


class Told(Mapping[str, str]):
    """Captions of a scene by language, made when first looked at and then kept: drawing a scene takes half a
    millisecond, which a table of a million rows should not cost."""

    def __init__(self, number: int, config: WorldConfig, moving: bool) -> None:
        self._number, self._config, self._moving = number, config, moving
        self._texts: dict[str, str] | None = None

    def __getitem__(self, language: str) -> str:
        if self._texts is None:
            phrasing = Draw(~self._number).bits() >> 32  # apart from the scene's own stream
            self._texts = captions(sample_scene(self._number, self._config), phrasing, moving=self._moving)
        return self._texts[language]

    def __iter__(self) -> Iterator[str]:
        return iter(LANGUAGES)

    def __len__(self) -> int:
        return len(LANGUAGES)


@dataclass(frozen=True)
class WorldRecipe:
    """What to film: kinds of clips, and the share of each that is kept for validation.

    Raises:
        UsageError: a seed or a number of kinds beyond what scene numbers hold, or a share outside [0, 1).
    """

    seed: int
    kinds: tuple[Kind, ...]
    val_share: float = 0.02

    def __post_init__(self) -> None:
        if not (type(self.seed) is int and 0 <= self.seed < 1 << SEED_BITS):
            raise UsageError(f"a recipe's seed={self.seed!r} must be a whole number from 0 to {(1 << SEED_BITS) - 1}")
        if not 1 <= len(self.kinds) <= 1 << KIND_BITS:
            raise UsageError(f"a recipe of {len(self.kinds)} kinds: it needs 1 to {1 << KIND_BITS}")
        if not 0 <= self.val_share < 1:
            raise UsageError(f"a recipe's val_share={self.val_share!r} must be at least 0 and less than 1")

    def rows(self, split: str) -> list[Clip]:
        """The clips of a split, "train" or "val", kind after kind; without tracks, and `path` is empty."""
        assert split in ("train", "val"), split
        return [row for place in range(len(self.kinds)) for row in self._rows(place, split)]

    def _rows(self, place: int, split: str) -> Iterator[Clip]:
        kind, first = self.kinds[place], self.number(place, 0)
        look, moving = _digest(kind), kind.frames > 1
        for i in range(kind.clips):
            if held_back(i, self.val_share) == (split == "val"):
                yield Clip(
                    id=f"world-{self.seed}-{place}-{look}-{i}", path="", source=f"world:{first + i}", start_s=0.0,
                    end_s=kind.frames / kind.fps, width=kind.width, height=kind.height, fps=kind.fps,
                    frames=kind.frames, captions=Told(first + i, kind.config, moving),
                    split="val" if split == "val" else "train",
                )  # fmt: skip

    def number(self, place: int, clip: int) -> int:
        """The number of a scene, by which it is drawn: clip `clip` of kind `place`; no two have the same."""
        assert place < len(self.kinds) and clip < 1 << CLIP_BITS, (place, clip)
        return ORIGIN + (((self.seed << KIND_BITS) + place) << CLIP_BITS) + clip

    def place(self, row: Clip) -> int:
        """Which kind a row is of."""
        number = _number(row)
        place = number >> CLIP_BITS & ((1 << KIND_BITS) - 1)
        ours = number - (number & ((1 << CLIP_BITS) - 1)) == ORIGIN + (((self.seed << KIND_BITS) + place) << CLIP_BITS)
        assert ours and place < len(self.kinds), f"{row.id} ({row.source}) is no row of the recipe of seed {self.seed}"
        return place

    def scene(self, row: Clip) -> Scene:
        """The scene that a row shows."""
        return sample_scene(_number(row), self.kinds[self.place(row)].config)

    def batches(self, rows: Sequence[Clip], device: torch.device | str = "cpu") -> Iterator[Tensor]:
        """Films the rows: uint8 (B, T, H, W, 3) on `device`, B of them at once, as memory allows, in their order."""
        device = torch.device(device)
        most, pixels = BATCH.get(device.type, BATCH_ELSEWHERE)
        for place, same in groupby(rows, self.place):
            kind, members = self.kinds[place], list(same)
            size = max(1, min(most, pixels // (kind.frames * kind.height * kind.width)))
            for start in range(0, len(members), size):
                scenes = [self.scene(row) for row in members[start : start + size]]
                yield render(scenes, kind.shape, kind.fps, device)

    def frames(self, rows: Sequence[Clip], device: torch.device | str = "cpu") -> Iterator[Frames]:
        """Films the rows one by one: uint8 (T, H, W, 3) each, in their order."""
        for batch in self.batches(rows, device):
            yield from batch.cpu().numpy()

    def to_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "val_share": self.val_share, "kinds": [kind.to_dict() for kind in self.kinds]}


def held_back(clip: int, share: float) -> bool:
    """Whether a clip is for validation: round(share · n) of the first n clips are, evenly spread, whatever n is."""
    return math.floor((clip + 1) * share + 0.5) > math.floor(clip * share + 0.5)


def write_recipe(recipe: WorldRecipe, path: Path) -> Path:
    """The recipe as JSON, every name written out, so that the file means the same when the world has grown."""
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(recipe.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_recipe(path: Path) -> WorldRecipe:
    """A recipe from its file.

    Raises:
        UsageError: no such file.
        DataError: no JSON, an unknown or lacking key, a value that cannot be filmed.
    """
    try:
        told = json.loads(existing(path, "file").read_text(encoding="utf-8"))
        top = _known(told, {"seed", "kinds", "val_share"}, {"seed", "kinds"}, "a recipe")
        if not isinstance(top["kinds"], list):
            raise UsageError(f"kinds={top['kinds']!r} is no list")
        return WorldRecipe(**{**top, "kinds": tuple(_kind(kind) for kind in top["kinds"])})
    except (ValueError, TypeError) as error:  # among them what is no JSON or no text at all
        raise DataError(f"{path} is no recipe of the world: {error}") from error
    except UsageError as error:
        if not path.is_file():
            raise
        raise DataError(f"{path} is no recipe of the world: {error}") from error


CONFIG_KEYS = frozenset(one.name for one in fields(WorldConfig))


def _kind(told: object) -> Kind:
    size = {"frames", "height", "width", "clips"}
    given = _known(told, size | {"fps"} | CONFIG_KEYS, size, "a kind")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    config = WorldConfig(**{key: values.pop(key) for key in CONFIG_KEYS & values.keys()})
    return Kind(**values, config=config)


def _known(told: object, known: set[str] | frozenset[str], needed: set[str], what: str) -> dict[str, Any]:
    """The keys that say something. Raises UsageError for one that means nothing here, or that is lacking."""
    if not isinstance(told, dict):
        raise UsageError(f"{what} is {told!r}, not an object with keys")
    given = {key: value for key, value in told.items() if value is not None}
    if wrong := sorted(given.keys() - known):
        raise UsageError(f"{what} has the unknown key {wrong[0]!r}; known are {', '.join(sorted(known))}")
    if lacking := sorted(needed - given.keys()):
        raise UsageError(f"{what} lacks {lacking[0]!r}")
    return given


def _number(row: Clip) -> int:
    world, _, number = row.source.partition(":")
    assert world == "world" and number.isdecimal(), f"{row.id}: {row.source!r} is no scene of the world"
    return int(number)


def _digest(kind: Kind) -> str:
    """A hash of what a clip's pixels follow from besides its number."""
    told = {key: value for key, value in kind.to_dict().items() if key not in ("clips", "fps")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]
