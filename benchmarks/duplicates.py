"""Near-duplicates on the shared footage: which families collapse, what is merged wrongly, which edits are seen through.

    python benchmarks/duplicates.py [--clips ../shared/clips] [--cache FILE] [--edited 50]

Clips of up to 8 s are made of everything under good/ and awkward/. FAMILIES is the truth: files listed together show
the same pictures. Of two clips of one family that are both left, it is a miss only if one of the two is a copy by the
table (a whole file, or a shot of a montage); pieces of one file that follow each other are different clips.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from manzar import media
from manzar.curate.cuts.find import find_cuts
from manzar.curate.duplicates.films import Films, candidates
from manzar.curate.duplicates.find import find_duplicates, signature
from manzar.nouns import Clip, MediaError, Video

MAX_SIDE = 512
MAX_SECONDS = 8.0
LEAST_SECONDS = 1.0

# Files that show the same pictures, the fullest first. The 19 s and 20 s chair takes are the 22 s one begun 111 and 60
# frames later: their frames differ from its frames by less than 1.4 levels throughout.
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("te_chair_22s_orig.mp4", "te_chair_22s_grey.mp4", "te_chair_22s_sepia.mp4", "te_chair_22s_large_logo.mp4",
     "te_chair_20s.mp4", "te_chair_19s.mp4"),
    ("mdn_flower.mp4", "mdn_flower.webm", "fragmented_flower.mp4", "hdr10_pq_bt2020_tagged.mp4",
     "odd_639x361_444.mp4", "alpha_vp9_flower.webm", "no_keyframe_start.ts"),
    ("mdn_stream_of_water.mp4", "mdn_stream_of_water.webm", "mdn_stream_audioless_titlecard.webm", "frozen_tail.mp4"),
    ("cockatoo.mp4", "cockatoo_yuv420.mp4"),
    ("pexels_squirrel.mp4", "pexels_squirrel_no_audio.mp4"),
    ("carphone_pristine.mp4", "carphone_distorted.mp4"),
    ("intel_bottles.mp4", "intel_bottles_preview.gif"),
    ("intel_car_detection.mp4", "intel_car_preview.gif"),
    ("intel_one_by_one_person.mp4", "intel_one_by_one_preview.gif"),
    ("traffic_camera.mp4", "vfr_traffic_camera.mp4", "interlaced_tff_mpeg2.mpg", "extreme_aspect_1280x64.mp4"),
    ("vfr_webcam_awesome'movie.mov", "webcam_10fps_widescreen.mov"),
)  # fmt: skip
HEADS = {name: family[0] for family in FAMILIES for name in family}


def pieces(path: Path) -> Iterator[tuple[str, float, Video]]:
    """(content, start in seconds, frames) of each piece of a file, at most 8 s long; content is its family's head."""
    header = media.probe(path)
    scale = min(1.0, MAX_SIDE / max(header.width, header.height))
    size = (max(2, 2 * round(header.width * scale / 2)), max(2, 2 * round(header.height * scale / 2)))
    shown = list(media.frames(path, size=size))
    times = np.array([seconds for seconds, _ in shown])
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
    for content, first, after in shots(path, len(shown)):
        start, end = times[first], times[after - 1] + step
        count = max(1, math.ceil((end - start) / MAX_SECONDS - 1e-6))
        for low, high in pairwise(np.linspace(start, end, count + 1)):
            if high - low >= LEAST_SECONDS:
                wanted = np.arange(low, high - step / 2, step) + step / 2
                picks = np.clip(np.searchsorted(times, wanted, side="right") - 1, first, after - 1)
                yield content, float(low), Video(np.stack([shown[pick][1] for pick in picks]), 1 / step)


def shots(path: Path, frames: int) -> list[tuple[str, int, int]]:
    """(content, first picture, picture after the last): by the truth table of a montage, else as found."""
    truth = path.with_suffix(".cuts.csv")
    if truth.exists():
        rows = list(csv.DictReader(truth.open()))
        ends = [int(row["first_frame_of_transition"]) for row in rows[1:]] + [frames]
        starts = [int(row["first_frame_of_new_shot"]) for row in rows]
        names = [row["shot_source"] for row in rows]
        return [(HEADS.get(n, n), a, b) for n, a, b in zip(names, starts, ends, strict=True)]
    cuts = [] if path.parent.name == "droid" else find_cuts(path)  # the episodes have none
    marks = [0, *(mark for cut in cuts for mark in (cut.start, cut.end)), frames]
    content = HEADS.get(path.name, path.name)
    return [(content, a, b) for a, b in zip(marks[::2], marks[1::2], strict=True) if b > a]


def row(video: Video, source: str, start: float, identity: str) -> Clip:
    _, height, width, _ = video.frames.shape
    red, green, blue = (video.frames[:: max(1, len(video.frames) // 4), ::4, ::4, c].astype(int) for c in range(3))
    colour = float(np.abs(red - green).mean() + np.abs(green - blue).mean())
    return Clip(
        id=identity, path="", source=source, start_s=start, end_s=start + video.seconds, width=width, height=height,
        fps=video.fps, frames=len(video.frames), measures={"colour": colour}, phash=signature(video),
    )  # fmt: skip


def footage(folder: Path) -> Iterator[tuple[str, Clip]]:
    """(content, clip) of all footage; mosaics and damaged files are other people's concern."""
    for path in sorted(path for part in ("good", "awkward") for path in (folder / part).rglob("*.*")):
        if path.suffix in {".csv", ".md"} or path.name.startswith("mosaic"):
            continue
        try:
            for number, (content, start, video) in enumerate(pieces(path)):
                name = path.relative_to(folder).as_posix()
                yield content, row(video, name, start, f"{name}#{number}")
        except MediaError as error:
            print(f"  left out: {error}")


def recoded(video: Video, crf: int = 35) -> Video:
    frames = video.frames[:, : video.shape.height // 2 * 2, : video.shape.width // 2 * 2]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=Fraction(video.fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        out.mux(stream.encode())
    with av.open(io.BytesIO(buffer.getvalue())) as made:
        decoded = np.stack([picture.to_ndarray(format="rgb24") for picture in made.decode(video=0)])
    return Video(decoded, video.fps)


def grey(video: Video) -> Video:
    luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in video.frames])
    return Video(np.repeat(luma[..., None], 3, axis=-1), video.fps)


def logo(video: Video) -> Video:
    """A yellow card with a red disc, a quarter of the width, in the upper right corner."""
    frames = video.frames.copy()
    _, height, width, _ = frames.shape
    y0, y1, x0, x1 = int(0.04 * height), int(0.2 * height), int(0.72 * width), int(0.96 * width)
    frames[:, y0:y1, x0:x1] = (250, 210, 30)
    for frame in frames:
        cv2.circle(frame, ((x0 + x1) // 2, (y0 + y1) // 2), (y1 - y0) // 3, (200, 20, 20), -1)
    return Video(frames, video.fps)


def cropped(video: Video) -> Video:
    _, height, width, _ = video.frames.shape
    y, x = round(0.05 * height), round(0.05 * width)
    return Video(np.ascontiguousarray(video.frames[:, y : height - y, x : width - x]), video.fps)


def halved(video: Video) -> Video:
    _, height, width, _ = video.frames.shape
    size = (max(2, width // 2), max(2, height // 2))
    return Video(np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in video.frames]), video.fps)


def later(video: Video) -> Video:
    return Video(video.frames[round(1.3 * video.fps) :], video.fps)


EDITS: dict[str, Callable[[Video], Video]] = {
    "grey": grey,
    "re-encoded, crf 35": recoded,
    "logo": logo,
    "10 % crop": cropped,
    "half size": halved,
    "begun 1.3 s later": later,
    "grey, logo and crf 35": lambda video: recoded(logo(grey(video))),
    "mirrored (must stay)": lambda video: Video(np.ascontiguousarray(video.frames[:, :, ::-1]), video.fps),
}


def edited(folder: Path, count: int) -> Iterator[tuple[str, Clip]]:
    """(edit, clip) for the first piece of `count` files drawn at random, the unedited one as "original"."""
    draw = random.Random(7)
    robots = sorted((folder / "good" / "droid").glob("*.mp4"))
    others = [path for path in sorted((folder / "good").glob("*.*")) if path.suffix not in {".csv", ".md"}]
    others = [path for path in others if HEADS.get(path.name, path.name) == path.name and "montage" not in path.name]
    for path in draw.sample(robots, count // 2) + draw.sample(others, min(len(others), count - count // 2)):
        _, start, video = next(pieces(path), ("", 0.0, None))
        if video is None or video.seconds < LEAST_SECONDS + 0.5:
            continue
        yield "original", row(video, path.name, start, path.name)
        for name, edit in EDITS.items():
            made = edit(video)
            if made.seconds >= LEAST_SECONDS:
                yield name, row(made, f"{name}/{path.name}", start, f"{name}/{path.name}")


def cached(path: Path, name: str, make: Callable[[], Iterator[tuple[str, Clip]]]) -> list[tuple[str, Clip]]:
    """What `make` yields, kept in a file of JSON so that footage is decoded once."""
    held = path.with_name(f"{path.stem}-{name}.json")
    if not held.exists():
        held.write_text(json.dumps([(label, asdict(clip)) for label, clip in make()]))
    return [(label, Clip(**fields)) for label, fields in json.loads(held.read_text())]


def report_families(labelled: list[tuple[str, Clip]]) -> None:
    content = {clip.id: label for label, clip in labelled}
    clips = {clip.id: clip for _, clip in labelled}
    begun = time.perf_counter()
    away = find_duplicates(list(clips.values()))
    seconds = time.perf_counter() - begun
    wrong = [(gone, kept) for gone, (kept, _) in away.items() if content[gone] != content[kept]]
    screened = sum(len(pairs) for pairs in candidates(Films.read([clip.phash for clip in clips.values()])))
    print(f"{len(clips)} clips, {screened} pairs laid over one another, {len(away)} turned away, {seconds:.1f} s")
    robots = sum("droid" in content[gone] for gone, _ in wrong)
    print(f"precision {1 - len(wrong) / max(1, len(away)):.4f} ({len(wrong)} wrong, {robots} between robot episodes)")
    for gone, kept in wrong:
        print(f"  wrong: {gone} for {kept}: {away[gone][1]}")
    copies: dict[str, list[str]] = defaultdict(list)
    for identity, clip in clips.items():
        name = Path(clip.source).name
        if "montage" in name:
            sources = [c for c in clips.values() if content[c.id] == content[identity] and c.source != clip.source]
            if sources:
                copies["shots of montages"].append(identity)
        elif HEADS.get(name, name) != name:
            copies[HEADS[name]].append(identity)
    table(copies, clips, away, content)


def table(
    copies: dict[str, list[str]], clips: dict[str, Clip], away: dict[str, tuple[str, str]], content: dict[str, str]
) -> None:
    """A copy is settled if it is turned away, or something of its content was turned away for it."""
    holders = {kept for kept, _ in away.values()}
    print(f"\n{'family':<42}{'copies':>8}{'settled':>9}")
    settled_all = total = 0
    missed: list[str] = []
    for family, members in copies.items():
        settled = [member for member in members if member in away or member in holders]
        missed += [member for member in members if member not in settled]
        settled_all, total = settled_all + len(settled), total + len(members)
        print(f"{family:<42}{len(members):>8}{len(settled):>9}")
    print(f"{'recall':<42}{total:>8}{settled_all:>9}  {settled_all / total:.4f}")
    for member in missed:
        print(f"  missed: {member} at {clips[member].start_s:.2f} s, {content[member]}")


def report_edits(labelled: list[tuple[str, Clip]]) -> None:
    originals = {clip.id: clip for label, clip in labelled if label == "original"}
    print(f"\n{'edit':<28}{'clips':>7}{'found':>7}{'share':>8}")
    for name in EDITS:
        made = [clip for label, clip in labelled if label == name]
        found = missed = 0
        lost: list[str] = []
        for clip in made:
            original = originals[clip.id.split("/", 1)[1]]
            if find_duplicates([original, clip]):
                found += 1
            else:
                missed += 1
                lost.append(f"{original.id} ({clip.frames / clip.fps:.1f} s)")
        print(f"{name:<28}{len(made):>7}{found:>7}{found / max(1, len(made)):>8.2f}  {', '.join(lost[:6])[:120]}")


def report_scale(labelled: list[tuple[str, Clip]], count: int) -> None:
    """`count` clips: those measured, again and again with their cells shuffled, which leaves as many true copies."""
    draw = np.random.default_rng(0)
    clips: list[Clip] = []
    while len(clips) < count:
        order = draw.permutation(64)
        for _, clip in labelled:
            cells = np.frombuffer(bytes.fromhex(clip.phash), np.uint8).reshape(-1, 64)[:, order]
            clips.append(replace(clip, id=f"{len(clips)}", phash=np.ascontiguousarray(cells).tobytes().hex()))
    begun = time.perf_counter()
    away = find_duplicates(clips[:count])
    print(f"\n{count} clips of shuffled cells: {time.perf_counter() - begun:.1f} s, {len(away)} turned away")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, default=Path("../shared/clips"), help="folder with good/ and awkward/")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "manzar-duplicates.json")
    parser.add_argument("--edited", type=int, default=50, help="clips that are edited (default 50)")
    parser.add_argument("--scale", type=int, default=20_000, help="clips in the timing (default 20000)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    labelled = cached(options.cache, "footage", lambda: footage(options.clips))
    report_families(labelled)
    report_edits(cached(options.cache, "edits", lambda: edited(options.clips, options.edited)))
    report_scale(labelled, options.scale)


if __name__ == "__main__":
    main()
