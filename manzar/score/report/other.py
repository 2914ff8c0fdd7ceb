"""Another report, to be shown beside this one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manzar.nouns import DataError, UsageError, existing

SCORES = "scores.json"


@dataclass(frozen=True)
class Other:
    """What scores.json of another report says. dimensions: {name: {value, kind, n, interval}}."""

    name: str
    dimensions: Mapping[str, Mapping[str, Any]]
    normalised: Mapping[str, float]
    totals: Mapping[str, float | None]
    receipt: Mapping[str, Any]

    def value(self, name: str) -> float | None:
        return self.dimensions.get(name, {}).get("value")

    def interval(self, name: str) -> tuple[float, float] | None:
        found = self.dimensions.get(name, {}).get("interval")
        return (found[0], found[1]) if found else None


def read_other(path: Path) -> Other:
    """A report's folder, or its scores.json. Raises UsageError where there is none, DataError for a damaged one."""
    folder = existing(path)
    file = folder / SCORES if folder.is_dir() else folder
    if not file.is_file():
        raise UsageError(f"{folder} holds no {SCORES}; name the folder that manzar score wrote another report to")
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        totals = {name: told[name] for name in ("quality", "semantic", "total")}
        name = file.resolve().parent.name if file.name == SCORES else file.stem
        return Other(name, dict(told["dimensions"]), dict(told["normalised"]), totals, dict(told["receipt"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not the {SCORES} of a report ({error!r}); score those films again") from error
