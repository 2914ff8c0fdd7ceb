"""What a report is made of: a row for every dimension, pooled from films; totals; what is to be said."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.film import Asked
from manzar.score.intervals import DRAWS, interval
from manzar.score.measure import FilmScores
from manzar.score.plan import Plan
from manzar.score.totals import Totals, totals

BOOTSTRAP_S = 4.0  # a dimension whose pooling is slow is drawn less often, to take about so long


@dataclass(frozen=True)
class FilmValue:
    """One film in one dimension: a measurement, or the reason why there is none."""

    path: Path
    asked: Asked
    outcome: Measured | Unscored


@dataclass(frozen=True)
class Row:
    """One dimension of a report.

    films: every film it was asked for; missing: how many more its suite asks for.
    reason: why there is no value; empty where there is one. short: the same where space is dear.
    of_set: one number for all films together; what single films gave are features, and no values to be ranked.
    """

    dimension: Dimension
    value: float | None
    interval: tuple[float, float] | None
    films: Sequence[FilmValue] = ()
    missing: int = 0
    reason: str = ""
    short: str = ""
    of_set: bool = False

    @property
    def n(self) -> int:
        return len(self.scored)

    @property
    def scored(self) -> list[tuple[FilmValue, Measured]]:
        return [(film, film.outcome) for film in self.films if isinstance(film.outcome, Measured)]

    @property
    def unscored(self) -> list[tuple[Path, str]]:
        return [(film.path, str(film.outcome)) for film in self.films if isinstance(film.outcome, Unscored)]

    def to_json(self) -> dict[str, Any]:
        kind = "unscored" if self.value is None else self.dimension.kind
        return {"value": self.value, "kind": kind, "n": self.n, "interval": self.interval and list(self.interval)}


@dataclass(frozen=True)
class Report:
    """All that a page or a reader of scores.json wants to know.

    idle: films that no dimension looks at, and why; lacking: backbones that are not here, and how to come by them.
    """

    rows: Mapping[str, Row]
    totals: Totals
    films: Sequence[FilmScores]
    idle: Mapping[Path, str]
    notes: Sequence[str]
    lacking: Mapping[str, str]
    receipt: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "dimensions": {name: row.to_json() for name, row in self.rows.items()},
            "quality": self.totals.quality,
            "semantic": self.totals.semantic,
            "total": self.totals.total,
            "lacking": self.totals.missing,
            "normalised": self.totals.normalised,
            "notes": list(self.notes),
            "unscored": {name: unscored_json(row) for name, row in self.rows.items()
                         if row.reason or row.unscored or row.missing},
            "receipt": dict(self.receipt),
        }


def row_of(dimension: Dimension, planned: Plan, films: Iterable[FilmScores], lacking: Mapping[str, str]) -> Row:
    """Pool what the films gave. lacking: backbones that are not here, and how to come by them."""
    name = dimension.name
    missing = sum(name in slot.dimensions for slot in planned.missing)
    asked_for = sum(name in own for own in planned.asked.values())
    absent = [each for each in dimension.backbones if each in lacking]
    if name in planned.out_of_reach or absent:
        reason = planned.out_of_reach.get(name) or "; ".join(lacking[each] for each in absent)
        short = planned.out_of_reach.get(name) or f"needs {' and '.join(absent)}"
        return Row(dimension, None, None, missing=missing + asked_for, reason=reason, short=short)
    values = [FilmValue(film.path, planned.asked[film.path][name], film.outcomes[name])
              for film in films if name in film.outcomes]
    row = Row(dimension, None, None, values, missing)
    try:
        value = dimension.pool([one for _, one in row.scored])
    except Unscored as error:
        reason = why(row) or str(error)
        return replace(row, reason=reason, short=reason)
    return replace(row, value=value, interval=interval_of(row))


def why(row: Row) -> str:
    """The commonest reason of the films of a dimension that has no value."""
    reasons = Counter(reason.replace(path.name, "the film") for path, reason in row.unscored)
    return reasons.most_common(1)[0][0] if reasons else ""


def interval_of(row: Row) -> tuple[float, float] | None:
    prompts: dict[str, list[Measured]] = {}
    for film, one in row.scored:
        prompts.setdefault(film.asked.prompt or str(film.path), []).append(one)
    pool = row.dimension.pool
    started = time.monotonic()
    pool([one for _, one in row.scored])
    draws = min(DRAWS, max(100, int(BOOTSTRAP_S / max(1e-6, time.monotonic() - started))))
    return interval(list(prompts.values()), pool, draws)


def official_totals(planned: Plan, rows: Mapping[str, Row]) -> Totals:
    """Of official values on VBench's own prompts; on other prompts there are none, only normalised values."""
    found = totals({name: row.value for name, row in rows.items() if row.dimension.kind == "official"})
    if planned.suite == "vbench":
        return found
    return replace(found, quality=None, semantic=None, total=None)


def notes_of(planned: Plan, rows: Mapping[str, Row], films: Sequence[FilmScores]) -> list[str]:
    notes = []
    if planned.suite == "vbench" and planned.missing:
        notes.append(f"a subset of the suite: {planned.prompt_set}; {len(planned.missing):,} films are missing, so "
                     "these are not VBench's figures for this model")
    if planned.suite != "vbench" and any(row.dimension.kind == "official" for row in rows.values()):
        notes.append("no Quality, Semantic or Total: those are of VBench's own prompts, and these films are of others")
    lost = [film for film in films if not film.info]
    if lost:
        notes.append(f"{len(lost)} of {len(films)} films cannot be scored at all, {lost[0].path.name} the first: "
                     f"{lost[0].failure}")
    some = [f"{name} {row.n} of {len(row.films)}" for name, row in rows.items()
            if row.value is not None and row.unscored]
    notes += [f"means over fewer films than were asked about: {', '.join(some)}"] if some else []
    if planned.idle:
        notes.append(f"{len(planned.idle)} films are left aside, {next(iter(planned.idle)).name} the first: "
                     f"{next(iter(planned.idle.values()))}")
    return [*notes, *planned.notes]


def unscored_json(row: Row) -> dict[str, Any]:
    return {"reason": row.reason, "missing": row.missing,
            "films": [{"film": str(path), "reason": reason} for path, reason in row.unscored]}
