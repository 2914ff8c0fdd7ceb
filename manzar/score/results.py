"""VBench's result files, read and written, so that others' films can be totalled here and ours submitted there.

`<name>_eval_results.json` is {dimension: [aggregate, [{"video_path", "video_results", more}, ...]]}. Aggregates are
0..1. A film's own value is the dimension's: yes or no for dynamic degree and human action, 0..100 for imaging quality
(and the aggregate a hundredth of the mean), 0..1 for the rest. VBench pools some dimensions over frames, and drops
films from `color`, so an aggregate is not always the mean of its films.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manzar.nouns import UsageError, existing, storage
from manzar.score.dimension import Measured
from manzar.score.totals import plain

SUFFIX = "_eval_results.json"
FILM_SCALE: dict[str, float] = {"imaging_quality": 100.0}  # a film's own value by this is on the aggregate's scale


@dataclass(frozen=True)
class FilmResult:
    """value: None where the file says NaN, which VBench writes for a film of one frame; more: its other keys."""

    path: str
    value: float | bool | None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """One dimension of a result file. aggregate: None where the file says null; films: empty where it has none."""

    aggregate: float | None
    films: tuple[FilmResult, ...] = ()

    @classmethod
    def of(cls, aggregate: float, films: Iterable[tuple[Path, Measured]]) -> Result:
        """From what was measured here; what a film's `detail` holds is written beside its value."""
        rows = tuple(FilmResult(str(path), one.value, dict(one.detail)) for path, one in films)
        return cls(aggregate, rows)


def read(path: str | Path) -> dict[str, Result]:
    """Results by dimension, names as VBench spells them in files.

    path: a result file; a plain {dimension: value}; `scores.json` of a report of ours, of which official scores are
    taken; or a folder or .zip of such files, as they are submitted, one dimension or more in each.
    Raises UsageError for what is none of these, and where two files have the same dimension.
    """
    source = existing(path)
    results: dict[str, Result] = {}
    homes: dict[str, str] = {}
    for name, text in _texts(source):
        for dimension, result in _parse(text, name).items():
            if dimension in results:
                raise UsageError(f"{dimension} stands in {homes[dimension]} and in {name}; take one of them away")
            results[dimension], homes[dimension] = result, name
    if not results:
        raise UsageError(f"{source} holds no results: {{dimension: value}} or VBench's *{SUFFIX} are needed")
    return results


def raw_values(results: Mapping[str, Result]) -> dict[str, float | None]:
    """What `totals` takes: aggregates, None where there is none."""
    return {name: result.aggregate for name, result in results.items()}


def write(path: str | Path, results: Mapping[str, Result]) -> Path:
    """Write VBench's form. What has no value is left out, and its own script then counts it as a raw 0.

    Raises StorageError where the disk is full or not writable.
    """
    rows = {
        name: [result.aggregate, [_row(film) for film in result.films if film.value is not None]]
        for name, result in results.items() if result.aggregate is not None
    }
    return _dump(path, rows)


def _row(film: FilmResult) -> dict[str, Any]:
    return {"video_path": film.path, "video_results": film.value, **film.more}


def _dump(path: str | Path, content: Mapping[str, Any]) -> Path:
    target = Path(path)
    text = json.dumps(content, indent=4, allow_nan=False)
    with storage(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return target


def _texts(source: Path) -> list[tuple[str, bytes]]:
    """Name and content of the JSON files of a file, folder or archive; result files alone where there are any."""
    if source.is_dir():
        chosen = _chosen(file.relative_to(source).as_posix() for file in source.rglob("*.json"))
        return [(str(source / name), (source / name).read_bytes()) for name in chosen]
    if source.suffix.lower() != ".zip":
        return [(str(source), source.read_bytes())]
    try:
        with zipfile.ZipFile(source) as archive:
            return [(f"{source}:{name}", archive.read(name)) for name in _chosen(archive.namelist())]
    except zipfile.BadZipFile as error:
        raise UsageError(f"{source} is no .zip archive ({error}); pack the result files again") from error


def _chosen(names: Iterable[str]) -> list[str]:
    """As VBench's script does, without hidden files and without what a Mac's archives hold besides (__MACOSX)."""
    files = [name for name in sorted(names) if name.endswith(".json")
             and not any(part.startswith((".", "__")) for part in name.split("/"))]
    return [name for name in files if name.endswith(SUFFIX)] or files


def _parse(text: bytes, name: str) -> dict[str, Result]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{name} holds a {type(content).__name__}; an object {{dimension: value}} is needed")
    if isinstance(content.get("dimensions"), dict):
        content = {key: score.get("value") for key, score in content["dimensions"].items()
                   if isinstance(score, dict) and score.get("kind", "official") == "official"}
    results: dict[str, Result] = {}
    for key, value in content.items():
        if plain(key) in results:
            raise UsageError(f'{name} has the dimension "{plain(key)}" twice, differently spelt; keep one')
        results[plain(key)] = _result(value, f"{name}: {key}")
    return results


def _result(value: Any, place: str) -> Result:
    if not isinstance(value, list):
        return Result(_aggregate(value, place))
    if not value or (len(value) > 1 and not isinstance(value[1], list)):
        raise UsageError(f"{place} is not [aggregate, [films]]")
    films = value[1] if len(value) > 1 else []
    return Result(_aggregate(value[0], place), tuple(_film(film, place) for film in films))


def _film(row: Any, place: str) -> FilmResult:
    if not isinstance(row, dict) or "video_path" not in row or "video_results" not in row:
        raise UsageError(f"{place}: a film needs video_path and video_results, and one is {str(row)[:80]}")
    value = row["video_results"]
    more = {key: kept for key, kept in row.items() if key not in ("video_path", "video_results")}
    number = value if isinstance(value, bool) else _number(value, place)
    return FilmResult(str(row["video_path"]), None if number is None or math.isnan(number) else number, more)


def _aggregate(value: Any, place: str) -> float | None:
    number = _number(value, place)
    if number is not None and not math.isfinite(number):
        raise UsageError(f"{place} is {number}, as VBench writes where one film spoils the mean; score again without "
                         "that film, or put null there")
    return number


def _number(value: Any, place: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{place} is {str(value)[:80]!r}; a number is needed, or null where there is none")
    return float(value)
