"""What stands behind the figures: prompts, films, backbones with their checksums and terms, versions, time."""

from __future__ import annotations

import json
import platform
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from manzar.score.checkpoints import CHECKPOINTS, Checkpoint, checksum, find, verified
from manzar.score.dimension import Unscored

LIBRARIES = ("manzar", "torch", "numpy", "av", "transformers", "opencv-python-headless", "pillow")
GENERATION = "generation.json"  # how the films were made, where manzar generate made them


@dataclass(frozen=True)
class Weights:
    """One checkpoint file in use."""

    row: Checkpoint
    path: Path
    sha256: str
    published: bool  # the checksum is the one its makers published

    def to_json(self) -> dict[str, Any]:
        return {"name": self.row.name, "file": self.path.name, "sha256": self.sha256, "published": self.published,
                "licence": self.row.licence, "noncommercial": self.row.noncommercial, "source": self.row.source}


def take_stock(names: Iterable[str], folders: Sequence[Path]) -> tuple[dict[str, Weights], dict[str, str]]:
    """Of these backbones, the files that are here; and for the others what is missing or wrong, for people."""
    here: dict[str, Weights] = {}
    lacking: dict[str, str] = {}
    for name in dict.fromkeys(names):
        row, path = CHECKPOINTS[name], find(name, folders)
        if path is None:
            lacking[name] = row.wanted
            continue
        try:
            here[name] = Weights(row, path, checksum(path), verified(name, path))
        except Unscored as reason:
            lacking[name] = str(reason)
    return here, lacking


def terms(here: Mapping[str, Weights]) -> list[str]:
    """A sentence for every checkpoint in use that not everybody may use for everything."""
    return [f"{name}: {one.row.terms}; {one.path.name} from {one.row.source}" for name, one in here.items()
            if one.row.noncommercial]


def receipt(
    *,
    prompt_set: str,
    folder: Path,
    infos: Sequence[Mapping[str, Any]],
    reference: Sequence[Mapping[str, Any]],
    weights: Iterable[Weights],
    sightings: Sequence[Path],
    device: str,
    workers: int,
    seconds: float,
    seconds_by_dimension: Mapping[str, float],
) -> dict[str, Any]:
    """JSON-able. folder: where the films are; infos, reference: of every film, empty for one that cannot be decoded."""
    made = generation(folder)
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "prompts": prompt_set,
        "rewriting": made.get("rewriting", "not known"),
        "generation": {key: value for key, value in made.items() if key != "rewriting"} or None,
        "films": described(infos),
        "reference": described(reference) if reference else None,
        "backbones": [one.to_json() for one in weights],
        "sightings": [{"file": path.name, "sha256": checksum(path)} for path in sightings],
        "versions": versions(),
        "device": device,
        "workers": workers,
        "seconds": round(seconds, 3),
        "seconds_by_dimension": {name: round(value, 3) for name, value in seconds_by_dimension.items()},
    }


def described(infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    seen = [info for info in infos if info]
    return {
        "given": len(infos),
        "decoded": len(seen),
        "frames": spread([info["frames"] for info in seen]),
        "fps": counts(f"{info['fps']:.4g}" for info in seen),
        "sizes": counts(f"{info['width']}x{info['height']}" for info in seen),
    }


def generation(folder: Path) -> dict[str, Any]:
    """How the films were made, as the folder itself says; empty where it does not."""
    try:
        made = json.loads((folder / GENERATION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(made, dict):
        return {}
    return made | {"model": Path(str(made.get("model", ""))).name}  # a whole path tells of a machine, not of a model


def spread(values: Sequence[int]) -> dict[str, float] | None:
    return {"least": min(values), "median": statistics.median(values), "most": max(values)} if values else None


def counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
