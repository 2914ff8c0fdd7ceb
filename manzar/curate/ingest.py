"""Footage to a data set. A bad file costs a row in rejected.parquet; a second run takes up where the first left off.

DATA/.ingest/<key>.json remembers what one file gave under one set of settings; the key hashes the file's bytes and the
settings, so a renamed file is not decoded again and a changed one is.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from manzar.curate.captions import CaptionTable, captions_for, read_table, texts_beside
from manzar.curate.manifest import CLIPS, REJECTED, read_clips, read_rejected, write_clips, write_rejected
from manzar.curate.shots import Settings, clip_file, store_clip
from manzar.nouns import Clip, Progress, Rejection, UsageError, Video, existing, storage

# fmt: off
VIDEO_SUFFIXES = frozenset((
    ".3gp", ".264", ".265", ".asf", ".avi", ".flv", ".gif", ".h264", ".h265", ".hevc", ".ivf", ".m2ts", ".m2v", ".m4v",
    ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
))
# fmt: on
JOURNAL = ".ingest"
JOURNAL_VERSION = 1  # part of the key: raise it when the same file and settings should give other clips
VAL_SHARE = 0.08
LEAST_SOURCES_FOR_VAL = 4
MOST_WORKERS = 4  # each holds one clip's frames; decoding and encoding leave Python's lock, so threads are enough


@dataclass(frozen=True)
class IngestSummary:
    """What one run did: clips kept and pieces turned away in this run, wall-clock seconds."""

    out: Path
    clips: int
    rejected: int
    seconds: float


@dataclass(frozen=True)
class _Source:
    """A file of footage, the folder it was found under, and the hash of its bytes."""

    path: Path
    root: Path
    digest: str


def ingest(
    footage: Sequence[Path],
    out: Path,
    *,
    captions: Path | None = None,
    min_seconds: float = 1.0,
    max_seconds: float = 8.0,
    fps: float | None = None,
    max_side: int = 512,
    report: Progress | None = None,
    path_column: str | None = None,
    caption_column: str | None = None,
) -> IngestSummary:
    """Make the data set `out` from files and folders of footage; into an existing one the new clips are added.

    captions: a table of captions; side files are found without being named. path_column, caption_column: its columns,
    if they have unusual names. fps None keeps each file's own rate. report: called after each file.
    Raises UsageError for footage that does not exist or holds no video, DataError for a table that cannot be read,
    StorageError for a full disk (what was finished is kept, and the next run goes on from it).
    """
    begun = time.monotonic()
    settings = Settings(min_seconds, max_seconds, fps, max_side)
    table = CaptionTable()
    if captions is not None:
        table = read_table(captions, path_column=path_column, caption_column=caption_column)
    out = _output_folder(out)
    found = find_footage(footage, out)
    texts = texts_beside(path for path, _ in found)
    entries = {path: captions_for(path, root, table, texts) for path, root in found}
    sources, rejections = _distinct(found)
    clips: list[Clip] = []
    outcomes = _each_file(sources, settings, out)
    for done, (source, (new, refused)) in enumerate(zip(sources, outcomes, strict=True), 1):
        entry = entries[source.path]
        clips += [replace(clip, captions=entry.captions, licence=entry.licence) for clip in new]
        rejections += refused
        if report is not None:
            report(done, len(sources), f"{len(clips)} clips, {len(rejections)} turned away: {source.path.name}")
    clips, repeated = _without_repeats(clips)
    rejections += repeated
    _publish(out, assign_splits(clips), rejections, {source.path.as_posix() for source in sources})
    return IngestSummary(out, len(clips), len(rejections), time.monotonic() - begun)


def save_clips(
    pairs: Iterable[tuple[Video, Clip]],
    out: Path,
    total: int = 0,
    report: Progress | None = None,
) -> IngestSummary:
    """Make a data set of videos that come with their captions, tracks and truth; `total` is for `report` alone.

    `id`, `path`, sizes, measures and the split are filled in; about 8 % of the clips go to "val", each on its own,
    unless some come with "val" already. Clips of other sources that `out` holds stay.
    """
    begun = time.monotonic()
    out = _output_folder(out)
    clips: list[Clip] = []
    for video, about in pairs:
        clips.append(store_clip(video, about, out))
        if report is not None:
            report(len(clips), total, "")
    if not clips:
        raise UsageError(f"no clips were given for {out}; at least one is needed")
    clips, repeated = _without_repeats(clips)
    if all(clip.split == "train" for clip in clips):
        val = _val_names({clip.id for clip in clips})
        clips = [_with_split(clip, clip.id in val) for clip in clips]
    _publish(out, clips, repeated, {clip.source for clip in clips})
    return IngestSummary(out, len(clips), len(repeated), time.monotonic() - begun)


def find_footage(footage: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """(file, folder it was found under), in order of name; hidden files and what lies under `out` are passed over.

    Raises UsageError where something does not exist or a folder holds no video.
    """
    if not footage:
        raise UsageError("no footage was given; name at least one video or folder")
    found: dict[Path, Path] = {}
    for given in map(Path, footage):
        existing(given)
        if given.is_file():
            found.setdefault(given, given.parent)
            continue
        files = [path for path in sorted(given.rglob("*")) if _is_video(path, given, out)]
        if not files:
            kinds = (
                "is empty" if not any(given.iterdir()) else "holds no video (.mp4, .mov, .mkv, .webm, .avi and so on)"
            )
            raise UsageError(f"{given} {kinds}; name a folder with footage in it")
        for path in files:
            found.setdefault(path, given)
    return list(found.items())


def assign_splits(clips: Sequence[Clip]) -> list[Clip]:
    """All clips of one source file fall on one side, chosen by its name; with four sources or more, one is in "val"."""
    names = {Path(clip.source).name for clip in clips}
    val = _val_names(names)
    return [_with_split(clip, Path(clip.source).name in val) for clip in clips]


def _with_split(clip: Clip, held_out: bool) -> Clip:
    split: Literal["train", "val"] = "val" if held_out else "train"
    return replace(clip, split=split)


def _val_names(names: set[str]) -> set[str]:
    place = {name: int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64 for name in names}
    val = {name for name in names if place[name] < VAL_SHARE}
    if not val and len(names) >= LEAST_SOURCES_FOR_VAL:
        val = {min(names, key=lambda name: (place[name], name))}
    return val


def _is_video(path: Path, root: Path, out: Path) -> bool:
    if path.suffix.lower() not in VIDEO_SUFFIXES or not path.is_file():
        return False
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return not hidden and not path.resolve().is_relative_to(out.resolve())


def _output_folder(out: Path) -> Path:
    out = Path(out)
    if out.exists():
        existing(out, "folder")
        visible = {entry.name for entry in out.iterdir() if not entry.name.startswith(".")}  # the journal is hidden
        if not (out / CLIPS).exists() and visible - {"clips", REJECTED}:
            raise UsageError(f"{out} holds other things and is no data set; choose a new or empty folder for --out")
        if (out / CLIPS).exists():
            read_clips(out)  # a damaged manifest is named before an hour of work, not after it
    return out


def _distinct(found: Sequence[tuple[Path, Path]]) -> tuple[list[_Source], list[Rejection]]:
    """Files with different bytes, and a row for each that repeats an earlier one or cannot be opened."""
    first: dict[str, Path] = {}
    sources: list[_Source] = []
    rejections: list[Rejection] = []
    for path, root in found:
        try:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            rejections.append(Rejection(path.as_posix(), 0.0, "unreadable", f"{path}: {error.strerror}"))
            continue
        if digest in first:
            detail = f"the same bytes as {first[digest].as_posix()}"
            rejections.append(Rejection(path.as_posix(), 0.0, "duplicate", detail))
            continue
        first[digest] = path
        sources.append(_Source(path, root, digest))
    return sources, rejections


_Outcome = tuple[list[Clip], list[Rejection]]


def _each_file(sources: Sequence[_Source], settings: Settings, out: Path) -> Iterable[_Outcome]:
    """Outcomes in the order of `sources`; work runs ahead on a few threads, and stops at the first error."""
    pool = ThreadPoolExecutor(max(1, min(MOST_WORKERS, os.cpu_count() or 1)))
    try:
        yield from pool.map(lambda source: _one_file(source, settings, out), sources)
    finally:
        pool.shutdown(cancel_futures=True)


def _one_file(source: _Source, settings: Settings, out: Path) -> _Outcome:
    name = source.path.as_posix()
    text = json.dumps([JOURNAL_VERSION, source.digest, asdict(settings)])
    journal = out / JOURNAL / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    known = _recall(journal, name, out)
    if known is not None:
        return known
    clips, rejections = clip_file(source.path, name, settings, out)
    with storage(journal):
        journal.parent.mkdir(parents=True, exist_ok=True)
        temporary = journal.with_suffix(".tmp")
        try:
            record = {"clips": [asdict(clip) for clip in clips], "rejections": [asdict(row) for row in rejections]}
            temporary.write_text(json.dumps(record), encoding="utf-8")
            temporary.replace(journal)
        finally:
            temporary.unlink(missing_ok=True)
    return clips, rejections


def _recall(journal: Path, name: str, out: Path) -> _Outcome | None:
    """What this file gave before, under its present name; None if it is new or a clip of it is gone."""
    try:
        record = json.loads(journal.read_text(encoding="utf-8"))
        clips = [Clip(**{**row, "source": name, "tracks": ()}) for row in record["clips"]]
        rejections = [Rejection(**{**row, "path": name}) for row in record["rejections"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (clips, rejections) if all((out / clip.path).exists() for clip in clips) else None


def _without_repeats(clips: Sequence[Clip]) -> _Outcome:
    first: dict[str, Clip] = {}
    repeated: list[Rejection] = []
    for clip in clips:
        if clip.id in first:
            detail = f"the same frames as {first[clip.id].source} at {first[clip.id].start_s:.2f} s"
            repeated.append(Rejection(clip.source, clip.start_s, "duplicate", detail))
        else:
            first[clip.id] = clip
    return list(first.values()), repeated


def _publish(out: Path, clips: Sequence[Clip], rejections: Sequence[Rejection], sources: set[str]) -> None:
    """Write both manifests, keeping the rows of sources that this run did not touch, then drop clips no row names."""
    before = read_clips(out) if (out / CLIPS).exists() else []
    new_ids = {clip.id for clip in clips}
    touched = sources | {row.path for row in rejections}
    kept = [clip for clip in before if clip.source not in touched and clip.id not in new_ids]
    kept_rows = [row for row in read_rejected(out) if row.path not in touched] if before else []
    write_rejected(out, [*kept_rows, *rejections])
    write_clips(out, [*kept, *clips])
    named = new_ids | {clip.id for clip in kept}
    for clip in before:
        if clip.id not in named:
            (out / clip.path).unlink(missing_ok=True)
