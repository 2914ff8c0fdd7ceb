"""Suites of prompts for `manzar generate --prompts`: which films they ask for, and the folder filled with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from manzar.cli.talk import INTERRUPTED, parse_names, say, show_result, ticker
from manzar.nouns import UsageError

if TYPE_CHECKING:
    from manzar.generate.batch import Row
    from manzar.nouns import Request

SCENES = 50  # of the world's suite, if no number is given


def fill(prompts: str, dimensions: str | None, samples: int | None, request: Request, out: Path,
         seconds: float | None, as_json: bool, **where: Path) -> None:  # fmt: skip
    """Make what the folder lacks of the suite; say what was made and what could not be."""
    from manzar.generate.batch import generate_batch
    from manzar.score.asked import NAME, read_asked, write_asked

    rows, asked = rows_of(prompts, dimensions, samples)
    if out.is_file():
        raise UsageError(f"{out} is a file; --prompts fills a folder")
    try:
        told = generate_batch(rows, out, request, seconds=seconds, report=ticker("films"), **where,
                              suite={"prompts": prompts, "dimensions": dimensions, "samples": samples})
    except KeyboardInterrupt:
        say(f"\nstopped; what is made lies in {out}, and the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        if asked and out.is_dir():
            before = read_asked(out / NAME) if (out / NAME).is_file() else {}
            write_asked(out / NAME, before | asked)
    for failure in told["failed"]:
        say(f"not made: {failure['name']}: {failure['reason']}")
    show_result(told, as_json, f"{told['made']} made, {told['kept']} there before, {len(told['failed'])} refused; "
                               f"score them with: manzar score {out} --out {out}-report")  # fmt: skip
    if told["failed"] and not told["made"] + told["kept"]:
        raise typer.Exit(1)


def rows_of(prompts: str, dimensions: str | None, samples: int | None) -> tuple[list[Row], dict[str, dict[str, Any]]]:
    """The films that a suite asks for, and what `asked.json` is to say of them where their names do not say it."""
    from manzar.generate.batch import Row

    name, _, number = prompts.partition(":")
    if name != "vbench" and dimensions is not None:
        raise UsageError("--dimensions chooses among the prompts of --prompts vbench; leave it out here")
    if prompts == "vbench":
        from manzar.score.suite import slots

        wanted = None if dimensions is None or dimensions in ("all", "official") else parse_names(dimensions, ())
        made = slots(wanted) if samples is None else slots(wanted, samples)
        return [Row(slot.name, slot.prompt, slot.seed) for slot in made], {}
    if name == "world" and (not number or number.isdecimal()):
        from manzar.world.suite import world_suite

        if samples not in (None, 1):
            raise UsageError("the world's suite has one film of each prompt; --prompts world:N says how many scenes")
        scenes = world_suite(int(number) if number else SCENES)
        return [Row(Path(one.name).stem, one.prompt, one.seed) for one in scenes], {one.name: one.row for one in scenes}
    from manzar.score.prompting import read_prompts

    listed = read_prompts(Path(prompts), samples or 1)
    return [Row(one.name, one.prompt, one.seed) for one in listed], {f"{one.name}.mp4": one.row for one in listed}
