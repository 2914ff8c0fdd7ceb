"""One file of footage to its clips: scanned, divided, and each piece cropped, measured and written.

Two passes over the file. The first reduces every picture to a few numbers; the second decodes at the size wanted and
holds one clip at a time. A file whose pictures all fit in memory is decoded once and passed over there. What is found
out goes into the journal at once, so that no work is done twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from manzar import media
from manzar.curate.cuts.scan import THUMBNAIL, Scan, scan_pictures
from manzar.curate.duplicates.find import signature
from manzar.curate.journal import Journal
from manzar.curate.measures.clip import bars, content_id, measures
from manzar.curate.measures.limits import Limit, refusal
from manzar.curate.plan import CLIP_VERSION, Settings, Span, fit, plan
from manzar.nouns import Clip, DataError, MediaError, Rejection, UsageError, Video, storage
from manzar.workers import PATIENCE_S, Beat

if TYPE_CHECKING:
    from manzar.nouns import Frames

CLIPS_FOLDER = "clips"
REFUSED_FOLDER = "refused"
POSTER_SIDE = 384
UNREADABLE = f"unreadable-{CLIP_VERSION}"  # the journal's key for a file that gave nothing
TOO_LARGE = "it asks for more memory than a worker may have; choose a smaller --max-side or --max-seconds"
BLUR_SECONDS = 0.1  # how often faces are looked for when missing one would show it
SCAN_SHARE = 0.3  # of the work on a file, for the progress line
HELD_BYTES = 2 << 30  # of decoded pictures: two minutes or three at the usual sizes


@dataclass(frozen=True)
class FileTask:
    """What a worker is to do with one file. again: keys of spans whose clip is to be written though it is known."""

    path: Path
    name: str
    digest: str
    out: Path
    settings: Settings
    limits: Mapping[str, Limit]
    again: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Piece:
    """A measured piece of footage. crop: (x0, y0, x1, y1) in [0, 1], the part of the picture that the clip shows."""

    key: str
    clip: Clip
    crop: tuple[float, float, float, float]


@dataclass(frozen=True)
class Outcome:
    """What one file gave: pieces, whether or not they will be kept, and rows for the parts that gave none."""

    pieces: tuple[Piece, ...]
    rejections: tuple[Rejection, ...]


def clip_file(task: FileTask, beat: Beat) -> Outcome:
    """The pieces of one file. Those within the limits are written to clips/, of the others a poster to refused/.

    Raises StorageError if the disk is full; a damaged or unreadable file is a row, not an error.
    """
    journal = Journal(task.out, task.digest)
    held = _Held()
    try:
        spans, refused = _spans(task, journal, held, beat)
    except MediaError as error:
        if journal.get("probe") is None:  # what could be read before may be so again
            journal.put(UNREADABLE, str(error))
        return _unreadable(task.name, str(error))
    except (UsageError, MemoryError) as error:  # gone meanwhile, or too large for this machine: not the file's for ever
        return _unreadable(task.name, str(error) or TOO_LARGE)
    todo = [span for span in spans if journal.get(span.key(task.settings)) is None
            or span.key(task.settings) in task.again]  # fmt: skip
    try:
        for done, (span, video) in enumerate(_cut_out(task, todo, journal, held, beat)):
            piece, shown = make_piece(span, video, task.settings)
            beat(SCAN_SHARE + (1 - SCAN_SHARE) * done / len(todo))
            if refusal(piece.clip.measures, task.limits) is None:
                _write_clip(shown, task.out / piece.clip.path)
            else:
                save_poster(shown, task.out, piece.clip.id)
            journal.put(piece.key, {"clip": asdict(piece.clip), "crop": piece.crop})
    except (MediaError, UsageError) as error:  # it reads differently the second time: a failing disk, or a writer
        refused += _left_over(task, spans, journal, "damaged", str(error))
    except MemoryError:
        refused += _left_over(task, spans, journal, "too large", TOO_LARGE)
    return _outcome(task.name, spans, refused, task.settings, journal)


def recall(task: FileTask) -> Outcome | None:
    """What `clip_file` would return, if the journal has all of it."""
    journal = Journal(task.out, task.digest)
    if journal.get(UNREADABLE) is not None:
        return _unreadable(task.name, str(journal.get(UNREADABLE)))
    scanned, header = _recalled_scan(journal, task.settings)
    if scanned is None or header is None:
        return None
    spans, refused = plan(scanned, header, task.name, task.settings)
    if any(journal.get(span.key(task.settings)) is None for span in spans):
        return None
    return _outcome(task.name, spans, refused, task.settings, journal)


def salvage(task: FileTask, reason: str) -> Outcome:
    """What is known of a file whose worker was lost: its finished pieces, and a row for the rest."""
    journal = Journal(task.out, task.digest)
    scanned, header = _recalled_scan(journal, task.settings)
    if scanned is None or header is None:
        return _unreadable(task.name, reason)
    spans, refused = plan(scanned, header, task.name, task.settings)
    refused += _left_over(task, spans, journal, "unreadable", reason)[:1]
    return _outcome(task.name, spans, refused, task.settings, journal)


def picks_of(task: FileTask) -> tuple[media.Probe, dict[str, Span], tuple[float, ...]]:
    """Header, spans by key, and the time of every picture of a file that the journal knows."""
    scanned, header = _recalled_scan(Journal(task.out, task.digest), task.settings)
    assert scanned is not None and header is not None, f"{task.name} has not been scanned"
    spans, _ = plan(scanned, header, task.name, task.settings)
    return header, {span.key(task.settings): span for span in spans}, tuple(float(time) for time in scanned.times)


def patience_of(settings: Settings) -> float:
    """Seconds of silence that a worker is granted: no step is longer than the making of one clip."""
    return max(PATIENCE_S, 2 * settings.max_seconds)


def make_piece(span: Span, video: Video, settings: Settings) -> tuple[Piece, Video]:
    """Crop, blur and measure the frames of one span; the piece and the video that shows it."""
    height, width = video.frames.shape[1:3]
    x0, y0, x1, y1 = bars(video) if settings.bars == "crop" else (0, 0, width, height)
    share = 1 - (x1 - x0) * (y1 - y0) / (width * height)
    if share > 0:
        video = Video(np.ascontiguousarray(video.frames[:, y0:y1, x0:x1]), video.fps)
    about = Clip("", "", "", span.start_s, span.end_s, 0, 0, 0.0, 0)
    found = dict(measures(video))
    if settings.bars == "crop":
        found["bars"] = round(share, 4)
    if settings.faces == "blur":
        from manzar.curate.objects.faces import blur, find_faces

        tracks = find_faces(video, every_s=BLUR_SECONDS)
        found["faces"] = float(len(tracks))
        video = blur(video, tracks)
    piece = Piece(
        span.key(settings),
        describe(video, replace(about, measures=found)),
        (x0 / width, y0 / height, x1 / width, y1 / height),
    )
    return piece, video


def describe(video: Video, about: Clip) -> Clip:
    """`about` with everything that follows from the frames filled in; what it holds already stays."""
    identity = content_id(video)
    return replace(
        about,
        id=identity,
        path=f"{CLIPS_FOLDER}/{identity}.mp4",
        width=video.shape.width,
        height=video.shape.height,
        fps=video.fps,
        frames=video.shape.frames,
        measures=about.measures or measures(video),
        phash=about.phash or signature(video),
    )


def store_clip(video: Video, about: Clip, out: Path) -> Clip:
    """Write clips/<id>.mp4 under `out` and return its row."""
    clip = describe(video, about)
    _write_clip(video, out / clip.path)
    return clip


def save_poster(video: Video, out: Path, identity: str) -> None:
    """One picture of a clip that is turned away, refused/<id>.jpg, for people to look at."""
    path = out / REFUSED_FOLDER / f"{identity}.jpg"
    if not path.exists():
        with storage(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{identity}.{os.getpid()}.tmp")  # another file may hold the same frames
            temporary.write_bytes(media.jpeg(_small(video.frames[len(video.frames) // 2]), quality=70))
            temporary.replace(path)


def _write_clip(video: Video, path: Path) -> None:
    if not path.exists():  # written whole or not at all, and named by its content
        media.write(video, path, quick=True)


def _small(frame: Frames) -> Frames:
    step = -(-max(frame.shape[:2]) // POSTER_SIDE)
    return np.ascontiguousarray(frame[::step, ::step])


class _Held:
    """The pictures of a file in memory, all of them or none."""

    def __init__(self) -> None:
        self.pictures: list[Frames] | None = None

    def passing(self, shown: Iterable[tuple[float, Frames]]) -> Iterator[tuple[float, Frames]]:
        """Hand on what is shown, and hold it; if it grows out of bounds, against what its header said, let it go."""
        self.pictures = []
        for seconds, picture in shown:
            if self.pictures is not None:
                self.pictures.append(picture)
                if len(self.pictures) * picture.nbytes > HELD_BYTES:
                    self.pictures = None
            yield seconds, picture


def _spans(task: FileTask, journal: Journal, held: _Held, beat: Beat) -> tuple[list[Span], list[Rejection]]:
    scanned, header = _recalled_scan(journal, task.settings)
    if scanned is None or header is None:
        header = media.probe(task.path)
        expected = header.frames or (header.seconds or 0.0) * header.fps or 1.0
        size = _size_to_hold(header, task.settings)
        shown = media.frames(task.path, size=size or THUMBNAIL)
        scanned = scan_pictures(
            held.passing(shown) if size is not None else shown,
            lambda done: beat(SCAN_SHARE * min(1.0, done / expected)),
        )
        _save_scan(scanned, _scan_file(journal, header, task.settings))
        journal.put("probe", asdict(header))
    return plan(scanned, header, task.name, task.settings)


def _size_to_hold(header: media.Probe, settings: Settings) -> tuple[int, int] | None:
    """The size of the clips, if by the header all pictures fit in memory at that size."""
    width, height = fit(header.width, header.height, settings.max_side)
    frames = header.frames or (header.seconds or 0.0) * header.fps
    return (width, height) if 0 < frames * width * height * 3 <= HELD_BYTES else None


def _scan_file(journal: Journal, header: media.Probe, settings: Settings) -> Path:
    """Scans of different sizes differ in the last digit, so each size has its own: what a run gives must not depend on
    the runs before it."""
    size = _size_to_hold(header, settings)
    return journal.scan if size is None else journal.scan.with_stem(f"{journal.scan.stem}-{size[0]}x{size[1]}")


def _save_scan(scanned: Scan, path: Path) -> None:
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{os.getpid()}-{path.name}")
        scanned.save(temporary)
        temporary.replace(path)


def _recalled_scan(journal: Journal, settings: Settings) -> tuple[Scan | None, media.Probe | None]:
    known = journal.get("probe")
    try:
        if known is not None:
            header = media.Probe(**known)
            return Scan.load(_scan_file(journal, header, settings)), header
    except (DataError, TypeError):  # of an older version, torn, or of another size
        pass
    return None, None


def _outcome(
    name: str, spans: Sequence[Span], refused: Sequence[Rejection], settings: Settings, journal: Journal
) -> Outcome:
    pieces = []
    for span in spans:
        record = journal.get(span.key(settings))
        if record is not None:
            clip = Clip(**{**record["clip"], "source": name, "tracks": ()})
            pieces.append(Piece(span.key(settings), clip, tuple(record["crop"])))
    return Outcome(tuple(pieces), tuple(refused))


def _unreadable(name: str, detail: str) -> Outcome:
    return Outcome((), (Rejection(name, 0.0, "unreadable", detail),))


def _left_over(task: FileTask, spans: Sequence[Span], journal: Journal, reason: str, detail: str) -> list[Rejection]:
    """Rows for the spans of which no piece is known."""
    left = [span for span in spans if journal.get(span.key(task.settings)) is None]
    return [Rejection(task.name, span.start_s, reason, detail) for span in left]


def _cut_out(
    task: FileTask, spans: Sequence[Span], journal: Journal, held: _Held, beat: Beat
) -> Iterator[tuple[Span, Video]]:
    """Each span with its frames, in order; decoding stops after the last picture needed."""
    if not spans:
        return
    header = journal.get("probe")
    last = spans[-1].picks[-1]
    size = fit(header["width"], header["height"], task.settings.max_side)
    pending = iter(spans)
    span: Span | None = next(pending)
    near: dict[int, Frames] = {}
    shown = held.pictures or (picture for _, picture in media.frames(task.path, size=size))
    for index, picture in enumerate(shown):
        if span is None:
            return
        if index % 20 == 0:
            beat(SCAN_SHARE + (1 - SCAN_SHARE) * index / max(1, last))
        if span.picks[0] <= index <= span.picks[-1]:
            near[index] = picture
        while span is not None and index >= span.picks[-1]:
            yield span, Video(np.stack([near[pick] for pick in span.picks]), span.fps)
            following = next(pending, None)
            keep = following.picks[0] if following is not None else index + 1
            near = {i: kept for i, kept in near.items() if i >= keep}
            span = following
    if span is not None:
        raise MediaError(f"{task.path}: the pictures ended before {span.end_s:.2f} s on the second reading")
