"""Whether whole subjects are in the picture at any proportions: how often an actor is cut off by the frame's edge.

    python scripts/framing.py --model FOLDER --n 40

Three rows for each size: rendered truth; the middle square of that truth, which is what a model sees that is trained on
square crops; and what the model makes of the same prompts. A frame counts as cut if an actor that the judge sees
reaches the edge.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from door import run_script
from world_clips import cases, scenes, together

from manzar.generate import load
from manzar.nouns import Box, Frames, Request, VideoShape, existing
from manzar.score.tally import Share
from manzar.score.truth.judge import judge
from manzar.world import render

SIZES = ((64, 64), (96, 64), (64, 96), (112, 64))  # width, height
FRAMES, BATCH, SEED = 17, 10, 320_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--n", type=int, default=40, help="scenes, one and two actors in turn, from untrained seeds")
    given = parser.parse_args()
    generator = load(existing(given.model, "folder"))
    todo = cases(scenes(given.n, SEED, "exclude"), SEED, ["en"])
    print(f"{'size':<9}{'':<22}{'frames cut':>11}  {'95 % interval':<15}{'clips':>6}")
    for width, height in SIZES:
        truth = list(render([case.scene for case in todo], VideoShape(FRAMES, height, width)).cpu().numpy())
        blank = generator.complete(Request("", FRAMES, height, width))
        requests = [replace(blank, prompt=case.prompt, seed=case.seed) for case in todo]
        batches = [requests[at : at + BATCH] for at in range(0, len(requests), BATCH)]
        made = [clip for batch in batches for clip in together(generator, batch)]
        rows = {"truth": truth, "its middle square": [square(clip) for clip in truth], "the model": made}
        for name, clips in rows.items():
            if name == "its middle square" and width == height:
                continue
            share = cut_off(clips)
            low, high = share.interval
            between = f"{low:.1%}-{high:.1%}"
            print(f"{f'{width}x{height}':<9}{name:<22}{share.value:>11.1%}  {between:<15}{len(clips):>6}")
    return 0


def square(clip: Frames) -> Frames:
    """The middle square of frames (T, H, W, 3)."""
    height, width = clip.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return clip[:, top : top + side, left : left + side]


def cut_off(clips: Sequence[Frames]) -> Share:
    """The share of seen actors, frame by frame, that the edge cuts; the frames of a clip stand or fall together."""
    share = Share()
    for index, clip in enumerate(clips):
        edge = 0.5 / min(clip.shape[1:3])  # half a pixel
        for actor in judge(clip).actors:
            for box in actor.boxes:
                if box is not None:
                    share.add(index, touches(box, edge))
    return share


def touches(box: Box, edge: float) -> bool:
    return min(box.x0, box.y0) < edge or max(box.x1, box.y1) > 1 - edge


if __name__ == "__main__":
    run_script(main)
