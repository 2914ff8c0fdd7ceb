"""`manzar score`: films in, a folder out with the scores, VBench's own result file and a page to look at.

plan (names only) → measure (films in processes, cached) → pool into rows → totals → scores.json, page.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from manzar.device import describe, pick_device
from manzar.nouns import Progress, UsageError
from manzar.score import results, sightings
from manzar.score.cache import write_whole
from manzar.score.catalogue import SIGHTED, every, sets, stand_ins
from manzar.score.dimension import Dimension
from manzar.score.film import Asked
from manzar.score.film_features import asked_of_workers
from manzar.score.measure import FilmScores, Setup, Task, measure_in_worker, unscorable
from manzar.score.of_sets import set_row
from manzar.score.plan import Plan, Suite, list_films, plan
from manzar.score.receipt import receipt, take_stock, terms
from manzar.score.report import Other, page, read_other
from manzar.score.rows import Report, notes_of, official_totals, row_of
from manzar.workers import Lost, run_tasks

SCORES, VBENCH, PAGE, CACHE = "scores.json", "vbench_eval_results.json", "index.html", "cache"
MOST_AT_ONCE_ON_A_CHIP = 4  # processes that share one accelerator


def score_videos(
    videos: Sequence[Path],
    out: Path,
    *,
    dimensions: str | None = None,
    weights: Sequence[Path] = (),
    sightings_file: Path | None = None,
    suite: Suite | None = None,
    reference: Path | None = None,
    compare: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Score films and write the report into the folder `out`; the same again goes on from what is in its cache.

    dimensions: as `catalogue.chosen` reads them; weights: folders with checkpoints; suite: see `plan`.
    reference: real films that some dimensions compare with; compare: the folder of another report, shown beside.
    say: told the terms of weights before they are first used, and what a reader must know.
    Raises UsageError and DataError before any film is opened; StorageError for a full disk. A film or dimension that
    cannot be scored is unscored with a reason.
    """
    started = time.monotonic()
    if out.is_file():
        raise UsageError(f"{out} is a file; name a folder for the report, such as {out.with_suffix('')}-report")
    other = read_other(compare) if compare is not None else None
    planned = plan(videos, dimensions, suite)
    books = _books(planned, sightings_file)
    makers = tuple(sorted(_other_makers(books)))
    known = every() | stand_ins(makers)
    planned = _with_stand_ins(planned, known)
    needs = {name: (sets()[name] if name in sets() else known[name]).backbones for name in planned.wanted}
    here, lacking = take_stock((each for own in needs.values() for each in own), weights)
    absent = {name for name, own in needs.items() if any(each in lacking for each in own)}
    for line in terms(here):
        say(f"licence  {line}")
    setup = Setup(out / CACHE, tuple(Path(folder).resolve() for folder in weights), tuple(books), makers,
                  {name: one.sha256 for name, one in here.items()})
    tasks = [Task(path, asked_of_workers(own, absent), setup) for path, own in planned.asked.items()]
    real = _reference(reference, [name for name in planned.wanted if name not in absent], setup)
    workers = workers or default_workers()
    measured = measure_all([*tasks, *real], workers, progress)
    films, references = measured[: len(tasks)], measured[len(tasks) :]
    rows = {name: set_row(sets()[name], planned, films, references, lacking) if name in sets()
            else row_of(known[name], planned, films, lacking) for name in planned.wanted}
    report = Report(
        rows, official_totals(planned, rows), films, planned.idle, notes_of(planned, rows, films), lacking,
        receipt(prompt_set=planned.prompt_set, folder=Path(videos[0]), infos=[film.info for film in films],
                reference=[film.info for film in references], weights=here.values(), sightings=books,
                device=describe("fp32"), workers=workers, seconds=time.monotonic() - started,
                seconds_by_dimension=_seconds(measured)))
    for note in report.notes:
        say(note)
    write(report, out, other, workers, Path(videos[0]).resolve().name)
    return report


def _reference(folder: Path | None, wanted: Sequence[str], setup: Setup) -> list[Task]:
    """What the films of a reference set are to give. Raises UsageError for a folder without films."""
    if folder is None:
        return []
    asked = {name: Asked() for name in wanted if name in sets() and sets()[name].against_reference}
    return [Task(path, asked_of_workers(asked, ()), setup) for path in list_films([folder])]


def measure_all(tasks: Sequence[Task], workers: int, progress: Progress | None) -> list[FilmScores]:
    """Every film in the order of the tasks, whatever order they are done in."""
    found: dict[int, FilmScores] = {}
    # Some networks take minutes over a film, and more memory than a decoder should: no limit on either.
    for index, answer in run_tasks(measure_in_worker, tasks, workers=workers, patience_s=math.inf, memory_bytes=None):
        task = tasks[index]
        found[index] = unscorable(task, answer.reason) if isinstance(answer, Lost) else answer
        if progress is not None:
            progress(len(found), len(tasks), task.path.name)
    return [found[index] for index in range(len(tasks))]


def default_workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if pick_device().type == "cpu" else min(cores, MOST_AT_ONCE_ON_A_CHIP)


def write(report: Report, out: Path, other: Other | None, workers: int, title: str) -> None:
    official = {name: results.Result.of(row.value, [(film.path, one) for film, one in row.scored])
                for name, row in report.rows.items() if row.dimension.kind == "official" and row.value is not None}
    results.write(out / VBENCH, official)
    write_whole(out / SCORES, json.dumps(report.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_whole(out / PAGE, page(report, out / CACHE, other, workers, title))


def _books(planned: Plan, named: Path | None) -> list[Path]:
    """Files of sightings: the one that is named, else those beside the films. DataError for a damaged one."""
    if named is not None:
        return [sightings.read(named).path]
    folders = dict.fromkeys(path.parent for path in planned.asked)
    found = [folder / sightings.NAME for folder in folders if (folder / sightings.NAME).is_file()]
    return [sightings.read(path).path for path in found]


def _other_makers(books: Iterable[Path]) -> set[tuple[str, str]]:
    """(part, maker) of sightings that are not VBench's own."""
    made = {maker for path in books for maker in sightings.read(path).makers}
    return {(part, maker) for part, maker in made if maker != sightings.OFFICIAL[part][0]}


def _with_stand_ins(planned: Plan, known: Mapping[str, Dimension]) -> Plan:
    """Each stand-in is asked of the films of the dimension that it stands in for."""
    twins = {name: next(own for own in SIGHTED if name.startswith(f"{own} "))
             for name, dimension in known.items() if dimension.kind == "stand-in"}
    wanted = [name for name, own in twins.items() if own in planned.wanted]
    asked = {path: {**own, **{name: own[twins[name]] for name in wanted if twins[name] in own}}
             for path, own in planned.asked.items()}
    reasons = {name: planned.out_of_reach[twins[name]] for name in wanted if twins[name] in planned.out_of_reach}
    return replace(planned, wanted=(*planned.wanted, *wanted), asked=asked,
                   out_of_reach={**planned.out_of_reach, **reasons})


def _seconds(films: Iterable[FilmScores]) -> dict[str, float]:
    spent: Counter[str] = Counter()
    for film in films:
        spent.update(film.seconds)
    return dict(spent)
