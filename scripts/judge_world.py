"""How much of what a prompt asks for a model really shows, on held-out scenes of the procedural world.

    python scripts/judge_world.py --model FOLDER --n 120 --languages en,ur --out sheet.png
    python scripts/judge_world.py --truth                  # the judge's own ceiling, on rendered truth

Every line of the table is a share with its number of clips and its Wilson 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from manzar.nouns import LANGUAGES, ManzarError, Request, UsageError, VideoShape
from manzar.score.judge import Seen, agrees, agrees_each, judge
from manzar.world import PHRASINGS, WorldConfig, caption, render, sample_scene

if TYPE_CHECKING:
    from manzar.nouns import Frames
    from manzar.world import Scene

TRUTH_SHAPE = VideoShape(frames=17, height=64, width=64)
BATCH = 16
ATTRIBUTES = ("colour", "shape", "motion", "direction", "background", "actors", "camera", "look")
Counts = dict[str, tuple[int, int]]  # attribute → (hits, clips)


@dataclass(frozen=True)
class Case:
    """One clip to be judged: the scene asked for and the words it was asked in."""

    index: int
    scene: Scene
    language: str
    prompt: str


@dataclass
class Tally:
    """Hits and trials per attribute, for all clips and for each language."""

    everything: dict[str, list[bool]] = field(default_factory=dict)
    by_language: dict[str, dict[str, list[bool]]] = field(default_factory=dict)

    def add(self, language: str, attribute: str, hit: bool) -> None:
        self.everything.setdefault(attribute, []).append(hit)
        self.by_language.setdefault(language, {}).setdefault(attribute, []).append(hit)


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a share (Wilson 1927); the whole of [0, 1] when nothing was tried."""
    if n == 0:
        return 0.0, 1.0
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def cases(n: int, seed: int, languages: Sequence[str], config: WorldConfig) -> list[Case]:
    """`n` scenes from consecutive seeds; languages take turns, and phrasings change once all languages had theirs."""
    found = []
    for index in range(n):
        scene = sample_scene(seed + index, config)
        language = languages[index % len(languages)]
        phrasing = index // len(languages) % PHRASINGS
        found.append(Case(index, scene, language, caption(scene, language, phrasing)))
    return found


def rendered(todo: Sequence[Case]) -> Iterator[tuple[Case, Frames]]:
    """The truth itself, at the judge's working size."""
    for start in range(0, len(todo), BATCH):
        batch = todo[start : start + BATCH]
        videos = render([case.scene for case in batch], TRUTH_SHAPE).cpu().numpy()
        yield from zip(batch, videos, strict=True)


def generated(todo: Sequence[Case], model: Path, seed: int) -> Iterator[tuple[Case, Frames]]:
    """What the model makes of each prompt, at its own default size and settings."""
    from manzar.generate import load

    generator = load(model)
    for case in todo:
        yield case, generator.generate(Request(case.prompt, seed=seed + case.index))[0].frames


def examine(case: Case, seen: Seen, tally: Tally) -> dict[str, bool]:
    """Add one clip to the tally; the answer is the main actor's row and the scene's, for the contact sheet."""
    wanted = [{"colour": a.colour, "shape": a.shape, "motion": a.motion} for a in case.scene.actors]
    shown: dict[str, bool] = {}
    # one actor asked for: the weightiest one seen must be it; several are paired with those seen as well as they go
    for answers in [agrees(seen, wanted[0])] if len(wanted) == 1 else agrees_each(seen, wanted):
        for attribute, hit in answers.items():
            if hit is not None:
                tally.add(case.language, attribute, hit)
                shown.setdefault(attribute, hit)
    scene = {
        "background": seen.background == case.scene.background,
        "actors": len(seen.actors) == len(case.scene.actors),
        "camera": seen.camera == case.scene.camera,
        "look": seen.look == case.scene.look,
    }
    for attribute, hit in scene.items():
        tally.add(case.language, attribute, hit)
    return shown | scene


def summary(results: dict[str, list[bool]]) -> dict[str, dict[str, object]]:
    """attribute → value, n, interval."""
    rows: dict[str, dict[str, object]] = {}
    for attribute in ATTRIBUTES:
        if attribute in results:
            hits, n = sum(results[attribute]), len(results[attribute])
            rows[attribute] = {"value": hits / n, "n": n, "interval": wilson(hits, n)}
    return rows


def table(title: str, results: dict[str, list[bool]]) -> str:
    lines = [f"{title}", f"  {'attribute':<12}{'share':>8}{'n':>6}   95 % interval"]
    for attribute, row in summary(results).items():
        low, high = wilson(sum(results[attribute]), len(results[attribute]))
        lines.append(f"  {attribute:<12}{row['value']:>8.1%}{row['n']:>6}   {low:.1%} to {high:.1%}")
    return "\n".join(lines)


def contact_sheet(rows: Sequence[tuple[Case, Frames, Seen, dict[str, bool]]], out: Path, shown: int = 5) -> None:
    """One line per clip: frames from its beginning to its end, and below them index, language and what was missed."""
    height, width = rows[0][1].shape[1:3]
    caption_height = 14
    columns = 2 if len(rows) > 1 else 1
    cell_width, cell_height = (shown * width + 8), height + caption_height + 4
    lines = -(-len(rows) // columns)
    page = Image.new("RGB", (columns * cell_width, lines * cell_height), (245, 245, 245))
    draw = ImageDraw.Draw(page)
    for place, (case, frames, seen, hits) in enumerate(rows):
        left, top = place % columns * cell_width, place // columns * cell_height
        for i, t in enumerate(np.linspace(0, len(frames) - 1, shown).round().astype(int)):
            page.paste(Image.fromarray(frames[t]), (left + i * width, top))
        draw.text((left + 2, top + height + 1), label(case, seen, hits), fill=(20, 20, 20))
    page.save(out)


def label(case: Case, seen: Seen, hits: dict[str, bool]) -> str:
    """ASCII only: index, language, what was asked of the main actor, and what was seen instead."""
    actor = case.scene.actors[0]
    first = seen.actors[0] if seen.actors else None
    missed = [name for name in ("colour", "shape", "motion", "direction") if hits.get(name) is False]
    saw = ", ".join(f"{name} {getattr(first, name, None)}" for name in missed)
    return f"{case.index} {case.language} {actor.colour} {actor.shape} {actor.motion}" + (
        f" | saw {saw}" if saw else ""
    )


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=Path, help="model folder to generate with")
    source.add_argument("--truth", action="store_true", help="judge rendered scenes instead of generated clips")
    parser.add_argument("--n", type=int, default=120, help="clips")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene and of the first noise")
    parser.add_argument("--languages", default=",".join(LANGUAGES), help="comma-separated; they take turns")
    parser.add_argument("--actors", type=int, default=1, choices=(1, 2, 3), help="actors per scene")
    parser.add_argument("--looks", default="flat", help="comma-separated")
    parser.add_argument("--cameras", default="still", help="comma-separated")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--out", type=Path, help="write a contact sheet (PNG)")
    given = parser.parse_args(argv)
    unknown = [language for language in given.languages.split(",") if language not in LANGUAGES]
    if unknown:
        raise UsageError(f"--languages: {unknown[0]!r} is not one of {', '.join(LANGUAGES)}")
    if given.n < 1:
        raise UsageError(f"--n: {given.n} clips cannot be judged; ask for at least 1")
    return given


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    config = WorldConfig(
        actors=(given.actors, given.actors),
        looks=tuple(given.looks.split(",")),
        cameras=tuple(given.cameras.split(",")),
        held_out="only",
    )
    todo = cases(given.n, given.seed, given.languages.split(","), config)
    tally, rows = Tally(), []
    for case, frames in rendered(todo) if given.truth else generated(todo, given.model, given.seed):
        seen = judge(frames)
        rows.append((case, frames, seen, examine(case, seen, tally)))
        if not given.json and sys.stderr.isatty():
            print(f"\r{len(rows)}/{given.n}", end="", file=sys.stderr)
    if given.json:
        languages = {language: summary(results) for language, results in tally.by_language.items()}
        print(json.dumps({"n": given.n, "all": summary(tally.everything), "languages": languages}))
    else:
        print(table(f"all {given.n} clips", tally.everything))
        for language, results in tally.by_language.items():
            print(table(language, results))
    if given.out:
        contact_sheet(rows, given.out)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ManzarError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
