"""How well a model with box control puts things into their boxes, on scenes of the world that no training shows.

    python scripts/measure_boxes.py --model FOLDER --control RUN --scenes 200 --out measured
    python scripts/measure_boxes.py --model FOLDER --control RUN --scenes 200 --out measured-f0 --first-frame
    python scripts/measure_boxes.py --model FOLDER --control RUN --scenes 200 --out no-soft --no-soft --boxed-only
    python scripts/measure_boxes.py --model FOLDER --control RUN --scenes 200 --out no-names --no-names --boxed-only
    python scripts/measure_boxes.py --truth --scenes 60                     # the detector's own ceiling

Scenes have one, two and three actors in turn. Each is asked for in words alone and with boxes, from the same noise. A
box says what belongs in it, in the language of the prompt. As in Boximator's protocol the exact box is given on the
first and the last frame (--hard N: on N frames, evenly spread); in between stand regions, the scene's own boxes let out
by the mean margin of training. Films and their boxes.json are kept in OUT, and a rerun makes only what is missing.
Things are found by the judge of `manzar.score.truth`, which shares no code with what draws the world: once as what they
were asked to be, by colour and shape, and once as anything at all that is where something should be, which says how
boxes are obeyed by a model that draws its things badly. Intervals are 95 %, whole scenes drawn with replacement.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from door import run_script
from judge_world import digest, examine
from PIL import Image
from torch import Tensor
from world_clips import TRUTH_SHAPE, Case, rendered, through

from manzar.boxes import BoxScript, Plan, read_script
from manzar.boxes.geometry import MEAN_MARGIN, relax
from manzar.boxes.measures import DRAWS, Figure, Film, by_number, figure, gain, measures
from manzar.boxes.view import strip
from manzar.cli.talk import ticker
from manzar.generate import Boxes, FirstFrame, Generator, load
from manzar.media import read, write
from manzar.nouns import Condition, Frames, Request, SamplingState, UsageError, existing, storage
from manzar.score.truth.asking import AskedActor
from manzar.score.truth.boxes import find, sight
from manzar.world import PHRASINGS, Scene, WorldConfig, caption, sample_scene, truth
from manzar.world.say import names
from manzar.world.suite import FIRST, asked

MOST_ACTORS = 3
PLAIN, BOXED = "text", "text + boxes"
ATTRIBUTES = ("colour", "shape", "motion", "direction", "background", "camera", "look", "actors")
SHEET_SCENES, SHEET_FRAMES, SHEET_SIDE = 12, 5, 192
FPS = 8.0  # of the scenes, whose boxes are given by frames


@dataclass(frozen=True)
class HardOnly(Boxes):
    """The same without regions: latent frames on which no exact box is given have none."""

    def whole(self, total: int, before: int, after: int, r: int) -> Tensor:
        boxes = super().whole(total, before, after, r)  # (total, N, 9): …, hard, there
        boxes[..., 8] *= boxes[..., 7]
        return boxes


@dataclass(frozen=True)
class Nameless(Boxes):
    """The same without a word on what goes where, as in Boximator."""

    def apply(self, state: SamplingState) -> SamplingState:
        return replace(super().apply(state), names=())


# ---- what is asked for -----------------------------------------------------------------------------------------------


def drawn(n: int, seed: int) -> list[Scene]:
    """`n` held-out scenes of one, two and three actors in turn; the first k are the same whatever n is."""
    configs = [WorldConfig(actors=(count, count), held_out="only") for count in range(1, MOST_ACTORS + 1)]
    return [sample_scene(seed + index, configs[index % MOST_ACTORS]) for index in range(n)]


def case_of(index: int, scene: Scene, language: str, seed: int) -> Case:
    return Case(index, scene, language, caption(scene, language, index // MOST_ACTORS % PHRASINGS), seed + index)


def script_of(scene: Scene, language: str, hard: int) -> BoxScript:
    """Exact boxes on `hard` frames, the first and the last among them, and between them the scene's own let out.

    The frames that one latent frame shares with a hard one are left to the script, which knows where things are there.
    """
    last = TRUTH_SHAPE.frames - 1
    exact = sorted({*np.linspace(0, last, hard).round().astype(int).tolist()})
    objects = []
    for number, (name, track) in enumerate(zip(names(scene, language), truth(scene, TRUTH_SHAPE), strict=True), 1):
        keys: list[dict[str, Any]] = []
        for frame, box in enumerate(track.boxes):
            assert box is not None, f"{track.name} of scene {scene.seed} is out of view on frame {frame}"
            if frame in exact:
                keys.append({"frame": frame, "box": box.as_list()})
            elif not any(latent(frame) == latent(other) for other in exact):
                keys.append({"frame": frame, "box": relax(box, (MEAN_MARGIN,) * 4).as_list(), "kind": "soft"})
        objects.append({"name": f"{name} {number}", "keys": keys})
    return read_script({"objects": objects})


def latent(frame: int, r: int = 4) -> int:
    """The latent frame that a pixel frame is part of."""
    return -(-frame // r)


# ---- films -----------------------------------------------------------------------------------------------------------


class Films:
    """The films of a run in its folder."""

    def __init__(self, out: Path, settings: Mapping[str, object]) -> None:
        """Raises UsageError if the folder holds films made otherwise."""
        self.out, note = out, out / "settings.json"
        with storage(out):
            out.mkdir(parents=True, exist_ok=True)
            if not note.exists():
                note.write_text(json.dumps(settings, indent=1))
        before = json.loads(note.read_text())
        for name, value in settings.items():
            if before.get(name) != value:
                raise UsageError(f"{out}: holds films made with {name} = {before.get(name)!r}, not {value!r}; choose "
                                 "another --out")  # fmt: skip

    def path(self, case: Case, kind: str) -> Path:
        return self.out / f"{case.index:05d}-{'plain' if kind == PLAIN else 'boxed'}.mp4"

    def frames(self, case: Case, kind: str) -> Frames:
        return read(self.path(case, kind)).frames

    def make(self, cases: Sequence[Case], kinds: Sequence[str], given: argparse.Namespace) -> None:
        """Make what is missing."""
        missing = [(case, kind) for case in cases for kind in kinds if not self.path(case, kind).exists()]
        if not missing:
            return
        generator, told = load(given.model, control=given.control), ticker("films")
        for done, (case, kind) in enumerate(missing, 1):
            script = script_of(case.scene, case.language, given.hard)
            (self.out / f"{case.index:05d}.json").write_text(json.dumps(script.to_dict(), indent=1))
            (video,) = generator.generate(request_of(generator, case, kind, script, given))
            write(video, self.path(case, kind))
            told(done, len(missing), "")


def request_of(
    generator: Generator, case: Case, kind: str, script: BoxScript, given: argparse.Namespace
) -> Request:
    conditions: list[Condition] = []
    if given.first_frame:
        conditions.append(FirstFrame(rendered([case])[0][0]))
    if kind == BOXED:
        kind_of_boxes = HardOnly if given.no_soft else Nameless if given.no_names else Boxes
        conditions.append(kind_of_boxes(script))
    return generator.complete(
        Request(case.prompt, TRUTH_SHAPE.frames, TRUTH_SHAPE.height, TRUTH_SHAPE.width, FPS, given.steps,
                given.guidance, seed=case.seed, conditions=conditions,
                box_guidance=given.box_guidance if kind == BOXED else None, layout=False)
    )  # fmt: skip


# ---- measuring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Looked:
    """What was found in the film of a case, as what it was to be and as anything; the answers about its prompt."""

    case: Case
    known: Film
    anything: Film
    answers: tuple[tuple[str, bool], ...]


def look(case: Case, frames: Frames) -> Looked:
    seen, wanted = sight(frames), [track.boxes for track in truth(case.scene, TRUTH_SHAPE)]
    actors = [AskedActor(one["colour"], one["shape"], one["motion"]) for one in asked(case.scene)["actors"]]
    known, anything = (find(seen, named, wanted).film for named in (actors, [AskedActor(None, "", "")] * len(actors)))
    answers = tuple(row for row in examine(seen.seen, case.scene) if row[0] in ATTRIBUTES)
    return Looked(case, known, anything, answers)


def table_of(films: Mapping[str, Sequence[Film]], first_frame: bool, draws: int = DRAWS) -> dict[str, Any]:
    """group → kind → measure → [value, low, high], with the gain of boxes over the words alone."""
    columns = measures(first_frame)
    grouped = {kind: by_number(each) for kind, each in films.items()}
    table: dict[str, Any] = {}
    for kind, groups in grouped.items():
        for group, own in groups.items():
            row = {name: told(figure(own, measure, draws)) for name, measure in columns.items()}
            table.setdefault(group, {})[kind] = {"scenes": len(own), **row}
    if PLAIN in films and BOXED in films:
        for group, row in table.items():
            row["gain"] = {name: told(gain(grouped[BOXED][group], grouped[PLAIN][group], measure, draws))
                           for name, measure in columns.items()}  # fmt: skip
    return table


def following(looked: Mapping[str, Sequence[Looked]]) -> dict[str, Any]:
    """attribute → kind → share of answers that are yes, and what boxes keep of it; `prompt` is all of them."""
    rows: dict[str, Any] = {}
    for name in ("prompt", *ATTRIBUTES):
        shares = {kind: counted(each, name) for kind, each in looked.items()}
        rows[name] = {kind: told(ratio(share, np.ones_like(share))) for kind, share in shares.items()}
        if PLAIN in shares and BOXED in shares:
            rows[name]["kept"] = told(ratio(shares[BOXED], shares[PLAIN]))
    return rows


def counted(looked: Sequence[Looked], name: str) -> np.ndarray:
    """(scenes, 2): answers that are yes, and answers, about one attribute or all."""
    answers = [[hit for attribute, hit in one.answers if name in (attribute, "prompt")] for one in looked]
    return np.array([[sum(row), len(row)] for row in answers], dtype=np.float64)


def ratio(one: np.ndarray, other: np.ndarray, draws: int = DRAWS) -> Figure:
    """The share of `one` by that of `other`, of the same scenes, with its bootstrap interval."""
    def value(picks: np.ndarray) -> float:
        (a, n), (b, m) = one[picks].sum(0), other[picks].sum(0)
        return float((a / n) / (b / m)) if n and b else math.nan

    random = np.random.default_rng(0)
    values = [value(random.integers(len(one), size=len(one))) for _ in range(draws)]
    known = [each for each in values if not math.isnan(each)] or [math.nan]
    low, high = np.quantile(known, [0.025, 0.975])
    return Figure(value(np.arange(len(one))), float(low), float(high), len(one))


def told(figure: Figure) -> list[float | None]:
    """[value, low, high]; null where there is none."""
    return [None if math.isnan(value) else round(value, 4) for value in (figure.value, figure.low, figure.high)]


def lines(tables: Mapping[str, Mapping[str, Any]], rows: Mapping[str, Any]) -> Iterator[str]:
    names = list(measures())
    for title, table in tables.items():
        yield f"{title}\n{'actors':<7}{'':<14}" + "".join(f"{name:^22}" for name in names) + "scenes"
        for group, kinds in table.items():
            for kind, row in kinds.items():
                cells = "".join(f"{cell(row[name]):^22}" for name in names)
                yield f"{group:<7}{kind:<14}{cells}{row.get('scenes', '')}"
        yield ""
    for name, row in rows.items():
        yield f"{name:<12}" + "   ".join(f"{kind} {cell(value)}" for kind, value in row.items())


def cell(value: Sequence[float | None]) -> str:
    middle, low, high = ("-" if number is None else f"{number:.3f}" for number in value)
    return f"{middle} [{low}, {high}]"


# ---- the contact sheet -----------------------------------------------------------------------------------------------


def sheet(looked: Mapping[str, Sequence[Looked]], frames: Mapping[str, Sequence[Frames]], hard: int, out: Path) -> None:
    """The first scenes, a row each, a column for each kind: wanted boxes solid, found ones dashed."""
    rows = []
    for index in range(min(SHEET_SCENES, *(len(each) for each in looked.values()))):
        row = []
        for kind, each in looked.items():
            found = [sighting.found for sighting in each[index].known if sighting.wanted]
            plans = wanted_of(each[index].case, hard)
            row.append(strip(frames[kind][index], plans, found, SHEET_FRAMES, SHEET_SIDE))
        rows.append(np.concatenate(row, axis=1))
    Image.fromarray(np.concatenate(rows, axis=0)).save(out)


def wanted_of(case: Case, hard: int) -> list[Plan]:
    """The boxes as given, around what is exactly known of the scene."""
    scene = case.scene
    plans = script_of(scene, case.language, hard).resolve(TRUTH_SHAPE.frames, FPS, MOST_ACTORS)
    exact = [tuple(box for box in track.boxes if box is not None) for track in truth(scene, TRUTH_SHAPE)]
    return [replace(plan, exact=own) for plan, own in zip(plans, exact, strict=True)]


# ---- the run ---------------------------------------------------------------------------------------------------------


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=Path, help="model folder to generate with")
    source.add_argument("--truth", action="store_true", help="rendered scenes instead: what the detector sees at most")
    parser.add_argument("--vae", type=Path, help="with --truth: send the scenes through the VAE of this model folder")
    parser.add_argument("--control", type=Path, help="run or folder with the box control, if not the model's own")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--out", type=Path, help="folder of the films, the table and the contact sheet")
    parser.add_argument("--hard", type=int, default=2, help="frames on which the exact box is given")
    parser.add_argument("--first-frame", action="store_true", help="give the scene's first frame as well")
    parser.add_argument("--no-names", action="store_true", help="boxes do not say what belongs in them")
    parser.add_argument("--no-soft", action="store_true", help="give the exact boxes alone, and no regions")
    parser.add_argument("--boxed-only", action="store_true", help="leave out the films without boxes")
    parser.add_argument("--language", default="en")
    parser.add_argument("--seed", type=int, default=FIRST, help="seed of the first scene and of the first noise")
    parser.add_argument("--steps", type=int, help="instead of the model's own")
    parser.add_argument("--guidance", type=float, help="instead of the model's own")
    parser.add_argument("--box-guidance", type=float, help="guidance scale of boxes apart from that of the prompt")
    given = parser.parse_args(argv)
    if given.scenes < 1 or not 2 <= given.hard <= TRUTH_SHAPE.frames:
        raise UsageError(f"--scenes {given.scenes} --hard {given.hard}: at least 1, and 2 to {TRUTH_SHAPE.frames}")
    if given.model and not given.out:
        raise UsageError("--out is missing: the folder that keeps the films")
    if given.vae and not given.truth:
        raise UsageError("--vae: only rendered truth is sent through a VAE of its own; add --truth")
    return given


def settings_of(given: argparse.Namespace) -> dict[str, object]:
    """All that the films depend on but their number."""
    settings = ("hard", "first_frame", "no_soft", "no_names", "language", "seed", "steps", "guidance", "box_guidance")
    folders = {"weights": given.model, "control": given.control}
    return {name: getattr(given, name) for name in settings} | {
        name: digest(existing(folder, "folder").rglob("*.safetensors")) for name, folder in folders.items() if folder
    }


def filmed(cases: Sequence[Case], given: argparse.Namespace) -> dict[str, list[Frames]]:
    """kind → the films of all cases."""
    if given.truth:
        source = through(existing(given.vae, "folder")) if given.vae else rendered
        return {"truth": [source([case])[0] for case in cases]}
    kinds, films = [BOXED] if given.boxed_only else [PLAIN, BOXED], Films(given.out, settings_of(given))
    films.make(cases, kinds, given)
    return {kind: [films.frames(case, kind) for case in cases] for kind in kinds}


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    cases = [case_of(index, scene, given.language, given.seed)
             for index, scene in enumerate(drawn(given.scenes, given.seed))]  # fmt: skip
    frames, ticks = filmed(cases, given), ticker("films looked at")
    looked: dict[str, list[Looked]] = {kind: [] for kind in frames}
    rows = [(kind, case, film) for kind, each in frames.items() for case, film in zip(cases, each, strict=True)]
    for done, (kind, case, film) in enumerate(rows, 1):
        looked[kind].append(look(case, film))
        ticks(done, len(rows), "")
    known = {kind: [one.known for one in each] for kind, each in looked.items()}
    anything = {kind: [one.anything for one in each] for kind, each in looked.items()}
    tables = {"the thing asked for": table_of(known, given.first_frame),
              "anything": table_of(anything, given.first_frame)}  # fmt: skip
    shares = following(looked)
    print("\n".join(lines(tables, shares)))
    if given.out:
        with storage(given.out):
            given.out.mkdir(parents=True, exist_ok=True)
            sheet(looked, frames, given.hard, given.out / "sheet.png")
            whole = {"settings": settings_of(given) if given.model else {}, "boxes": tables, "prompt": shares}
            (given.out / "measured.json").write_text(json.dumps(whole, indent=1))
    return 0


if __name__ == "__main__":
    try:
        run_script(main)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(1)
