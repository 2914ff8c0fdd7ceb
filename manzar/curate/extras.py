"""What is found out about the clips that stay: faces counted, objects followed, people's own tracks cut to measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from manzar import media
from manzar.curate.dataset import turned_away
from manzar.curate.footage import Source
from manzar.curate.journal import Journal
from manzar.curate.objects.annotations import Annotations, tracks_beside
from manzar.curate.plan import Settings
from manzar.curate.shots import FileTask, Outcome, Piece, patience_of, picks_of
from manzar.nouns import Box, BoxTrack, Clip, MediaError, Progress, Rejection, UsageError
from manzar.workers import Beat, Lost, run_tasks

FACE_SECONDS = 0.5  # how often faces are looked for when they are counted
EXTRAS_VERSION = 1  # part of their key: raise it when the same clip should give other faces or tracks


def find_extras(task: tuple[Path, bool, bool], beat: Beat) -> dict[str, Any]:
    """Of a written clip: how many faces it shows, and the objects that move in it. task: (file, faces, tracks)."""
    path, faces, tracks = task
    found: dict[str, Any] = {}
    try:
        video = media.read(path)
    except (MediaError, UsageError):  # somebody spoiled the file; what is not found out counts as unknown
        return found
    if faces:
        from manzar.curate.objects.faces import find_faces

        found["faces"] = len(find_faces(video, every_s=FACE_SECONDS))
        beat(0.5)
    if tracks:
        from manzar.curate.objects.tracks import object_tracks

        found["tracks"] = [asdict(track) for track in object_tracks(video)]
    return found


def with_extras(
    clips: Sequence[Clip],
    sources: Sequence[Source],
    settings: Settings,
    out: Path,
    crew: int,
    report: Progress | None,
) -> tuple[list[Clip], list[Rejection]]:
    """Faces counted and objects followed on the clips that are kept, as far as asked for."""
    faces = settings.faces in ("find", "refuse")
    if not faces and not settings.tracks:
        return list(clips), []
    journals = {source.name: Journal(out, source.digest) for source in sources}
    mine = [clip for clip in clips if clip.source in journals]
    needs = [(clip, _extras_needed(journals[clip.source], clip, settings)) for clip in mine]
    wanted = [(clip, need) for clip, need in needs if any(need)]
    tasks = [(out / clip.path, *need) for clip, need in wanted]
    patience = patience_of(settings)
    for done, (place, found) in enumerate(run_tasks(find_extras, tasks, workers=crew, patience_s=patience), 1):
        clip = wanted[place][0]
        if not isinstance(found, Lost):
            for name, value in found.items():
                journals[clip.source].put(_extra_key(name, clip), value)
        if report is not None:
            report(done, len(tasks), "clips searched for faces and objects")
    kept: list[Clip] = []
    refused: list[Rejection] = []
    for clip in clips:
        journal = journals.get(clip.source)
        if journal is None:
            kept.append(clip)
            continue
        count = journal.get(_extra_key("faces", clip)) if faces else None
        if count is not None:
            clip = replace(clip, measures={**clip.measures, "faces": float(count)})
        if settings.faces == "refuse" and count != 0:  # None: the search was lost, and nobody knows
            seen = "the search for faces came to no end; run again" if count is None else f"{count} faces are seen"
            refused.append(turned_away(clip, "faces", seen))
            continue
        tracks = journal.get(_extra_key("tracks", clip)) if settings.tracks else None
        kept.append(replace(clip, tracks=_as_tracks(tracks)) if tracks else clip)
    return kept, refused


def _extras_needed(journal: Journal, clip: Clip, settings: Settings) -> tuple[bool, bool]:
    faces = settings.faces in ("find", "refuse") and journal.get(_extra_key("faces", clip)) is None
    return faces, settings.tracks and journal.get(_extra_key("tracks", clip)) is None


def _extra_key(name: str, clip: Clip) -> str:
    return f"{name}-{EXTRAS_VERSION}:{clip.id}"


def _as_tracks(rows: Sequence[Mapping[str, Any]]) -> tuple[BoxTrack, ...]:
    return tuple(
        BoxTrack(row["name"], tuple(None if box is None else Box(**box) for box in row["boxes"])) for row in rows
    )


def with_tracks(
    clips: Sequence[Clip], tasks: Sequence[FileTask], outcomes: Sequence[Outcome], notes: Annotations | None
) -> list[Clip]:
    """People's own tracks, which count more than found ones."""
    found: dict[str, tuple[BoxTrack, ...]] = {}
    wanted = {clip.id for clip in clips}
    for task, outcome in zip(tasks, outcomes, strict=True):
        mine = [piece for piece in outcome.pieces if piece.clip.id in wanted]
        tracks = (notes.find(task.path) if notes is not None else None) or tracks_beside(task.path) if mine else None
        if tracks is not None:
            header, spans, times = picks_of(task)
            for piece in mine:
                picks = spans[piece.key].picks
                cut = tracks.cut([times[index] for index in picks], header.width, header.height, picks)
                found[piece.clip.id] = tuple(_cropped(track, piece) for track in cut)
    return [replace(clip, tracks=found[clip.id]) if clip.id in found else clip for clip in clips]


def _cropped(track: BoxTrack, piece: Piece) -> BoxTrack:
    """The track in the part of the picture that the clip shows."""
    x0, y0, x1, y1 = piece.crop

    def seen(box: Box | None) -> Box | None:
        if box is None:
            return None
        width, height = x1 - x0, y1 - y0
        sides = ((box.x0 - x0) / width, (box.y0 - y0) / height, (box.x1 - x0) / width, (box.y1 - y0) / height)
        inside = Box(*(min(1.0, max(0.0, side)) for side in sides))
        return inside if inside.x0 < inside.x1 and inside.y0 < inside.y1 else None

    return BoxTrack(track.name, tuple(seen(box) for box in track.boxes))
