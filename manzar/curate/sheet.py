"""A contact sheet: one HTML file, nothing outside it, that shows what is in a data set and what was turned away.

Each clip is four of its frames, its captions, its measures and its split; small clips play when pointed at or tapped.
"""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from manzar import media
from manzar.curate.ingest import VIDEO_SUFFIXES
from manzar.curate.manifest import CLIPS, read_clips, read_rejected
from manzar.nouns import BoxTrack, Clip, MediaError, Rejection, UsageError, Video, existing, storage

if TYPE_CHECKING:
    from manzar.nouns import Frames

POSTER_FRAMES = 4  # two above, two below: the poster has the shape of the clip, so the clip plays in its place
POSTER_HEIGHT = 108  # of one frame, pixels
LOOK_SECONDS = 8.0  # how much of a loose video is looked at
LOOK_FPS = 4.0
PLAYABLE = {".mp4": "video/mp4", ".webm": "video/webm"}
EMBED_BYTES = 400_000  # a clip larger than this is shown as its strip only
EMBED_TOTAL_BYTES = 12_000_000  # and so are all once the page holds this much video
BOX_COLOURS = ((255, 90, 60), (60, 200, 255), (255, 220, 60), (120, 255, 120))


def sheet(targets: Sequence[Path], out: Path) -> Path:
    """Write the contact sheet of data sets, folders of videos and videos to `out` and return its path.

    Raises UsageError for a target that does not exist or holds no video, StorageError for a full disk. A video that
    cannot be read is listed with the reason.
    """
    if not targets:
        raise UsageError("nothing to show was named; give a data set, a folder of videos or a video")
    if Path(out).is_dir():
        raise UsageError(f"{out} is a folder; name a file, such as {Path(out) / 'sheet.html'}")
    clips: list[tuple[Clip, Path]] = []
    rejected: list[Rejection] = []
    for target in map(Path, targets):
        found, turned_away = _contents(existing(target))
        clips += found
        rejected += turned_away
    title = ", ".join(Path(target).name or str(target) for target in targets)
    out = Path(out)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    with storage(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.writelines(_page(title, clips, rejected))  # card by card: the page may be large
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
    return out


def _contents(target: Path) -> tuple[list[tuple[Clip, Path]], list[Rejection]]:
    """Clips with their files, and rejections: from the manifest of a data set, or made up for loose videos."""
    if target.is_dir() and (target / CLIPS).exists():
        return [(clip, target / clip.path) for clip in read_clips(target)], read_rejected(target)
    paths = [target]
    if target.is_dir():
        paths = sorted(path for path in target.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
        if not paths:
            raise UsageError(f"{target} holds neither a data set ({CLIPS}) nor a video; name one that does")
    clips: list[tuple[Clip, Path]] = []
    rejected: list[Rejection] = []
    for path in paths:
        try:
            header = media.probe(path)
        except MediaError as error:
            rejected.append(Rejection(path.as_posix(), 0.0, "unreadable", str(error)))
            continue
        clip = Clip(
            id=path.name,
            path=path.as_posix(),
            source=path.as_posix(),
            start_s=0.0,
            end_s=header.seconds or 0.0,
            width=header.width,
            height=header.height,
            fps=header.fps,
            frames=header.frames or 0,
        )
        clips.append((clip, path))
    return clips, rejected


def _page(title: str, clips: Sequence[tuple[Clip, Path]], rejected: Sequence[Rejection]) -> Iterator[str]:
    seconds = sum(clip.end_s - clip.start_s for clip, _ in clips)
    held_out = sum(clip.split == "val" for clip, _ in clips)
    silent = sum(not clip.captions for clip, _ in clips)
    languages = sorted(set(chain.from_iterable(clip.captions for clip, _ in clips)))
    facts = [f"{len(clips)} clips", f"{seconds / 60:.1f} min", f"{held_out} held out", f"{silent} without caption"]
    facts += [f"captions: {', '.join(languages)}"] * bool(languages) + [f"{len(rejected)} turned away"]
    yield _HEAD.replace("{title}", html.escape(title))
    yield f"<header><h1>{html.escape(title)}</h1><p>{html.escape(' · '.join(facts))}</p></header>\n<main>\n"
    room = EMBED_TOTAL_BYTES
    for clip, path in clips:
        card, spent = _card(clip, path, room)
        room -= spent
        yield card
    yield "</main>\n"
    if rejected:
        yield "<section><h2>Turned away</h2><table><tr><th>file</th><th>at</th><th>reason</th><th>detail</th></tr>\n"
        for row in rejected:
            cells = (row.path, f"{row.start_s:.2f} s", row.reason, row.detail)
            yield "<tr>" + "".join(f'<td dir="auto">{html.escape(cell)}</td>' for cell in cells) + "</tr>\n"
        yield "</table></section>\n"
    yield _TAIL


def _card(clip: Clip, path: Path, room: int) -> tuple[str, int]:
    """One clip as HTML, and how many bytes of video it took of the `room` left."""
    try:
        poster = _poster(clip, path)
    except (MediaError, UsageError) as error:
        return f'<article><p class="bad">{html.escape(str(error))}</p></article>\n', 0
    strip = base64.b64encode(media.jpeg(poster, quality=64)).decode()
    size = path.stat().st_size
    kind = PLAYABLE.get(path.suffix.lower())
    video, spent = "", 0
    if kind is not None and size <= min(EMBED_BYTES, room):
        data = base64.b64encode(path.read_bytes()).decode()
        video = f'<video muted loop playsinline preload="none" src="data:{kind};base64,{data}"></video>'
        spent = size
    captions = "".join(
        f'<p class="caption" dir="auto" lang="{html.escape(language)}"><b>{html.escape(language)}</b> '
        f"{html.escape(text)}</p>"
        for language, text in clip.captions.items()
    )
    length = f"{clip.start_s:.2f}–{clip.end_s:.2f} s"
    facts = [
        length,
        f"{clip.width}×{clip.height}",
        f"{clip.fps:g} fps",
        *([f"{clip.frames} frames"] * bool(clip.frames)),
    ]
    facts += [f"{name} {value:.3g}" for name, value in clip.measures.items()] + [clip.licence] * bool(clip.licence)
    chip = f'<span class="chip {clip.split}">{clip.split}</span>'
    alt = html.escape(next(iter(clip.captions.values()), "no caption"))
    area = f'width="{poster.shape[1]}" height="{poster.shape[0]}"'
    card = (
        f'<article><div class="frame" tabindex="0"><img {area} loading="lazy" alt="{alt}" '
        f'src="data:image/jpeg;base64,{strip}">'
        f"{video}{'<i>play</i>' * bool(video)}</div>"
        f"{captions or '<p class=none>no caption: this clip trains unconditionally</p>'}"
        f'<p class="facts">{chip} {html.escape(" · ".join(facts))}</p>'
        f'<p class="source" dir="auto">{html.escape(clip.source)}</p></article>\n'
    )
    return card, spent


def _poster(clip: Clip, path: Path) -> Frames:
    """Four frames in reading order, uint8 (2h, 2w, 3), with the boxes of the clip drawn in."""
    header = media.probe(path)
    scale = POSTER_HEIGHT / header.height
    size = (max(2, round(header.width * scale)), POSTER_HEIGHT)
    fps = min(LOOK_FPS, header.fps) if not clip.tracks else None
    video = media.read(path, end_s=LOOK_SECONDS, fps=fps, size=size)
    if clip.tracks:
        drawn = [_with_boxes(frame, clip.tracks, index) for index, frame in enumerate(video.frames)]
        video = replace(video, frames=np.stack(drawn))
    picks = np.linspace(0, len(video.frames) - 1, POSTER_FRAMES).round().astype(int)
    rows = [media.strip(Video(video.frames[pair], video.fps), 2) for pair in (picks[:2], picks[2:])]
    return np.concatenate(rows, axis=0)


def _with_boxes(frame: Frames, tracks: Sequence[BoxTrack], index: int) -> Frames:
    picture = Image.fromarray(frame)
    pen = ImageDraw.Draw(picture)
    for number, track in enumerate(tracks):
        box = track.boxes[index] if index < len(track.boxes) else None
        if box is not None:
            corners = (box.x0 * picture.width, box.y0 * picture.height, box.x1 * picture.width, box.y1 * picture.height)
            pen.rectangle(corners, outline=BOX_COLOURS[number % len(BOX_COLOURS)], width=2)
    return np.asarray(picture)


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root { color-scheme: light dark;
  --ground: #f5f4f0; --card: #fff; --ink: #1c1b19; --soft: #6c6a64; --line: #dedbd3; --accent: #0f766e; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #161614; --card: #201f1d; --ink: #eceae4; --soft: #9b988f; --line: #34322e; --accent: #5eead4; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Noto Sans", "Noto Nastaliq Urdu", sans-serif; }
header, main, section { max-width: 1480px; margin: 0 auto; padding: 0 16px; }
header { padding-top: 28px; }
h1 { font-size: 22px; margin: 0; overflow-wrap: anywhere; }
header p, .facts, .source, .none { color: var(--soft); font-size: 13px; }
header p { margin: 4px 0 20px; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 16px; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow: hidden;
  padding-bottom: 10px; min-width: 0; }
article p { margin: 6px 12px 0; }
.frame { position: relative; background: #000; outline-offset: -3px; }
.frame img { width: 100%; height: auto; max-height: 420px; object-fit: contain; display: block; }
.frame video { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain;
  background: #000; visibility: hidden; }
.frame.on video { visibility: visible; }
.frame i { position: absolute; right: 8px; bottom: 8px; font: 12px system-ui; color: #fff;
  background: #0009; padding: 1px 8px; border-radius: 9px; }
.frame.on i { display: none; }
.caption { overflow-wrap: anywhere; }
.caption:lang(ur) { line-height: 1.9; }
.caption b { font: 600 11px system-ui; color: var(--accent); text-transform: uppercase;
  margin-inline-end: 4px; unicode-bidi: isolate; }
.chip { border: 1px solid var(--line); border-radius: 9px; padding: 0 8px; }
.chip.val { border-color: var(--accent); color: var(--accent); }
.source { overflow-wrap: anywhere; }
.bad { color: #c2410c; }
section { padding-bottom: 32px; overflow-x: auto; }
h2 { font-size: 17px; margin: 28px 0 8px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: start; vertical-align: top; padding: 5px 10px 5px 0;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 500; }
td:nth-child(2) { white-space: nowrap; }
</style></head><body>
"""

_TAIL = """<script>
for (const frame of document.querySelectorAll(".frame")) {
  const video = frame.querySelector("video");
  if (!video) continue;
  const play = () => { frame.classList.add("on"); video.play().catch(() => frame.classList.remove("on")); };
  const stop = () => { frame.classList.remove("on"); video.pause(); };
  frame.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") play(); });
  frame.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") stop(); });
  frame.addEventListener("click", () => frame.classList.contains("on") ? stop() : play());
  frame.addEventListener("keydown", (event) => { if (event.key === "Enter") frame.click(); });
}
</script></body></html>
"""
