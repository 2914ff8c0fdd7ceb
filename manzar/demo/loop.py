"""The loop around the model that ships, small, in one go: generate; ingest footage, tune on it, generate again.

Every step is the public one that a person would call; this file only chains them, keeps the time, and makes the page.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from manzar.curate import ingest, read_clips
from manzar.demo.page import page
from manzar.demo.story import Say, Shot, Story, Wish
from manzar.generate import PRETRAINED, Generator, load
from manzar.media import read, write
from manzar.nouns import LANGUAGES, Clip, DataError, Frames, Request, UsageError, Video, VideoShape, existing
from manzar.score.truth.judge import agrees, judge
from manzar.score.truth.segment import Array, to_lab
from manzar.train import Budget, Outcome, train_run
from manzar.train.log import read_log
from manzar.weights import write_text
from manzar.world import EXTRA_LOOKS, MOTIONS, Scene, WorldConfig, captions, render, sample_scene

MARK = ".manzar-demo"
TUNING = (0.25, 0.45)  # least and most of the minutes that go to tuning; the rest is generating, ingesting and looking
# What is asked for here: one thing that does something, in combinations that no training of the world shows.
ASKED = WorldConfig(actors=(1, 1), looks=("flat",), cameras=("still",), held_out="only",
                    motions=tuple(motion for motion in MOTIONS if motion != "still"))
FILMED = replace(ASKED, actors=(1, 2), looks=EXTRA_LOOKS, held_out="exclude")  # a look that no training of it shows
BEFORE, TUNE = "generate what the footage shows, before tuning", "tune on the footage"  # two chapters
FILMS, FILM, FILM_FPS = 48, VideoShape(26, 96, 96), 12.0
PROMPTS = 5
PALETTE_CLIPS, PALETTE_FRAMES, PALETTE_SIDE = 24, 8, 64  # how much of the footage is looked at for its colours


def run_demo(out: Path, footage: Path | None, minutes: float, say: Say, model: Path = PRETRAINED) -> dict[str, Any]:
    """Run the loop in `out`; returns {report, videos, seconds, measured}. What an earlier demo left there is replaced.

    Raises UsageError for footage or a model that is not there, and for an `out` that holds anything but a demo;
    DataError for footage of which nothing becomes a clip.
    """
    check(out, footage)
    existing(model, "folder")
    shutil.rmtree(out, ignore_errors=True)
    write_text(out / MARK, "manzar demo clears this folder when it runs again\n")
    story = Story(out, say)
    with story.chapter("generate five prompts in five languages"):
        generator = load(model)
        film(story, "first", generator, world_wishes(ASKED, 0))
    with story.chapter("ingest footage"):
        source = footage or film_footage(out / "footage")
        summary = ingest([source], out / "data")
        say(f"{summary.clips} clips, {summary.rejected} turned away")
        shown = read_clips(out / "data")
        if not shown:
            raise DataError(f"{source}: nothing of it became a clip; manzar show {out / 'data'} says why")
        shape = shape_for(generator, shown)
        wishes = footage_wishes(shown) if footage else world_wishes(replace(ASKED, looks=EXTRA_LOOKS), 1)
    with story.chapter(BEFORE):
        film(story, "before", generator, wishes, shape)
    with story.chapter(TUNE):
        spent = (time.monotonic() - story.begun + story.seconds[BEFORE]) / 60  # with that, again, still to come
        least, most = (minutes * share for share in TUNING)
        budget = Budget(minutes=max(least, min(most, minutes - spent)))
        pairs = [f"frames={shape.frames}", f"size={min(shape.height, shape.width)}",
                 f"fps={generator.parts.defaults['fps']:g}", "validations=1", "sample_steps=4", "batch=8",
                 "mode=full", "muon_lr=0.01"]  # a few steps of all weights show more than of adapters
        finish(train_run("tune", out / "data", out / "tune", budget, source=model, pairs=pairs))
    with story.chapter("generate what the footage shows, after tuning"):
        film(story, "after", load(out / "tune"), wishes, shape)
    measured = measures(story, shown)
    report = out / "report.html"
    write_text(report, page(story, summary, shown, story.seconds[TUNE], measured))
    videos = [str(shot.path) for shots in story.shots.values() for shot in shots]
    return {"report": str(report), "videos": videos, "seconds": story.seconds, "measured": measured}


def check(out: Path, footage: Path | None) -> None:
    """Refuse to clear what is no demo's, or holds the footage."""
    if footage is not None and existing(footage).resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{footage} lies inside {out}, which the demo clears; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise UsageError(f"{out} holds other things and is no demo; choose a new or empty folder for --out")


def finish(outcome: Outcome) -> None:
    """Ctrl-C in the training run ends the demo, too."""
    if not outcome.finished:
        raise KeyboardInterrupt


# ---- what is asked for -----------------------------------------------------------------------------------------------


def world_wishes(config: WorldConfig, turn: int) -> list[Wish]:
    """Five scenes, told in one language each; another `turn` has others."""
    scenes = [sample_scene(700_000 + 1000 * turn + k, config) for k in range(len(LANGUAGES))]
    told = [captions(scene, k) for k, scene in enumerate(scenes)]
    return [Wish(text[code], code, "" if code == "en" else text["en"], scene)
            for code, text, scene in zip(LANGUAGES, told, scenes, strict=True)]


def footage_wishes(clips: Sequence[Clip]) -> list[Wish]:
    """Captions of the footage itself, of held-out clips first, in turn through the languages it has."""
    told = sorted((clip for clip in clips if clip.captions), key=lambda clip: clip.split != "val")
    if not told:
        return [Wish("", "")] * 3
    wishes = []
    for k, clip in enumerate(told[:PROMPTS]):
        code, text = list(clip.captions.items())[k % len(clip.captions)]
        wishes.append(Wish(text, code, clip.captions.get("en", "") if code != "en" else ""))
    return wishes


def film_footage(folder: Path) -> Path:
    """Footage of the demo's own: mp4 files with captions beside them, of a look that the model has not seen."""
    folder.mkdir(parents=True)
    for k, (scene, frames) in enumerate(zip(scenes := film_scenes(), render(scenes, FILM, FILM_FPS).numpy(),
                                            strict=True)):  # fmt: skip
        write(Video(frames, FILM_FPS), folder / f"shot{k:03d}.mp4")
        for language, text in captions(scene, k).items():
            write_text(folder / f"shot{k:03d}.{language}.txt", text)
    return folder


def film_scenes() -> list[Scene]:
    """No two move alike from alike places: of footage that does, ingest keeps one, and rightly."""
    different: dict[Any, Scene] = {}
    seed = 900_000
    while len(different) < FILMS:
        scene = sample_scene(seed, FILMED)
        moves = sorted((a.motion, round(2 * a.start[0]), round(2 * a.start[1])) for a in scene.actors)
        different.setdefault(tuple(moves), scene)
        seed += 1
    return list(different.values())


def shape_for(generator: Generator, clips: Sequence[Clip]) -> VideoShape:
    """The model's own length and short side, at the proportions that most of the clips have."""
    own = generator.parts.defaults
    sides = [(clip.height, clip.width) for clip in clips]
    height, width = max(sides, key=sides.count)
    scale = min(own["height"], own["width"]) / min(height, width)
    wanted = VideoShape(int(own["frames"]), round(height * scale), round(width * scale))
    return wanted.nearest(generator.parts.stride)


# ---- making and measuring --------------------------------------------------------------------------------------------


def film(story: Story, part: str, generator: Generator, wishes: Iterable[Wish],
         shape: VideoShape | None = None) -> None:  # fmt: skip
    """One video for each wish, wish k with seed k, into `story`; without a shape the model's own."""
    story.shots[part] = []
    for k, wish in enumerate(wishes):
        request = Request(wish.prompt, seed=k)
        if shape is not None:
            request = replace(request, frames=shape.frames, height=shape.height, width=shape.width)
        video = generator.generate(request)[0]
        path = write(video, story.out / "videos" / f"{part}-{k}.mp4")
        verdict = {} if wish.scene is None else told_by(wish.scene, video.frames)
        story.shots[part].append(Shot(wish, path, verdict, generator.notes(request)))


def told_by(scene: Scene, frames: Frames) -> dict[str, bool]:
    """What an outside detector found of what the prompt asked for; colours only where the look has any."""
    actor = scene.actors[0]
    wanted = {"colour": actor.colour, "shape": actor.shape, "motion": actor.motion, "background": scene.background}
    if scene.look in EXTRA_LOOKS:
        wanted = {name: wanted[name] for name in ("shape", "motion")}
    found = agrees(judge(frames), wanted)
    moves = bool(found["motion"]) and found["direction"] is not False  # a move the wrong way is none
    return {name: bool(found[name]) for name in wanted} | {"motion": moves}


def measures(story: Story, clips: Sequence[Clip]) -> dict[str, float]:
    """Figures of the tuning: how far the colours are from the footage's, and the held-out loss, before and after.

    "footage" is the distance between every other clip of the footage and the rest: what chance alone makes.
    """
    some = clips[:: max(1, len(clips) // PALETTE_CLIPS)]
    films = [read(story.out / "data" / clip.path).frames for clip in some]
    target = palette(films)
    made = {part: palette([read(shot.path).frames for shot in story.shots[part]]) for part in ("before", "after")}
    found = {f"colour {part}": float(np.linalg.norm(made[part] - target)) for part in made}
    if len(films) > 1:
        found["colour footage"] = float(np.linalg.norm(palette(films[::2]) - palette(films[1::2])))
    losses = [entry["val_loss"] for entry in read_log(story.out / "tune") if "val_loss" in entry]
    if losses:
        found |= {"loss before": losses[0], "loss after": losses[-1]}
    return found


def palette(films: Iterable[Frames]) -> Array:
    """Mean and standard deviation of a* and b* (CIE Lab) over some clips, each with the same weight: (4,)."""
    hues = np.concatenate([to_lab(thinned(frames))[..., 1:].reshape(-1, 2) for frames in films])
    found: Array = np.concatenate([hues.mean(axis=0), hues.std(axis=0)])
    return found


def thinned(frames: Frames) -> Frames:
    """A few frames of a clip and a few of their pixels, as many of any clip: uint8 (8, 64, 64, 3)."""
    moments, rows, columns = (np.linspace(0, length - 1, count).round().astype(int) for length, count in zip(
        frames.shape, (PALETTE_FRAMES, PALETTE_SIDE, PALETTE_SIDE), strict=False))  # fmt: skip
    picked: Frames = frames[np.ix_(moments, rows, columns)]
    return picked


