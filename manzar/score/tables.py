"""Scores as text for a terminal, and the totals of values that were measured before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from manzar.score.results import raw_values, read
from manzar.score.rows import Row
from manzar.score.totals import DIMENSIONS, I2VTotals, Totals, as_leaderboard, i2v_totals, is_i2v, plain, totals

HEADINGS = {"official": "VBench", "stand-in": "stand-ins, of other detectors than VBench's",
            "truth": "the world's truth", "beside": "beside VBench"}  # fmt: skip


def table(rows: Mapping[str, Row], found: Totals, lacking: Mapping[str, str]) -> str:
    """Kind by kind, since kinds are never averaged with each other; then the totals."""
    lines: list[str] = []
    for kind, heading in HEADINGS.items():
        own = [row for row in rows.values() if row.dimension.kind == kind]
        if own:
            lines += ["", heading, *map(_line, own)]
    if any(row.dimension.kind == "official" for row in rows.values()):
        lines += ["", *_totals_lines(_three(found))]
        lines += found.warnings
    if lacking:
        lines += ["", "Not here, so that what needs it is unscored:", *(f"  {told}" for told in lacking.values())]
    return "\n".join(lines).lstrip("\n")


def _line(row: Row) -> str:
    name = f"  {row.dimension.name:24}"
    if row.value is None:
        return f"{name} unscored  {row.short}"
    asked = len(row.films) + row.missing
    spread = f"{row.interval[0]:.4f} to {row.interval[1]:.4f}" if row.interval else "no interval"
    return f"{name} {row.value:8.4f}  {spread:24}  {row.n} of {asked} films"


def _three(found: Totals) -> list[tuple[str, float | None]]:
    return [("Quality", found.quality), ("Semantic", found.semantic), ("Total", found.total)]


def _totals_lines(values: Sequence[tuple[str, float | None]]) -> list[str]:
    return [f"{name:9} {'-' if value is None else f'{100 * value:.2f}'}" for name, value in values]


def totals_of(path: Path) -> tuple[dict[str, Any], str]:
    """The object that `manzar score --results` prints, and its text. Raises UsageError for what holds no results."""
    results = read(path)
    raw = raw_values(results)
    found: Totals | I2VTotals = i2v_totals(raw) if is_i2v(raw) else totals(raw)
    values = {**raw, **dict.fromkeys(found.missing)} if isinstance(found, I2VTotals) else {
        name: raw.get(name) for name in DIMENSIONS}
    films = {plain(name): len(result.films) for name, result in results.items()}
    told: dict[str, Any] = {
        "dimensions": {name: {"value": value, "kind": "unscored" if value is None else "official",
                              "n": films.get(name) or None, "interval": None} for name, value in values.items()},
        "quality": found.quality,
        **({"i2v": found.i2v} if isinstance(found, I2VTotals) else {"semantic": found.semantic}),
        "total": found.total, "normalised": found.normalised, "lacking": found.missing, "notes": list(found.warnings),
    }  # fmt: skip
    lines = [f"  {name:24} {'missing' if value is None else f'{value:.4f}':>8}  "
             + (f"{100 * found.normalised[name]:.2f}" if name in found.normalised else "")
             for name, value in values.items()]
    middle = ("I2V", found.i2v) if isinstance(found, I2VTotals) else ("Semantic", found.semantic)
    lines += ["", *_totals_lines([("Quality", found.quality), middle, ("Total", found.total)]), *found.warnings]
    if isinstance(found, Totals) and found.missing:
        counted = as_leaderboard(raw)
        told["as_leaderboard"] = {"quality": counted.quality, "semantic": counted.semantic, "total": counted.total}
        lines += ["", f"missing: {', '.join(found.missing)}",
                  "counting what is missing as a raw 0, as VBench's own script does:", *_totals_lines(_three(counted))]
    return told, "\n".join(line.rstrip() for line in lines)

