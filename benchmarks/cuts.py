"""Shot changes: ours against PySceneDetect's detectors, on films whose cuts are known.

    python benchmarks/cuts.py [--clips ../shared/clips] [--cache /tmp/manzar-cuts] [--rounds 3] [--synthetic 3]

The films are the montages beside the clips and, held out from the choice of our constants, montages made here of other
shots in another order, with hard cuts, dissolves of 6 to 30 pictures and fades through black or white of 3 to 15
pictures each way. A transition counts as found if a cut is reported from two pictures before it to two pictures after
it, once; every other cut is false. Each film is read by every contestant in turn, and the median of the rounds is the
time. Last, our false cuts on clips that are one shot.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from manzar import media
from manzar.curate.cuts.find import find_cuts
from manzar.nouns import Video

MONTAGES = ("montage_droid_200.mp4", "montage_mixed_hard.mp4", "montage_mixed_soft.mp4")
SIZE, FPS = (320, 180), 25.0
SHOTS, SHOT_FRAMES = 60, (50, 110)
DISSOLVE_FRAMES, FADE_FRAMES, HOLD_FRAMES = (6, 30), (3, 15), (0, 12)
TOLERANCE = 2
# Files of several shots, and three whose pictures jump (two of them after the first).
NO_SOURCE = (
    *("montage", "tears_of_steel", "bbb_open", "nasa_13013", "titlecard"),
    *("droid_office_e6d4ad93", "droid_eval_clean.mp4", "droid_living_room_598744ab"),
)
ONE_SHOT = ("cockatoo", "traffic_camera", "sam2_", "te_", "bbb_1s", "bbb_rabbit", "chaplin", "intel_", "mdn_flower")
PARTNERS = ("detect-content", "detect-adaptive", "detect-hash", "detect-hist")


class Film(NamedTuple):
    name: str
    path: Path
    truth: list[tuple[int, int, str]]  # first picture of the transition, first of the new shot, kind


def known(folder: Path) -> list[Film]:
    """The montages that come with their truth."""
    films = []
    for name in MONTAGES:
        with open((folder / name).with_suffix(".cuts.csv"), newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["kind"] != "start"]
        truth = [(int(r["first_frame_of_transition"]), int(r["first_frame_of_new_shot"]), r["kind"]) for r in rows]
        films.append(Film(name, folder / name, truth))
    return films


def sources(folder: Path) -> list[Path]:
    """One-shot files of one half of the footage, the half that no constant was chosen on."""
    files = sorted([*folder.glob("*.*"), *(folder / "droid").glob("*.mp4")])
    files = [f for f in files if f.suffix != ".csv" and not any(part in f.name for part in NO_SOURCE)]
    return [f for f in files if hashlib.md5(f"{f.parent.name}__{f.name}".encode()).digest()[0] % 2 == 1]


def montage(files: Sequence[Path], seed: int, cache: Path) -> Film:
    """A film of SHOTS shots joined at random, written once under `cache`."""
    rng = np.random.default_rng(seed)
    film: list[np.ndarray] = []
    truth: list[tuple[int, int, str]] = []
    while len(truth) < SHOTS - 1:
        shot = media.read(files[rng.integers(len(files))], size=SIZE, max_frames=SHOT_FRAMES[1]).frames
        if len(shot) < SHOT_FRAMES[0]:
            continue
        shot = shot[: int(rng.integers(SHOT_FRAMES[0], len(shot) + 1))]
        if film:
            truth.append(join(film, list(shot), rng))
        else:
            film += list(shot)
    path = cache / f"held_out_{seed}.mp4"
    if not path.exists():
        media.write(Video(np.stack(film), FPS), path)
    return Film(path.name, path, truth)


def join(film: list[np.ndarray], shot: list[np.ndarray], rng: np.random.Generator) -> tuple[int, int, str]:
    """Append `shot` to `film` by a transition drawn at random, and tell which."""
    kind = ("cut", "dissolve", "fade")[rng.integers(3)]
    if kind == "dissolve":
        n = min(int(rng.integers(DISSOLVE_FRAMES[0], DISSOLVE_FRAMES[1] + 1)), len(shot) // 2)
        first = len(film) - n
        for i in range(n):
            film[first + i] = blend(film[first + i], shot[i], (i + 1) / (n + 1))
        film += shot[n:]
        return first, len(film) - len(shot[n:]), kind
    first = last = len(film)
    if kind == "fade":
        out, into = rng.integers(FADE_FRAMES[0], FADE_FRAMES[1] + 1, 2).tolist()
        ground = np.full_like(shot[0], 0 if rng.random() < 0.8 else 255)
        first -= out
        for i in range(out):
            film[first + i] = blend(film[first + i], ground, (i + 1) / out)
        film += [ground] * int(rng.integers(*HOLD_FRAMES))
        shot[:into] = [blend(ground, picture, (i + 1) / (into + 1)) for i, picture in enumerate(shot[:into])]
        last = len(film) + into
    film += shot
    return first, last, kind


def blend(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return np.round((1 - share) * a.astype(np.float32) + share * b).astype(np.uint8)


def partner(*names: str) -> Callable[[Path], list[int]]:
    """PySceneDetect with one detector, or several whose cuts are joined, at its own settings."""
    import scenedetect

    made = {
        "detect-content": scenedetect.ContentDetector,
        "detect-adaptive": scenedetect.AdaptiveDetector,
        "detect-hash": scenedetect.HashDetector,
        "detect-hist": scenedetect.HistogramDetector,
        "detect-threshold": scenedetect.ThresholdDetector,
    }

    def cuts(path: Path) -> list[int]:
        manager = scenedetect.SceneManager()
        for name in names:
            manager.add_detector(made[name]())
        manager.detect_scenes(scenedetect.open_video(str(path)))
        return [start.frame_num for start, _ in manager.get_scene_list()[1:]]

    return cuts


def score(cuts: Sequence[int], truth: Sequence[tuple[int, int, str]]) -> tuple[float, int, int]:
    """F1, missed, false."""
    used: set[int] = set()
    for first, last, _ in truth:
        near = [c for c in cuts if first - TOLERANCE <= c <= last + TOLERANCE and c not in used]
        if near:
            used.add(min(near, key=lambda c: abs(2 * c - first - last)))
    missed, false = len(truth) - len(used), len(cuts) - len(used)
    return 2 * len(used) / max(1, 2 * len(used) + missed + false), missed, false


def compare(films: Sequence[Film], rounds: int) -> None:
    contestants: dict[str, Callable[[Path], list[int]]] = {"manzar": lambda path: [c.frame for c in find_cuts(path)]}
    contestants |= {name: partner(name) for name in PARTNERS}
    contestants |= {f"{name} + threshold": partner(name, "detect-threshold") for name in PARTNERS[:2]}
    for film in films:
        title = f"{film.name}, {len(film.truth)} transitions"
        print(f"\n{title:46} {'F1':>9} {'missed':>7} {'false':>6} {'seconds':>8} {'of processor':>13}", flush=True)
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        cuts = {}
        for _ in range(rounds):
            for name, find in contestants.items():
                start, work = time.perf_counter(), time.process_time()
                cuts[name] = find(film.path)
                seconds[name].append((time.perf_counter() - start, time.process_time() - work))
        for name in contestants:
            f1, missed, false = score(cuts[name], film.truth)
            wall, work = (statistics.median(values) for values in zip(*seconds[name], strict=True))
            print(f"  {name:44} {f1:9.3f} {missed:7d} {false:6d} {wall:8.2f} {work:13.2f}")


def one_shot(folder: Path) -> None:
    """False cuts where there is none to find."""
    groups = {"robot arms": sorted((folder / "droid").glob("*.mp4"))}
    others = [f for f in sorted(folder.glob("*.*")) if any(part in f.name for part in ONE_SHOT)]
    groups["other clips of one shot"] = others
    for name, files in groups.items():
        found = {file.name: find_cuts(file) for file in files}
        print(f"\n{name}: {sum(map(len, found.values()))} cuts in {len(files)} files of one shot each")
        for file, cuts in found.items():
            for cut in cuts:
                print(f"  {file} {cut.kind} at {cut.frame}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, default=Path("../shared/clips"))
    parser.add_argument("--cache", type=Path, default=Path("/tmp/manzar-cuts"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--synthetic", type=int, default=3, help="montages to make")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.cache.mkdir(parents=True, exist_ok=True)
    folder = options.clips / "good"
    files = sources(folder)
    compare(known(folder) + [montage(files, seed, options.cache) for seed in range(options.synthetic)], options.rounds)
    one_shot(folder)


if __name__ == "__main__":
    main()
