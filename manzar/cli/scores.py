"""Scoring films, and totalling what others have measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from manzar.cli.talk import INTERRUPTED, Json, app, say, show_result, ticker
from manzar.nouns import UsageError


@app.command()
def score(
    videos: Annotated[list[Path] | None, typer.Argument(help="Folders of films, or films.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The report's folder; open index.html in it.")]
    = Path("report"),
    dimensions: Annotated[str | None, typer.Option(help="Comma-separated names, or official, truth, beside, all.")]
    = None,
    weights: Annotated[list[Path] | None, typer.Option(help="A folder with checkpoints; may be given again.")] = None,
    sightings: Annotated[Path | None, typer.Option(help="What a detector or captioner saw, instead of the files of "
                                                        "that kind beside the films.")] = None,
    prompts: Annotated[Literal["vbench", "world", "custom"] | None,
                       typer.Option(help="Whose prompts the films are of; else as their names say.")] = None,
    reference: Annotated[Path | None, typer.Option(help="A folder of real films to compare with.")] = None,
    compare: Annotated[Path | None, typer.Option(help="The folder of another report, shown beside this one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; else one for each core.", min=1)] = None,
    results: Annotated[Path | None, typer.Option(help="Instead of films: measured values to be totalled, "
                                                      "{dimension: 0..1} or VBench's own result files.")] = None,
    as_json: Json = False,
) -> None:
    """Films to VBench's sixteen dimensions and more, with a page to look at; it may be stopped and run again."""
    if (results is None) == (not videos):
        raise UsageError("score needs films, or --results with values that were measured before; one of the two")
    if results is not None:
        show_totals(results, as_json)
        return
    from manzar.score.run import score_videos
    from manzar.score.tables import table

    try:
        report = score_videos(videos or [], out, dimensions=dimensions, weights=weights or (), sightings_file=sightings,
                              suite=prompts, reference=reference, compare=compare, workers=workers,
                              progress=ticker("films"), say=say)
    except KeyboardInterrupt:
        say(f"\nstopped; what is measured lies in {out}, and the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None
    text = f"{table(report.rows, report.totals, report.lacking)}\n\nopen {out / 'index.html'}"
    show_result(report.to_json(), as_json, text)


@app.command()
def see(
    videos: Annotated[list[Path], typer.Argument(help="Folders of films, or films.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to add to; score finds sightings.jsonl beside "
                                                          "the films.")],
    detector: Annotated[Path | None, typer.Option(help="Folder of a transformers open-vocabulary detector.")] = None,
    captioner: Annotated[Path | None, typer.Option(help="Folder of a transformers image captioner.")] = None,
    as_json: Json = False,
) -> None:
    """What a detector and a captioner of your own see in films, for five dimensions of `score` as stand-ins."""
    from manzar.device import pick_device
    from manzar.score.detect import ImageCaptioner, OpenVocabularyDetector, look_at_all
    from manzar.score.plan import list_films

    films, device = list_films(videos), pick_device()
    look = look_at_all(films, out, OpenVocabularyDetector(detector, device) if detector else None,
                       ImageCaptioner(captioner, device) if captioner else None, ticker("films"))
    refused = {str(path): reason for path, reason in look.refused.items()}
    told = {"out": str(out), "seen": len(look.seen), "known": len(look.known), "refused": refused}
    lines = [f"{len(look.seen)} films looked at, {len(look.known)} known already: {out}",
             *(f"  {path}: {reason}" for path, reason in refused.items())]
    show_result(told, as_json, "\n".join(lines))


@app.command()
def still(
    films: Annotated[Path, typer.Argument(help="A folder with up to 25 films of each prompt.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the still ones are copied, numbered anew.")],
    weights: Annotated[list[Path] | None, typer.Option(help="A folder with raft-things.pth.")] = None,
    as_json: Json = False,
) -> None:
    """VBench's static filter: of each prompt the first five films that do not move, to score temporal flickering."""
    from manzar.device import pick_device
    from manzar.nouns import ModelError
    from manzar.score.bench import Bench
    from manzar.score.dimension import Unscored
    from manzar.score.plan import list_films
    from manzar.score.static_filter import copy_still, still_films
    from manzar.score.suite import prompt_of

    prompts: dict[str, list[Path]] = {}
    for path in list_films([films]):
        prompts.setdefault(prompt_of(path), []).append(path)
    try:
        filtered = still_films(prompts, Bench(tuple(weights or ()), pick_device()))
    except Unscored as reason:
        raise ModelError(str(reason)) from None
    copies, short = copy_still(filtered, out), filtered.short()
    unscored = {str(path): reason for path, reason in filtered.unscored.items()}
    told = {"out": str(out), "kept": len(copies), "moving": len(filtered.moving), "short": short, "unscored": unscored}
    lines = [f"{len(copies)} still films in {out}, {len(filtered.moving)} move",
             *(f"  {lacks} short of five: {prompt}" for prompt, lacks in short.items()),
             *(f"  {path}: {reason}" for path, reason in unscored.items())]
    show_result(told, as_json, "\n".join(lines))


def show_totals(path: Path, as_json: bool) -> None:
    """Quality, Semantic and Total of values that were measured before."""
    from manzar.score.tables import totals_of

    told, text = totals_of(path)
    show_result(told, as_json, text)
