"""A list of prompts to a folder of films. What is there already is kept: a run killed anywhere goes on where it was."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manzar.generate.files import check_length, frames_for, write_film
from manzar.generate.folder import PRETRAINED
from manzar.generate.generator import Generator, load
from manzar.generate.inputs import Inputs
from manzar.media import probe
from manzar.nouns import ManzarError, MediaError, Progress, Request, StorageError, UsageError
from manzar.weights import write_json

SUFFIX = ".mp4"
RECORD = "generation.json"
LONGEST_NAME = 255  # bytes, on the file systems in use


@dataclass(frozen=True)
class Row:
    """One film of a suite. name: of its file, without the extension; seed: added to the request's own."""

    name: str
    prompt: str
    seed: int


def generate_batch(
    rows: Sequence[Row],
    out: Path,
    template: Request,
    *,
    model: Path = PRETRAINED,
    seconds: float | None = None,
    suite: Mapping[str, Any] | None = None,
    report: Progress | None = None,
) -> dict[str, Any]:
    """Make every film of `rows` that `out` lacks, as `template` says in all but prompt and seed.

    Each is the one that its prompt and seed give by themselves. A film that is there and can be read is left alone.
    suite: what the rows are, for `out/generation.json`, which says how the films were made.
    Returns {out, made, kept, failed: [{name, reason}], seconds}: a prompt that the model refuses costs itself alone.
    Raises UsageError for a request that no prompt could meet or names that clash, before anything is made.
    """
    check_length(seconds, template.frames)
    check_names(rows, out)
    started = time.monotonic()
    missing = [row for row in rows if not readable(out / f"{row.name}{SUFFIX}")]
    kept = len(rows) - len(missing)
    failed: list[dict[str, str]] = []
    if missing:
        generator = load(model)
        if seconds is not None:
            template = replace(template, frames=frames_for(seconds, template, Inputs(), generator))
        write_record(out, how_made(generator.complete(template), model, suite or {}, rows))
        for done, row in enumerate(missing, 1):
            try:
                make(generator, replace(template, prompt=row.prompt, seed=template.seed + row.seed), row, out)
            except StorageError:
                raise
            except ManzarError as error:
                failed.append({"name": row.name, "reason": str(error)})
            if report is not None:
                report(done, len(missing), row.name)
    made = len(missing) - len(failed)
    return {"out": str(out), "made": made, "kept": kept, "failed": failed, "seconds": time.monotonic() - started}


def make(generator: Generator, request: Request, row: Row, out: Path) -> None:
    request = generator.complete(request)
    write_film(generator.stream(request), request, out / f"{row.name}{SUFFIX}")


def readable(path: Path) -> bool:
    """Whether a film is there and opens; films are written under another name first, so one that opens is whole."""
    try:
        return path.is_file() and bool(probe(path))
    except MediaError:
        return False


def check_names(rows: Sequence[Row], out: Path) -> None:
    """Raise UsageError for names that are no names of files, or that two films share."""
    for row in rows:
        if Path(row.name).name != row.name or "\0" in row.name or len(row.name.encode()) + 10 > LONGEST_NAME:
            raise UsageError(f"{row.name!r} cannot be the name of a file in {out}; shorten that prompt")
    name, times = Counter(row.name for row in rows).most_common(1)[0] if rows else ("", 0)
    if times != 1:
        raise UsageError(f"{times} films are to be named {name!r}; name each once" if rows else "no prompt was given")


def how_made(request: Request, model: Path, suite: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """What a reader of the films' scores will ask about them."""
    fixed = ("frames", "width", "height", "fps", "steps", "guidance", "negative_prompt")
    seeds = sorted({request.seed + row.seed for row in rows})
    return {"model": str(model.resolve()), "suite": dict(suite), "rewriting": "none", "films": len(rows),
            "seeds": {"first": seeds[0], "last": seeds[-1]}} | {name: getattr(request, name) for name in fixed}


def write_record(out: Path, record: Mapping[str, Any]) -> None:
    """Before the first film. UsageError where films that were made otherwise are in the folder."""
    path = out / RECORD
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = record
    differing = [key for key in record if key not in ("suite", "films", "seeds") and before.get(key) != record[key]]
    if differing:
        told = ", ".join(f"{key} {before.get(key)!r} there, {record[key]!r} now" for key in differing)
        raise UsageError(f"{out} holds films made otherwise ({told}); choose another folder, or generate as before")
    write_json(path, record)
