"""The folder of a data set as a whole: who may write it, how it is replaced, what is cleared away."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from manzar import media
from manzar.curate.captions.read import CaptionReport
from manzar.curate.journal import only_one
from manzar.curate.manifest import CLIPS, REJECTED, SETTINGS, read_clips, read_rejected, write_clips, write_rejected
from manzar.curate.shots import CLIPS_FOLDER, REFUSED_FOLDER, save_poster, store_clip
from manzar.curate.splits import held_out, with_split
from manzar.nouns import Clip, MediaError, Progress, Rejection, UsageError, Video, existing


@dataclass(frozen=True)
class IngestSummary:
    """What a data set holds after a run: clips and refusals of the footage named in this run, wall-clock seconds."""

    out: Path
    clips: int
    rejected: int
    seconds: float
    clip_seconds: float = 0.0
    reasons: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, int] = field(default_factory=dict)
    captions: CaptionReport | None = None
    unmatched: tuple[str, ...] = ()  # what the table of captions names and the footage does not hold
    passed_over: int = 0  # second captions of one video in one language, in the table

    def text(self) -> str:
        """For people: what came of the footage, line by line."""
        minutes = self.clip_seconds / 60
        lines = [f"{self.clips} clips, {minutes:.1f} minutes in all, in {self.out} ({self.seconds:.1f} s)"]
        if self.shapes:
            shapes = [f"{shape} {count}" for shape, count in self.shapes.items()]
            more = f" and {len(shapes) - 6} more" if len(shapes) > 6 else ""
            lines.append("shapes: " + ", ".join(shapes[:6]) + more)
        if self.reasons:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())
            lines.append(f"turned away: {reasons} (rejected.parquet says where and why)")
        if self.captions is not None:
            lines += self.captions.lines()
        if self.unmatched:
            lines.append(f"{len(self.unmatched)} rows of the table name no video here, for example {self.unmatched[0]}")
        if self.passed_over:
            lines.append(f"{self.passed_over} second captions in a language were passed over: the first stays")
        return "\n".join([*lines, f"look at it: manzar show {self.out}"])


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
    out = output_folder(out)
    with only_one(out):
        clips: list[Clip] = []
        for video, about in pairs:
            clips.append(store_clip(video, about, out))
            if report is not None:
                report(len(clips), total, "")
        if not clips:
            raise UsageError(f"no clips were given for {out}; at least one is needed")
        clips, repeated, _ = without_repeats(clips)
        if all(clip.split == "train" for clip in clips):
            names = {clip.id for clip in clips}
            val = held_out(names, len(names))
            clips = [with_split(clip, clip.id in val) for clip in clips]
        before = read_clips(out) if (out / CLIPS).exists() else []
        touched, ids = {clip.source for clip in clips}, {clip.id for clip in clips}
        kept = [clip for clip in before if clip.source not in touched and clip.id not in ids]
        kept_rows = [row for row in read_rejected(out) if row.path not in touched]
        publish(out, [*kept, *clips], [*kept_rows, *repeated])
    return IngestSummary(out, len(clips), len(repeated), time.monotonic() - begun)


def output_folder(out: Path) -> Path:
    out = Path(out)
    if out.exists():
        existing(out, "folder")
        visible = {entry.name for entry in out.iterdir() if not entry.name.startswith(".")}  # the journal is hidden
        if not (out / CLIPS).exists() and visible - {CLIPS_FOLDER, REFUSED_FOLDER, REJECTED, SETTINGS}:
            raise UsageError(f"{out} holds other things and is no data set; choose a new or empty folder for --out")
        if (out / CLIPS).exists():
            read_clips(out)  # a damaged manifest is named before an hour of work, not after it
    return out


def without_repeats(clips: Sequence[Clip]) -> tuple[list[Clip], list[Rejection], list[tuple[str, str]]]:
    """The first of clips with the same frames; rows for the others; and the pairs of sources that share them."""
    first: dict[str, Clip] = {}
    repeated: list[Rejection] = []
    ties: list[tuple[str, str]] = []
    for clip in clips:
        twin = first.setdefault(clip.id, clip)
        if twin is not clip:
            detail = f"the same frames as {twin.source} at {twin.start_s:.2f} s"
            repeated.append(Rejection(clip.source, clip.start_s, "duplicate", detail))
            ties.append((clip.source, twin.source))
    return list(first.values()), repeated, ties


def turned_away(clip: Clip, reason: str, detail: str) -> Rejection:
    return Rejection(clip.source, clip.start_s, reason, detail, clip.id, clip.measures)


def publish(out: Path, clips: Sequence[Clip], rejections: Sequence[Rejection]) -> None:
    """Write both tables, then clear away the files that no row names."""
    for row in rejections:
        path = out / CLIPS_FOLDER / f"{row.id}.mp4"
        if row.id and path.exists() and not (out / REFUSED_FOLDER / f"{row.id}.jpg").exists():
            with suppress(MediaError):  # spoiled by somebody; it goes without a picture
                save_poster(media.read(path, max_frames=9), out, row.id)
    write_rejected(out, sorted(rejections, key=lambda row: (row.path, row.start_s, row.reason, row.detail)))
    write_clips(out, sorted(clips, key=lambda clip: (clip.source, clip.start_s, clip.id)))
    _clear(out / CLIPS_FOLDER, {clip.id for clip in clips})
    _clear(out / REFUSED_FOLDER, {row.id for row in rejections})


def _clear(folder: Path, named: set[str]) -> None:
    for path in folder.iterdir() if folder.exists() else ():
        if path.is_file() and path.stem not in named:
            path.unlink()
