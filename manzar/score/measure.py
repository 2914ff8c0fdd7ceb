"""One film through all the dimensions it is asked for, in a worker process: decoded once, every backbone run once."""

from __future__ import annotations

import faulthandler
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from manzar.device import pick_device
from manzar.nouns import ManzarError
from manzar.score.bench import Bench
from manzar.score.cache import Cache, Outcome, from_json, key_of, to_json
from manzar.score.catalogue import every, stand_ins
from manzar.score.dimension import Dimension, Measured, Unscored
from manzar.score.film import Asked, Film, file_digest, open_film
from manzar.score.film_features import feature_dimensions
from manzar.score.sightings import provide
from manzar.score.sightings import read as read_sightings
from manzar.workers import Beat

PATIENCE_S = 900  # for decoding one film; a process that is still at it then is ended
INFO = "film"  # the cache's key for what the film itself is


@dataclass(frozen=True)
class Setup:
    """What is the same for all films of a run.

    sightings: files of what detectors saw; makers: (part, name) of those among them that are not VBench's own.
    checksums: sha256 of the checkpoint files that are here, by name.
    """

    cache: Path
    weights: tuple[Path, ...] = ()
    sightings: tuple[Path, ...] = ()
    makers: tuple[tuple[str, str], ...] = ()
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """asked: what the film was made for, by dimension; only these dimensions are measured."""

    path: Path
    asked: Mapping[str, Asked]
    setup: Setup


@dataclass(frozen=True)
class FilmScores:
    """info: frames, width, height, fps and digest; empty for a film that cannot be decoded, for the reason `failure`.
    seconds: spent now, by dimension; of what the cache held nothing was."""

    path: Path
    info: Mapping[str, Any]
    outcomes: Mapping[str, Outcome]
    seconds: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""


def unscorable(task: Task, reason: str) -> FilmScores:
    return FilmScores(task.path, {}, dict.fromkeys(task.asked, Unscored(reason)), failure=reason)


def measure_in_worker(task: Task, beat: Beat) -> FilmScores:
    """`measure_film` as a worker process calls it."""
    return measure_film(task)


def measure_film(task: Task) -> FilmScores:
    """Every dimension of the task, from the cache or from the film; what has been found out is written down at once."""
    setup, digest = task.setup, file_digest(task.path)
    cache, known = Cache(setup.cache, digest), every() | stand_ins(setup.makers) | feature_dimensions()
    seen = [book.fingerprint(digest) for book in map(read_sightings, setup.sightings)]
    keys = {name: key_of(known[name], asked, setup.checksums, seen if known[name].suite_only else ())
            for name, asked in task.asked.items()}
    outcomes = {name: from_json(entry) for name, key in keys.items() if (entry := cache.get(key)) is not None}
    info, seconds = cache.get(INFO), dict[str, float]()
    lacking = [name for name in task.asked if name not in outcomes]
    if lacking or info is None:
        try:
            with impatiently():
                film = open_film(task.path)
        except (ManzarError, MemoryError) as error:
            return unscorable(task, reason_of(error, task.path))
        frames, height, width, _ = film.frames.shape
        info = {"frames": frames, "width": width, "height": height, "fps": film.fps, "digest": digest}
        if cache.get(INFO) is None:
            cache.put(INFO, info)
        bench = bench_of(setup)
        provide(bench, [read_sightings(path) for path in setup.sightings])
        for name in lacking:
            started = time.monotonic()
            outcomes[name] = measured(known[name], replace(film, asked=task.asked[name]), bench)
            seconds[name] = time.monotonic() - started
            cache.put(keys[name], to_json(outcomes[name], seconds[name]))
        bench.next_film()  # before the next one is decoded: the features of this one take memory
    return FilmScores(task.path, info, {name: outcomes[name] for name in task.asked}, seconds)


def measured(dimension: Dimension, film: Film, bench: Bench) -> Outcome:
    """One value, or why there is none. A value that is no finite number is none."""
    try:
        for name in dimension.backbones:
            opened(name, bench)
        found = dimension.measure(film, bench)
    except Unscored as reason:
        return reason
    except (ManzarError, MemoryError) as error:
        return Unscored(reason_of(error, film.path))
    if not found.parts or not all(math.isfinite(part) for part in (*found.parts, float(found.value))):
        return Unscored("the film gave no finite number")
    return Measured(found.value, tuple(map(float, found.parts)), found.detail)


_broken: dict[str, str] = {}


def opened(name: str, bench: Bench) -> None:
    """Load a backbone, if it is not there yet; one that cannot be is not read again for every film."""
    if name in _broken:
        raise Unscored(_broken[name])
    try:
        bench.backbone(name)
    except Unscored as reason:
        _broken[name] = str(reason)
        raise


def reason_of(error: Exception, path: Path) -> str:
    """What an error says, without the name of the film, which stands beside it wherever it is shown."""
    if isinstance(error, MemoryError):
        return "not enough memory for a film of this size"
    return str(error).removeprefix(f"{path}:").removeprefix(str(path)).strip()


@contextmanager
def impatiently() -> Iterator[None]:
    """End this process if what is inside takes too long: a loop in a decoder's C code cannot be ended otherwise."""
    faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


_benches: dict[tuple[Path, ...], Bench] = {}  # of this process: backbones are loaded once


def bench_of(setup: Setup) -> Bench:
    if setup.weights not in _benches:
        _benches[setup.weights] = Bench(setup.weights, pick_device())
    return _benches[setup.weights]
