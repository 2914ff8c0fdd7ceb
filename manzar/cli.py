"""The command line: one command per verb. It parses, calls and prints; whatever is heavy is imported by the command
that needs it, so that `manzar --help` answers at once."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from manzar.nouns import LANGUAGES, ManzarError, Progress, UsageError, existing

if TYPE_CHECKING:
    from manzar.curate.captions.endpoint import Captioner

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Train, steer and run your own video-generation model.")

Json = Annotated[bool, typer.Option("--json", help="Print one machine-readable object.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Where to write.")]


INTERRUPTED = 130  # what shells give a program that Ctrl-C ended


def main() -> None:
    """Entry point: whatever a user can meet becomes one line and an exit code."""
    try:
        app()
    except ManzarError as error:
        fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed here; pip install 'manzar[data,hf]' brings all that a command may need", 1)
    except OSError as error:
        fail(str(error), 1)


def fail(reason: str, code: int) -> None:
    over = "\r\x1b[2K" if sys.stderr.isatty() else ""  # over a progress line that may stand there
    print(f"{over}error: {reason}", file=sys.stderr)
    sys.exit(code)


def show_result(result: dict[str, Any], as_json: bool, text: str) -> None:
    """The object for machines on request, else a sentence for people."""
    print(json.dumps(finite(result), default=str, ensure_ascii=False) if as_json else text)


def finite(value: Any) -> Any:
    """The same object with null for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@app.command()
def ingest(
    footage: Annotated[list[Path], typer.Argument(help="Files and folders of footage.")],
    out: Out,
    captions: Annotated[Path | None, typer.Option(help="A CSV or JSONL table of captions.")] = None,
    path_column: Annotated[str | None, typer.Option(help="Its column of paths, if it has an unusual name.")] = None,
    caption_column: Annotated[str | None, typer.Option(help="Its column of captions, likewise.")] = None,
    min_seconds: Annotated[float, typer.Option(help="Shots shorter than this are turned away.")] = 1.0,
    max_seconds: Annotated[float, typer.Option(help="Longer shots are cut into clips of at most this length.")] = 8.0,
    fps: Annotated[float | None, typer.Option(help="Frame rate of the clips; else the footage's own.")] = None,
    max_side: Annotated[int, typer.Option(help="Longest side of the clips, in pixels.")] = 512,
    limit: Annotated[list[str] | None, typer.Option(help="Bounds on a measure, as motion=0.5: or text=:0.3 or "
                                                         "motion=: for none; may be given again.")] = None,
    bars: Annotated[Literal["crop", "keep"], typer.Option(help="Black bars around the picture.")] = "crop",
    faces: Annotated[Literal["off", "find", "blur", "refuse"],
                     typer.Option(help="Faces: counted, blurred, or a reason to turn the clip away.")] = "off",
    tracks: Annotated[bool, typer.Option("--tracks", help="Follow moving objects, for training with boxes.")] = False,
    annotations: Annotated[Path | None, typer.Option(help="Your own tracks: MOT, COCO or YOLO.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; else one for each core.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what there is.")] = False,
    as_json: Json = False,
) -> None:
    """Footage to a data set: cut at shot changes, measured, captioned; what is turned away is listed with reasons."""
    from manzar.curate import Settings, parse_limits, survey
    from manzar.curate import ingest as run_ingest

    settings = Settings(min_seconds, max_seconds, fps, max_side, bars, faces, tracks)
    limits = parse_limits(limit or ())
    if dry_run:
        seen = survey(footage, out, captions=captions, path_column=path_column, caption_column=caption_column,
                      report=ticker("files"))
        show_result(asdict(seen), as_json, seen.text())
        return
    summary = run_ingest(footage, out, settings=settings, limits=limits, captions=captions, path_column=path_column,
                         caption_column=caption_column, annotations=annotations, workers=workers, report=ticker("MB"),
                         hashing=ticker("files"))
    fixed = {"out": summary.out, "clips": summary.clips, "rejected": summary.rejected, "seconds": summary.seconds}
    show_result(fixed, as_json, summary.text())


@app.command()
def world(
    clips: Annotated[int, typer.Option(help="How many clips.", min=1)],
    out: Annotated[Path, typer.Option("--out", "-o", help="A data set's folder; or NAME.json, a recipe that training "
                                                          "films itself, without any video file.")],
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")] = "64x64",
    frames: Annotated[int, typer.Option(help="Frames per clip.", min=1)] = 17,
    fps: Annotated[float, typer.Option(help="Frames per second.", min=0.1)] = 8.0,
    seed: Annotated[int, typer.Option(help="First scene; scene k has seed + k.")] = 0,
    actors: Annotated[str, typer.Option(help="Fewest and most actors, as 1 or 1-3.")] = "1-3",
    backgrounds: Annotated[str | None, typer.Option(help="Comma-separated; all if not given.")] = None,
    cameras: Annotated[str | None, typer.Option(help="Comma-separated; all if not given.")] = None,
    looks: Annotated[str | None, typer.Option(help="Comma-separated; the usual ones if not given.")] = None,
    as_json: Json = False,
) -> None:
    """The procedural world to a data set with exact truth and captions in five languages, or to a recipe."""
    from manzar.nouns import VideoShape
    from manzar.world import BACKGROUNDS, CAMERAS, LOOKS, Kind, WorldConfig, WorldRecipe, write_recipe
    from manzar.world import clips as world_clips

    width, height = parse_size(size)
    config = WorldConfig(actors=parse_range(actors), backgrounds=parse_names(backgrounds, BACKGROUNDS),
                         cameras=parse_names(cameras, CAMERAS), looks=parse_names(looks, LOOKS))
    if out.suffix == ".json":
        write_recipe(WorldRecipe(seed, (Kind(frames, height, width, clips, fps, config),)), out)
        told = {"out": str(out), "clips": clips, "rejected": 0, "seconds": 0.0}
        show_result(told, as_json, f"{clips} clips to be filmed as {out} says")
        return
    from manzar.curate import save_clips

    summary = save_clips(world_clips(clips, seed, VideoShape(frames, height, width), fps, config), out, clips,
                         ticker("clips"))
    fixed = {"out": summary.out, "clips": summary.clips, "rejected": summary.rejected, "seconds": summary.seconds}
    show_result(fixed, as_json, f"{summary.clips} clips in {summary.out}, {summary.seconds:.1f} s")


@app.command()
def cuts(file: Annotated[Path, typer.Argument(help="A video file.")], as_json: Json = False) -> None:
    """Shot changes of a file: frame index, seconds, kind."""
    from manzar.curate import find_cuts
    from manzar.media import probe

    info, found = probe(existing(file, "file")), find_cuts(file)
    rows = [{"frame": cut.frame, "seconds": cut.seconds, "kind": cut.kind} for cut in found]
    table = "\n".join(f"{cut.frame:8d} {cut.seconds:10.3f} s  {cut.kind}" for cut in found) or "no shot changes"
    show_result({"file": str(file), "fps": info.fps, "frames": info.frames, "cuts": rows}, as_json, table)


@app.command()
def show(
    targets: Annotated[list[Path], typer.Argument(help="Data sets or videos.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("sheet.html"),
    where: Annotated[str | None, typer.Option(help='Only clips of which this holds: "motion > 2 and seconds >= 3".')]
    = None,
    as_json: Json = False,
) -> None:
    """A self-contained page of clips with captions and measures, to look at."""
    from manzar.curate import sheet

    written = sheet(targets, out, where=where)
    show_result({"out": str(written)}, as_json, f"open {written}")


@app.command()
def caption(
    data: Annotated[Path, typer.Argument(help="The data set.")],
    endpoint: Annotated[str | None, typer.Option(help="URL of an OpenAI-compatible server, as http://host:8000/v1; "
                                                      "its key is read from MANZAR_API_KEY.")] = None,
    model: Annotated[str, typer.Option(help="Name of the model there.")] = "",
    local: Annotated[Path | None, typer.Option(help="Folder of a transformers vision-language model, instead.")] = None,
    languages: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(LANGUAGES),
    frames: Annotated[int, typer.Option(help="Pictures shown of each clip.", min=1)] = 6,
    workers: Annotated[int, typer.Option(help="Clips asked about at once.", min=1)] = 4,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Also replace captions that are there.")] = False,
    price_in: Annotated[float, typer.Option(help="Price of a million tokens read.", min=0)] = 0.0,
    price_out: Annotated[float, typer.Option(help="Price of a million tokens written.", min=0)] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is lacking.")] = False,
    as_json: Json = False,
) -> None:
    """Captions for the clips that lack one, by a vision-language model; it may be stopped and run again."""
    from manzar.curate.captions.languages import asked_languages
    from manzar.curate.captions.run import caption_clips, lacking

    asked = asked_languages(languages)
    if dry_run:
        counts = lacking(data, asked, overwrite=overwrite)
        show_result(dict(counts), as_json, ", ".join(f"{name} {count}" for name, count in counts.items()))
        return
    if (endpoint is None) == (local is None):
        raise UsageError("name either --endpoint URL with --model NAME, or --local FOLDER")
    with captioner(endpoint, model, local) as asking:  # on Ctrl-C the requests under way are let go
        summary = caption_clips(data, asking, languages=asked, frames=frames, overwrite=overwrite, workers=workers,
                                report=ticker("clips"), price_in=price_in, price_out=price_out)
    show_result({"data": str(data), **asdict(summary)}, as_json, summary.text())


@app.command()
def train(
    recipe: Annotated[Literal["vae", "dit", "tune"], typer.Argument(help="What to train.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder.")],
    data: Annotated[Path | None, typer.Option(help="The data set; a resumed run knows its own.")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="Run or model folder to start from.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Train for so long, preparation included.")] = None,
    steps: Annotated[int | None, typer.Option(help="Or for so many steps.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    setting: Annotated[list[str] | None, typer.Option("--set", help="key=value; an unknown key lists all.")] = None,
    as_json: Json = False,
) -> None:
    """Train a part: vae, then dit on its latents; tune adapts a whole folder. Ctrl-C keeps what is done."""
    if data is None and not resume:
        raise UsageError("train needs --data: the data set to train on")
    from manzar.train import Budget, train_run

    outcome = train_run(recipe, data or Path(), out, Budget(minutes, steps), source=source, pairs=setting or [],
                        resume=resume)
    position = outcome.position
    spent = {"steps": position.step, "seconds": position.seconds, "memory_bytes": outcome.memory_bytes}
    text = (f"model in {outcome.model}; open {outcome.run / 'index.html'}" if outcome.finished
            else f"stopped at step {position.step}; go on with --resume")
    show_result({"run": str(outcome.run), "model": str(outcome.model) if outcome.finished else None,
                 "samples_seen": position.samples_seen, "loss": position.loss, "seconds": position.seconds,
                 "forecast": asdict(outcome.forecast), "spent": spent}, as_json, text)
    if not outcome.finished:
        raise typer.Exit(INTERRUPTED)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to show, in any language the model knows.")],
    out: Annotated[Path, typer.Option("--out", "-o", help=".mp4, .webm, .gif, .webp, .png, or a folder/ for frames.")],
    model: Annotated[Path | None, typer.Option(help="A model folder, or a run that holds one; else the model that "
                                                    "comes with Manzar.")] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT; else in the proportions of what is given.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Length, of what is made where a clip is extended or connected, "
                                                       "to the nearest the model can make.")] = None,
    frames: Annotated[int | None, typer.Option(help="Length in frames; 1 makes an image.")] = None,
    steps: Annotated[int | None, typer.Option(help="Solver steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; 1 is none.")] = None,
    negative: Annotated[str, typer.Option(help="What to steer away from.")] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same video.")] = 0,
    count: Annotated[int, typer.Option(help="How many, from seed, seed + 1, …", min=1)] = 1,
    image: Annotated[Path | None, typer.Option(help="First frame: an image, or a video's first.")] = None,
    keyframe: Annotated[list[str] | None, typer.Option(help="INDEX=PICTURE: that frame is given; -1 is the last. May "
                                                            "be given again.")] = None,
    extend: Annotated[Path | None, typer.Option(help="A clip to go on from.")] = None,
    direction: Annotated[Literal["forward", "backward"] | None,
                         typer.Option(help="backward: what leads up to the clip.")] = None,
    connect: Annotated[tuple[Path, Path] | None, typer.Option(help="Two clips; the way from one to the other.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="The end flows into the beginning; with --extend, of the clip.")]
    = False,
    edit: Annotated[Path | None, typer.Option(help="A clip to change as the prompt says.")] = None,
    strength: Annotated[float | None, typer.Option(help="How much of it may change, above 0, at most 1; 0.6.")] = None,
    mask: Annotated[Path | None, typer.Option(help="A picture of the clip's size, white where it may change.")] = None,
    as_json: Json = False,
) -> None:
    """A prompt to videos or images; with pictures or clips given, the rest of them."""
    from manzar.generate.files import generate_files
    from manzar.generate.inputs import Inputs
    from manzar.nouns import Request

    started = time.monotonic()
    width, height = parse_size(size) if size else (None, None)
    request = Request(prompt, frames, height, width, None, steps, guidance, negative, seed, count)
    inputs = Inputs(image, tuple(keyframe or ()), extend, direction, connect, loop, edit, strength, mask)
    where = {} if model is None else {"model": model}
    result = generate_files(request, out, inputs=inputs, seconds=seconds, on_step=ticker("steps"), **where)
    result["seconds"] = time.monotonic() - started
    lines = [f"{row['path']}: {row['frames']} frames of {row['width']}x{row['height']}"
             + "".join(f"\n  {note}" for note in row["notes"]) for row in result["videos"]]
    show_result(result, as_json, "\n".join(lines))


@app.command()
def doctor(as_json: Json = False) -> None:
    """What works on this machine and what does not: device, precision, codecs, optional parts."""
    from manzar.doctor import examine

    report = examine()
    lines = [f"device     {report['device']}", f"precision  {report['precision']}"]
    for name, part in report["parts"].items():
        lines.append(f"{'ok' if part['ok'] else 'none':9}  {name:12} {part['detail']}")
    show_result(report, as_json, "\n".join(lines))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where it works and leaves its report.")] = Path("demo"),
    footage: Annotated[Path | None, typer.Option(help="A folder of your own footage to tune on.")] = None,
    minutes: Annotated[float, typer.Option(help="About how long all of it may take.")] = 4.5,
    as_json: Json = False,
) -> None:
    """The model that ships, and the loop around it: generate, ingest, tune, generate again; ends with report.html."""
    from manzar.demo import run_demo

    result = run_demo(out, footage, minutes, say)
    show_result(result, as_json, f"open {result['report']}")


@contextmanager
def captioner(endpoint: str | None, model: str, local: Path | None) -> Iterator[Captioner]:
    """A captioner behind an address or in a folder."""
    if local is not None:
        from manzar.curate.captions.local import LocalCaptioner
        from manzar.device import pick_device

        yield LocalCaptioner(local, device=str(pick_device()))
    else:
        from manzar.curate.captions.endpoint import EndpointCaptioner

        assert endpoint is not None, "neither an address nor a folder"
        if not model:
            raise UsageError("--endpoint needs --model, the name of the model there")
        with EndpointCaptioner(endpoint, model) as asking:
            yield asking


def ticker(unit: str) -> Progress:
    """Progress with rate and time left: a line that rewrites itself on a terminal, one every few seconds elsewhere."""
    started = said = time.monotonic()

    def tick(done: int, total: int, detail: str = "") -> None:
        nonlocal said
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if done != total and now - said < (0.1 if terminal else 5.0):
            return
        said, rate = now, done / max(1e-6, now - started)
        left = f"/{total} {unit}, {rate:.1f}/s, {max(0, total - done) / rate:.0f} s left" if total else f" {unit}"
        end = "\n" if done == total or not terminal else ""
        line = f"{done}{left} {detail}".rstrip()
        print(f"\r\x1b[2K{line}" if terminal else line, end=end, file=sys.stderr, flush=True)

    return tick


def parse_size(text: str) -> tuple[int, int]:
    """"WxH" → (width, height)."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"--size {text!r} is not WIDTHxHEIGHT, such as 128x96")
    return int(width), int(height)


def parse_names(text: str | None, every: tuple[str, ...]) -> tuple[str, ...]:
    """"a,b" → ("a", "b"); all of them if nothing is given."""
    return tuple(part.strip() for part in text.split(",")) if text else every


def parse_range(text: str) -> tuple[int, int]:
    """"2" → (2, 2), "1-3" → (1, 3)."""
    low, dash, high = text.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        raise UsageError(f"--actors {text!r} is not a number or a range such as 1-3")
    return int(low), int(high or low)


if __name__ == "__main__":
    main()
