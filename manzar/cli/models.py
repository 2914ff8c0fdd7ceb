"""Commands about models: training them, and generating with them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from manzar.cli.suites import fill
from manzar.cli.talk import INTERRUPTED, Json, app, parse_size, show_result, ticker
from manzar.nouns import UsageError, storage


@app.command()
def train(
    recipe: Annotated[Literal["vae", "dit", "tune", "boxes", "layout"], typer.Argument(help="What to train.")],
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
    out: Annotated[Path, typer.Option("--out", "-o", help=".mp4, .webm, .gif, .webp, .png, or a folder/ for frames; "
                                                          "with --prompts, the folder to fill.")],
    prompt: Annotated[str | None, typer.Argument(help="What to show, in any language the model knows.")] = None,
    prompts: Annotated[str | None, typer.Option(help="vbench, world, world:N scenes, or a text file with a prompt a "
                                                     "line. It may be stopped and run again.")] = None,
    dimensions: Annotated[str | None, typer.Option(help="Only the prompts of these dimensions, comma-separated.")]
    = None,
    samples: Annotated[int | None, typer.Option(help="Films of each of --prompts; VBench asks for five.", min=1)]
    = None,
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
    boxes: Annotated[Path | None, typer.Option(help="Where each thing goes: boxes.json; see docs/boxes.md.")] = None,
    box_guidance: Annotated[float | None, typer.Option(help="Guidance scale of boxes apart from the prompt's; a third "
                                                            "slower.")] = None,
    control: Annotated[Path | None, typer.Option(help="Box control other than the model's own: a run or folder.")]
    = None,
    layout: Annotated[bool, typer.Option(help="Decide where things are before they are drawn, if nothing is given.")]
    = True,
    marks: Annotated[str | None, typer.Option(help="Of origin: all, none, or some of visible,metadata,c2pa,invisible; "
                                                   "else metadata,c2pa. See docs/provenance.md.")] = None,
    as_json: Json = False,
) -> None:
    """A prompt to videos or images; with pictures or clips given, the rest of them; or a folder for a suite."""
    from manzar.generate.files import generate_files
    from manzar.generate.inputs import Inputs
    from manzar.nouns import Request
    from manzar.provenance import Marks

    started = time.monotonic()
    width, height = parse_size(size) if size else (None, None)
    request = Request(prompt or "", frames, height, width, None, steps, guidance, negative, seed, count,
                      box_guidance, layout=layout)
    inputs = Inputs(image, tuple(keyframe or ()), extend, direction, connect, loop, edit, strength, mask, boxes)
    if (prompt is None) == (prompts is None):
        raise UsageError("generate needs a prompt, or --prompts vbench, world or a text file; one of the two")
    where: dict[str, Any] = {} if model is None else {"model": model}
    if prompts is not None:
        if inputs != Inputs() or count != 1:
            raise UsageError("--prompts makes films of prompts alone; --samples says how many of each")
        if marks not in (None, "none"):
            raise UsageError(f"--marks {marks} does not go with --prompts: films to be scored bear no marks")
        fill(prompts, dimensions, samples, request, out, seconds, as_json, **where)
        return
    if marks is not None:
        where["marks"] = Marks.parse(marks)
    result = generate_files(request, out, control=control, inputs=inputs, seconds=seconds, on_step=ticker("steps"),
                            **where)
    result["seconds"] = time.monotonic() - started
    lines = [f"{row['path']}: {row['frames']} frames of {row['width']}x{row['height']}"
             + "".join(f"\n  {note}" for note in row["notes"]) for row in result["videos"]]
    show_result(result, as_json, "\n".join(lines))


@app.command()
def layout(
    prompt: Annotated[str, typer.Argument(help="What is to be shown, in any language the model knows.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The boxes.json to write.")],
    model: Annotated[Path | None, typer.Option(help="A model folder, or a run that holds one; else the model that "
                                                    "comes with Manzar.")] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT of the video.")] = None,
    frames: Annotated[int | None, typer.Option(help="Its length in frames.")] = None,
    seed: Annotated[int, typer.Option(help="The layout that generate draws with this seed.")] = 0,
    as_json: Json = False,
) -> None:
    """Where the model would put the things of a prompt, as boxes to change and give to generate --boxes."""
    from manzar.generate import PRETRAINED, load
    from manzar.nouns import Request

    width, height = parse_size(size) if size else (None, None)
    generator = load(model or PRETRAINED)
    if generator.parts.layout is None:
        raise UsageError(f"{model} has no layout; make one with: manzar train layout, and pack it beside the model")
    script = generator.layout(Request(prompt, frames, height, width, seed=seed))
    if script is None:
        raise UsageError(f"the model finds no thing in {prompt!r} that it could place")
    with storage(out):
        out.write_text(json.dumps(script.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [f"{thing.name}: from {thing.keys[0].box.as_list()} to {thing.keys[-1].box.as_list()}"
             for thing in script.objects]
    show_result({"out": str(out), **script.to_dict(), "notes": generator.notes(Request(prompt))}, as_json,
                "\n".join([*lines, f"boxes in {out}"]))
