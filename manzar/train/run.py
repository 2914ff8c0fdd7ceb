"""Open a run folder, build its recipe, train: what `manzar train` does.

    RUN/run.json                 recipe, data, source and settings; a resumed run takes them from here
    RUN/checkpoint.safetensors   everything needed to go on
    RUN/log.jsonl, samples/, index.html   the record, and the page to look at
    RUN/model/                   what came out: a model folder (for `vae`, its vae/ alone)
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manzar.generate.boxes import control_folder
from manzar.generate.folder import model_folder
from manzar.nouns import TrainingError, UsageError, existing
from manzar.train import checkpoint
from manzar.train.boxes import SHARES, box_recipe
from manzar.train.denoise import dit_recipe, tune_recipe
from manzar.train.layout import layout_recipe
from manzar.train.log import RunLog
from manzar.train.loop import Budget, Outcome, Recipe, train
from manzar.train.settings import (
    BoxSettings,
    DitSettings,
    LayoutSettings,
    Settings,
    TuneSettings,
    VaeSettings,
    parse_settings,
)
from manzar.train.vae import SHAPE, vae_recipe
from manzar.weights import read_json, sweep, write_json

SETTINGS: dict[str, type[Settings]] = {"vae": VaeSettings, "dit": DitSettings, "tune": TuneSettings,
                                       "boxes": BoxSettings, "layout": LayoutSettings}


@dataclass(frozen=True)
class Job:
    """What run.json holds."""

    recipe: str
    data: Path
    source: Path | None
    settings: Settings


def train_run(recipe: str, data: Path, run: Path, budget: Budget, *, source: Path | None = None,
              pairs: Sequence[str] = (), resume: bool = False, quiet: bool = False) -> Outcome:
    """Train `recipe` on `data` into `run`.

    pairs: "key=value" settings of a new run; a resumed run keeps those it began with.
    Raises UsageError or SettingError before anything is written, DataError, ModelError or TrainingError later.
    """
    job = read_job(recipe, run, pairs) if resume else new_job(recipe, data, run, source, pairs)
    if isinstance(job.settings, BoxSettings) and job.settings.stage == "all":
        return train_stages(job, job.settings, run, budget, quiet)
    return train_job(job, run, budget, resume, quiet)


def train_job(job: Job, run: Path, budget: Budget, resume: bool, quiet: bool) -> Outcome:
    started = time.monotonic()
    sweep(run)
    log = RunLog(run, f"{job.recipe} on {job.data.name}", quiet=quiet)
    built = build(job, log)
    record(job, run)
    return train(built, run, budget, resume=resume, log=log, started=started)


def train_stages(job: Job, settings: BoxSettings, run: Path, budget: Budget, quiet: bool) -> Outcome:
    """The stages of box control one after another, each from what the last came to; those that are done stay so."""
    record(job, run)
    start, last = settings.start, len(SHARES)
    for number, (stage, share) in enumerate(SHARES.items(), 1):
        folder = run / f"{number}-{stage}"
        if number == last or not control_folder(folder):
            own = replace(job, settings=settings.model_copy(update={"stage": stage, "start": start}))
            outcome = train_job(own, folder, budget.part(share), (folder / checkpoint.NAME).exists(), quiet)
            if not outcome.finished:
                return outcome
        start = str(folder)
    shutil.copytree(outcome.model, run / "model", dirs_exist_ok=True)
    return replace(outcome, run=run, model=run / "model")


def record(job: Job, run: Path) -> None:
    write_json(run / "run.json", {"recipe": job.recipe, "data": str(job.data), "source": str(job.source or ""),
                                  "settings": recorded(job)})


def recorded(job: Job) -> dict[str, Any]:
    """All settings, so that a resumed run has them though defaults change; but of a network that came from elsewhere
    only what was asked for, since the rest is its own."""
    settings = job.settings.model_dump()
    own = (SHAPE - job.settings.model_fields_set) if job.source and job.recipe == "vae" else set()
    return {name: value for name, value in settings.items() if name not in own}


def new_job(recipe: str, data: Path, run: Path, source: Path | None, pairs: Sequence[str]) -> Job:
    if recipe not in SETTINGS:
        raise UsageError(f"{recipe!r} cannot be trained; choose one of {', '.join(SETTINGS)}")
    settings = parse_settings(SETTINGS[recipe], pairs)
    if (run / checkpoint.NAME).exists() or (recipe == "boxes" and (run / "run.json").exists()):
        raise UsageError(f"{run} holds a run already; go on with --resume, or choose another --out")
    if source is None and recipe != "vae":
        whole = {"dit": "the run or folder that holds its VAE", "tune": "the model folder to tune",
                 "layout": "the model folder whose prompts it is to read"}
        raise UsageError(f"train {recipe} needs --from: {whole.get(recipe, 'the model folder that it is to steer')}")
    return Job(recipe, existing(data).resolve(), model_folder(source).resolve() if source else None, settings)


def read_job(recipe: str, run: Path, pairs: Sequence[str]) -> Job:
    if pairs:
        raise UsageError(f"--set {pairs[0]} does not go with --resume: a run keeps the settings it began with")
    if not (run / "run.json").exists():
        raise UsageError(f"{run} holds no run to resume; leave out --resume to start one")
    stored: dict[str, Any] = read_json(run / "run.json")
    if stored.get("recipe") != recipe:
        raise UsageError(f"{run} holds a {stored.get('recipe')} run, not {recipe}; resume it as what it is")
    try:
        settings = SETTINGS[recipe].model_validate(stored["settings"])
        source = Path(stored["source"]) if stored["source"] else None
        return Job(recipe, existing(stored["data"]), source, settings)
    except (KeyError, ValueError) as error:
        raise TrainingError(f"{run / 'run.json'} is damaged or of another version ({error}); start a new run") from None


def build(job: Job, log: RunLog) -> Recipe:
    if isinstance(job.settings, VaeSettings):
        return vae_recipe(job.data, job.settings, job.source)
    assert job.source is not None
    if isinstance(job.settings, DitSettings):
        return dit_recipe(job.data, job.settings, job.source, log)
    if isinstance(job.settings, BoxSettings):
        return box_recipe(job.data, job.settings, job.source, log)
    if isinstance(job.settings, LayoutSettings):
        return layout_recipe(job.data, job.settings, job.source)
    assert isinstance(job.settings, TuneSettings), job.settings
    return tune_recipe(job.data, job.settings, job.source, log)
