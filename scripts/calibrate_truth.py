"""How far the truth dimensions can be trusted: what they give for rendered truth, for other prompts, for spoilt films.

    python scripts/calibrate_truth.py                      # 200 scenes; writes manzar/score/truth/calibration.json
    python scripts/calibrate_truth.py --n 20 --out /tmp/calibration.json

Every scene of the world's suite is rendered and scored on what it was rendered from: as pixels, and through a file, as
films to be scored come. `plain` are the scenes of one or two actors in the flat look before a camera at rest, `alone`
those of them with one actor. `others` is chance: the same films held to the prompts of other scenes with as many
actors. `spoilt` are the films of the first scenes with the one fault that a dimension is there to find.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from door import run_script

from manzar.media import write
from manzar.nouns import Frames, UsageError, Video, VideoShape, storage
from manzar.score.bench import Bench
from manzar.score.dimension import Measured, Unscored
from manzar.score.film import Asked, Film, open_film
from manzar.score.intervals import interval
from manzar.score.truth import IDEAS, TRUTH
from manzar.world import Scene, render
from manzar.world.suite import FIRST, asked, suite_scenes

FPS = 8.0
SMALL, LARGE = VideoShape(17, 64, 64), VideoShape(17, 128, 128)
SHIFTS = 5  # other prompts that every film is held to
SPOILT = 40  # scenes
OUT = Path(__file__).resolve().parents[1] / "manzar/score/truth/calibration.json"
COLUMNS = ("alone", "plain", "pixels", "file", "large file", "others", "spoilt")
ENOUGH = 0.98

Table = dict[str, dict[str, dict[int, list[Measured]]]]  # column → dimension → scene → what it gave


# ---- faults ----------------------------------------------------------------------------------------------------------


def flickering(frames: Frames, other: Frames) -> Frames:
    """Every second frame a sixth darker."""
    dimmed = frames.astype(np.float32)
    dimmed[1::2] *= 5 / 6
    return dimmed.round().astype(np.uint8)


def stuttering(frames: Frames, other: Frames) -> Frames:
    """Frames change places with their neighbours."""
    return frames[[min(t ^ 1, len(frames) - 1) for t in range(len(frames))]]


def replaced(frames: Frames, other: Frames) -> Frames:
    """The second half shows another scene."""
    return np.concatenate([frames[: len(frames) // 2], other[len(frames) // 2 :]])


def blurred(frames: Frames, other: Frames) -> Frames:
    """A blur of two pixels."""
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 2.0) for frame in frames])


def noisy(frames: Frames, other: Frames) -> Frames:
    """Noise with a standard deviation of 16 levels."""
    noise = np.random.default_rng(0).normal(0, 16, frames.shape)
    return np.clip(frames + noise, 0, 255).round().astype(np.uint8)


FAULTS: dict[str, Callable[[Frames, Frames], Frames]] = {
    "truth_flicker": flickering, "truth_smoothness": stuttering, "truth_subject": replaced,
    "truth_background": replaced, "truth_edges": blurred, "truth_cleanness": noisy,
}  # fmt: skip


# ---- measuring -------------------------------------------------------------------------------------------------------


def given(name: str, film: Film, bench: Bench) -> Iterator[Measured]:
    try:
        yield TRUTH[name].measure(film, bench)
    except Unscored:
        return


def films(scenes: Sequence[Scene], shape: VideoShape, through_file: bool) -> Iterator[Film]:
    """Rendered scenes one by one, each with what was asked of it."""
    with tempfile.TemporaryDirectory() as scratch:
        for index, scene in enumerate(scenes):
            wanted = Asked("", 0, {"world": asked(scene)})
            frames = render([scene], shape, FPS).numpy()[0]
            path = Path(scratch) / f"{index:05d}.mp4"
            if through_file:
                yield open_film(write(Video(frames, FPS), path), wanted)
                path.unlink()
            else:
                yield Film(path, frames, FPS, "", wanted)


def is_plain(scene: Scene) -> bool:
    return scene.look == "flat" and scene.camera == "still"


def others(scenes: Sequence[Scene], index: int) -> list[Scene]:
    """Some other scenes with as many actors."""
    like = [scene for scene in scenes if len(scene.actors) == len(scenes[index].actors)]
    at = like.index(scenes[index])
    return [like[(at + 1 + shift * len(like) // (SHIFTS + 1)) % len(like)] for shift in range(SHIFTS)]


def measured(scenes: Sequence[Scene]) -> Table:
    table: Table = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    bench = Bench()
    for column, shape, through_file in (("pixels", SMALL, False), ("file", SMALL, True), ("large file", LARGE, True)):
        for index, film in enumerate(films(scenes, shape, through_file)):
            bench.next_film()
            for name, dimension in TRUTH.items():
                own = list(given(name, film, bench))
                table[column][name][index] += own
                if column == "pixels" and is_plain(scenes[index]):
                    table["plain"][name][index] += own
                    if len(scenes[index].actors) == 1:
                        table["alone"][name][index] += own
                if column == "pixels" and dimension.suite_only:
                    for scene in others(scenes, index):
                        wrong = replace(film, asked=Asked("", 0, {"world": asked(scene)}))
                        table["others"][name][index] += given(name, wrong, bench)
            if (index + 1) % 20 == 0:
                print(f"{column}: {index + 1}/{len(scenes)}", file=sys.stderr, flush=True)
    for name, index, film in spoilt(scenes[:SPOILT]):
        bench.next_film()
        table["spoilt"][name][index] += given(name, film, bench)
    return table


def spoilt(scenes: Sequence[Scene]) -> Iterator[tuple[str, int, Film]]:
    clips = render(scenes, SMALL, FPS).numpy()
    for name, spoil in FAULTS.items():
        for index, frames in enumerate(clips):
            yield name, index, Film(Path(name), spoil(frames, clips[index - 1]), FPS, "")


# ---- the table -------------------------------------------------------------------------------------------------------


def report(table: Table) -> dict[str, Any]:
    """dimension → its idea and column → value, 95 % interval over scenes, and the number of films with a value."""
    rows: dict[str, Any] = {}
    for name in TRUTH:
        rows[name] = {"idea": IDEAS[name]}
        for column in COLUMNS:
            by_scene = [own for own in table[column][name].values() if own]
            if by_scene:
                values = [one.value for own in by_scene for one in own]
                limits = interval(by_scene)
                rows[name][column] = {
                    "value": round(float(np.mean(values)), 4),
                    "n": len(values),
                    "interval": [round(limit, 4) for limit in limits] if limits else None,
                }
    return rows


def as_markdown(rows: Mapping[str, Any]) -> str:
    lines = [f"| dimension | idea | n | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 3) + "|"]
    for name, row in rows.items():
        cells = [f"{row[column]['value']:.3f}" if column in row else "" for column in COLUMNS]
        lines.append(f"| {name} | {row['idea'].replace('_', ' ')} | {row['pixels']['n']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def claim(rows: Mapping[str, Any]) -> str:
    """On which part of the world truth scores what it should."""
    held = {part: [name for name, row in rows.items() if row.get(part, {"value": 0})["value"] >= ENOUGH]
            for part in ("alone", "plain", "pixels")}  # fmt: skip
    short = [f"{name} {rows[name]['plain']['value']:.3f}" for name in rows
             if name not in held["plain"] and "plain" in rows[name]]  # fmt: skip
    asked_of_one = sum("alone" in row for row in rows.values())
    return (f"Rendered truth scores {ENOUGH} or more on {len(held['alone'])} of {asked_of_one} dimensions for plain "
            f"scenes of one actor, on {len(held['plain'])} of {len(rows)} for plain scenes of one or two, on "
            f"{len(held['pixels'])} for all scenes; short of it on plain scenes: {', '.join(short) or 'none'}.")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="scenes")
    parser.add_argument("--seed", type=int, default=FIRST, help="of the first scene")
    parser.add_argument("--out", type=Path, default=OUT, help="the figures as JSON")
    chosen = parser.parse_args(argv)
    if chosen.n < 2 * (SHIFTS + 1):
        raise UsageError(f"--n {chosen.n}: at least {2 * (SHIFTS + 1)} scenes are needed, for others to be held to")
    cv2.setNumThreads(1)
    rows = report(measured(suite_scenes(chosen.n, chosen.seed)))
    told = {"n": chosen.n, "seed": chosen.seed, "claim": claim(rows), "dimensions": rows}
    with storage(chosen.out):
        chosen.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(as_markdown(rows), "", told["claim"], sep="\n")
    return 0


if __name__ == "__main__":
    run_script(main)
