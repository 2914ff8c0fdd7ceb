"""Commands about data: footage, the world, cuts, contact sheets, captions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from manzar.cli.talk import Json, Out, app, parse_names, parse_range, parse_size, show_result, ticker
from manzar.nouns import LANGUAGES, UsageError, existing

if TYPE_CHECKING:
    from manzar.curate.captions.endpoint import Captioner


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
    boxes: Annotated[Path | None, typer.Option(help="boxes.json of one video: wanted boxes against found ones, as a "
                                                    "page, a strip (.png) or a video (.mp4).")] = None,
    as_json: Json = False,
) -> None:
    """A self-contained page of clips with captions and measures, to look at."""
    if boxes is not None:
        from manzar.cli.box_view import show_boxes

        if len(targets) != 1 or where is not None:
            raise UsageError("--boxes are those of one video; name just that one, and no --where")
        told, text = show_boxes(existing(targets[0], "file"), boxes, out)
        show_result(told, as_json, text)
        return
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
