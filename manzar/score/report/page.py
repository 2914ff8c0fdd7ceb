"""The page of a report: one HTML file that carries all it shows and asks no network for anything."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from manzar.score.report.clips import Ends, Preview, Shown, previews
from manzar.score.report.other import Other
from manzar.score.report.radar import Series, radar
from manzar.score.report.rows_table import cells, heading, shares, titled
from manzar.score.rows import Report, Row
from manzar.score.totals import SEMANTIC

SECTIONS = {
    "stand-in": ("Stand-ins", "The same questions, answered by other detectors or captioners than VBench's. They have "
                              "columns of their own because they are not VBench's figures."),
    "truth": ("The world's truth", "What the scene asked for is known exactly, and detectors that share no code with "
                                   "its renderer look at the pixels for it. Not comparable with VBench's board."),
    "beside": ("Beside VBench", "What VBench does not ask: whether films of one prompt differ, how much moves, how "
                                "sharp they are and stay."),
}  # fmt: skip


def page(report: Report, cache: Path, other: Other | None, workers: int, title: str) -> str:
    """The whole page. cache: where small films are kept; other: a report to compare with."""
    ends = {name: found for name, row in report.rows.items() if (found := Ends.of(row)).lowest}
    films = previews(report, ends, cache / "previews", workers)
    shown = {path: (f"v{index}", preview) for index, (path, preview) in enumerate(films.items())}
    by_kind = {kind: [row for row in report.rows.values() if row.dimension.kind == kind]
               for kind in ("official", *SECTIONS)}
    sections = [official(by_kind["official"], report, other)] if by_kind["official"] else []
    sections += [others(kind, rows, other) for kind, rows in by_kind.items() if kind in SECTIONS and rows]
    sections += [both_ends(ends, report.rows, shown), unscored(report), receipt(report, other)]
    return Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        subtitle=html.escape(subtitle(report)),
        heads=heads(report, other),
        notes=notes(report.notes),
        legend=legend(title, other),
        sections="\n".join(filter(None, sections)),
        files="scores.json and vbench_eval_results.json beside it hold the figures.",
        films="\n".join(f'<script type="text/plain" id="{name}">{base64.b64encode(preview.film).decode()}</script>'
                        for name, preview in shown.values()),
    )


def subtitle(report: Report) -> str:
    films = report.receipt["films"]
    seconds = report.receipt["seconds"]
    spent = f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.0f} s"
    return (f"{films['decoded']:,} of {films['given']:,} films could be decoded · {report.receipt['prompts']} · "
            f"{report.receipt['made'][:10]} · {spent}")


def heads(report: Report, other: Other | None) -> str:
    """Total, Quality and Semantic as VBench prints them, and how many dimensions have a value at all."""
    official = [row for row in report.rows.values() if row.dimension.kind == "official"]
    lacking = len(report.totals.missing)
    why = f"lacks {lacking} of {lacking + len(report.totals.normalised)}" if lacking else "of VBench's prompts only"
    boxes = []
    for name, value in (("Total", report.totals.total), ("Quality", report.totals.quality),
                        ("Semantic", report.totals.semantic)) if official else ():  # fmt: skip
        beside = other.totals[name.lower()] if other else None
        compared = f"<i>{100 * beside:.2f}</i>" if beside is not None else ""
        figure = f"<b>{100 * value:.2f}</b>" if value is not None else f'<b class="none">–</b> <small>{why}</small>'
        boxes.append(f'<div class="card"><small>{name}</small>{figure}{compared}</div>')
    for kind, label in (("official", "VBench dimensions"), ("stand-in", "Stand-ins"), ("truth", "World truths"),
                        ("beside", "Beside VBench")):  # fmt: skip
        rows = [row for row in report.rows.values() if row.dimension.kind == kind]
        if rows:
            scored = sum(row.value is not None for row in rows)
            boxes.append(f'<div class="card"><small>{label}</small><b>{scored}</b> <small>of '
                         f"{len(rows)} scored</small></div>")
    return f'<div class="heads">{"".join(boxes)}</div>'


def notes(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(line[0].upper() + line[1:])}</li>" for line in lines if line)
    return f'<ul class="notes card">{items}</ul>' if items else ""


def legend(title: str, other: Other | None) -> str:
    if other is None:
        return ""
    return (f'<p class="legend"><b class="this">{html.escape(title)}</b> &nbsp; <b class="other">'
            f"{html.escape(other.name)}</b> &nbsp; A dot: the two 95 % intervals do not overlap.</p>")


def official(rows: Sequence[Row], report: Report, other: Other | None) -> str:
    told = ("Official procedure and backbones only. Values times 100, with 95 % intervals (bootstrap over prompts); "
            "the radar and the bars show them normalised, as VBench's totals take them.")
    theirs = other.normalised if other else {}
    return section("VBench", told, rows, report.totals.normalised, other, theirs, radars=True)


def others(kind: str, rows: Sequence[Row], other: Other | None) -> str:
    name, told = SECTIONS[kind]
    own = {row.dimension.name: row.value for row in rows if row.value is not None}
    theirs = {row.dimension.name: value for row in rows
              if other and (value := other.value(row.dimension.name)) is not None}
    return section(name, told, rows, own, other, theirs, radars=kind == "truth")


def section(title: str, told: str, rows: Sequence[Row], own: Mapping[str, float], other: Other | None,
            theirs: Mapping[str, float], radars: bool) -> str:  # fmt: skip
    """A table, and a radar beside it where there are axes enough. own, theirs: what the radar shows, by dimension."""
    listed = table(rows, other)
    if radars and len(rows) > 2:
        names = [row.dimension.name for row in rows]
        series = [Series("this report", [own.get(name) for name in names], "this")]
        if other is not None:
            series.append(Series(other.name, [theirs.get(name) for name in names], "other"))
        drawn = radar(title, [titled(name) for name in names], series,
                      ["semantic" if name in SEMANTIC else "" for name in names])
        listed = f'<div class="pair"><div class="card">{drawn}</div>{listed}</div>'
    return f"<h2>{title}</h2><p>{told}</p>{listed}"


def table(rows: Sequence[Row], other: Other | None) -> str:
    body = "".join(cells(row, other) for row in rows)
    return f'<div class="card scroll"><table>{heading(other, shares(rows[0]))}{body}</table></div>'


def both_ends(ends: Mapping[str, Ends], rows: Mapping[str, Row], films: Mapping[Path, tuple[str, Preview]]) -> str:
    """films: of those that are shown, the id under which the page carries them."""
    if not ends:
        return ""
    parts = []
    for name, own in ends.items():
        row = rows[name]
        low, high = (f'<div class="end"><p>{which}</p><div>{"".join(figure(one, films) for one in shown)}</div></div>'
                     for which, shown in (("lowest", own.lowest), ("highest", own.highest)))
        parts.append(f'<section class="ends card"><h3>{html.escape(titled(name))} <b>{number(row.value)}</b> <small>'
                     f"{row.n:,} films</small></h3>{low}{high}</section>")
    return ("<h2>Lowest and highest</h2><p>The films at both ends of every dimension, from the outside in. A click "
            "stops a film.</p>" + "".join(parts))


def figure(shown: Shown, films: Mapping[Path, tuple[str, Preview]]) -> str:
    film, one = shown
    inside = "no room for it in this page"
    if film.path in films:
        name, preview = films[film.path]
        inside = (f'<video data-film="{name}" muted loop playsinline poster="data:image/jpeg;base64,'
                  f'{base64.b64encode(preview.poster).decode()}"></video>')
    told = film.asked.prompt if film.asked.prompt is not None else film.path.name
    return (f'<figure><div class="stage">{inside}</div><figcaption title="{html.escape(film.path.name)}">'
            f'<b>{number(one.value)}</b> <span dir="auto">{html.escape(told)}</span></figcaption></figure>')


def number(value: float | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else f"{value:.4g}"


def unscored(report: Report) -> str:
    """What is not here and where it comes from; then films without a value, by reason."""
    parts = []
    if report.lacking:
        needs = "".join(f'<tr><td>{html.escape(name)}</td><td class="reason">{html.escape(told)}</td></tr>'
                        for name, told in report.lacking.items())
        parts.append(f'<h3>Weights that are not here</h3><div class="card scroll"><table>{needs}</table></div>')
    whole = [(film.path.name, film.failure) for film in report.films if film.failure]
    whole += [(path.name, reason) for path, reason in report.idle.items()]
    groups: dict[str, list[str]] = {"Films that no dimension could look at": [f"{name}: {why}" for name, why in whole]}
    failed = {film.path for film in report.films if film.failure}
    for name, row in report.rows.items():
        own = [f"{path.name}: {reason}" for path, reason in row.unscored if path not in failed]
        groups[titled(name)] = own
        if row.missing and not row.reason:
            told = f"{row.missing} of {row.missing + len(row.films)} that the suite asks for are not here"
            groups[f"{titled(name)}: films missing"] = [told]
    listed = "".join(listing(name, lines) for name, lines in groups.items() if lines)
    if listed:
        parts.append(f'<h3>Films without a value</h3><div class="card">{listed}</div>')
    return f"<h2>Unscored</h2><p>Neither zero nor left out in silence.</p>{''.join(parts)}" if parts else ""


def listing(name: str, lines: Sequence[str]) -> str:
    items = "".join(f'<li dir="auto">{html.escape(line)}</li>' for line in lines)
    opened = " open" if len(lines) <= 12 else ""
    return f"<details{opened}><summary><b>{len(lines)}</b> {html.escape(name)}</summary><ul>{items}</ul></details>"


def receipt(report: Report, other: Other | None) -> str:
    own, theirs = flat(report.receipt), flat(other.receipt) if other else {}
    lines = []
    for key in dict.fromkeys((*own, *theirs)):
        here, there = own.get(key, "–"), theirs.get(key, "–")
        beside = f'<td class="other">{html.escape(there)}</td>' if other else ""
        differs = ' class="differs"' if other and here != there else ""
        lines.append(f"<tr{differs}><td>{html.escape(key)}</td><td>{html.escape(here)}</td>{beside}</tr>")
    told = " Lines in which the two reports differ are marked." if other else ""
    return (f"<h2>Receipt</h2><p>What stands behind the figures.{told}</p>"
            f'<div class="card scroll"><table class="receipt">{"".join(lines)}</table></div>')


def flat(told: Mapping[str, Any]) -> dict[str, str]:
    """A receipt as lines of a table."""
    lines: dict[str, str] = {}
    for key, value in told.items():
        name = key.replace("_", " ")
        if key == "backbones":
            for one in value:
                note = "the published checksum" if one["published"] else "no published checksum to compare with"
                terms = one["licence"] + (", not for commercial use" if one["noncommercial"] else "")
                file = f"{one['file']}, sha256 {one['sha256']} ({note})"
                lines[f"backbone {one['name']}"] = f"{file}; {terms}; {one['source']}"
        elif key == "sightings":
            lines |= {f"sightings {one['file']}": f"sha256 {one['sha256']}" for one in value}
        elif isinstance(value, Mapping):
            lines |= {f"{name}: {inner.replace('_', ' ')}": said(item) for inner, item in value.items()}
        elif value is not None:
            lines[name] = said(value)
    return lines


def said(value: Any) -> str:
    if isinstance(value, Mapping) and value.keys() == {"least", "median", "most"}:
        return "{least:,} to {most:,}, median {median:,g}".format(**value)
    if isinstance(value, Mapping):
        few = Counter(value).most_common(8) if all(isinstance(item, int) for item in value.values()) else value.items()
        text = ", ".join(f"{key} × {item}" if isinstance(item, int) else f"{key} {said(item)}" for key, item in few)
        return text + (f", {len(value) - 8} more" if len(value) > 8 else "")
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
