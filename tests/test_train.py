"""The loop: optimiser, averages, settings, resume, errors; on a data set of a dozen tiny clips."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from manzar.curate import read_clips, save_clips, write_clips
from manzar.generate import Generator, load_parts
from manzar.generate.folder import load_vae
from manzar.nouns import (
    DataError,
    LatentShape,
    ModelError,
    Request,
    SettingError,
    Stride,
    TrainingError,
    UsageError,
    VideoShape,
)
from manzar.train import Budget, train_run
from manzar.train import checkpoint as checkpoints
from manzar.train.buckets import batch_sizes, bucket_shares, pick_languages
from manzar.train.data import FootageClips
from manzar.train.ema import Ema
from manzar.train.given import KINDS, draw_given
from manzar.train.latents import Bucket, lengths, plan, standing
from manzar.train.log import read_log
from manzar.train.optimiser import Muon, Optimiser, orthogonalise, rate_scale
from manzar.train.settings import DitSettings, VaeSettings, parse_settings
from manzar.train.vae import vae_config
from manzar.vae import SMALL, grow
from manzar.weights import read_json, read_tensors
from manzar.world import WorldConfig, clips

TINY_VAE = ["batch=2", "size=32", "crop=16", "crop_frames=5", "base=16", "channels=4", "validations=2"]
TINY_DIT = ["batch=4", "size=32", "frames=9", "layers=1", "heads=2", "head_width=16", "text_layers=1", "text_width=64",
            "validations=2", "sample_steps=2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    save_clips(clips(24, 0, VideoShape(9, 32, 32), 8.0, WorldConfig(actors=(1, 1))), out)
    assert {clip.split for clip in read_clips(out)} == {"train", "val"}
    return out


@pytest.fixture(scope="module")
def vae_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "vae"
    train_run("vae", data, run, Budget(steps=4), pairs=TINY_VAE, quiet=True)
    return run


def losses(run: Path) -> list[float]:
    return [entry["loss"] for entry in read_log(run) if entry["kind"] == "step"]


def test_orthogonalise_brings_singular_values_near_one() -> None:
    matrices = torch.randn(3, 48, 80, generator=torch.Generator().manual_seed(0))
    for stack in (matrices, matrices.mT):
        values = torch.linalg.svdvals(orthogonalise(stack).float())
        assert 0.5 < values.min() and values.max() < 1.4


def test_muon_moves_as_torch_muon_does() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(24, 16) * 0.1) for _ in range(2))
    a = Muon([ours], lr=0.05)
    b = torch.optim.Muon([theirs], lr=0.05, momentum=0.95, weight_decay=0.0, nesterov=True, adjust_lr_fn="original")
    for _ in range(4):
        grad = torch.randn(24, 16)
        ours.grad, theirs.grad = grad.clone(), grad.clone()
        a.step()
        b.step()
    # both iterate in bf16, batched here and single there
    torch.testing.assert_close(ours, theirs, atol=2e-2, rtol=0)
    assert (ours - 0.1).abs().max() > 0.02


def test_muon_flattens_kernels() -> None:
    kernel = nn.Parameter(torch.zeros(8, 4, 3, 3, 3))
    kernel.grad = torch.randn(kernel.shape)
    Muon([kernel], lr=1.0).step()
    values = torch.linalg.svdvals(kernel.detach().reshape(8, -1))
    assert 0.5 < values.min() and values.max() < 1.4


def test_optimiser_state_survives_a_round_trip() -> None:
    def build() -> tuple[nn.Module, Optimiser]:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))
        return module, Optimiser(module, lambda _, p: p.ndim == 2, muon_lr=0.02, adam_lr=1e-2, weight_decay=0.01)

    def step(module: nn.Module, optimiser: Optimiser, seed: int) -> None:
        x = torch.randn(4, 8, generator=torch.Generator().manual_seed(seed))
        module(x).square().mean().backward()
        optimiser.step(1.0)

    (a, first), (b, second) = build(), build()
    for seed in range(3):
        step(a, first, seed)
    b.load_state_dict(a.state_dict())
    second.load_state_tensors(first.state_tensors())
    for seed in range(3, 6):
        step(a, first, seed)
        step(b, second, seed)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_rate_is_a_trapezoid() -> None:
    assert rate_scale(0, 0.0, 10, 0.5) == pytest.approx(0.1)
    assert rate_scale(99, 0.5, 10, 0.5) == 1.0
    assert rate_scale(99, 0.75, 10, 0.5) == pytest.approx(0.5)
    assert rate_scale(99, 1.0, 10, 0.5) == 0.0


def test_a_short_run_warms_up_for_a_tenth_of_it(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scales: list[float] = []
    step = Optimiser.step
    monkeypatch.setattr(Optimiser, "step", lambda self, scale: (scales.append(scale), step(self, scale))[1])
    pairs = [*TINY_VAE, "warmup=50", "cooldown=0"]
    train_run("vae", data, tmp_path / "run", Budget(steps=25), pairs=pairs, quiet=True)
    assert scales == [1.0, 0.5, *[1.0] * 24]  # the first is the probe's


def test_ema_is_the_mean_and_leaves_the_weights_alone() -> None:
    module = nn.Linear(2, 2)
    ema = Ema(module, decay=0.5)
    start = module.weight.detach().clone()
    module.weight.data += 1
    ema.update(step=100)
    with ema.applied():
        torch.testing.assert_close(module.weight, start + 0.5)
    torch.testing.assert_close(module.weight.detach(), start + 1)


def test_settings_name_the_nearest_key_and_the_wrong_value() -> None:
    assert parse_settings(DitSettings, ["layers=3", "prediction=sample"]).layers == 3
    with pytest.raises(SettingError, match="nearest is muon_lr"):
        parse_settings(VaeSettings, ["mun_lr=1"])
    with pytest.raises(SettingError, match="layers=many"):
        parse_settings(DitSettings, ["layers=many"])
    with pytest.raises(SettingError, match="key=value"):
        parse_settings(DitSettings, ["layers"])


def test_languages_are_those_of_the_captions(data: Path) -> None:
    seen = FootageClips(data, "train", size=32, fps=8.0, stride=Stride(4, 16, 16))
    assert pick_languages("all", seen) == ("en", "zh", "hi", "ur", "ar")
    assert pick_languages("ur,en", seen) == ("ur", "en")
    with pytest.raises(SettingError, match=r"'fr'.*en, zh"):
        pick_languages("en,fr", seen)
    seen.rows = [replace(row, captions={"fr": "un", "en": "a"}) for row in seen.rows]
    assert pick_languages("all", seen) == ("en", "fr")
    seen.rows = [replace(row, captions={}) for row in seen.rows]
    assert pick_languages("all", seen) == ("en",)


def test_lengths_are_on_the_causal_grid() -> None:
    assert lengths(33, 4) == [33, 17, 9, 5, 1]
    assert lengths(17, 4) == [17, 9, 5, 1]
    assert lengths(9, 4) == [9, 5, 1]
    assert lengths(1, 4) == [1]


def test_plan_covers_long_clips_and_takes_an_image_of_each(data: Path) -> None:
    seen = FootageClips(data, "train", size=32, fps=8.0, stride=Stride(4, 16, 16))
    items = plan(seen, 5)
    first = [(item.start, item.frames) for item in items if item.clip == 0]
    assert first == [(0, 5), (4, 5), (4, 1)]


def test_bucket_shares_give_images_their_share() -> None:
    def bucket(frames: int, n: int) -> Bucket:
        return Bucket(VideoShape(frames, 32, 32), [None] * n, torch.zeros(n), torch.zeros(0))  # type: ignore[list-item]

    assert batch_sizes([bucket(1, 5), bucket(9, 10), bucket(17, 30)], Stride(4, 16, 16), 6) == [30, 10, 6]
    shares = bucket_shares([bucket(1, 5), bucket(9, 10), bucket(17, 30)], images=0.2)
    torch.testing.assert_close(shares, torch.tensor([0.2, 0.2, 0.6]))
    torch.testing.assert_close(bucket_shares([bucket(1, 5)], images=0.0 + 0.1), torch.tensor([1.0]))


def test_a_group_that_stands_still_shows_its_last_frame() -> None:
    video = torch.arange(9.0).view(1, 1, 9, 1, 1)
    assert standing(video, 4).flatten().tolist() == [0, 4, 4, 4, 4, 8, 8, 8, 8]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_given_is_of_its_kind_and_never_all_or_nothing(kind: str) -> None:
    shape, patch = LatentShape(5, 4, 6), Stride(1, 2, 2)
    seen = set()
    for seed in range(60):
        given = draw_given(shape, patch, torch.Generator().manual_seed(seed), kind)
        assert given is not None and given.mask.shape == (5, 4, 6) and given.held == (kind == "held")
        assert given.mask.any() or kind == "around"  # the box may be the whole frame
        assert not given.mask.all()
        frames = given.mask[:, 0, 0]
        if kind == "around":
            tokens = given.mask.view(5, 2, 2, 3, 2)
            assert (tokens.all(4).all(2) == tokens.any(4).any(2)).all()  # whole tokens
            assert (given.mask == given.mask[:1]).all()  # the same in all frames
        else:
            assert (given.mask == frames[:, None, None]).all()
        if kind in ("prefix", "ends", "image"):
            assert frames[0]
        if kind in ("suffix", "ends"):
            assert frames[-1]
        seen.add(tuple(given.mask.flatten().tolist()))
    assert len(seen) > 1 or kind == "image"


def test_an_image_has_nothing_to_be_given() -> None:
    assert draw_given(LatentShape(1, 4, 4), Stride(1, 2, 2), torch.Generator().manual_seed(0)) is None


def test_training_on_a_recipe_of_the_world_needs_no_video_file(tmp_path: Path) -> None:
    recipe = tmp_path / "world.json"
    sizes = ((33, 32, 32, 12), (5, 32, 48, 9), (1, 32, 32, 8))
    kinds = [dict(zip(("frames", "height", "width", "clips"), size, strict=True)) for size in sizes]
    recipe.write_text(json.dumps({"seed": 3, "val_share": 0.2, "kinds": kinds}))
    train_run("vae", recipe, tmp_path / "vae", Budget(steps=2), pairs=TINY_VAE, quiet=True)
    pairs = [pair for pair in TINY_DIT if not pair.startswith("frames")] + ["given=0.5", "images=0.3", "typos=0.5",
                                                                             "prediction=sample"]
    train_run("dit", recipe, tmp_path / "dit", Budget(steps=12), pairs=pairs, source=tmp_path / "vae", quiet=True)
    parts = load_parts(tmp_path / "dit")
    assert parts.defaults["frames"] == 33 and parts.schedule.prediction == "sample"
    assert (tmp_path / "world.latents").is_dir()
    assert parts.text.tokenizer.notes("a red circle and a crocodile") == ['unknown word: "crocodile"']
    video = Generator(parts).generate(Request("ایک سرخ دائرہ", 5, 32, 48, steps=2))[0]
    assert video.frames.shape == (5, 32, 48, 3)


def test_a_recipe_off_the_grid_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "world.json"
    recipe.write_text(json.dumps({"seed": 3, "kinds": [{"frames": 8, "height": 32, "width": 32, "clips": 4}]}))
    with pytest.raises(UsageError, match=r"8 frames of 32x32.*make it 9 frames"):
        train_run("vae", recipe, tmp_path / "vae", Budget(steps=2), pairs=TINY_VAE, quiet=True)


def test_a_vae_grows_channels_and_starts_where_it_stood(data: Path, vae_run: Path, tmp_path: Path) -> None:
    before, run = load_vae(vae_run / "model"), tmp_path / "grown"
    after = grow(before, 6)
    video = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(after.decode(after.encode(video).mean), before.decode(before.encode(video).mean))
        assert after.encode(video).mean[:, 4:].std() > 0
    pairs = ["batch=2", "size=32", "crop=16", "crop_frames=5", "validations=1", "channels=6"]
    train_run("vae", data, run, Budget(steps=1), pairs=pairs, source=vae_run, quiet=True)
    train_run("vae", Path(), run, Budget(steps=2), resume=True, quiet=True)
    assert load_vae(run / "model").config.z_dim == 6
    with pytest.raises(ModelError, match="4 latent channels cannot grow to 3"):
        grow(before, 3)


def test_a_vae_run_leaves_what_it_promises(vae_run: Path) -> None:
    info = read_json(vae_run / "model/manzar.json")
    config = read_json(vae_run / "model/vae/config.json")
    assert math.isfinite(info["scores"]["psnr"]) and info["steps"] == 4
    assert len(config["latents_std"]) == 4 and min(config["latents_std"]) > 0
    assert config["latents_std"] != [1.0] * 4
    page = (vae_run / "index.html").read_text()
    assert "<svg" in page and "data:image/png" in page


@pytest.mark.parametrize("wrong", ["crop=64", "crop=12", "multiples=1,x", "temporal=1", "seed=-1", "crop_frames=6"])
def test_settings_that_cannot_work_leave_nothing_behind(wrong: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=wrong.split("=")[0]):
        train_run("vae", data, tmp_path / "run", Budget(steps=1), pairs=[*TINY_VAE, wrong], quiet=True)
    assert not (tmp_path / "run").exists()


def test_the_default_settings_are_the_small_configuration() -> None:
    assert replace(vae_config(VaeSettings()), scale_factor_temporal=4, scale_factor_spatial=8) == SMALL


@pytest.mark.parametrize("recipe", ["vae", "dit"])
def test_a_resumed_run_repeats_the_losses_bit_for_bit(recipe: str, data: Path, vae_run: Path, tmp_path: Path) -> None:
    pairs = TINY_VAE if recipe == "vae" else TINY_DIT
    source = None if recipe == "vae" else vae_run
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_run(recipe, data, whole, Budget(steps=6), source=source, pairs=[*pairs, "cooldown=0"], quiet=True)
    train_run(recipe, data, parts, Budget(steps=3), source=source, pairs=[*pairs, "cooldown=0"], quiet=True)
    train_run(recipe, data, parts, Budget(steps=6), resume=True, quiet=True)
    assert len(losses(whole)) == 6
    assert losses(parts) == losses(whole)
    a, b = (read_tensors(run / checkpoints.NAME) for run in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("recipe", ["vae", "dit"])
def test_a_killed_run_resumes_to_the_same_losses(recipe: str, data: Path, vae_run: Path, tmp_path: Path) -> None:
    """SIGKILL at random moments; the checkpoint on disk is whole each time, and the losses end up the same.

    KILLS=20 in the environment makes it as thorough as a release asks for.
    """
    kills = int(os.environ.get("KILLS", "2"))
    steps = str(40 * kills)
    pairs = [*(TINY_VAE if recipe == "vae" else TINY_DIT), "checkpoint_seconds=0"]
    source = [] if recipe == "vae" else ["--from", str(vae_run)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def command(run: Path) -> list[str]:
        words = [sys.executable, "-m", "manzar", "train", recipe, "--out", str(run), "--steps", steps]
        if (run / checkpoints.NAME).exists():
            return [*words, "--resume"]
        return [*words, "--data", str(data), *source, *(word for pair in pairs for word in ("--set", pair))]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(command(whole), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    chance, landed = random.Random(0), 0
    for _ in range(kills):
        process = subprocess.Popen(command(killed), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   env=environment)
        assert process.stderr is not None
        for line in process.stderr:  # past the imports, into the run
            if line.startswith("forecast"):
                break
        time.sleep(1.5 * chance.random())
        landed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        if (killed / checkpoints.NAME).exists():
            read_tensors(killed / checkpoints.NAME)
    assert landed, "the run was over before it could be killed"
    done = subprocess.run(command(killed), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert losses(killed) == losses(whole)
    print(f"{recipe}: killed {landed} times of {kills} over {steps} steps")


def test_a_folder_that_holds_a_run_is_not_overwritten(data: Path, vae_run: Path) -> None:
    with pytest.raises(UsageError, match="--resume"):
        train_run("vae", data, vae_run, Budget(steps=4), pairs=TINY_VAE, quiet=True)
    with pytest.raises(UsageError, match="does not go with --resume"):
        train_run("vae", data, vae_run, Budget(steps=4), pairs=["batch=3"], resume=True, quiet=True)
    with pytest.raises(UsageError, match="holds a vae run"):
        train_run("dit", data, vae_run, Budget(steps=4), resume=True, quiet=True)


def test_a_damaged_run_is_said_to_be_one(data: Path, vae_run: Path, tmp_path: Path) -> None:
    def resume() -> None:
        train_run("vae", data, run, Budget(steps=8), resume=True, quiet=True)

    run = Path(shutil.copytree(vae_run, tmp_path / "run"))
    whole = (run / checkpoints.NAME).read_bytes()
    (run / checkpoints.NAME).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="not readable safetensors"):
        resume()
    (run / checkpoints.NAME).unlink()
    with pytest.raises(TrainingError, match="no checkpoint"):
        resume()
    (run / "run.json").write_text('{"recipe": "vae"}')
    with pytest.raises(TrainingError, match="damaged"):
        resume()


def test_a_run_does_not_resume_on_other_data(data: Path, vae_run: Path, tmp_path: Path) -> None:
    grown, run = Path(shutil.copytree(data, tmp_path / "data")), Path(shutil.copytree(vae_run, tmp_path / "run"))
    job = json.loads((run / "run.json").read_text()) | {"data": str(grown)}
    (run / "run.json").write_text(json.dumps(job))
    write_clips(grown, read_clips(grown)[:-3])
    with pytest.raises(TrainingError, match="other data"):
        train_run("vae", grown, run, Budget(steps=8), resume=True, quiet=True)


def test_a_non_finite_loss_stops_with_step_clips_and_checkpoint(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pairs = [*TINY_VAE, "kl_weight=1e38"]
    with pytest.raises(TrainingError, match=r"step 0: loss .*clips were .*checkpoint.safetensors"):
        train_run("vae", data, run, Budget(steps=5), pairs=pairs, quiet=True)
    weights = read_tensors(run / checkpoints.NAME)
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_budget_and_source_are_asked_for(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one of the two"):
        Budget()
    for wrong in (0, -1):
        with pytest.raises(UsageError, match="above 0"):
            Budget(steps=wrong)
    with pytest.raises(UsageError, match="above 0"):
        Budget(minutes=math.nan)
    with pytest.raises(UsageError, match="--from"):
        train_run("dit", data, tmp_path / "x", Budget(steps=1), quiet=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError):
        train_run("vae", empty, tmp_path / "y", Budget(steps=1), quiet=True)
    assert not (tmp_path / "y" / checkpoints.NAME).exists()


def test_a_tuned_adapter_loads_in_stock_diffusers(data: Path, vae_run: Path, tmp_path: Path) -> None:
    """RUN/lora on the base folder in stock diffusers computes what RUN/model does here."""
    from diffusers import WanPipeline

    fast = ["warmup=0", "ema=0", "adam_lr=0.05", "muon_lr=0.2", "validations=1", "sample_steps=1", "cooldown=0"]
    train_run("dit", data, tmp_path / "dit", Budget(steps=6), source=vae_run, pairs=[*TINY_DIT, *fast], quiet=True)
    pairs = [*fast, "batch=4", "size=32", "frames=9", "rank=4", "alpha=8"]
    train_run("tune", data, tmp_path / "tune", Budget(steps=6), source=tmp_path / "dit", pairs=pairs, quiet=True)
    stock = WanPipeline.from_pretrained(tmp_path / "dit/model")
    base = {name: p.clone() for name, p in stock.transformer.state_dict().items()}
    x, t, text = torch.randn(2, 4, 2, 4, 4), torch.tensor([300.0, 900.0]), torch.randn(2, 7, 64)
    with torch.no_grad():
        before = stock.transformer(x, t, text).sample
        stock.load_lora_weights(tmp_path / "tune/lora")
        theirs = stock.transformer(x, t, text).sample
        ours = load_parts(tmp_path / "tune/model").dit(x, t, text)
    assert (ours - before).abs().max() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    source = read_tensors(tmp_path / "dit/model/transformer/diffusion_pytorch_model.safetensors")
    assert all(torch.equal(base[name], source[name]) for name in base)


def test_x_0_prediction_trains_and_exports_its_scheduler(data: Path, vae_run: Path, tmp_path: Path) -> None:
    pairs = [*TINY_DIT, "prediction=sample", "languages=ur,ar", "accumulate=2", "recompute=true"]
    train_run("dit", data, tmp_path / "run", Budget(steps=2), source=vae_run, pairs=pairs, quiet=True)
    scheduler = read_json(tmp_path / "run/model/scheduler/scheduler_config.json")
    assert scheduler["_class_name"] == "UniPCMultistepScheduler" and scheduler["prediction_type"] == "sample"
    assert json.loads((tmp_path / "run/model/manzar.json").read_text())["languages"] == ["ur", "ar"]
    assert read_log(tmp_path / "run")[-1]["samples_seen"] >= 16  # single frames come by the dozen: as many tokens


def test_training_the_decoder_alone_leaves_the_latents_as_they_were(data: Path, vae_run: Path, tmp_path: Path) -> None:
    pairs = ["batch=2", "size=32", "crop=16", "crop_frames=5", "validations=1", "decoder_only=true"]
    train_run("vae", data, tmp_path / "run", Budget(steps=3), pairs=pairs, source=vae_run, quiet=True)
    before, after = load_vae(vae_run / "model"), load_vae(tmp_path / "run/model")
    for (name, old), new in zip(before.state_dict().items(), after.state_dict().values(), strict=True):
        frozen = name.startswith(("encoder", "quant_conv"))
        assert torch.equal(old, new) == frozen or not old.any(), name
    assert before.config == after.config
    train_run("vae", Path(), tmp_path / "run", Budget(steps=5), resume=True, quiet=True)
    with pytest.raises(SettingError, match="decoder_only=true needs --from"):
        train_run("vae", data, tmp_path / "other", Budget(steps=1), pairs=["decoder_only=true"], quiet=True)
