"""What is known of each film, under REPORT/cache: a run killed anywhere goes on from it, and a later one asks it first.

<sha256 of the film>.jsonl holds a line for each thing found out, appended as it is: {"key", "value"}. A torn last line
is passed over. Keys hold whatever a value depends on, so nothing in here is ever wrong: it is only no longer asked for.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from manzar.nouns import storage
from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.film import Asked

HOME = Path(__file__).parent
# A change to one of these does not change what a film measures.
BESIDE_THE_MEASURING = ("report", "run.py", "plan.py", "cache.py", "receipt.py", "totals.py", "results.py",
                        "intervals.py", "tally.py", "prompting.py", "rows.py", "of_sets.py", "tables.py")  # fmt: skip
GROUPS = ("dimensions", "truth", "beside")  # folders whose dimensions do not measure with each other's code

Outcome = Measured | Unscored


class Cache:
    """The lines about one film. What was written last under a key counts."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.file = folder / f"{digest}.jsonl"
        self._whole, self._entries = True, dict[str, Any]()
        try:
            text = self.file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        self._whole = text.endswith("\n") or not text  # a line may have been torn off
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._entries[entry["key"]] = entry["value"]
            except (ValueError, KeyError, TypeError):
                continue

    def get(self, key: str) -> Any:
        """What was put under a key, None if nothing was."""
        return self._entries.get(key)

    def put(self, key: str, value: Any) -> None:
        """Append one line. Raises StorageError if the disk is full; a half-written line is passed over later."""
        line = json.dumps({"key": key, "value": value}) + "\n"
        with storage(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with open(self.file, "ab", buffering=0) as file:  # one write: two films of the same bytes share the file
                file.write((line if self._whole else "\n" + line).encode())
        self._whole, self._entries[key] = True, value


def key_of(dimension: Dimension, asked: Asked, checksums: Mapping[str, str], extra: Sequence[str] = ()) -> str:
    """All that the value of one film in one dimension depends on, the film itself apart.

    checksums: sha256 of each checkpoint file by name. extra: digests of whatever else is read, such as detections.
    """
    parts = {
        "code": code_of(dimension),
        "backbones": {name: checksums.get(name) for name in dimension.backbones},
        "asked": [asked.prompt, asked.sample, asked.details],
        "extra": list(extra),
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return f"{dimension.kind} {dimension.name} {hashlib.sha256(text.encode()).hexdigest()[:32]}"


def code_of(dimension: Dimension) -> str:
    """A digest of the code that may take part in measuring: decoding, and this room less other groups and pages."""
    module = getattr(dimension.measure, "__module__", "")
    group = next((group for group in GROUPS if f".score.{group}." in f"{module}."), "")
    return _digest_of_code(group)


@functools.cache
def _digest_of_code(group: str) -> str:
    left_out = {*BESIDE_THE_MEASURING, *(other for other in GROUPS if group and other != group)}
    hashed = hashlib.sha256()
    own = [path for path in sorted(HOME.rglob("*.py")) if path.relative_to(HOME).parts[0] not in left_out]
    for path in (*own, *sorted((HOME.parent / "media").glob("*.py"))):
        hashed.update(path.relative_to(HOME.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return hashed.hexdigest()


def to_json(outcome: Outcome, seconds: float) -> dict[str, Any]:
    """An outcome as a line of the cache holds it."""
    if isinstance(outcome, Unscored):
        return {"unscored": str(outcome)}
    return {"value": outcome.value, "parts": list(outcome.parts), "detail": dict(outcome.detail), "seconds": seconds}


def from_json(value: Mapping[str, Any]) -> Outcome:
    if "unscored" in value:
        return Unscored(value["unscored"])
    return Measured(value["value"], tuple(value["parts"]), value["detail"])


def write_whole(path: Path, text: str) -> None:
    """Replace a file by this text, whole or not at all."""
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
