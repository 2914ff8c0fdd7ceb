"""Box control is trained in three stages beside a frozen model; each can be resumed, and the model stays as it was."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_model import tiny_parts

from manzar.boxes import read_script
from manzar.curate import save_clips
from manzar.generate import Boxes, Generator, load_parts, save_parts
from manzar.generate.boxes import load_control
from manzar.nouns import DataError, Request, VideoShape
from manzar.train import Budget, train_run
from manzar.train import run as run_module
from manzar.train.box_clips import identities, soften
from manzar.train.boxes import box_recipe, weighed
from manzar.train.log import RunLog, read_log
from manzar.train.settings import BoxSettings
from manzar.world import WorldConfig, clips

TINY_BOXES = ["batch=4", "size=32", "frames=9", "width=16", "objects=3", "validations=1", "sample_steps=2", "images=0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    save_clips(clips(24, 0, VideoShape(9, 32, 32), 8.0, WorldConfig(actors=(1, 2))), out)
    return out


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    save_parts(tiny_parts(), folder)
    return folder


def test_boxes_are_learned_in_three_stages_and_leave_the_base_as_it_was(
    data: Path, base: Path, tmp_path: Path
) -> None:
    outcome = train_run("boxes", data, tmp_path / "boxes", Budget(steps=10), source=base, pairs=TINY_BOXES,
                        quiet=True)  # fmt: skip
    logs = [read_log(tmp_path / "boxes" / stage) for stage in ("1-hard", "2-soft", "3-clean")]
    assert [log[-1]["step"] for log in logs] == [4, 2, 4]
    parts = load_parts(base)
    parts.control = load_control(outcome.run, parts.dit)
    asked = Request("", 9, 32, 32, steps=2, seed=1)
    boxes = Boxes(read_script({"objects": [{"keys": [{"at": 0, "box": [0, 0, 0.5, 0.5]}]}]}))
    base = Generator(load_parts(base), "fp32").generate(asked)[0].frames
    steered = Generator(parts, "fp32")
    assert (steered.generate(asked)[0].frames == base).all()
    assert (steered.generate(replace(asked, conditions=(boxes,)))[0].frames != base).any()


def test_a_stage_of_boxes_resumes_by_itself(data: Path, base: Path, tmp_path: Path) -> None:
    settings = [*TINY_BOXES, "stage=soft"]
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    train_run("boxes", data, whole, Budget(steps=4), source=base, pairs=settings, quiet=True)
    train_run("boxes", data, parted, Budget(steps=2), source=base, pairs=settings, quiet=True)
    train_run("boxes", data, parted, Budget(steps=4), resume=True, quiet=True)
    assert [step["loss"] for step in steps_of(whole)][:2] == [step["loss"] for step in steps_of(parted)][:2]
    assert len(steps_of(parted)) == 4


def steps_of(run: Path) -> list[dict[str, float]]:
    return [row for row in read_log(run) if row["kind"] == "step"]


def test_an_interrupted_run_of_all_stages_goes_on_with_the_stage_it_was_in(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = tmp_path / "boxes", list[str]()
    original = run_module.train_job

    def stop_in_the_second(job: run_module.Job, folder: Path, *rest: object) -> object:
        calls.append(folder.name)
        outcome = original(job, folder, *rest)  # type: ignore[arg-type]
        return replace(outcome, finished=False) if len(calls) == 2 else outcome

    monkeypatch.setattr(run_module, "train_job", stop_in_the_second)
    assert not train_run("boxes", data, run, Budget(steps=6), source=base, pairs=TINY_BOXES, quiet=True).finished
    shutil.rmtree(run / "2-soft" / "model")  # what stopped half-way has exported nothing
    assert train_run("boxes", data, run, Budget(steps=6), resume=True, quiet=True).finished
    assert calls == ["1-hard", "2-soft", "2-soft", "3-clean"]


def test_boxes_need_tracks(tmp_path: Path, base: Path) -> None:
    bare = ((video, replace(clip, tracks=())) for video, clip in clips(12, 0, VideoShape(9, 32, 32), 8.0))
    save_clips(bare, tmp_path / "data")
    with pytest.raises(DataError, match="no clip has tracks"):
        train_run("boxes", tmp_path / "data", tmp_path / "run", Budget(steps=1), source=base, pairs=TINY_BOXES,
                  quiet=True)  # fmt: skip


def test_boxes_say_what_is_in_them(data: Path, base: Path, tmp_path: Path) -> None:
    settings = BoxSettings(size=32, frames=9, width=16, objects=3, images=0, batch=64, no_boxes=0, no_names=0.25)
    recipe = box_recipe(data, settings.model_copy(update={"stage": "clean"}), base,
                        RunLog(tmp_path, "boxes", quiet=True))
    batch = recipe.batch(torch.Generator().manual_seed(0))
    assert batch.names is not None and batch.boxes is not None
    there, told = batch.boxes[:, 0, :, 8] > 0, batch.names.abs().sum(-1) > 0  # (B, N)
    assert not told[~there].any()
    assert 0.6 < told[there].float().mean() < 0.9


def test_a_base_that_learns_along_is_exported_whole(data: Path, base: Path, tmp_path: Path) -> None:
    outcome = train_run("boxes", data, tmp_path / "run", Budget(steps=6), source=base, quiet=True,
                        pairs=[*TINY_BOXES, "stage=clean", "base_rate=1", "inside=4", "no_boxes=0.5"])  # fmt: skip
    before, after = load_parts(base), load_parts(outcome.model)
    assert after.control is not None and after.control.config.until == 0
    assert after.info["trained"]["settings"]["base_rate"] == 1
    assert "start" not in after.info["trained"]["settings"], "a path of this machine in a folder for others"
    now = after.dit.state_dict()
    changed = {name for name, old in before.dit.state_dict().items() if not torch.equal(old, now[name])}
    assert any("attn" in name for name in changed) and any("text_embedder" in name for name in changed)
    for part in ("vae", "text"):
        old, new = (getattr(parts, part).state_dict() for parts in (before, after))
        assert all(torch.equal(old[name], new[name]) for name in old), part


@pytest.mark.parametrize("base_rate", [0.0, 1.0])
def test_without_boxes_a_base_that_learns_along_is_by_itself(
    data: Path, base: Path, tmp_path: Path, base_rate: float
) -> None:
    settings = BoxSettings(size=32, frames=9, width=16, objects=3, images=0, batch=4, no_boxes=1, stage="clean",
                           base_rate=base_rate)  # fmt: skip
    recipe = box_recipe(data, settings, base, RunLog(tmp_path, "boxes", quiet=True))
    batch = recipe.batch(torch.Generator().manual_seed(0))
    if base_rate:
        assert batch.boxes is None
    else:
        assert batch.boxes is not None and not batch.boxes[..., 8].any()


def test_loss_counts_more_where_a_box_is() -> None:
    boxes = torch.zeros(1, 2, 3, 9)
    boxes[0, 0, 1] = torch.tensor([0.25, 0.5, 0.75, 0.6, 1.0, 0.0, 0.0, 1.0, 1.0])
    weights = weighed(boxes, 4, 4, 5.0)
    expected = torch.ones(1, 2, 4, 4)
    expected[0, 0, 2, 1:3] = 5.0
    assert torch.equal(weights, expected)


def test_identities_and_softening() -> None:
    assert identities(5, 3, 8) == identities(5, 3, 8) and len(set(identities(5, 8, 8))) == 8
    exact = torch.tensor([0.4, 0.4, 0.6, 0.6, 1.0, 0.0, 0.0, 1.0, 1.0]).repeat(1000, 1)
    exact[0, :4] = torch.tensor([0.0, 0.2, 0.0, 0.5])  # out of view
    soft = soften(exact, 0.8, torch.Generator().manual_seed(0))
    relaxed = soft[:, 7] == 0
    assert 0.75 < relaxed.float().mean() < 0.85
    assert torch.equal(soft[~relaxed], exact[~relaxed]) and torch.equal(soft[0, :4], exact[0, :4])
    inner = relaxed.clone()
    inner[0] = False
    margins = (exact - soft)[inner, :4] * torch.tensor([1.0, 1.0, -1.0, -1.0])
    assert (margins >= -1e-6).all() and 0.09 < margins.mean() < 0.13  # Beta(1, 8) has the mean 1/9
