"""Footage to a data set. A bad file costs a row in rejected.parquet; a second run takes up where the first left off.

In order: what is there (footage.py), each file in a worker process (workers.py, shots.py), then over all clips the
limits, near-duplicates, captions, tracks and the split, and at last the tables. What the workers find out is kept in
the journal, so a run with other limits decides anew without decoding anew.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from manzar.curate.captions.read import CaptionTable, captions_for, missing, read_table, texts_beside
from manzar.curate.captions.run import apply_captions
from manzar.curate.dataset import IngestSummary, output_folder, publish, turned_away, without_repeats
from manzar.curate.duplicates.find import find_duplicates
from manzar.curate.extras import with_extras, with_tracks
from manzar.curate.footage import distinct, find_footage, name_of
from manzar.curate.journal import only_one, write_json
from manzar.curate.manifest import CLIPS, SETTINGS, read_clips, read_rejected
from manzar.curate.measures.limits import LIMITS, Limit, refusal
from manzar.curate.objects.annotations import read_tracks
from manzar.curate.plan import Settings
from manzar.curate.shots import HELD_BYTES, FileTask, Outcome, clip_file, patience_of, recall, salvage
from manzar.curate.splits import assign_splits, remembered
from manzar.nouns import Clip, Progress, Rejection, UsageError
from manzar.workers import Lost, run_tasks

MEGABYTE = 1 << 20
PIXEL_BYTES = 12  # of one clip's pixel in a worker: the frames, those still held, and what is measured on them


def ingest(
    footage: Sequence[Path],
    out: Path,
    *,
    settings: Settings | None = None,
    limits: Mapping[str, Limit] = LIMITS,
    captions: Path | None = None,
    path_column: str | None = None,
    caption_column: str | None = None,
    annotations: Path | None = None,
    workers: int | None = None,
    report: Progress | None = None,
    hashing: Progress | None = None,
) -> IngestSummary:
    """Make the data set `out` from files and folders of footage; into an existing one the new clips are added.

    limits: bounds on the measures of a clip, see `limits.LIMITS`. captions: a table of captions; side files are found
    without being named. path_column, caption_column: its columns, if they have unusual names. annotations: people's own
    object tracks, a file or folder; those beside the videos are found without being named. workers: processes; by
    default one for each core, fewer where memory is short. report: megabytes of footage done; hashing: files whose
    bytes have been read before that. Captions and annotations are read anew by every run: name their tables again.
    Raises UsageError for footage that does not exist or holds no video, DataError for a table that cannot be read and
    while another run writes `out`, StorageError for a full disk (what was finished is kept; the next run goes on).
    """
    begun = time.monotonic()
    settings = settings or Settings()
    crew = _workers(settings, workers)
    table = CaptionTable()
    if captions is not None:
        table = read_table(captions, path_column=path_column, caption_column=caption_column)
    notes = read_tracks(annotations) if annotations is not None else None
    out = output_folder(out)
    found = find_footage(footage, out)
    words = _words(found, table)
    with only_one(out):
        sources, rejections = distinct(found, out, hashing)
        tasks = [FileTask(source.path, source.name, source.digest, out, settings, limits) for source in sources]
        outcomes = list(_outcomes(tasks, crew, patience_of(settings), report))
        rejections += [row for outcome in outcomes for row in outcome.rejections]
        clips, refused = _judged(outcomes, limits)
        untouched, rows = _others(out, {os.path.abspath(path) for path, _ in found}, {clip.id for clip in clips})
        clips, repeated, related = _without_duplicates([*untouched, *clips])
        clips, lost = _with_files(clips, out, tasks, outcomes, crew, patience_of(settings))
        clips, faced = with_extras(clips, sources, settings, out, crew, report)
        rejections += [*refused, *repeated, *lost, *faced]
        clips = [replace(clip, **words[clip.source]) if clip.source in words else clip for clip in clips]
        clips = apply_captions(out, with_tracks(clips, tasks, outcomes, notes))
        clips = assign_splits(clips, remembered(out, related), {clip.source for clip in untouched})
        new = {(row.path, row.start_s, row.reason, row.id) for row in rejections}
        rows = [row for row in rows if (row.path, row.start_s, row.reason, row.id) not in new] + rejections
        publish(out, clips, rows)
        summary = _summary(out, clips, rows, set(words), begun)
        summary = replace(summary, unmatched=tuple(table.unmatched(found)), passed_over=table.passed_over)
        write_json(out / SETTINGS, _settings_record(settings, limits, summary, len(clips), len(rows)))
    return summary


def _others(out: Path, touched: set[str], ids: set[str]) -> tuple[list[Clip], list[Rejection]]:
    """The rows that `out` has of footage that is not `touched` now; those of a file that was renamed are left out."""

    def stays(source: str, identity: str) -> bool:
        return os.path.abspath(source) not in touched and (identity not in ids or os.path.exists(source))

    clips = read_clips(out) if (out / CLIPS).exists() else []
    rows = read_rejected(out) if out.exists() else []
    return [clip for clip in clips if stays(clip.source, clip.id)], [row for row in rows if stays(row.path, row.id)]


def _words(found: Sequence[tuple[Path, Path]], table: CaptionTable) -> dict[str, dict[str, Any]]:
    """{source: captions and licence}, read before any work: what is wrong with them is said at once."""
    texts = texts_beside(path for path, _ in found)
    entries = {name_of(path): captions_for(path, root, table, texts) for path, root in found}
    return {name: {"captions": entry.captions, "licence": entry.licence} for name, entry in entries.items()}


def _workers(settings: Settings, wanted: int | None) -> int:
    """As many processes as there are cores, if the memory at hand holds a clip of the largest kind in each."""
    if wanted is not None:
        if wanted < 1:
            raise UsageError(f"{wanted} workers cannot do anything; ask for at least 1")
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = _available_memory()
    if memory is None:
        return cores
    clip = settings.max_seconds * (settings.fps or 30.0) * settings.max_side**2 * 0.6 * PIXEL_BYTES
    return max(1, min(cores, int(memory / (clip + HELD_BYTES + 500 * MEGABYTE))))


def _available_memory() -> int | None:
    """Bytes that may be had without swapping, within the bounds of a container; None where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        memory = int(lines["MemAvailable"].split()[0]) * 1024
        bound = Path("/sys/fs/cgroup/memory.max")
        limit = bound.read_text().strip() if bound.exists() else "max"
    except (OSError, ValueError, KeyError):
        return None
    return memory if limit == "max" else min(memory, int(limit))


def _outcomes(tasks: Sequence[FileTask], crew: int, patience: float, report: Progress | None) -> Iterator[Outcome]:
    """What each file gave, in the order of `tasks`: from the journal, or by work that runs ahead."""
    known = [recall(task) for task in tasks]
    fresh = [index for index, outcome in enumerate(known) if outcome is None]
    fresh.sort(key=lambda index: -_size(tasks[index].path))  # the largest first: the last hour has work for all cores
    meter = _Meter([_size(tasks[index].path) for index in fresh], report)
    fresh_tasks = [tasks[index] for index in fresh]
    for place, result in run_tasks(clip_file, fresh_tasks, workers=crew, patience_s=patience, on_beat=meter.beat):
        task = fresh_tasks[place]
        if isinstance(result, Lost):
            result = salvage(task, result.reason)
        known[fresh[place]] = result
        meter.done(place, result, task.name)
    for outcome in known:
        assert outcome is not None, "a file without an outcome"
        yield outcome


class _Meter:
    """Progress over files that differ in size: megabytes done, and what came of them."""

    def __init__(self, sizes: Sequence[int], report: Progress | None) -> None:
        self.sizes, self.report = sizes, report
        self.shares = [0.0] * len(sizes)
        self.total, self.bytes_done, self.left = -(-sum(sizes) // MEGABYTE), 0.0, len(sizes)
        self.pieces = self.refused = 0

    def beat(self, place: int, share: float, name: str = "") -> None:
        self.bytes_done += self.sizes[place] * (share - self.shares[place])
        self.shares[place] = share
        if self.report is not None:
            done = self.total if not self.left else min(int(self.bytes_done / MEGABYTE), self.total - 1)
            self.report(done, self.total, f"{self.pieces} pieces, {self.refused} turned away {name}".rstrip())

    def done(self, place: int, outcome: Outcome, name: str) -> None:
        self.left -= 1
        self.pieces += len(outcome.pieces)
        self.refused += len(outcome.rejections)
        self.beat(place, 1.0, Path(name).name)


def _size(path: Path) -> int:
    try:
        return sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else (path,)))
    except OSError:  # gone since it was listed: its worker will say so
        return 0


def _judged(outcomes: Sequence[Outcome], limits: Mapping[str, Limit]) -> tuple[list[Clip], list[Rejection]]:
    clips: list[Clip] = []
    refused: list[Rejection] = []
    for outcome in outcomes:
        for piece in outcome.pieces:
            why = refusal(piece.clip.measures, limits)
            if why is None:
                clips.append(piece.clip)
            else:
                refused.append(turned_away(piece.clip, *why))
    return clips, refused


def _without_duplicates(clips: Sequence[Clip]) -> tuple[list[Clip], list[Rejection], list[tuple[str, str]]]:
    """One of each family; rows for the others; and the pairs of sources that share pictures."""
    clips, rows, ties = without_repeats(clips)
    twins = find_duplicates(clips)
    by_id = {clip.id: clip for clip in clips}
    related = ties + [(by_id[twin].source, by_id[kept].source) for twin, (kept, _) in twins.items()]
    rows += [turned_away(by_id[twin], "near-duplicate", detail) for twin, (_, detail) in sorted(twins.items())]
    return [clip for clip in clips if clip.id not in twins], rows, related


def _with_files(
    clips: Sequence[Clip],
    out: Path,
    tasks: Sequence[FileTask],
    outcomes: Sequence[Outcome],
    crew: int,
    patience: float,
) -> tuple[list[Clip], list[Rejection]]:
    """Make the clips that are to be kept and have no file: lost, or turned away under other limits."""
    absent = {clip.id for clip in clips if not (out / clip.path).exists()}
    again = [
        replace(task, again=frozenset(piece.key for piece in outcome.pieces if piece.clip.id in absent), limits={})
        for task, outcome in zip(tasks, outcomes, strict=True)
    ]
    for _ in run_tasks(clip_file, [task for task in again if task.again], workers=crew, patience_s=patience):
        pass
    gone = [clip for clip in clips if clip.id in absent and not (out / clip.path).exists()]
    rows = [turned_away(clip, "lost", f"{clip.path} is missing; ingest {clip.source} again") for clip in gone]
    lost = {clip.id for clip in gone}
    return [clip for clip in clips if clip.id not in lost], rows


def _summary(
    out: Path, clips: Sequence[Clip], rows: Sequence[Rejection], touched: set[str], begun: float
) -> IngestSummary:
    mine = [clip for clip in clips if clip.source in touched]
    refused = [row for row in rows if row.path in touched]
    return IngestSummary(
        out,
        len(mine),
        len(refused),
        time.monotonic() - begun,
        sum(clip.frames / clip.fps for clip in mine),
        dict(Counter(row.reason for row in refused).most_common()),
        dict(Counter(f"{clip.width}x{clip.height}" for clip in mine).most_common()),
        missing(mine),
    )


def _settings_record(
    settings: Settings, limits: Mapping[str, Limit], summary: IngestSummary, clips: int, rejected: int
) -> dict[str, Any]:
    return {
        "version": 1,
        "settings": asdict(settings),
        "limits": {name: [limit.low, limit.high] for name, limit in limits.items()},
        "clips": clips,
        "rejected": rejected,
        "reasons": summary.reasons,
        "shapes": summary.shapes,
        "captions": asdict(summary.captions) if summary.captions else {},
    }
