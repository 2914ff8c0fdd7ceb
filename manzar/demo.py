"""The whole loop, small, in one go: world → VAE → DiT → videos; footage → tune → videos; and a page to look at.

Every step is the public one that a person would call; this file only chains them and keeps the time.
"""

from __future__ import annotations

import base64
import html
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from manzar.curate import ingest, read_clips, save_clips
from manzar.generate import load
from manzar.media import write
from manzar.nouns import LANGUAGES, DataError, Request, UsageError, Video, VideoShape, existing
from manzar.score.judge import agrees, judge
from manzar.train import Budget, Outcome, train_run
from manzar.weights import write_text
from manzar.world import Scene, WorldConfig, captions, clips, render, sample_scene

SHAPE = VideoShape(17, 64, 64)
FPS = 8.0
TRAIN_CLIPS = 800
# A corner of the world, so that two minutes show at least its tones.
PLAIN = WorldConfig(actors=(1, 1), looks=("flat",), cameras=("still",), backgrounds=("plain", "gradient"),
                    motions=("left", "right", "up", "down", "grow", "shrink"))
UNSEEN = replace(PLAIN, looks=("pixelated",))  # what the demo's own footage shows
FOOTAGE_FILES = 48
MARK = ".manzar-demo"
SHARES = {"vae": 0.25, "dit": 0.46, "tune": 0.20}  # of the minutes; the rest is rendering, generating and exporting

Say = Callable[[str], None]


@dataclass
class Story:
    """What the report tells, gathered on the way."""

    out: Path
    say: Say
    seconds: dict[str, float] = field(default_factory=dict)
    videos: list[tuple[str, str, str, Path]] = field(default_factory=list)  # part, prompt, verdict, file

    @contextmanager
    def chapter(self, name: str) -> Iterator[None]:
        self.say(f"— {name}")
        begun = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begun


def run_demo(out: Path, footage: Path | None, minutes: float, say: Say) -> dict[str, Any]:
    """Run the loop in `out`; returns {report, videos, seconds}. What an earlier demo left there is replaced.

    Raises UsageError for footage that is not there, and for an `out` that holds anything but a demo: it is cleared.
    """
    budget = {name: Budget(minutes=minutes * share) for name, share in SHARES.items()}
    clear(out, footage)
    story = Story(out, say)
    with story.chapter("render a world of captioned clips"):
        save_clips(clips(TRAIN_CLIPS, 0, SHAPE, FPS, PLAIN), out / "world")
    with story.chapter("train the video compression network"):
        finish(train_run("vae", out / "world", out / "vae", budget["vae"], pairs=["validations=1"]))
    with story.chapter("train the diffusion transformer"):
        pairs = ["batch=16", "validations=1"]
        finish(train_run("dit", out / "world", out / "dit", budget["dit"], source=out / "vae", pairs=pairs))
    with story.chapter("generate from five prompts in five languages"):
        make_videos(story, "trained from scratch", out / "dit", world_prompts())
    with story.chapter("ingest footage"):
        source = footage or film_footage(out / "footage")
        summary = ingest([source], out / "data")
        say(f"{summary.clips} clips, {summary.rejected} turned away")
        prompts = footage_prompts(out / "data")
    with story.chapter("generate what the footage shows, before tuning"):
        make_videos(story, "footage, before tuning", out / "dit", prompts)
    with story.chapter("tune on the footage"):
        pairs = ["validations=1"]
        finish(train_run("tune", out / "data", out / "tune", budget["tune"], source=out / "dit", pairs=pairs))
    with story.chapter("generate what the footage shows, after tuning"):
        make_videos(story, "footage, after tuning", out / "tune", prompts)
    report = write_report(story)
    return {"report": str(report), "videos": [str(path) for *_, path in story.videos], "seconds": story.seconds}


def clear(out: Path, footage: Path | None) -> None:
    """Make `out` an empty folder marked as a demo's."""
    if footage is not None and existing(footage).resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{footage} lies inside {out}, which the demo clears; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise UsageError(f"{out} holds other things and is no demo; choose a new or empty folder for --out")
    shutil.rmtree(out, ignore_errors=True)
    write_text(out / MARK, "manzar demo clears this folder when it runs again\n")


def finish(outcome: Outcome) -> None:
    """Ctrl-C in a training run ends the demo, too."""
    if not outcome.finished:
        raise KeyboardInterrupt


def world_prompts() -> list[tuple[str, Scene | None]]:
    """Five scenes of combinations that training never shows, told in one language each."""
    config = replace(PLAIN, held_out="only")
    scenes = [sample_scene(700_000 + k, config) for k in range(len(LANGUAGES))]
    told = enumerate(zip(scenes, LANGUAGES, strict=True))
    return [(captions(scene, k)[language], scene) for k, (scene, language) in told]


def footage_prompts(data: Path) -> list[tuple[str, Scene | None]]:
    """Captions of the footage itself, in turn through the languages it has."""
    told = [clip for clip in read_clips(data) if clip.captions]
    if not told:
        return [("", None)] * 3
    picks = told[:: max(1, len(told) // 5)][:5]
    return [(list(clip.captions.values())[k % len(clip.captions)], None) for k, clip in enumerate(picks)]


def film_footage(folder: Path) -> Path:
    """Footage of the demo's own: mp4 files with captions beside them, of a look that training has not shown."""
    folder.mkdir(parents=True)
    scenes = [sample_scene(900_000 + k, UNSEEN) for k in range(FOOTAGE_FILES)]
    shape = VideoShape(26, 96, 96)
    for k, (scene, frames) in enumerate(zip(scenes, render(scenes, shape, 12.0).numpy(), strict=True)):
        write(Video(frames, 12.0), folder / f"shot{k:03d}.mp4")
        for language, text in captions(scene, k).items():
            write_text(folder / f"shot{k:03d}.{language}.txt", text)
    return folder


def make_videos(story: Story, part: str, model: Path, prompts: list[tuple[str, Scene | None]]) -> None:
    generator = load(model)
    for k, (prompt, scene) in enumerate(prompts):
        video = generator.generate(Request(prompt, seed=k))[0]
        path = write(video, story.out / "videos" / f"{part.replace(', ', '-').replace(' ', '-')}-{k}.mp4")
        verdict = "" if scene is None else told_by(scene, video.frames)
        story.videos.append((part, prompt, verdict, path))


def told_by(scene: Scene, frames: Any) -> str:
    """What an outside detector found of what the prompt asked for."""
    actor = scene.actors[0]
    wanted = {"colour": actor.colour, "shape": actor.shape, "motion": actor.motion, "background": scene.background}
    return ", ".join(f"{name} {'right' if right else 'wrong'}" for name, right in agrees(judge(frames), wanted).items()
                     if right is not None)


STYLE = """
:root{color-scheme:light dark;--ink:#222;--soft:#666;--paper:#fff;--line:#ddd}
@media(prefers-color-scheme:dark){:root{--ink:#eee;--soft:#aaa;--paper:#16181c;--line:#333}}
body{margin:2rem auto;max-width:64rem;padding:0 1rem;font:16px/1.5 system-ui,sans-serif}
body{color:var(--ink);background:var(--paper)}
.row{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:1rem}
figure{margin:0}video{width:100%;image-rendering:pixelated;border:1px solid var(--line)}
figcaption{font-size:.9rem}small{color:var(--soft)}td{padding:.1rem 1rem .1rem 0}td+td{text-align:right}
"""


def write_report(story: Story) -> Path:
    """OUT/report.html, self-contained. Raises DataError if there is nothing to show."""
    if not story.videos:
        raise DataError(f"{story.out}: the demo made no videos")
    parts = []
    for part in dict.fromkeys(part for part, *_ in story.videos):
        figures = "".join(
            f'<figure><video autoplay loop muted playsinline controls src="data:video/mp4;base64,'
            f'{base64.b64encode(path.read_bytes()).decode()}"></video><figcaption dir="auto">'
            f'{html.escape(prompt or "(no prompt)")}</figcaption><small>{html.escape(verdict)}</small></figure>'
            for name, prompt, verdict, path in story.videos if name == part)
        parts.append(f'<h2>{html.escape(part.capitalize())}</h2><div class="row">{figures}</div>')
    spent = "".join(f"<tr><td>{html.escape(name)}<td>{seconds:.1f} s" for name, seconds in story.seconds.items())
    total = sum(story.seconds.values())
    intro = (
        f"Everything below was rendered, trained and generated here in {total / 60:.1f} minutes. A few minutes make a "
        f"sketch of a model; longer runs make a model. Curves and samples: <a href='vae/index.html'>compression "
        f"network</a>, <a href='dit/index.html'>transformer</a>, <a href='tune/index.html'>tuning</a>.")
    path = story.out / "report.html"
    write_text(path, (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width,initial-scale=1"><title>Manzar demo</title><style>{STYLE}</style>'
        f"<h1>A video model, from nothing, on this machine</h1><p>{intro}</p>{''.join(parts)}"
        f"<h2>Where the time went</h2><table>{spent}</table></html>\n"))
    return path
