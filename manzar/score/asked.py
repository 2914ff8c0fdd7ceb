"""What a folder of films was made for, in a file beside them: `asked.json`.

    {"00000-en.mp4": {"prompt": "A red star moves left.", "language": "en", "world": {...}}, ...}

`world` is what the scene asked for is made of, as `manzar.score.truth` reads it; films of other prompts lack it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manzar.nouns import DataError, existing, storage
from manzar.score.film import Asked

NAME = "asked.json"

Row = dict[str, Any]


def write_asked(path: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Write what each film, by file name, was made for. Raises StorageError where `path` cannot be written."""
    with storage(path):
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_asked(path: Path) -> dict[str, Row]:
    """Rows by file name; each has `prompt` and `language`, and those of the world have `world`.

    Raises UsageError where there is no such file, DataError for one that is no table of this kind.
    """
    try:
        rows = json.loads(existing(path, "file").read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); write it again, or take it away to score without it") from error
    if not isinstance(rows, dict):
        raise DataError(f"{path} holds a {type(rows).__name__}; an object of file names is needed")
    for name, row in rows.items():
        if not (isinstance(row, dict) and isinstance(row.get("prompt"), str)
                and isinstance(row.get("language"), str) and isinstance(row.get("world", {}), dict)):  # fmt: skip
            raise DataError(f"{path}: {name!r} lacks a prompt or a language, or its world is no object: {row!r:.200}")
    return rows


def asked_for(row: Mapping[str, Any], sample: int = 0) -> Asked:
    """A row as a film carries it: the prompt, and everything else by its own name."""
    return Asked(row["prompt"], sample, {name: value for name, value in row.items() if name != "prompt"})
