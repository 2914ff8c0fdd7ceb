"""Our ingest against PySceneDetect and ffmpeg: the same files to the same kind of clips, alternating.

    python benchmarks/ingest.py [--clips ../shared/clips] [--rounds 3] [--droid 40]

Theirs is what people write today: PySceneDetect's `AdaptiveDetector` on each file, then one ffmpeg call for every piece
of at most 8 s, with the settings that PySceneDetect's own `split-video` gives to ffmpeg (full size, x264 veryfast,
crf 22). Three times: one file after the other as its command does, both programs with the threads they choose; with the
files shared among as many processes as ours; and that made easier still, without sound and scaled down to our longest
side. It measures nothing and finds no duplicates; ours does, and our limits are set aside so that all that
is cut is written. Prints pieces cut per second, the ratios of the medians, and the load of the machine.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from manzar.curate import Settings, ingest, read_clips, read_rejected

FILES = (
    "montage_mixed_hard.mp4", "nasa_13013.mp4", "sam2_dog.mp4", "te_chair_19s.mp4", "chaplin.mp4", "zamba_chimps.mp4",
    "pexels_squirrel.mp4", "droid_eval_clean.mp4", "tears_of_steel_battle.webm", "cockatoo_yuv420.mp4",
)  # fmt: skip
MIN_SECONDS, MAX_SECONDS, MAX_SIDE = 1.0, 8.0, 512


SCALED = (
    "-an", "-vf", f"scale='min({MAX_SIDE},iw)':'min({MAX_SIDE},ih)':force_original_aspect_ratio=decrease:"
    "force_divisible_by=2", "-c:v", "libx264", "-preset", "veryfast", "-crf", "22", "-pix_fmt", "yuv420p",
)  # fmt: skip
DOCUMENTED = ("-map", "0:v:0", "-map", "0:a?", "-c:v", "libx264", "-preset", "veryfast", "-crf", "22",
              "-c:a", "aac")  # fmt: skip


def theirs_file(path: Path, out: Path, how: tuple[str, ...]) -> int:
    """Pieces of one file, written by ffmpeg at the cuts that PySceneDetect finds."""
    from scenedetect import AdaptiveDetector, detect, open_video

    scenes = detect(str(path), AdaptiveDetector())
    if not scenes:
        video = open_video(str(path))
        scenes = [(video.base_timecode, video.base_timecode + video.duration)] if video.duration else []
    written = 0
    for start, end in scenes:
        length = end.seconds - start.seconds
        count = max(1, math.ceil((length - 1e-6) / MAX_SECONDS))
        if length / count < MIN_SECONDS:
            continue
        for index in range(count):
            begin = start.seconds + index * length / count
            part = ["-ss", f"{begin:.4f}", "-i", str(path), "-t", f"{length / count:.4f}"]
            target = out / f"{path.stem}-{written:04d}.mp4"
            subprocess.run(["ffmpeg", "-v", "fatal", "-nostdin", "-y", *part, *how, str(target)], check=True)
            written += 1
    return written


def theirs(how: tuple[str, ...], shared: bool, files: list[Path], out: Path, workers: int) -> int:
    out.mkdir()
    if not shared:
        return sum(theirs_file(path, out, how) for path in files)
    how = (*how, "-threads", "1")
    with ProcessPoolExecutor(workers) as pool:
        return sum(pool.map(theirs_file, files, [out] * len(files), [how] * len(files)))


def ours(files: list[Path], out: Path, workers: int) -> int:
    ingest(files, out, settings=Settings(MIN_SECONDS, MAX_SECONDS, None, MAX_SIDE), limits={}, workers=workers)
    twins = [row for row in read_rejected(out) if row.reason in ("duplicate", "near-duplicate")]
    return len(read_clips(out)) + len(twins)  # found out to be twins after they were cut and written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, default=Path("../shared/clips"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--droid", type=int, default=40, help="how many short DROID episodes are among the files")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    assert shutil.which("ffmpeg"), "ffmpeg is not installed; the other side needs it"
    good = given.clips / "good"
    files = [good / name for name in FILES] + sorted((good / "droid").glob("*.mp4"))[: given.droid]
    sides = {
        "manzar": ours,
        "scenedetect + ffmpeg, one after the other": partial(theirs, DOCUMENTED, False),
        "scenedetect + ffmpeg, shared": partial(theirs, DOCUMENTED, True),
        "scenedetect + ffmpeg, shared and scaled": partial(theirs, SCALED, True),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    print(f"{len(files)} files, {given.workers} processes, load {os.getloadavg()[0]:.2f} before")
    for number in range(given.rounds):
        for name, side in sides.items():
            with tempfile.TemporaryDirectory() as folder:
                begun = time.monotonic()
                clips = side(files, Path(folder) / "out", given.workers)
                spent = time.monotonic() - begun
            rates[name].append(clips / spent)
            rate = f"{clips} pieces, {spent:.1f} s, {clips / spent:.2f} a second"
            print(f"round {number + 1}: {name}: {rate}", flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        print(f"{name}: {rate:.2f} pieces a second; manzar is {medians['manzar'] / rate:.2f} times as fast")
    print(f"load {os.getloadavg()[0]:.2f} after")


if __name__ == "__main__":
    main()
