"""The manifest: clips.parquet and rejected.parquet, written whole or not at all.

Captions and measures are maps, tracks a list of structs, so that SQL reads them as they are:
`SELECT id, captions['ur'], measures['motion'], len(tracks) FROM 'clips.parquet' WHERE split = 'train'`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manzar.nouns import Box, BoxTrack, Clip, DataError, Rejection, existing, storage

CLIPS = "clips.parquet"
REJECTED = "rejected.parquet"
SETTINGS = "ingest.json"  # how the last run of `manzar ingest` was set, and what it found

_BOX = pa.struct([(side, pa.float64()) for side in ("x0", "y0", "x1", "y1")])
CLIP_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("path", pa.string()),
        ("source", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("fps", pa.float64()),
        ("frames", pa.int32()),
        ("captions", pa.map_(pa.string(), pa.string())),
        ("tracks", pa.list_(pa.struct([("name", pa.string()), ("boxes", pa.list_(_BOX))]))),
        ("measures", pa.map_(pa.string(), pa.float64())),
        ("phash", pa.string()),
        ("licence", pa.string()),
        ("split", pa.string()),
    ]
)
REJECTED_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("start_s", pa.float64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("id", pa.string()),
        ("measures", pa.map_(pa.string(), pa.float64())),
    ]
)


def read_clips(data: str | Path) -> list[Clip]:
    """The clips of a data set, in its order. Raises UsageError for a missing folder, DataError if it is no data set."""
    rows = _read(existing(data, "folder") / CLIPS, CLIP_SCHEMA)
    return [_clip(row) for row in rows]


def read_rejected(data: str | Path) -> list[Rejection]:
    """What was turned away from a data set; none if the file is not there. Raises DataError if it is damaged."""
    path = existing(data, "folder") / REJECTED
    if not path.exists():
        return []
    rows = _read(path, REJECTED_SCHEMA)
    return [Rejection(**{**row, "id": row["id"] or "", "measures": dict(row["measures"] or ())}) for row in rows]


def write_clips(data: str | Path, clips: Sequence[Clip]) -> None:
    """Replace clips.parquet. Raises StorageError if the disk is full or not writable; the old file then stays."""
    _write(Path(data) / CLIPS, [_row(clip) for clip in clips], CLIP_SCHEMA)


def write_rejected(data: str | Path, rows: Sequence[Rejection]) -> None:
    """Replace rejected.parquet. Raises StorageError as `write_clips` does."""
    records = [{**asdict(row), "measures": list(row.measures.items())} for row in rows]
    _write(Path(data) / REJECTED, records, REJECTED_SCHEMA)


def _row(clip: Clip) -> dict[str, Any]:
    row = {name: getattr(clip, name) for name in CLIP_SCHEMA.names}
    row["captions"] = list(clip.captions.items())
    row["measures"] = list(clip.measures.items())
    row["tracks"] = [
        {"name": track.name, "boxes": [None if box is None else asdict(box) for box in track.boxes]}
        for track in clip.tracks
    ]
    return row


def _clip(row: dict[str, Any]) -> Clip:
    path = PurePosixPath(row["path"])
    if path.is_absolute() or ".." in path.parts or row["split"] not in ("train", "val"):
        raise DataError(f"clip {row['id']}: path {row['path']!r} must lie inside the data set and split "
                        f"{row['split']!r} be train or val; run `manzar ingest` again")
    tracks = tuple(
        BoxTrack(track["name"], tuple(None if box is None else Box(**box) for box in track["boxes"] or ()))
        for track in row["tracks"] or ()
    )
    maps = {"captions": dict(row["captions"] or ()), "measures": dict(row["measures"] or ())}
    return Clip(**{**row, **maps, "tracks": tracks})


def _read(path: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    if not path.exists():
        raise DataError(
            f"{path.parent} is no data set: {path.name} is missing; make one with `manzar ingest` or `manzar world`"
        )
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read ({str(error).splitlines()[0]}); run `manzar ingest` again") from error
    for name in ("id", "measures"):  # refused rows of older data sets have neither
        if schema is REJECTED_SCHEMA and name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise DataError(f"{path} lacks the column {missing[0]}; run `manzar ingest` again")
    try:
        rows: list[dict[str, Any]] = table.select(schema.names).cast(schema).to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{path} has a column of the wrong type ({error}); run `manzar ingest` again") from error
    return rows


def _write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary, compression="zstd")
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
