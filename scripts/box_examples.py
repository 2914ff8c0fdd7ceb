"""The examples of docs/boxes.md as a model makes them, each with the boxes that were wanted and those that were found.

    python scripts/box_examples.py --model FOLDER --control RUN --out docs/images/boxes.png

Of each example a few films are made from neighbouring seeds, and the one is shown whose things keep to their boxes
best; how often that is and how well is printed for all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from door import run_script
from PIL import Image, ImageDraw, ImageFont

from manzar.boxes import Plan, read_script
from manzar.boxes.view import INK, PAPER, strip
from manzar.generate import Boxes, FirstFrame, Generator, load
from manzar.nouns import Condition, Frames, Request, storage
from manzar.score.truth.boxes import called, find, sight

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "boxes"
PROMPTS = {
    "crossing": "A red circle moves to the right and a blue square moves down on a white background.",
    "entering": "A yellow star is moving to the right; the background is a starry night sky.",
    "leaving": "A green car is moving to the right; the background is a cloudy sky.",
    "swapping": "A red cat moves to the right and a blue fish moves to the left in front of the sea.",
    "pinned": "A white house stands still in front of a grassy field. The camera pans to the right.",
    "first_frame": "A red heart moves to the right in front of a grassy field.",
}
TITLE = 24  # pixels above each strip


def plans_of(name: str, frames: int, fps: float) -> list[Plan]:
    script = read_script(EXAMPLES / f"{name}.json")
    return script.resolve(frames, fps, len(script.objects))


def film(generator: Generator, name: str, seed: int) -> tuple[Frames, list[Plan]]:
    conditions: list[Condition] = [Boxes(read_script(EXAMPLES / f"{name}.json"))]
    picture = EXAMPLES / f"{name}.png"
    if picture.exists():
        conditions.append(FirstFrame(np.asarray(Image.open(picture).convert("RGB"))))
    (video,) = generator.generate(Request(PROMPTS[name], seed=seed, conditions=conditions))
    return video.frames, plans_of(name, len(video.frames), video.fps)


def shown(generator: Generator, name: str, seeds: Sequence[int]) -> Frames:
    """The best strip of an example, under its prompt."""
    strips = []
    for seed in seeds:
        frames, plans = film(generator, name, seed)
        seen = find(sight(frames), [called(plan.name) for plan in plans], [plan.exact for plan in plans]).film
        wanted = [sighting for sighting in seen if sighting.wanted]
        overlap = float(np.mean([sighting.overlap for sighting in wanted]))
        strips.append((overlap, strip(frames, plans, [sighting.found for sighting in wanted])))
    overlaps = [overlap for overlap, _ in strips]
    print(f"{name:<12} mean IoU {np.mean(overlaps):.2f}, best {max(overlaps):.2f} of {len(strips)}", file=sys.stderr)
    _, best = max(strips, key=lambda one: one[0])
    page = Image.new("RGB", (best.shape[1], best.shape[0] + TITLE), PAPER)
    page.paste(Image.fromarray(best), (0, TITLE))
    ImageDraw.Draw(page).text((6, 4), f"{name}.json: {PROMPTS[name]}", INK, ImageFont.load_default(14))
    return np.asarray(page)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--control", type=Path, help="run or folder with the box control, if not the model's own")
    parser.add_argument("--seeds", type=int, default=4, help="films of each example")
    parser.add_argument("--out", type=Path, required=True, help="the picture to write")
    given = parser.parse_args(argv)
    generator = load(given.model, control=given.control)
    rows = [shown(generator, name, range(given.seeds)) for name in PROMPTS]
    with storage(given.out):
        Image.fromarray(np.concatenate(rows, axis=0)).save(given.out)
    return 0


if __name__ == "__main__":
    run_script(main)
