"""Commands about this machine: what works on it, and the whole loop in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from manzar.cli.talk import Json, app, say, show_result


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
