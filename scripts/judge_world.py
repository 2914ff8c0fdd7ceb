"""How much of what a prompt asks for a model really shows, on scenes of the procedural world, in every language.

    python scripts/judge_world.py --model FOLDER --n 200 --out judged          # combinations never trained on
    python scripts/judge_world.py --model FOLDER --n 200 --out judged-seen --seen
    python scripts/judge_world.py --model FOLDER --n 200 --out judged-alone --no-layout
    python scripts/judge_world.py --truth --n 200                              # the judge's own ceiling
    python scripts/judge_world.py --truth --vae FOLDER --n 200                 # what a perfect model with that VAE gets

Half of the scenes have one actor, half have two; looks, cameras and backgrounds come as the world draws them. Every
scene is asked for in every language with the same noise. Each share stands with its number of answers, its 95 %
interval (Wilson's, on as many answers as they are worth, since one scene gives several), and its chance level: the
same clips judged against the prompt of another scene with as many actors. `binding` is asked of scenes of two actors
of different colours and shapes: both colours sit on the right actors; `swapped` is the share with both exchanged.
`moving` is the camera where the prompt asks for one that moves, `special` the look where it asks for one that is not
flat; `plain` are the clips of one actor, flat look and still camera.

With --out every verdict is kept in OUT/verdicts.jsonl as it comes, and a rerun does only what is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from door import run_script
from PIL import Image, ImageDraw
from world_clips import Case, Source, cases, in_batches, made_by, rendered, scenes, through

import manzar.score.truth.judge
from manzar.nouns import LANGUAGES, Frames, UsageError, existing, storage
from manzar.score.tally import Tally, spread
from manzar.score.truth.judge import Seen, SeenActor, agrees, agrees_each, bound, judge
from manzar.world import Scene

ATTRIBUTES = ("colour", "shape", "motion", "direction", "background", "actors",
              "camera", "moving",
              "look", "special", "binding", "swapped")  # fmt: skip
GROUPS = ("all", "one actor", "two actors", "plain")  # plain: one actor, flat look, still camera
UNTRAINED = (400_000, 4_000_000_000)  # scenes of the seeds between the two may have been trained on
JUDGE = ("backdrop", "camera", "judge", "look", "segment", "silhouette", "tracks")  # files that verdicts depend on
ALL = "all"


# ---- one clip --------------------------------------------------------------------------------------------------------


def examine(seen: Seen, scene: Scene) -> Iterator[tuple[str, bool]]:
    """(attribute, hit) for everything that the scene's prompt says and that can be told from what is seen."""
    wanted = [{"colour": a.colour, "shape": a.shape, "motion": a.motion} for a in scene.actors]
    hueless = scene.look == "monochrome"  # no colour is asked for then
    # one actor asked for: the weightiest one seen must be it; several are paired with those seen as well as they go
    for answers in [agrees(seen, wanted[0])] if len(wanted) == 1 else agrees_each(seen, wanted):
        for attribute, hit in answers.items():
            if hit is not None and not (hueless and attribute == "colour"):
                yield attribute, hit
    yield "background", seen.background == scene.background
    yield "actors", len(seen.actors) == len(scene.actors)
    yield "camera", seen.camera == scene.camera
    if scene.camera != "still":
        yield "moving", seen.camera == scene.camera
    if hueless or not neutral(scene):
        yield "look", seen.look == scene.look
        if scene.look != "flat":
            yield "special", seen.look == scene.look
    if len(wanted) == 2 and not hueless and (bound_right := bound(seen, wanted)) is not None:
        yield "binding", bound_right
        first, second = wanted
        exchanged = [first | {"colour": second["colour"]}, second | {"colour": first["colour"]}]
        yield "swapped", bool(bound(seen, exchanged))


def neutral(scene: Scene) -> bool:
    """Whether nothing in it has a hue anyway, so that no one can tell it from monochrome."""
    named = {actor.colour for actor in scene.actors} | {scene.backdrop}
    return scene.background == "plain" and named <= {"white", "black", "gray"}


def groups_of(scene: Scene) -> list[str]:
    one = len(scene.actors) == 1
    plain = one and scene.look == "flat" and scene.camera == "still"
    return [ALL, "one actor" if one else "two actors", *(["plain"] if plain else [])]


# ---- verdicts on disk ------------------------------------------------------------------------------------------------


class Verdicts:
    """What was seen of each case, kept in a folder as it comes: verdicts.jsonl, and strips/ for the contact sheet."""

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        """Raises UsageError if the folder holds verdicts on something else."""
        self.path, self.strips = folder / "verdicts.jsonl", folder / "strips"
        with storage(folder):
            self.strips.mkdir(parents=True, exist_ok=True)
            note = folder / "settings.json"
            if not note.exists():
                note.write_text(json.dumps(settings, indent=1))
        before = json.loads(note.read_text())
        if differing := [name for name in settings if before.get(name) != settings[name]]:
            name = differing[0]
            raise UsageError(
                f"{folder}: holds verdicts made with {name} = {before.get(name)!r}, not {settings[name]!r}; "
                f"choose another --out"
            )
        self.seen: dict[tuple[int, str], Seen] = dict(self._read())

    def _read(self) -> Iterator[tuple[tuple[int, str], Seen]]:
        if not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:  # the last line of a run that was killed
                continue
            yield (row["scene"], row["language"]), from_json(row["seen"])

    def add(self, case: Case, seen: Seen, frames: Frames | None) -> None:
        self.seen[case.index, case.language] = seen
        row = {"scene": case.index, "language": case.language, "prompt": case.prompt, "seen": to_json(seen)}
        with storage(self.path), self.path.open("a") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        if frames is not None:
            strip(frames).save(self.strips / f"{case.name}.png")


def to_json(seen: Seen) -> dict[str, Any]:
    """All but the boxes."""
    actors = [{k: v for k, v in asdict(actor).items() if k != "boxes"} for actor in seen.actors]
    return {"actors": actors, "background": seen.background, "camera": seen.camera, "look": seen.look}


def from_json(row: Mapping[str, Any]) -> Seen:
    actors = tuple(SeenActor(**actor, boxes=()) for actor in row["actors"])
    return Seen(actors, row["background"], row["camera"], row["look"])


def digest(paths: Iterable[Path]) -> str:
    """Tells two states of some files apart."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


# ---- the table -------------------------------------------------------------------------------------------------------


def tallied(
    todo: Sequence[Case], seen: Mapping[tuple[int, str], Seen], against: Mapping[int, Scene]
) -> dict[str, Tally]:
    """language (or all) → shares by group, the clips of each scene judged against the scene that `against` names."""
    tallies = {language: Tally() for language in (ALL, *(dict.fromkeys(case.language for case in todo)))}
    for case in todo:
        groups = groups_of(case.scene)
        for attribute, hit in examine(seen[case.index, case.language], against[case.index]):
            for language in (ALL, case.language):
                tallies[language].add(groups, attribute, case.index, hit)
    return tallies


def shuffled(asked: Sequence[Scene]) -> dict[int, Scene]:
    """Every scene replaced by the next but some that has as many actors: what a prompt has in common with any clip."""
    step = 2 * max(1, len(asked) // 6)
    return {index: asked[(index + step) % len(asked) if len(asked) > 2 else index] for index in range(len(asked))}


def report(right: Mapping[str, Tally], wrong: Mapping[str, Tally]) -> dict[str, Any]:
    """group → attribute → language → value, n, interval; with chance for all languages, and the spread between them."""
    languages = [language for language in right if language != ALL]
    groups: dict[str, Any] = {}
    for group in GROUPS:
        for attribute in ATTRIBUTES:
            shares = {language: share for language in right if (share := right[language].share(group, attribute))}
            if not shares:
                continue
            row: dict[str, Any] = {language: share.to_json() for language, share in shares.items()}
            if attribute != "actors" and (chance := wrong[ALL].share(group, attribute)):
                row["chance"] = chance.to_json()
            if between := spread({language: shares[language] for language in languages}):
                row["spread"] = between
            groups.setdefault(group, {})[attribute] = row
    return groups


def table(groups: Mapping[str, Any], languages: Sequence[str]) -> str:
    lines = []
    for group, attributes in groups.items():
        lines.append(f"\n{group:<12}{'share':>8}  {'95 % interval':<15}{'n':>6}{'chance':>8}"
                     + "".join(f"{language:>8}" for language in languages) + "   best - worst")  # fmt: skip
        for attribute, row in attributes.items():
            low, high = row[ALL]["interval"]
            line = f"  {attribute:<10}{row[ALL]['value']:>8.1%}  {f'{low:.1%}-{high:.1%}':<15}{row[ALL]['n']:>6}"
            line += f"{row['chance']['value']:>8.1%}" if "chance" in row else " " * 8
            line += "".join(f"{row[language]['value']:>8.1%}" for language in languages)
            if "spread" in row:
                between = row["spread"]
                line += f"   {between['points']:.1f} ± {between['plus_minus']:.1f}"
                line += f" ({between['best']}, {between['worst']})"
            lines.append(line)
    return "\n".join(lines).lstrip("\n")


# ---- the contact sheet -----------------------------------------------------------------------------------------------

SHEET_SCENES, SHEET_FRAMES = 24, 5


def strip(frames: Frames) -> Image.Image:
    """Frames from the beginning to the end of a clip, side by side."""
    chosen = np.linspace(0, len(frames) - 1, SHEET_FRAMES).round().astype(int)
    return Image.fromarray(np.concatenate(list(frames[chosen]), axis=1))


def contact_sheet(todo: Sequence[Case], verdicts: Verdicts, out: Path) -> None:
    """One row per scene, one column per language, and below each clip what was missed."""
    shown = [case for case in todo if (verdicts.strips / f"{case.name}.png").exists()]
    languages = list(dict.fromkeys(case.language for case in shown))
    width, height = Image.open(verdicts.strips / f"{shown[0].name}.png").size
    rows = {index: row for row, index in enumerate(dict.fromkeys(case.index for case in shown))}
    page = Image.new("RGB", (len(languages) * (width + 8), len(rows) * (height + 30)), (245, 245, 245))
    draw = ImageDraw.Draw(page)
    for case in shown:
        left, top = languages.index(case.language) * (width + 8), rows[case.index] * (height + 30)
        page.paste(Image.open(verdicts.strips / f"{case.name}.png"), (left, top))
        asked, missed = label(case, verdicts.seen[case.index, case.language])
        draw.text((left + 2, top + height), asked, fill=(20, 20, 20))
        draw.text((left + 2, top + height + 12), missed, fill=(190, 30, 30))
    page.save(out)


def label(case: Case, seen: Seen) -> tuple[str, str]:
    """What was asked for, and which of it is missing, in ASCII."""
    asked = " + ".join(f"{actor.colour} {actor.shape} {actor.motion}" for actor in case.scene.actors)
    missed = dict.fromkeys(name for name, hit in examine(seen, case.scene) if not hit and name != "swapped")
    return f"{case.index} {case.language} {asked}", ("not " + ", ".join(missed)) if missed else ""


# ---- the run ---------------------------------------------------------------------------------------------------------


def run(todo: Sequence[Case], source: Source, batch: int, verdicts: Verdicts) -> None:
    """Make and judge what has no verdict yet, telling how far it is."""
    missing = [case for case in todo if (case.index, case.language) not in verdicts.seen]
    begin = time.monotonic()
    for done, (case, frames) in enumerate(in_batches(missing, source, batch), 1):
        verdicts.add(case, judge(frames), frames if case.index < SHEET_SCENES else None)
        if done % batch == 0 or done == len(missing):
            each = (time.monotonic() - begin) / done
            left = each * (len(missing) - done) / 60
            print(f"{done}/{len(missing)} clips, {each:.2f} s each, {left:.0f} min left", file=sys.stderr, flush=True)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=Path, help="model folder to generate with")
    source.add_argument("--truth", action="store_true", help="judge rendered scenes instead of generated clips")
    parser.add_argument("--vae", type=Path, help="with --truth: send the scenes through the VAE of this folder")
    parser.add_argument("--n", type=int, default=200, help="scenes; each is asked for in every language")
    parser.add_argument("--languages", default="all", help="comma-separated, or all")
    parser.add_argument("--seen", action="store_true", help="combinations that are trained on, from untrained seeds")
    parser.add_argument("--seed", type=int, default=300_000, help="seed of the first scene and of the first noise")
    parser.add_argument("--steps", type=int, help="instead of the model's own")
    parser.add_argument("--guidance", type=float, help="instead of the model's own")
    parser.add_argument("--no-layout", action="store_true", help="the transformer alone, without a layout beforehand")
    parser.add_argument("--batch", type=int, default=20, help="clips made between two lines of progress")
    parser.add_argument("--out", type=Path, help="folder that keeps the verdicts, so that a rerun goes on")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--sheet", type=Path, help=f"write a contact sheet of the first {SHEET_SCENES} scenes (PNG)")
    given = parser.parse_args(argv)
    given.languages = list(LANGUAGES) if given.languages == "all" else given.languages.split(",")
    if unknown := [language for language in given.languages if language not in LANGUAGES]:
        raise UsageError(f"--languages: {unknown[0]!r} is not one of all, {', '.join(LANGUAGES)}")
    if given.n < 1 or given.batch < 1:
        raise UsageError(f"--n {given.n} --batch {given.batch}: both must be at least 1")
    if given.vae and not given.truth:
        raise UsageError("--vae: only rendered truth is sent through a VAE of its own; add --truth")
    if given.seed < UNTRAINED[1] and given.seed + given.n > UNTRAINED[0]:
        raise UsageError(f"--seed: scenes {given.seed} to {given.seed + given.n - 1} may have been trained on; "
                         f"stay below {UNTRAINED[0]} or begin at {UNTRAINED[1]}")  # fmt: skip
    if given.truth:
        given.languages = given.languages[:1]  # a rendered clip is the same in all
    return given


def opened(given: argparse.Namespace) -> tuple[Source, dict[str, object]]:
    """Where the clips come from, and all that the verdicts depend on but n and languages."""
    settings: dict[str, object] = {"seed": given.seed, "held_out": "exclude" if given.seen else "only"}
    if given.model:
        source, made = made_by(existing(given.model, "folder"), given.steps, given.guidance, not given.no_layout)
        settings |= {"model": given.model.name, "weights": digest(given.model.rglob("*.safetensors"))} | made
    elif given.vae:
        source = through(existing(given.vae, "folder"))
        settings |= {"vae": given.vae.name, "weights": digest(given.vae.rglob("*.safetensors"))}
    else:
        source = rendered
    folder = Path(manzar.score.truth.judge.__file__).parent
    return source, settings | {"judge": digest(folder / f"{name}.py" for name in JUDGE)}


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    source, settings = opened(given)
    asked = scenes(given.n, given.seed, str(settings["held_out"]))
    todo = cases(asked, given.seed, given.languages)
    with tempfile.TemporaryDirectory() as scratch:
        verdicts = Verdicts(given.out or Path(scratch), settings)
        run(todo, source, given.batch, verdicts)
        right = tallied(todo, verdicts.seen, dict(enumerate(asked)))
        groups = report(right, tallied(todo, verdicts.seen, shuffled(asked)))
        print(table(groups, given.languages))
        if given.json:
            with storage(given.json):
                given.json.write_text(json.dumps({"n": given.n, "settings": settings, "groups": groups}, indent=1))
        if given.sheet:
            contact_sheet(todo, verdicts, given.sheet)
    return 0


if __name__ == "__main__":
    try:
        run_script(main)
    except KeyboardInterrupt:
        print("stopped; with --out the same command goes on from here", file=sys.stderr)
        sys.exit(1)
